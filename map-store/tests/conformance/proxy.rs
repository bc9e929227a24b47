//! A way to etcd on which messages get lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What stands at the beginning of a map that is sent.
const MAP: &[u8] = b"cluster = ";

/// Carries connections to a server until it is told to lose something.
pub(crate) struct Proxy {
    address: SocketAddr,
    losing: Arc<Losing>,
}

/// How many of the connections on which a map is sent are yet to fall silent.
#[derive(Default)]
struct Losing {
    answers: AtomicU32,
    requests: AtomicU32,
}

impl Proxy {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let losing = Arc::new(Losing::default());
        let of_connections = losing.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, of_connections.clone()));
            }
        });
        Self { address, losing }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next `count` maps that are sent arrive, and nothing that the server says afterwards on their connections.
    pub(crate) fn lose_answers(&self, count: u32) {
        self.losing.answers.store(count, Ordering::SeqCst);
    }

    /// The next `count` maps that are sent do not arrive.
    pub(crate) fn lose_requests(&self, count: u32) {
        self.losing.requests.store(count, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, losing: Arc<Losing>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let silent = Arc::new(AtomicBool::new(false));
    tokio::spawn(back(from_server, to_client, silent.clone()));
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
        let has_map = bytes[..read].windows(MAP.len()).any(|window| window == MAP);
        if has_map && takes_one(&losing.requests) {
            // The connection stays, and says nothing more.
            while let Ok(1..) = from_client.read(&mut bytes).await {}
            return;
        }
        if has_map && takes_one(&losing.answers) {
            silent.store(true, Ordering::SeqCst);
        }
        if to_server.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn back(mut from_server: OwnedReadHalf, mut to_client: OwnedWriteHalf, silent: Arc<AtomicBool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
        if !silent.load(Ordering::SeqCst) && to_client.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

fn takes_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}
