//! What each public method may cost in memory: [`crest_server`] charges it before a request is decoded.

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_server::budget::Budget;
use crest_server::method::{Answers, Method, Methods, Requests, Rows, RowsKind};

use crate::limits;

/// The methods of a router over so many shards, with the budgets that they share.
pub fn methods(shards: usize) -> Methods {
    let budget = |name, max| Budget::new(name, max, max / limits::CONNECTION_PART);
    let payments = budget("payments", limits::PAYMENT_BYTES_MAX);
    let reads = budget("reads", limits::READ_BYTES_MAX);
    let operations = budget("operations", limits::OPERATIONS_BYTES_MAX);
    let query_row = limits::ROW_BYTES + limits::SHARD_ROW_BYTES * shards.saturating_sub(1);
    // Where there are many shards, one full page takes what a connection may have, and more of them wait for it.
    let query_row = query_row.min(limits::READ_BYTES_MAX / limits::CONNECTION_PART / 2 / BATCH_EVENTS_MAX);

    let events = |path, name| rows(path, RowsKind::Items, name, limits::EVENT_BYTES);
    let ids = || rows(&[1], RowsKind::Items, "ids", limits::ROW_BYTES);
    let page = |path, bytes| rows(path, RowsKind::Limit, "filter.limit", bytes);
    let operators_page = |path| Rows {
        path,
        kind: RowsKind::Limit,
        name: "limit",
        max: limits::OPERATIONS_ROWS_MAX,
        bytes: limits::IN_DOUBT_ROW_BYTES,
    };
    let marks = || Rows { bytes: 256, ..rows(&[2], RowsKind::Items, "marks", 0) };
    let stream = Method {
        requests: Requests::Stream { id: 1 },
        answers: Answers::Stream,
        ..unary(&payments, Some(events(&[2, 1], "transfers")))
    };
    let of_operators = |bytes| Method { message_bytes: bytes, ..unary(&operations, None) };
    let many_answers = |bytes| Method { answers: Answers::Stream, ..of_operators(bytes) };
    let known = [
        ("/crest.v1.Ledger/CreateAccounts", unary(&payments, Some(events(&[1], "accounts")))),
        ("/crest.v1.Ledger/CreateTransfers", unary(&payments, Some(events(&[1], "transfers")))),
        ("/crest.v1.Ledger/StreamTransfers", stream),
        ("/crest.v1.Ledger/LookupAccounts", unary(&reads, Some(ids()))),
        ("/crest.v1.Ledger/LookupTransfers", unary(&reads, Some(ids()))),
        ("/crest.v1.Ledger/GetAccountTransfers", unary(&reads, Some(page(&[1, 10], limits::ROW_BYTES)))),
        ("/crest.v1.Ledger/GetAccountBalances", unary(&reads, Some(page(&[1, 10], limits::ROW_BYTES)))),
        ("/crest.v1.Ledger/QueryAccounts", unary(&reads, Some(page(&[1, 9], query_row)))),
        ("/crest.v1.Ledger/QueryTransfers", unary(&reads, Some(page(&[1, 9], query_row)))),
        ("/crest.v1.Operations/Audit", of_operators(limits::AUDIT_BYTES)),
        ("/crest.v1.Operations/WatchAudit", many_answers(limits::AUDIT_BYTES)),
        ("/crest.v1.Operations/Backup", Method { rows: Some(marks()), ..many_answers(limits::BACKUP_BYTES) }),
        ("/crest.v1.Operations/Status", of_operators(limits::CALL_BYTES * (1 + shards))),
        ("/crest.v1.Operations/AlignShardTimes", of_operators(limits::CALL_BYTES * (1 + shards))),
        ("/crest.v1.Operations/ListInDoubt", unary(&operations, Some(operators_page(&[2])))),
        ("/crest.v1.Operations/Resolve", unary(&operations, None)),
        ("/crest.v1.Operations/ListResolutions", unary(&operations, Some(operators_page(&[1])))),
    ];
    Methods::new(known, unnamed(&operations))
}

/// A method with one request and one answer.
fn unary(budget: &Budget, rows: Option<Rows>) -> Method {
    Method {
        budget: budget.clone(),
        requests: Requests::One,
        answers: Answers::One,
        message_bytes: limits::CALL_BYTES,
        bytes_per_byte: 1,
        rows,
    }
}

/// What health and reflection may cost: a few streams with small messages.
fn unnamed(budget: &Budget) -> Method {
    Method { requests: Requests::Waiting, answers: Answers::Stream, ..unary(budget, None) }
}

fn rows(path: &'static [u32], kind: RowsKind, name: &'static str, bytes: usize) -> Rows {
    Rows { path, kind, name, max: BATCH_EVENTS_MAX, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the methods of a service, from its public description.
    fn methods_of(service: &str) -> Vec<String> {
        let text = include_str!("../../proto/crest/v1/ledger.proto");
        let (_, rest) = text.split_once(&format!("service {service} {{")).unwrap();
        let (body, _) = rest.split_once("\n}").unwrap();
        body.lines()
            .filter_map(|line| line.trim().strip_prefix("rpc "))
            .map(|line| format!("/crest.v1.{service}/{}", line.split_once('(').unwrap().0))
            .collect()
    }

    #[test]
    fn every_public_method_has_its_cost() {
        let methods = methods(3);
        for (service, count) in [("Ledger", 9), ("Operations", 8)] {
            let of_service = methods_of(service);
            assert_eq!(of_service.len(), count);
            for method in of_service {
                assert!(methods.is_known(&method), "{method} has no cost of its own");
            }
        }
    }

    #[test]
    fn a_full_page_over_any_number_of_shards_fits_what_a_connection_may_take() {
        for shards in [1, 4, 64, 1_023] {
            let rows = methods(shards).at("/crest.v1.Ledger/QueryTransfers").rows.unwrap();
            assert!(rows.bytes * BATCH_EVENTS_MAX < limits::READ_BYTES_MAX / limits::CONNECTION_PART, "{shards}");
        }
    }
}
