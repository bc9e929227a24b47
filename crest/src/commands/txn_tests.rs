//! `crest txn` and `crest status` against a router of their own: what is printed, and the exit codes.

use super::fake::Fake;
use super::tests::crest;
use crest_proto::border::number_to;
use crest_proto::v1;
use crest_proto::v1::{InDoubtKind, InDoubtState, ResolvedFate};
use serde_json::json;

const AT: u64 = 1_794_355_200_000_000_000;

fn shard(number: u32, answers: bool) -> v1::ShardAt {
    let error = if answers { String::new() } else { "connection refused".to_owned() };
    v1::ShardAt { shard: number, address: format!("node-{number}:7101"), answers, error }
}

fn attempt(n: u64, age_ms: u64, state: InDoubtState) -> v1::InDoubtAttempt {
    let event = v1::InDoubtEvent {
        index: 0,
        kind: InDoubtKind::Payment.into(),
        id: number_to(42),
        debit_account_id: number_to(1_001),
        credit_account_id: number_to(1_002),
        amount: number_to(1_250),
        ledger: 1,
        pending_id: None,
    };
    v1::InDoubtAttempt {
        attempt: format!("42/{n:016x}"),
        state: state.into(),
        age_ms,
        since: AT + n,
        decider: Some(shard(0, true)),
        holders: vec![shard(1, true), shard(2, true)],
        waits_for: vec![shard(0, true)],
        events: vec![event],
        event_count: 1,
    }
}

fn listed(attempts: Vec<v1::InDoubtAttempt>, shards: Vec<v1::ShardAt>) -> v1::ListInDoubtResponse {
    v1::ListInDoubtResponse { attempts, next_cursor: Vec::new(), shards }
}

#[tokio::test]
async fn nothing_in_doubt_is_said_so() {
    let fake = Fake::default();
    let router = fake.serve().await;
    for line in ["txn list", "txn list --in-doubt", "txn list --in-doubt --older-than 2s"] {
        let printed = crest(&router, line).await;
        assert_eq!(
            (printed.out.as_str(), printed.error.as_str(), printed.code),
            ("nothing is in doubt", "", 0),
            "{line}"
        );
    }
    let json = crest(&router, "txn list --in-doubt --json").await.json();
    assert_eq!(json, json!({ "attempts": [], "more": false, "shards": [] }));
}

