//! The commands against a router of their own, from the words of the command line to what is printed.

use super::fake::{AMOUNT_MAX, BUSY, Fake, SILENT};
use super::{Command, account, audit, backup, clock, cluster, health, outcome, query, restore, status, transfer, txn};
use clap::{CommandFactory, Parser};
use crest_ledger::TransferFlags;
use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_proto::border::finding_to;
use crest_proto::naming::name_id;
use crest_proto::{border::number_to, v1};
use serde_json::Value;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) out: String,
    pub(super) error: String,
    pub(super) code: u8,
}

impl Printed {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

pub(super) async fn crest(router: &str, line: &str) -> Printed {
    let words = ["crest"].into_iter().chain(line.split_whitespace()).chain(["--router", router]);
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            return Printed { out: String::new(), error: error.to_string(), code: error.exit_code() as u8 };
        }
    };
    let ended = match &cli.command {
        Command::Account(args) => account::execute(args).await,
        Command::Transfer(args) => transfer::execute(args).await,
        Command::Query(args) => query::execute(args).await,
        Command::Audit(args) => audit::execute(args).await,
        Command::Status(args) => status::execute(args).await,
        Command::Health(args) => health::execute(args).await,
        Command::Txn(args) => txn::execute(args).await,
        Command::Clock(args) => clock::execute(args).await,
        Command::Cluster(args) => cluster::execute(args).await,
        Command::Backup(args) => backup::execute(args).await,
        Command::Restore(args) => restore::execute(args),
    };
    let (out, error, code) = outcome::render(&ended, line.contains("--json"));
    Printed { out, error: error.unwrap_or_default(), code }
}

const PAY: &str = "transfer send --from house:cash --to 1001 --amount 12.50 --scale 2 --ledger 1 --code 1";

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_that_acts_shows_an_example() {
    fn leaves(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            return command.get_subcommands().for_each(|sub| leaves(sub, &path));
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  crest ")).collect();
        assert!(!examples.is_empty(), "{path} has no example");
        for example in examples {
            let parsed = Cli::try_parse_from(example.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {}", parsed.err().unwrap());
        }
    }
    Cli::command().get_subcommands().for_each(|command| leaves(command, "crest"));
}

#[tokio::test]
async fn a_retry_with_the_same_id_moves_money_once() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let first = crest(&router, &format!("{PAY} --id 77")).await;
    assert_eq!((first.out.as_str(), first.code), ("transfer 77: created (1970-01-01T00:00:00.000001000Z)", 0));
    let again = crest(&router, &format!("{PAY} --id 77 --json")).await;
    assert_eq!((again.json()["status"].as_str(), again.code), (Some("exists"), 0));
    let [made] = fake.transfers()[..] else { panic!("one transfer") };
    assert_eq!((made.id, made.amount), (77, 1_250));
    assert_eq!((made.debit_account_id, made.credit_account_id), (name_id("house:cash"), 1_001));
}

#[tokio::test]
async fn a_new_id_is_printed_so_that_it_can_be_used() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let json = crest(&router, &format!("{PAY} --json")).await.json();
    let text = crest(&router, PAY).await.out;
    let [one, two] = fake.transfers()[..] else { panic!("two transfers") };
    assert_eq!(json["id"], one.id.to_string());
    assert!(text.contains(&super::human::format_id(two.id)), "{text}");
}

#[tokio::test]
async fn a_refusal_has_its_name_its_meaning_and_exit_code_1() {
    let router = Fake::default().serve().await;
    let line = format!("transfer send --id 9 --from 1 --to 2 --amount {} --ledger 1 --code 1", AMOUNT_MAX + 1);
    let text = crest(&router, &line).await;
    let expected = "transfer 9 was refused: exceeds_credits. The paying account has not enough.";
    assert_eq!((text.out.as_str(), text.error.as_str(), text.code), ("", expected, 1));
    let json = crest(&router, &format!("{line} --json")).await;
    assert_eq!((json.json()["status"].as_str(), json.json()["done"].as_bool()), (Some("exceeds_credits"), Some(false)));
    assert_eq!(json.code, 1);
}

#[tokio::test]
async fn silence_is_unknown_and_names_the_retry() {
    let router = Fake::default().serve().await;
    let line = format!("transfer send --from 1 --to 2 --amount 1 --ledger 1 --code {SILENT} --request-timeout 50ms");
    let text = crest(&router, &line).await;
    assert_eq!((text.out.as_str(), text.code), ("", 3));
    assert!(
        text.error.starts_with("unknown whether 0x") && text.error.contains("again with --id 0x"),
        "{}",
        text.error
    );
    assert!(!text.error.contains('\n'));
    let json = crest(&router, &format!("{line} --id 5 --json")).await;
    assert_eq!((json.json()["outcome"].as_str(), json.json()["id"].as_str()), (Some("unknown"), Some("5")));
    let account = crest(&router, &format!("account create 5 --ledger 1 --code {SILENT} --request-timeout 50ms")).await;
    assert_eq!(account.code, 3);
    assert!(account.error.contains("run the same command again"), "{}", account.error);
}

