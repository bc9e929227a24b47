//! A shard's queue: a rehearsal does not fill it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crest_ledger::command::{Command, PrepareRequest};
use crest_ledger::records::Sides;
use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN as REHEARSAL;
use crest_ledger::txn::{Outcome, Step, TxnId};
use crest_ledger::wire::{Query, Request};
use crest_ledger::{Account, Transfer};
use crest_link::{LinkError, ShardLink};
use crest_node::limits::{QUEUE_REHEARSALS_MAX, QUEUE_REQUESTS_MAX};
use crest_node::log::Options;
use crest_node::{ClockSource, NodeHandle, Replica, ReplicaConfig};
use crest_topology::SlotMap;
use futures_util::FutureExt;

fn create(ledger: u32) -> Request {
    let account = Account { id: 1, ledger, code: 1, ..Account::default() };
    Request::commands(vec![Command::Create(vec![Step::account(account)])])
}

fn prepare(ledger: u32) -> Request {
    let t = Transfer { id: 3, debit_account_id: 1, credit_account_id: 2, ledger, code: 1, ..Transfer::default() };
    let steps = vec![Step { sides: Sides::CREDIT, ..Step::local(t) }];
    let txn = TxnId { first_id: 3, attempt: 4 };
    Request::commands(vec![Command::Prepare(vec![PrepareRequest { txn, decider: 1, steps }])])
}

fn is_refused(node: &NodeHandle, request: Request) -> bool {
    match node.send(request).now_or_never() {
        None => false,
        Some(Err(LinkError::Refused { .. })) => true,
        Some(other) => panic!("the replica takes no turn: {other:?}"),
    }
}

#[tokio::test]
async fn the_last_quarter_of_a_queue_is_for_live_requests_and_for_what_ends_things() {
    let data = tempfile::tempdir().unwrap();
    let mut replica = Replica::open(ReplicaConfig {
        clock: ClockSource::Manual(Arc::new(AtomicU64::new(1_790_000_000_000_000_000))),
        log: Options { segment_bytes: 4 << 20 },
        ..ReplicaConfig::alone("queues", 0, SlotMap::even(&[0, 1]).unwrap(), data.path())
    })
    .unwrap();
    let node = replica.handle();
    for n in 0..QUEUE_REHEARSALS_MAX {
        assert!(!is_refused(&node, create(REHEARSAL)), "{n}");
    }
    assert!(is_refused(&node, create(REHEARSAL)) && is_refused(&node, prepare(u32::MAX)));
    let released = (TxnId { first_id: 1, attempt: 2 }, Outcome::Released { burned_id: 0 });
    let ends = Request::commands(vec![Command::Finish(vec![released])]);
    let others = [create(1), prepare(1), ends, Request::Query(Query::Status)];
    let count = others.len();
    assert!(others.into_iter().all(|request| !is_refused(&node, request)));
    for n in QUEUE_REHEARSALS_MAX + count..QUEUE_REQUESTS_MAX {
        assert!(!is_refused(&node, create(1)), "{n}");
    }
    assert!(is_refused(&node, create(1)), "it is full for everybody");
    replica.turn().unwrap();
    assert!(!is_refused(&node, create(REHEARSAL)), "the shard has taken what waited");
}
