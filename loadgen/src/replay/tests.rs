//! Replays of small files against the naive ledger.

use std::io::Write;
use std::time::Duration;

use crest_proto::naming::name_id;
use tempfile::{NamedTempFile, TempDir};

use super::*;
use crate::fake::Fake;

const HEADER: &str = "id,date,debit_account,credit_account,amount,kind\n";
const GOOD: &str = "7,1993-01-01,house:cash,customer:1,700.00,deposit\n8,1993-01-01,customer:1,house:cash,0.50,fee\n\
                    9,1993-01-02,house:cash,customer:2,20,deposit\n";

fn file(rows: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    write!(file, "{HEADER}{rows}").unwrap();
    file
}

fn args(file: &std::path::Path, url: &str) -> ReplayArgs {
    ReplayArgs {
        file: file.to_owned(),
        router: RouterArgs {
            router: url.to_owned(),
            timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(20),
        },
        ledger: 1,
        scale: 2,
        namespace: Some("test".to_owned()),
        batch: 2,
        in_flight: 1,
        account_flags: Vec::new(),
        stop_on_error: false,
        json: false,
    }
}

async fn replay_quietly(args: &ReplayArgs) -> ReplayReport {
    replay(args, &mut Progress::quiet()).await.unwrap()
}

#[tokio::test]
async fn a_file_is_paid_in_its_order_and_the_balances_equal_its_sums() {
    let (fake, url) = Fake::serve().await;
    let file = file(GOOD);
    let report = replay_quietly(&args(file.path(), &url)).await;
    assert_eq!((report.rows, report.created, report.accounts, report.exit_code()), (3, 3, 3, exit::PASSED));
    assert_eq!((report.total.as_str(), report.verdict.as_str()), ("720.50", "all 3 balances equal the file's sums"));
    let state = fake.state();
    assert_eq!(state.accounts[&name_id("house:cash")].debits_posted, 72_000);
    let bits = ids::namespace_bits("test");
    assert_eq!(state.order, [7, 8, 9].map(|row| ids::transfer_id(bits, row)));
    let paid = state.transfers[&ids::transfer_id(bits, 8)];
    assert_eq!(
        (paid.amount, paid.user_data_64, paid.user_data_32, paid.code),
        (50, 19_930_101, 3, ids::code_of("fee"))
    );
}

#[tokio::test]
async fn a_second_run_answers_exists_and_moves_nothing() {
    let (fake, url) = Fake::serve().await;
    let file = file(GOOD);
    replay_quietly(&args(file.path(), &url)).await;
    let before = fake.state().accounts.clone();
    let report = replay_quietly(&args(file.path(), &url)).await;
    assert_eq!((report.created, report.exists, report.exit_code()), (0, 3, exit::PASSED));
    assert_eq!((report.accounts_created, report.accounts_with_other_money), (0, 0));
    assert_eq!(fake.state().accounts, before);
}

#[tokio::test]
async fn two_files_in_one_ledger_are_each_proven_on_top_of_the_other() {
    let (_fake, url) = Fake::serve().await;
    let file = file(GOOD);
    replay_quietly(&args(file.path(), &url)).await;
    let other = ReplayArgs { namespace: Some("other".to_owned()), ..args(file.path(), &url) };
    let report = replay_quietly(&other).await;
    assert_eq!((report.created, report.exit_code(), report.accounts_with_other_money), (3, exit::PASSED, 3));
    assert!(report.verdict.contains("on top of what was there before"), "{}", report.verdict);
}

#[tokio::test]
async fn wrong_rows_are_named_and_skipped() {
    let rows = "7,1993-01-01,a,b,1.00,k\n\
                x,1993-01-01,a,b,1.00,k\n\
                9,1993-01-01,a,a,1.00,k\n\
                10,1993-01-01,a,b,-1.00,k\n\
                11,1993-01-01,a,b,1.001,k\n\
                12,1993-01-01,a,b,1.00\n\
                7,1993-01-01,a,b,2.00,k\n\
                7,1993-01-01,a,b,1.00,k\n\
                13,1993-01-01,b,a,0.25,k\n";
    let (fake, url) = Fake::serve().await;
    let file = file(rows);
    let report = replay_quietly(&args(file.path(), &url)).await;
    assert_eq!((report.rows, report.wrong, report.created, report.exit_code()), (9, 5, 2, exit::ROWS_REFUSED));
    assert_eq!(report.refused.values().sum::<u64>(), 2, "the ledger itself finds the duplicate ids");
    let mut lines: Vec<u64> = report.left_out.iter().map(|row| row.line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9]);
    assert!(report.left_out.iter().any(|row| row.line == 9 && row.reason.contains("duplicate")));
    assert_eq!(fake.state().transfers.len(), 2);
}

#[tokio::test]
async fn stop_on_error_ends_at_the_first_wrong_row() {
    let (fake, url) = Fake::serve().await;
    let file = file("7,1993-01-01,a,b,1,k\n8,1993-01-01,a,b,oops,k\n9,1993-01-01,a,b,1,k\n");
    let stop = ReplayArgs { stop_on_error: true, ..args(file.path(), &url) };
    let report = replay_quietly(&stop).await;
    assert_eq!((report.stopped_at_line, report.created, report.exit_code()), (Some(3), 1, exit::ROWS_REFUSED));
    assert_eq!(fake.state().transfers.len(), 1);
}

