//! What is sent after an answer is stamped above it, also by a shard whose clock is behind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crest_ledger::command::{Answer, Command};
use crest_ledger::txn::Step;
use crest_ledger::wire::{Request, Response};
use crest_ledger::{Account, Timestamp};
use crest_link::ShardLink;
use crest_node::limits::CLOCK_AHEAD_MAX_NS;
use crest_node::log::Options;
use crest_node::{ClockSource, Node, NodeHandle, ReplicaConfig};
use crest_topology::SlotMap;

const NOW: Timestamp = 1_790_000_000_000_000_000;

/// Creates an account after `after` was seen. Gives its timestamp.
async fn create(node: &NodeHandle, id: u128, after: Timestamp) -> Timestamp {
    let account = Account { id, ledger: 1, code: 1, ..Account::default() };
    let commands = vec![Command::Create(vec![Step::account(account)])];
    let Response::Answers(mut answers) = node.send(Request::Commands { after, commands }).await.unwrap() else {
        panic!()
    };
    let Answer::Results(results) = answers.remove(0) else { panic!() };
    results[0].timestamp
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_has_seen_is_before_what_it_sends() {
    let data = tempfile::tempdir().unwrap();
    let config = ReplicaConfig {
        clock: ClockSource::Manual(Arc::new(AtomicU64::new(NOW))),
        log: Options { segment_bytes: 1 << 20 },
        ..ReplicaConfig::alone("clocks", 0, SlotMap::even(&[0]).unwrap(), data.path())
    };
    let node = Node::open(data.path(), config).unwrap();
    let handle = node.handle();
    assert!(create(&handle, 1, 0).await < NOW + 1_000_000, "by its own clock");
    let ahead = NOW + 50_000_000;
    let after = create(&handle, 2, ahead).await;
    assert!(after > ahead, "{after}");
    assert!(create(&handle, 3, 0).await > after, "and never back");
    let runaway = after + 2 * CLOCK_AHEAD_MAX_NS;
    assert!(create(&handle, 4, runaway).await < runaway, "one shard's clock that runs away does not stop the others");
}
