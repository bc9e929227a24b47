//! What each method of a node may cost in memory: [`crest_server`] charges it before a message is decoded.

use crest_server::budget::Budget;
use crest_server::method::{Answers, Method, Methods, Requests, Rows, RowsKind};

use crate::limits;

/// The methods of a node, with the budgets that they share.
pub fn methods() -> Methods {
    let requests = limits::REQUEST_BYTES_MAX;
    let requests = Budget::new("requests", requests, requests / limits::CONNECTION_PART);
    let peers = limits::PEER_BYTES_MAX;
    let peers = Budget::new("peers", peers, peers / limits::CONNECTION_PART);
    let entries = Rows {
        path: &[2, 8],
        kind: RowsKind::Items,
        name: "raft.entries",
        max: limits::RAFT_MESSAGE_ENTRIES_MAX,
        bytes: 0,
    };
    let exchange = Method {
        budget: requests,
        // Routers and other shards wait in turn: their own queues are bounded, and what ends a transfer must be heard.
        requests: Requests::Waiting,
        answers: Answers::Stream,
        message_bytes: limits::CALL_BYTES,
        bytes_per_byte: limits::REQUEST_BYTES_PER_BYTE,
        rows: None,
    };
    let deliver = Method {
        budget: peers,
        requests: Requests::Waiting,
        answers: Answers::One,
        message_bytes: limits::CALL_BYTES,
        bytes_per_byte: limits::PEER_BYTES_PER_BYTE,
        rows: Some(entries),
    };
    let ask =
        Method { requests: Requests::One, message_bytes: limits::PEER_ANSWER_BYTES, rows: None, ..deliver.clone() };
    let unnamed = Method { requests: Requests::Waiting, answers: Answers::Stream, rows: None, ..deliver.clone() };
    let known = [
        ("/crest.internal.v1.Shard/Exchange", exchange),
        ("/crest.internal.v1.Peers/Deliver", deliver),
        ("/crest.internal.v1.Peers/Ask", ask),
    ];
    Methods::new(known, unnamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_a_node_has_its_cost() {
        let methods = methods();
        let texts = [
            ("Shard", include_str!("../../proto/crest/internal/v1/shard.proto")),
            ("Peers", include_str!("../../proto/crest/internal/v1/peers.proto")),
        ];
        for (service, text) in texts {
            let names =
                text.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('(')).map(|(n, _)| n);
            for name in names {
                let path = format!("/crest.internal.v1.{service}/{name}");
                assert!(methods.is_known(&path), "{path}");
            }
        }
    }
}
