//! Single requests, and a client that knows what it has paid.

#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod raw;

use std::time::{Duration, Instant};

use crest_proto::border::{ids_to, number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_proto::v1::ledger_client::LedgerClient;
use tonic::transport::Channel;

use crate::processes::Server;

/// How long a request whose outcome is unknown may take to settle once all processes run.
const SETTLE: Duration = Duration::from_secs(20);

/// A payment of 1.
pub(crate) fn transfer(id: u128, debit: u128, credit: u128) -> v1::Transfer {
    v1::Transfer {
        id: number_to(id),
        debit_account_id: number_to(debit),
        credit_account_id: number_to(credit),
        amount: number_to(1),
        ledger: 1,
        code: 1,
        ..Default::default()
    }
}

/// An account.
pub(crate) fn account(id: u128) -> v1::Account {
    v1::Account { id: number_to(id), ledger: 1, code: 1, ..Default::default() }
}

/// A client that pays 1 at a time.
pub(crate) struct Sender {
    pub(crate) ledger: LedgerClient<Channel>,
    paid: u128,
}

/// Who pays in [`Sender::pays`], and who is paid.
const PAIR: (u128, u128) = (1_001, 1_002);

impl Sender {
    /// A client of this server.
    pub(crate) fn new(server: &Server) -> Self {
        Self { ledger: server.ledger(), paid: 0 }
    }

    /// A client of this server, with accounts for [`Sender::pays`].
    pub(crate) async fn with_accounts(server: &Server) -> Self {
        let mut sender = Self::new(server);
        sender.opens(&[PAIR.0, PAIR.1]).await;
        sender
    }

    /// Creates accounts.
    pub(crate) async fn opens(&mut self, ids: &[u128]) {
        let accounts = ids.iter().copied().map(account).collect();
        let answer = self.ledger.create_accounts(v1::CreateAccountsRequest { accounts }).await.expect("accounts");
        for result in answer.into_inner().results {
            assert!(matches!(result.status(), v1::CreateAccountStatus::Created | v1::CreateAccountStatus::Exists));
        }
    }

    /// Sends one request with these transfers.
    pub(crate) async fn sends(&mut self, transfers: Vec<v1::Transfer>) -> Result<Vec<Status>, tonic::Status> {
        let request = v1::CreateTransfersRequest { transfers, independent: false };
        let results = self.ledger.create_transfers(request).await?.into_inner().results;
        Ok(results.iter().map(v1::CreateTransferResult::status).collect())
    }

    /// Sends one request again and again until it is answered.
    pub(crate) async fn settles(&mut self, transfers: Vec<v1::Transfer>) -> Vec<Status> {
        let until = Instant::now() + SETTLE;
        loop {
            match self.sends(transfers.clone()).await {
                Ok(statuses) => return statuses,
                Err(error) => assert!(Instant::now() < until, "it does not settle: {error}"),
            }
        }
    }

    /// Pays 1, in a request of its own.
    pub(crate) async fn pays(&mut self) {
        self.paid += 1;
        let statuses = self.sends(vec![transfer(self.paid, PAIR.0, PAIR.1)]).await.expect("a payment");
        assert_eq!(statuses, [Status::Created]);
    }

    /// What the account has received, as another server sees it.
    pub(crate) async fn paid_at(&self, server: &Server) -> u128 {
        let request = v1::LookupAccountsRequest { ids: ids_to(&[PAIR.1]), read: None };
        let found = server.ledger().lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
        found.first().map_or(0, |account| number_from(account.credits_posted))
    }
}

/// The server takes a payment and knows of it.
pub(crate) async fn still_serves(server: &Server) {
    let mut sender = Sender::with_accounts(server).await;
    let before = sender.paid_at(server).await;
    sender.paid = before;
    sender.pays().await;
    assert_eq!(sender.paid_at(server).await, before + 1);
}
