//! The payments of a file.

use super::*;
use crate::fake::{About, Lie};

fn scenario(rate: &str) -> String {
    format!(
        r#"
name = "file"
description = "The payments of a file."

[source]
file = ""

[requests]
batch = 3
connections = 2
arrivals = "fixed"
deadline = "60s"

[[phase]]
duration = "2s"
{rate}

[generator]
late_after = "1m"
late_share_max = 1
"#
    )
}

/// `days` are the payments of each day from 1 November 2026 on.
fn csv(days: &[u32]) -> NamedTempFile {
    let mut rows = vec!["id,date,debit_account,credit_account,amount,kind".to_owned()];
    for (day, &count) in (1..).zip(days) {
        for payment in 0..count {
            let id = rows.len();
            rows.push(format!("{id},2026-11-{day:02},customer:{},shop:{},{payment}.50,sale", id % 7, id % 3));
        }
    }
    file(&rows.join("\n"), ".csv")
}

#[tokio::test]
async fn a_file_is_paid_at_a_rate_and_the_run_ends_with_it() {
    let file = csv(&[40, 50]);
    let (fake, url) = Fake::serve().await;
    let options = ["--file", file.path().to_str().unwrap()];
    let record = play_on(&scenario("rate = 100"), &url, &options).await;
    assert_proven(&record);
    assert_eq!((record.totals.planned, record.totals.done, record.totals.requests), (90, 90, 30));
    let paid: u128 = fake.state().transfers.values().map(|t| t.amount).sum();
    let expected: u128 = [40u128, 50].iter().map(|n| n * (n - 1) / 2 * 100 + n * 50).sum();
    assert_eq!((paid, record.audit.as_ref().unwrap().amount.clone()), (expected, expected.to_string()));
    assert_eq!(fake.state().accounts.len(), 10);
}

#[tokio::test]
async fn a_file_is_paid_by_its_dates() {
    let file = csv(&[30, 0, 60]);
    let (_fake, url) = Fake::serve().await;
    let options = ["--file", file.path().to_str().unwrap(), "--speed", "86400", "--batch", "1"];
    let record = play_on(&scenario("rate = 100"), &url, &options).await;
    assert_proven(&record);
    let planned: Vec<u64> = record.timeline.iter().map(|second| second.planned).take(3).collect();
    assert_eq!((planned, record.totals.done), (vec![30, 0, 60], 90), "a day is a second");
}

#[tokio::test]
async fn a_lie_about_a_payment_of_a_file_is_found() {
    let file = csv(&[60]);
    let (fake, url) = Fake::serve().await;
    fake.state().lie = Some(About { lie: Lie::OtherAmount, which: |_| true, after: 30 });
    let record = play_on(&scenario("rate = 100"), &url, &["--file", file.path().to_str().unwrap()]).await;
    assert_eq!(record.verdict, Verdict::MoneyWrong);
    assert!(record.reasons[0].contains("and was sent as"), "{:?}", record.reasons);
}

#[tokio::test]
async fn agents_do_not_have_the_file() {
    let file = csv(&[5]);
    let options = ["--file", file.path().to_str().unwrap(), "--agent", "127.0.0.1:1"];
    let refused = play_until(&scenario("rate = 100"), "127.0.0.1:1", &options, std::future::pending()).await;
    assert!(refused.unwrap_err().to_string().contains("agents don't have the file"));
}