#[tokio::test]
async fn what_is_in_doubt_is_shown_with_accounts_shards_and_who_is_waited_for() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let mut chain = attempt(2, 300, InDoubtState::Committed);
    chain.event_count = 5;
    chain.holders.clear();
    chain.waits_for = vec![v1::ShardAt { answers: false, ..shard(2, true) }];
    let mut bare = attempt(3, 200, InDoubtState::Unknown);
    bare.events.clear();
    let all = vec![attempt(1, 4_949, InDoubtState::Prepared), chain, bare];
    fake.set_in_doubt(listed(all, vec![shard(0, true)]));
    let printed = crest(&router, "txn list --in-doubt --scale 2").await;
    let expected = "\
ATTEMPT              AGE    STATE      WHAT        FROM (DEBIT)  TO (CREDIT)  AMOUNT  HELD BY  DECIDES  WAITS FOR
42/0000000000000001  4.9 s  prepared   payment             1001         1002   12.50  1,2            0  shard 0 at node-0:7101
42/0000000000000002  0.3 s  committed  payment +4          1001         1002   12.50  -              0  shard 2 at node-2:7101 (does not answer)
42/0000000000000003  0.2 s  unknown    ?                      -            -       -  1,2            0  shard 0 at node-0:7101";
    assert_eq!(printed.out, expected);
    assert_eq!((printed.error.as_str(), printed.code), ("", 0), "nothing is older than 5 s");
    let json = crest(&router, "txn list --in-doubt --json").await.json();
    let first = &json["attempts"][0];
    assert_eq!((&first["age_ms"], &first["state"]), (&json!("4949"), &json!("prepared")));
    assert_eq!(first["events"][0]["debit_account_id"], "1001");
    assert_eq!(first["events"][0]["amount"], "1250", "JSON has the smallest unit");
    assert_eq!(first["waits_for"], json!([{ "shard": 0, "address": "node-0:7101", "answers": true }]));
    let more = crest(&router, "txn list --in-doubt --limit 2").await;
    assert!(more.out.ends_with("and more: raise --limit"), "{}", more.out);
    assert_eq!(crest(&router, "txn list --limit 2 --json").await.json()["more"], true);
    assert_eq!(crest(&router, "txn list --older-than 1s --json").await.json()["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_attempt_of_a_rehearsal_is_told_apart_unless_any_of_its_events_is_real() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let on = |n, ledgers: &[u32]| {
        let one = attempt(n, 300, InDoubtState::Prepared);
        let event = |ledger: &u32| v1::InDoubtEvent { ledger: *ledger, ..one.events[0] };
        v1::InDoubtAttempt {
            events: ledgers.iter().map(event).collect(),
            event_count: ledgers.len() as u32,
            ..one.clone()
        }
    };
    let attempts = vec![on(1, &[1]), on(2, &[u32::MAX]), on(3, &[u32::MAX, 1]), on(4, &[u32::MAX, 0]), on(5, &[])];
    let expected = [false, true, false, true, false];
    fake.set_in_doubt(listed(attempts, vec![shard(0, true)]));
    let text = crest(&router, "txn list").await.out;
    let marked: Vec<bool> =
        text.lines().skip(1).map(|row| row.contains("payment") && row.contains(" (rehearsal)")).collect();
    assert_eq!(marked, expected, "{text}");
    let json = crest(&router, "txn list --json").await.json();
    let attempts = json["attempts"].as_array().unwrap();
    assert_eq!(attempts.iter().map(|a| a["rehearsal"].as_bool().unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(
        (&attempts[2]["events"][0]["rehearsal"], &attempts[2]["events"][1]["rehearsal"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn exit_codes_tell_what_is_overdue_and_what_is_not_known() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let (young, old) = (attempt(2, 4_999, InDoubtState::Prepared), attempt(1, 5_001, InDoubtState::Prepared));
    let cases = [
        (vec![young.clone()], vec![shard(0, true)], 0, ""),
        (vec![young.clone()], vec![shard(0, false)], 3, "not every shard answers: shard 0 at node-0:7101"),
        (vec![], vec![shard(0, true), shard(1, false)], 3, "not every shard answers: shard 1 at node-1:7101"),
        (vec![old.clone(), young], vec![shard(0, true)], 4, "in doubt for more than 5 s: 1"),
        (vec![old], vec![shard(0, false)], 4, "in doubt for more than 5 s: 1"),
    ];
    for (attempts, shards, code, error) in cases {
        let silent = shards.iter().any(|at| !at.answers);
        fake.set_in_doubt(listed(attempts, shards));
        let printed = crest(&router, "txn list --in-doubt").await;
        assert_eq!((printed.code, printed.error.as_str()), (code, error), "{}", printed.out);
        assert_eq!(printed.out.contains("does not answer, and what only it knows is not listed"), silent);
        assert_eq!(crest(&router, "txn list --in-doubt --json").await.code, code);
    }
    assert_eq!(crest("http://127.0.0.1:1", "txn list --in-doubt").await.code, 3);
}

#[tokio::test]
async fn a_resolve_says_what_came_of_it_and_who_was_told() {
    let fake = Fake::default();
    let router = fake.serve().await;
    fake.set_in_doubt(listed(Vec::new(), vec![shard(1, true), shard(2, false)]));
    let fates = [
        (
            ResolvedFate::Committed,
            "42/0000000000000001: committed at 2026-11-11T00:00:00.000000000Z: the money has moved",
        ),
        (ResolvedFate::Aborted, "42/0000000000000003: aborted now, since it was undecided: nothing has moved"),
        (ResolvedFate::Done, "42/0000000000000005: over before: what it was to do is recorded, at 2026-11-11"),
    ];
    for (fate, begins) in fates {
        let line = format!("txn resolve 42/{:016x} --reason router-2-died --by alice", fate as i32);
        let printed = crest(&router, &line).await;
        assert!(printed.out.starts_with(begins), "{}", printed.out);
        assert!(printed.out.contains("\nshard 1 at node-1:7101 has ended its side\n"), "{}", printed.out);
        assert!(
            printed.out.ends_with("shard 2 at node-2:7101 does not answer; it ends its side by itself when it is back")
        );
        assert_eq!((printed.error.as_str(), printed.code), ("", 0));
    }
    let again = crest(&router, "txn resolve 1/0000000000000004 --reason why --by bob").await;
    let before = "resolved before, by bob at 2026-11-11T00:00:00.000000000Z: why";
    assert!(again.out.contains("aborted before") && again.out.contains(before), "{}", again.out);
    let json = crest(&router, "txn resolve 42/0000000000000001 --reason why --by bob --json").await.json();
    assert_eq!((&json["fate"], &json["by"], &json["shard"]), (&json!("committed"), &json!("bob"), &json!(3)));
    assert_eq!((&json["resolved_before"], &json["finished"][0]["shard"]), (&json!(false), &json!(1)));
}

#[tokio::test]
async fn a_resolve_that_does_not_succeed_says_why() {
    let router = Fake::default().serve().await;
    let cases = [
        ("404/0000000000000001 --reason why", 1, "no shard knows the attempt"),
        ("503/0000000000000001 --reason why", 3, "only shard 7 at node-7:7101 can say"),
        (
            "504/0000000000000001 --reason why --request-timeout 100ms",
            3,
            "unknown whether 504/0000000000000001 was resolved",
        ),
        (
            "42/0000000000000001 --reason=",
            2,
            "reason: expected 1 to 500 bytes of printable text on one line, got nothing",
        ),
    ];
    for (words, code, error) in cases {
        let printed = crest(&router, &format!("txn resolve {words} --by me")).await;
        assert_eq!((printed.out.as_str(), printed.code), ("", code), "{words}: {}", printed.error);
        assert!(printed.error.contains(error), "{words}: {}", printed.error);
    }
    let json = crest(&router, "txn resolve 503/0000000000000001 --reason why --by me --json").await;
    assert_eq!((json.json()["outcome"].as_str(), json.code), (Some("unavailable"), 3));
}

#[tokio::test]
async fn resolutions_are_listed_with_their_reasons() {
    let fake = Fake::default();
    let router = fake.serve().await;
    assert_eq!(crest(&router, "txn list --resolved").await.out, "nothing found");
    let kept = v1::Resolution {
        attempt: "42/0000000000000001".to_owned(),
        fate: ResolvedFate::Aborted.into(),
        fate_timestamp: 0,
        timestamp: AT,
        reason: "router 2 died".to_owned(),
        by: "alice".to_owned(),
        shard: 0,
    };
    let shards = vec![shard(0, true)];
    fake.set_resolutions(v1::ListResolutionsResponse { resolutions: vec![kept.clone(); 2], more: false, shards });
    let printed = crest(&router, "txn list --resolved --limit 1").await;
    let expected = "\
ATTEMPT              RESOLVED                        BY     FATE     SHARD  REASON
42/0000000000000001  2026-11-11T00:00:00.000000000Z  alice  aborted      0  router 2 died

and older ones: raise --limit";
    assert_eq!((printed.out.as_str(), printed.code), (expected, 0));
    let json = crest(&router, "txn list --resolved --json").await.json();
    assert_eq!((&json["resolutions"][1]["reason"], &json["more"]), (&json!("router 2 died"), &json!(false)));
    let shards = vec![shard(0, true), shard(1, false)];
    fake.set_resolutions(v1::ListResolutionsResponse { resolutions: vec![kept], more: false, shards });
    let printed = crest(&router, "txn list --resolved").await;
    assert_eq!((printed.code, printed.error.as_str()), (3, "not every shard answers: shard 1 at node-1:7101"));
}

#[tokio::test]
async fn the_status_shows_every_shard_and_names_those_that_do_not_answer() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let up = v1::ShardStatus {
        shard: 0,
        address: "node-0:7101".to_owned(),
        reachable: true,
        accounts: 2,
        transfers: 30,
        rehearsal_accounts: 1,
        rehearsal_transfers: 20,
        slots: vec![v1::SlotRange { first: 0, last: 99 }, v1::SlotRange { first: 16_383, last: 16_383 }],
        holds: 4,
        outbox: 5,
        in_doubt: 6,
        in_doubt_age_ms_max: 7_100,
        applied_index: 80,
        checkpoint_index: 9,
        timestamp: AT,
        ..Default::default()
    };
    fake.set_status(v1::StatusResponse { epoch: 3, shards: vec![up.clone()] });
    let printed = crest(&router, "status").await;
    let expected = "\
shards: 1, epoch of the slot map: 3

SHARD  ADDRESS      ANSWERS  SLOTS  ACCOUNTS  TRANSFERS  REHEARSALS                HOLDS  OUTBOX  IN DOUBT  OLDEST  LOG ENTRIES  IN CHECKPOINT  CLOCK
    0  node-0:7101  yes        101         2         30  1 accounts, 20 transfers      4       5         6  7.1 s            80              9  2026-11-11T00:00:00.000000000Z";
    assert_eq!((printed.out.as_str(), printed.error.as_str(), printed.code), (expected, "", 0));
    let (address, error) = ("node-1:7101".to_owned(), "connection refused".to_owned());
    let slots = vec![v1::SlotRange { first: 100, last: 16_382 }];
    let down = v1::ShardStatus { shard: 1, address, error, slots, ..Default::default() };
    fake.set_status(v1::StatusResponse { epoch: 3, shards: vec![up, down] });
    let printed = crest(&router, "status").await;
    assert!(printed.out.ends_with("shard 1 at node-1:7101 does not answer: connection refused"), "{}", printed.out);
    assert_eq!((printed.error.as_str(), printed.code), ("shards that do not take part in everything: 1", 1));
    let json = crest(&router, "status --json").await.json();
    assert_eq!((&json["shards"][1]["answers"], &json["shards"][0]["in_doubt"]), (&json!(false), &json!("6")));
    assert_eq!(
        json["shards"][1]["slots"],
        json!([{ "first": 100, "last": 16_382 }]),
        "also of one that does not answer"
    );
    let (accounts, transfers) = (&json["shards"][0]["rehearsal_accounts"], &json["shards"][0]["rehearsal_transfers"]);
    assert_eq!((accounts, transfers), (&json!("1"), &json!("20")));
}