#[tokio::test]
async fn a_busy_router_has_applied_nothing() {
    let router = Fake::default().serve().await;
    let busy = crest(&router, &format!("transfer send --from 1 --to 2 --amount 1 --ledger 1 --code {BUSY}")).await;
    assert_eq!((busy.error.as_str(), busy.code), ("the router is busy, try again later: 64 requests are waiting", 3));
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = crest(&format!("http://{free}"), PAY).await;
    assert_eq!(gone.code, 3);
    assert!(gone.error.starts_with(&format!("no router answers at http://{free} (")), "{}", gone.error);
    assert!(gone.error.contains("nothing was sent"), "{}", gone.error);
    for malformed in ["https://localhost:1", "not an address"] {
        assert_eq!(crest(malformed, "audit").await.code, 2, "{malformed}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_code_2() {
    let router = Fake::default().serve().await;
    let lines = [
        "account create 0 --ledger 1 --code 1",
        "account create 1 --ledger 1 --code 70000",
        "account create 1 --ledger 1 --code 1 --flags frozen",
        "account transfers 1 --debits --credits",
        "account transfers 1 --limit 0",
        "query accounts --since 20 --until 10",
        "transfer send --from 1 --to 2 --amount 1.5 --ledger 1 --code 1",
        "transfer post 1 --amount x",
        "transfer show",
        "audit --scale 39",
        "txn list --in-doubt --resolved",
        "txn list --older-than soon",
        "txn list --limit 0",
        "txn resolve 42 --reason x --by me",
        "txn resolve 42/1 --reason x --by me",
        "txn resolve 42/00c3d5f0a1b2c3d4 --by me",
    ];
    for line in lines {
        let printed = crest(&router, line).await;
        assert_eq!((printed.out.as_str(), printed.code), ("", 2), "{line}: {}", printed.error);
        assert!(!printed.error.is_empty());
    }
}

#[tokio::test]
async fn pending_post_and_void_say_what_they_resolve() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let pend =
        "transfer send --from 1 --to 2 --amount 7 --ledger 1 --code 1 --flags pending,closing-debit --timeout 2h";
    for line in [pend, "transfer post 8", "transfer post 8 --amount 0.5 --scale 1 --id 3", "transfer void 8"] {
        assert_eq!(crest(&router, line).await.code, 0, "{line}");
    }
    let [pending, post, part, void] = fake.transfers()[..] else { panic!("four transfers") };
    assert_eq!(pending.flags.0, TransferFlags::PENDING | TransferFlags::CLOSING_DEBIT);
    assert_eq!(pending.timeout, 7_200);
    assert_eq!((post.pending_id, post.amount, post.flags.0), (8, u128::MAX, TransferFlags::POST_PENDING));
    assert_eq!((part.id, part.amount, part.flags.0), (3, 5, TransferFlags::POST_PENDING));
    assert_eq!((void.pending_id, void.amount, void.flags.0), (8, 0, TransferFlags::VOID_PENDING));
}

#[tokio::test]
async fn accounts_are_created_and_shown_and_the_missing_are_named() {
    let router = Fake::default().serve().await;
    let create = "account create house:cash --ledger 1 --code 10 --flags history,debits-must-not-exceed-credits";
    let created = crest(&router, create).await;
    assert!(created.out.contains(": created (") && created.code == 0, "{}", created.out);
    assert_eq!(crest(&router, &format!("{create} --json")).await.json()["status"], "exists");
    let other = crest(&router, "account create house:cash --ledger 1 --code 11").await;
    assert!(other.error.contains("exists_with_different_code") && other.code == 1, "{}", other.error);
    let shown = crest(&router, "account show house:cash 404 --json").await;
    assert_eq!((shown.code, shown.error.as_str()), (1, "no such account: 404"));
    let (account, missing) = (&shown.json()["accounts"][0], &shown.json()["missing"]);
    assert_eq!(account["id"], name_id("house:cash").to_string());
    assert_eq!(account["flags"], serde_json::json!(["debits_must_not_exceed_credits", "history"]));
    assert_eq!(missing, &serde_json::json!(["404"]));
    assert_eq!(crest(&router, "account show house:cash").await.code, 0);
    assert_eq!(crest(&router, "transfer show 404").await.error, "no such transfer: 404");
}

#[tokio::test]
async fn lists_follow_cursors_up_to_the_limit() {
    let fake = Fake::default();
    let router = fake.serve().await;
    for id in 1..=7 {
        let line = format!("transfer send --id {id} --from 1 --to 2 --amount {id} --ledger 1 --code 1");
        assert_eq!(crest(&router, &line).await.code, 0);
        assert_eq!(crest(&router, &format!("account create {id} --ledger 1 --code 1")).await.code, 0);
    }
    let cases = [
        ("account transfers 1", "transfers", "id", vec!["1", "2", "3", "4", "5", "6", "7"]),
        ("account transfers 1 --newest-first --limit 3", "transfers", "id", vec!["7", "6", "5"]),
        ("account transfers 1 --credits", "transfers", "id", vec![]),
        ("account transfers 2 --credits --since 1005", "transfers", "id", vec!["6", "7"]),
        ("account balances 1 --until 1002", "balances", "debits_posted", vec!["1", "2", "3"]),
        ("query transfers --limit 4", "transfers", "id", vec!["1", "2", "3", "4"]),
        ("query transfers --code 2", "transfers", "id", vec![]),
        ("query accounts --ledger 1 --newest-first --limit 5", "accounts", "id", vec!["7", "6", "5", "4", "3"]),
    ];
    for (line, list, field, expected) in cases {
        let json = crest(&router, &format!("{line} --json")).await.json();
        let rows: Vec<&str> = json[list].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap()).collect();
        assert_eq!(rows, expected, "{line}");
        let text = crest(&router, line).await.out;
        assert_eq!(text.lines().count(), 1 + expected.len(), "a heading, or that nothing was found: {line}: {text}");
    }
}

