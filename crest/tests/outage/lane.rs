//! A client that pays from one shard to another, one payment after the other, and notes how long each of them took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::number_to;
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_proto::v1::ledger_client::LedgerClient;
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::Channel;

/// From the beginning of one payment of a lane to that of the next, unless an answer takes longer.
const PACE: Duration = Duration::from_millis(20);
/// The pause before a request is sent again that was not answered.
const PAUSE: Duration = Duration::from_millis(10);
/// How long one payment may take before the client gives up: then something is broken, not slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// One payment, as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payment {
    pub(crate) id: u128,
    /// When it was sent for the first time.
    pub(crate) begun: Instant,
    /// When the request was sent that was answered.
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    /// Its timestamp in the ledger.
    pub(crate) timestamp: u64,
}

/// A client and all that it has paid.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The shard of the payer, and that of the payee.
    pub(crate) shards: (u32, u32),
    pub(crate) debit: u128,
    pub(crate) credit: u128,
    random: Random,
    pub(crate) payments: Vec<Payment>,
    /// How often a request was sent again, by the code that said so.
    pub(crate) retried: BTreeMap<String, u64>,
    /// Answers that are no reason to send again. There must be none.
    pub(crate) errors: Vec<String>,
}

impl Lane {
    /// A client of these two accounts, whose ids follow from `seed`.
    pub(crate) fn new(shards: (u32, u32), debit: u128, credit: u128, seed: u64) -> Self {
        let (retried, random) = (BTreeMap::new(), Random::new(seed));
        Self { shards, debit, credit, random, payments: Vec::new(), retried, errors: Vec::new() }
    }

    /// Whether one of these shards has to do with its payments.
    pub(crate) fn touches(&self, shards: &[u32]) -> bool {
        shards.contains(&self.shards.0) || shards.contains(&self.shards.1)
    }

    /// A payment of 1 with this id.
    pub(crate) fn transfer(&self, id: u128) -> v1::Transfer {
        v1::Transfer {
            id: number_to(id),
            debit_account_id: number_to(self.debit),
            credit_account_id: number_to(self.credit),
            amount: number_to(1),
            ledger: 1,
            code: 1,
            ..Default::default()
        }
    }

    /// Pays until `stopped`. What was not answered is sent again, with the same id, until it is.
    pub(crate) async fn work(&mut self, mut router: LedgerClient<Channel>, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() && self.errors.is_empty() {
            let begun = Instant::now();
            let id = u128::from(self.random.number()) << 64 | u128::from(self.random.number() >> 1 | 1);
            self.pay(&mut router, id, begun).await;
            tokio::time::sleep_until((begun + PACE).into()).await;
        }
    }

    async fn pay(&mut self, router: &mut LedgerClient<Channel>, id: u128, begun: Instant) {
        loop {
            let sent = Instant::now();
            let request = v1::CreateTransfersRequest { transfers: vec![self.transfer(id)], independent: false };
            match router.create_transfers(request).await {
                Ok(answer) => {
                    let result = answer.into_inner().results[0];
                    if !matches!(result.status(), Status::Created | Status::Exists) {
                        self.errors.push(format!("{:?}", result.status()));
                    }
                    let answered = Instant::now();
                    self.payments.push(Payment { id, begun, sent, answered, timestamp: result.timestamp });
                    return;
                }
                Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {
                    *self.retried.entry(why(&status)).or_default() += 1;
                }
                Err(status) => return self.errors.push(format!("{status:?}")),
            }
            if begun.elapsed() > PATIENCE {
                return self.errors.push(format!("payment {id} was not answered within {PATIENCE:?}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The code and the reason without what differs each time.
fn why(status: &tonic::Status) -> String {
    let reason: String = status.message().chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
    format!("{:?}: {reason}", status.code())
}
