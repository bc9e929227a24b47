//! Debian's etcd as processes of the test's own: on free ports of 127.0.0.1, with data in a temporary folder, killed when
//! dropped. `tools/install.sh` installs it.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long etcd may take to answer, while other tests share the disk.
const READY: Duration = Duration::from_secs(60);

/// One member of etcd.
pub(crate) struct Etcd {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    address: SocketAddr,
    child: Option<Child>,
}

impl Etcd {
    /// A store of one member that answers.
    pub(crate) fn start() -> Self {
        let mut members = Self::start_members(1);
        members.remove(0)
    }

    /// A store of `count` members that answer.
    pub(crate) fn start_members(count: usize) -> Vec<Self> {
        let ports = free_addresses(2 * count);
        let (clients, peers) = ports.split_at(count);
        let cluster: Vec<String> = peers.iter().enumerate().map(|(n, peer)| format!("m{n}=http://{peer}")).collect();
        let cluster = cluster.join(",");
        let member = |n: usize| {
            let dir = tempfile::Builder::new().prefix("crest-etcd-").tempdir().expect("a temporary folder can be made");
            let name = format!("m{n}");
            let (client, peer) = (format!("http://{}", clients[n]), format!("http://{}", peers[n]));
            let data = dir.path().join("data").display().to_string();
            let arguments = [
                ("--name", name.as_str()),
                ("--data-dir", &data),
                ("--listen-client-urls", &client),
                ("--advertise-client-urls", &client),
                ("--listen-peer-urls", &peer),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &cluster),
                ("--logger", "zap"),
                ("--log-outputs", "stderr"),
                ("--log-level", "error"),
            ];
            let arguments = arguments.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]);
            Self { arguments: arguments.collect(), dir, address: clients[n], child: None }
        };
        let mut members: Vec<Self> = (0..count).map(member).collect();
        members.iter_mut().for_each(Self::launch);
        members.iter().for_each(Self::ready);
        members
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `kill -9`. It is gone when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on its data, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.launch();
        self.ready();
    }

    /// Starts it without waiting for it.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::create(self.log()).expect("the temporary folder can be written");
        let mut command = Command::new("etcd");
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        // Debian builds it for machines that etcd's own makers do not test.
        command.env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH.replace("aarch64", "arm64"));
        self.child = Some(command.spawn().expect("etcd is installed: tools/install.sh does that"));
    }

    /// Holds it still (SIGSTOP): it is there, and says nothing any more once this returns.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
        let until = Instant::now() + READY;
        while !self.is_still() {
            assert!(Instant::now() < until, "etcd at {} does not stop", self.address);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether all its threads are stopped: the signal reaches them one after the other.
    fn is_still(&self) -> bool {
        let pid = self.child.as_ref().expect("it runs").id();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let state = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The number, the name in parentheses, the state.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        threads.flatten().all(state)
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Waits until it answers, with a majority of members behind it.
    pub(crate) fn ready(&self) {
        let until = Instant::now() + READY;
        while !self.is_healthy() {
            let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(Instant::now() < until, "etcd at {} is not ready:\n{}", self.address, log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut connection = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
            connection.set_read_timeout(Some(Duration::from_secs(5)))?;
            connection.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains("\"health\":\"true\""))
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("the command kill is there");
        assert!(sent.success(), "no process {pid} to send {signal} to");
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Addresses whose ports were free just now, below those that systems give to outgoing connections.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    let somewhere = || TcpListener::bind(("127.0.0.1", 10_000 + (random() % 20_000) as u16)).ok();
    let listeners: Vec<TcpListener> = std::iter::repeat_with(somewhere).take(10_000).flatten().take(count).collect();
    assert_eq!(listeners.len(), count, "127.0.0.1 has free ports");
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
}