#[tokio::test]
async fn what_is_of_a_rehearsal_is_marked_in_lists_and_can_be_left_out_of_them() {
    let router = Fake::default().serve().await;
    for (id, ledger) in [(1, 1), (2, u32::MAX), (3, 4_026_531_839), (4, 4_026_531_840)] {
        let transfer = format!("transfer send --id {id} --from 1 --to 2 --amount 7 --ledger {ledger} --code 1");
        assert_eq!(crest(&router, &transfer).await.code, 0);
        assert_eq!(crest(&router, &format!("account create {id} --ledger {ledger} --code 1")).await.code, 0);
    }
    let cases = [("", vec!["1", "2", "3", "4"]), ("both", vec!["1", "2", "3", "4"]), ("without", vec!["1", "3"])];
    for (which, expected) in cases.into_iter().chain([("only", vec!["2", "4"])]) {
        let option = if which.is_empty() { String::new() } else { format!("--rehearsals {which}") };
        for list in ["accounts", "transfers"] {
            let json = crest(&router, &format!("query {list} {option} --json")).await.json();
            let rows = json[list].as_array().unwrap();
            let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!(ids, expected, "{list} {which}");
            assert!(rows.iter().all(|row| row["rehearsal"] == (row["ledger"].as_u64().unwrap() >= 4_026_531_840)));
        }
    }
    assert_eq!(crest(&router, "query accounts --rehearsals some").await.code, 2);
    for line in ["query transfers", "transfer show 1 2 3 4", "query accounts", "account show 1 2 3 4"] {
        let text = crest(&router, line).await.out;
        let marked: Vec<bool> = text.lines().skip(1).map(|row| row.contains(" (rehearsal)")).collect();
        assert_eq!(marked, [false, true, false, true], "{line}: {text}");
    }
}

