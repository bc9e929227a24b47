//! The queue of a connection: a rehearsal does not fill it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crest_ledger::command::Command;
use crest_ledger::txn::{Outcome, Step, TxnId};
use crest_ledger::wire::Request;
use crest_ledger::{Account, rehearsal};
use crest_link::grpc::GrpcLink;
use crest_link::{LinkError, ShardLink};
use futures_util::FutureExt;

fn create(ledger: u32) -> Request {
    let account = Account { id: 1, ledger, code: 1, ..Account::default() };
    Request::commands(vec![Command::Create(vec![Step::account(account)])])
}

/// Whether a request is refused at once. The connection is not open: that is an outage, and not for want of room.
fn is_refused(link: &GrpcLink, request: Request) -> bool {
    match link.send(request).now_or_never() {
        None => false,
        Some(Err(LinkError::Unreachable { shard: 0, why })) => {
            assert!(why.contains("is not open") && why.contains("requests wait"), "{why}");
            true
        }
        Some(other) => panic!("nobody answers there: {other:?}"),
    }
}

#[tokio::test]
async fn the_last_quarter_of_a_queue_is_for_live_requests_and_for_what_ends_things() {
    // It takes connections and says nothing; and this test never lets the link's own task run.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let link = GrpcLink::new(0, &listener.local_addr().unwrap().to_string(), 1).unwrap();
    let rehearsal = rehearsal::REHEARSAL_LEDGER_MIN;
    for n in 0..3_072 {
        assert!(!is_refused(&link, create(rehearsal)), "{n}");
    }
    assert!(is_refused(&link, create(rehearsal)));
    let released = (TxnId { first_id: 1, attempt: 2 }, Outcome::Released { burned_id: 0 });
    assert!(!is_refused(&link, Request::commands(vec![Command::Finish(vec![released])])));
    for n in 1..1_024 {
        assert!(!is_refused(&link, create(1)), "{n}");
    }
    assert!(is_refused(&link, create(1)), "it is full for everybody");
}