#[tokio::test]
async fn stop_on_error_ends_after_the_request_with_the_first_refused_row() {
    let (fake, url) = Fake::serve().await;
    let rows: String = (0..20).map(|i| format!("{},1993-01-01,a,b,1,k\n", if i == 3 { 0 } else { i })).collect();
    let file = file(&rows);
    let stop = ReplayArgs { stop_on_error: true, ..args(file.path(), &url) };
    let report = replay_quietly(&stop).await;
    assert_eq!((report.stopped_at_line, report.exit_code()), (Some(5), exit::ROWS_REFUSED));
    assert_eq!(fake.state().transfers.len(), 3);
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_sending_again() {
    let (fake, url) = Fake::serve().await;
    fake.state().lose_every = 2;
    fake.state().busy = 1;
    let rows: String = (0..9).map(|i| format!("{i},1993-01-01,a,b,1,k\n")).collect();
    let file = file(&rows);
    let report = replay_quietly(&args(file.path(), &url)).await;
    assert_eq!((report.created + report.exists, report.exit_code()), (9, exit::PASSED));
    assert!(report.exists > 0 && report.unknown_attempts > 0, "some answers were lost");
    assert_eq!(fake.state().accounts[&name_id("a")].debits_posted, 900);
}

#[tokio::test]
async fn a_lost_answer_on_accounts_with_a_past_is_settled_by_time() {
    let (fake, url) = Fake::serve().await;
    let (first, all) = (file("1,1993-01-01,a,b,1,k\n"), file("1,1993-01-01,a,b,1,k\n2,1993-01-01,b,a,5,k\n"));
    replay_quietly(&args(first.path(), &url)).await;
    let other = ReplayArgs { namespace: Some("other".to_owned()), ..args(first.path(), &url) };
    replay_quietly(&other).await;
    // The next request is the third: it is applied, its answer is lost, and the retry answers `exists` for both rows.
    fake.state().lose_every = 3;
    let report = replay_quietly(&args(all.path(), &url)).await;
    assert_eq!(
        (report.exists, report.unknown_attempts, report.exit_code()),
        (2, 1, exit::PASSED),
        "{:?}",
        report.differences
    );
}

#[tokio::test]
async fn a_balance_that_is_wrong_is_named() {
    let (fake, url) = Fake::serve().await;
    fake.state().corrupt = Some((name_id("customer:1"), 10));
    let file = file(GOOD);
    let report = replay_quietly(&args(file.path(), &url)).await;
    assert_eq!(report.exit_code(), exit::MONEY_WRONG);
    let expected = report::Difference {
        account: "customer:1".to_owned(),
        balance: "debits_posted",
        expected: "0.50".to_owned(),
        got: "0.60".to_owned(),
    };
    assert_eq!(report.differences, [expected]);
}

#[tokio::test]
async fn what_the_ledger_refuses_is_left_out_of_the_sums() {
    let (_fake, url) = Fake::serve().await;
    let file = file("1,1993-01-01,customer:1,house:cash,5,k\n2,1993-01-01,house:cash,customer:1,3,k\n");
    let rule = "customer=debits_must_not_exceed_credits".parse().unwrap();
    let limited = ReplayArgs { account_flags: vec![rule], ..args(file.path(), &url) };
    let report = replay_quietly(&limited).await;
    assert_eq!((report.created, report.refused["exceeds_credits"], report.exit_code()), (1, 1, exit::ROWS_REFUSED));
    assert_eq!(report.total, "3.00");
}

#[tokio::test]
async fn a_gzipped_file_is_read_like_a_plain_one_and_named_by_its_stem() {
    let (fake, url) = Fake::serve().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("payments.csv.gz");
    let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
    write!(gz, "{HEADER}{GOOD}").unwrap();
    gz.finish().unwrap();
    let report = replay_quietly(&ReplayArgs { namespace: None, in_flight: 4, batch: 1, ..args(&path, &url) }).await;
    assert_eq!((report.created, report.exit_code()), (3, exit::PASSED));
    assert!(fake.state().transfers.contains_key(&ids::transfer_id(ids::namespace_bits("payments"), 7)));
}

#[tokio::test]
async fn what_cannot_be_read_or_reached_is_an_error_and_no_verdict() {
    let (_fake, url) = Fake::serve().await;
    let fails = async |args: &ReplayArgs| format!("{:#}", replay(args, &mut Progress::quiet()).await.unwrap_err());
    let missing = fails(&args("/nowhere/payments.csv".as_ref(), &url)).await;
    assert!(missing.contains("/nowhere/payments.csv"), "{missing}");
    let good = file(GOOD);
    let unreachable = fails(&args(good.path(), "http://127.0.0.1:1")).await;
    assert!(unreachable.contains("no router answers"), "{unreachable}");
    let headless = NamedTempFile::new().unwrap();
    std::fs::write(headless.path(), GOOD).unwrap();
    let headless = fails(&args(headless.path(), &url)).await;
    assert!(headless.contains("lacks the column(s) id"), "{headless}");
    let empty = NamedTempFile::new().unwrap();
    assert!(fails(&args(empty.path(), &url)).await.contains("the file is empty"));
}

#[test]
fn account_flags_are_for_all_or_for_one_kind() {
    let rule: AccountFlagsRule = "customer=history".parse().unwrap();
    assert!(rule.applies_to("customer") && !rule.applies_to("house") && rule.flag == AccountFlags::HISTORY);
    assert!("history".parse::<AccountFlagsRule>().unwrap().applies_to("house"));
    assert!("customer=closed".parse::<AccountFlagsRule>().is_err());
}