#[tokio::test]
async fn the_totals_of_an_audit_tell_rehearsals_apart() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let of = |ledger| v1::LedgerTotals { ledger, accounts: 2, debits_posted: number_to(5), ..Default::default() };
    let totals = vec![of(1), of(4_026_531_841)];
    fake.set_audit(v1::AuditResponse { holds: true, totals, ..Default::default() });
    let text = crest(&router, "audit").await.out;
    let expected = "\
LEDGER                  ACCOUNTS  DEBITS POSTED  CREDITS POSTED  DEBITS PENDING  CREDITS PENDING
1                              2              5               0               0                0
4026531841 (rehearsal)         2              5               0               0                0";
    assert!(text.ends_with(expected), "{text}");
    let json = crest(&router, "audit --json").await.json();
    assert_eq!((&json["totals"][0]["rehearsal"], &json["totals"][1]["rehearsal"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn the_totals_of_more_ledgers_than_an_answer_holds_are_all_shown() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let of = |ledger| v1::LedgerTotals { ledger, accounts: 1, ..Default::default() };
    fake.set_audit_totals(vec![
        v1::AuditTotals { totals: vec![of(3), of(4)] },
        v1::AuditTotals { totals: vec![of(5)] },
    ]);
    let audit = v1::AuditResponse { holds: true, totals: vec![of(1), of(2)], totals_left_out: 3, ..Default::default() };
    fake.set_audit(audit.clone());
    let json = crest(&router, "audit --json").await.json();
    let ledgers: Vec<u64> = json["totals"].as_array().unwrap().iter().filter_map(|t| t["ledger"].as_u64()).collect();
    assert_eq!(ledgers, [1, 2, 3, 4, 5]);
    fake.set_audit(v1::AuditResponse { totals_left_out: 4, ..audit });
    let missing = crest(&router, "audit").await;
    assert_eq!(missing.code, 3, "{}", missing.error);
    let named = "totals_left_out: expected 3, which came before, got 4";
    assert!(missing.error.contains(named), "{}", missing.error);
}

#[tokio::test]
async fn an_audit_has_a_clear_verdict() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let totals = v1::LedgerTotals {
        ledger: 1,
        debits_posted: number_to(123_456),
        credits_posted: number_to(123_456),
        accounts: 2,
        ..Default::default()
    };
    let audit = v1::AuditResponse {
        holds: true,
        timestamp: 1_794_355_200_000_000_000,
        accounts: 2,
        transfers: 3,
        cross_shard_transfers: 1,
        totals: vec![totals],
        ..Default::default()
    };
    fake.set_audit(audit);
    let holds = crest(&router, "audit --scale 2").await;
    let expected = "\
HOLDS: no money was lost or made, at 2026-11-11T00:00:00.000000000Z
2 accounts, 3 transfers, of which 1 between shards

LEDGER  ACCOUNTS  DEBITS POSTED  CREDITS POSTED  DEBITS PENDING  CREDITS PENDING
     1         2        1234.56         1234.56            0.00             0.00";
    assert_eq!((holds.out.as_str(), holds.error.as_str(), holds.code), (expected, "", 0));
}

#[tokio::test]
async fn findings_are_told_with_the_scale_of_the_screen_and_as_data() {
    let fake = Fake::default();
    let router = fake.serve().await;
    let missing = Finding {
        shard: Some(0),
        other_shard: Some(2),
        transfer_id: 77,
        timestamp: 1_794_355_200_000_000_000,
        debit_account_id: 5,
        credit_account_id: 1 << 64,
        amount: 1_250,
        ..Finding::new(FindingKind::HalfMissing).account(1 << 64)
    };
    let totals = Finding::new(FindingKind::TotalsDiffer).differs(Field::DebitsPosted, 123_456, 123_455);
    let mut findings = [missing, Finding { ledger: 1, ..totals }].map(|f| finding_to(&f)).to_vec();
    let newer = v1::AuditFinding { kind: 9_999, text: "the moon is missing".to_owned(), ..Default::default() };
    findings.push(newer);
    fake.set_audit(v1::AuditResponse { findings, findings_left_out: 4, ..Default::default() });
    let broken = crest(&router, "audit --scale 2").await;
    let expected = "\
Findings:
  - shard 0: transfer 77 at 2026-11-11T00:00:00.000000000Z (12.50 from account 5 to account 0x00000000000000010000000000000000) \
is recorded here, but missing on shard 2, where account 0x00000000000000010000000000000000 lives
  - ledger 1: 1234.56 was debited, but 1234.55 credited: 0.01 too much
  - the moon is missing
  and 4 more";
    assert!(broken.out.starts_with("DOES NOT HOLD") && broken.out.ends_with(expected), "{}", broken.out);
    assert_eq!((broken.error.as_str(), broken.code), ("the audit does not hold; findings: 7", 1));
    let json = crest(&router, "audit --json").await;
    let (code, json) = (json.code, json.json());
    assert_eq!((json["holds"].as_bool(), code), (Some(false), 1));
    let finding = &json["findings"][0];
    assert_eq!((finding["kind"].as_str(), finding["amount"].as_str()), (Some("half_missing"), Some("1250")));
    assert_eq!((finding["shard"].as_u64(), finding["other_shard"].as_u64()), (Some(0), Some(2)));
    assert_eq!(finding["account_id"], (1u128 << 64).to_string());
    assert_eq!(json["findings"][1].get("shard"), None, "what has no meaning is left out");
    assert_eq!(json["findings_left_out"], "4");
}

#[tokio::test]
async fn an_audit_that_does_not_end_in_time_proves_nothing() {
    let fake = Fake::default();
    fake.set_audit_silent();
    let late = crest(&fake.serve().await, "audit --request-timeout 50ms").await;
    assert_eq!((late.out.as_str(), late.code), ("", 3), "{}", late.error);
}
