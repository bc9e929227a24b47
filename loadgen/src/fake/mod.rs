//! A naive ledger in memory behind a real gRPC server on the loopback, with faults and lies to order, that writes down when
//! every request came and when it was answered. It knows what the tests need, nothing more.
//!
//! [`books`] is the ledger, [`lies`] what it can be told to get wrong, [`faults`] what can become of a request on its way,
//! [`service`] and [`operations`] are the public API in front of it.

mod books;
mod lies;
pub(crate) mod faults;
mod service;
mod operations;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crest_ledger::{Account, Transfer};
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::v1::ledger_server::LedgerServer;
use crest_proto::v1::operations_server::OperationsServer;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use faults::{Faults, Seen};
pub(crate) use lies::{About, Lie};

/// What the server knows, and what it shall do wrong.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: HashMap<u128, Account>,
    pub(crate) transfers: HashMap<u128, Transfer>,
    clock: u64,
    /// Requests to create transfers so far, whatever became of them.
    pub(crate) requests: u64,
    /// Transfers in the largest of them.
    pub(crate) batch_max: usize,
    /// The ids in the order in which they were created.
    pub(crate) order: Vec<u128>,
    /// Requests to apply whose answer is then lost: all whose number is a multiple of this; 0 is none.
    pub(crate) lose_every: u64,
    /// The next so many requests are answered "busy" and not applied.
    pub(crate) busy: u64,
    /// What else becomes of requests.
    pub(crate) faults: Faults,
    /// All requests to create transfers, in the order in which they came.
    pub(crate) seen: Vec<Seen>,
    /// How often each request came, by its first transfer's id.
    attempts: HashMap<u128, u32>,
    /// Added to the debits of this account in lookups.
    pub(crate) corrupt: Option<(u128, u128)>,
    /// Forget this many of the acknowledged transfers in lookups.
    pub(crate) forget_transfers: bool,
    /// What the audit says.
    pub(crate) findings: Vec<String>,
    /// What it gets wrong, once, and about which transfer.
    pub(crate) lie: Option<About>,
}

/// The server; clones share one state.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// Serves on a free port of the loopback until the test's runtime ends; gives the address too.
    pub(crate) async fn serve() -> (Self, String) {
        let fake = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ledger = LedgerServer::new(fake.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        // The server's own `tcp_nodelay` does nothing for listeners that it did not bind itself.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder()
            .add_service(ledger)
            .add_service(OperationsServer::new(fake.clone()))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        (fake, url)
    }

    /// What it knows now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}
