//! Whatever the ledger gets wrong about money is found, and named.

use crest_ledger::Transfer;

use super::*;
use crate::fake::{About, Lie};

/// Plays everything on a ledger that lies once about such a transfer: the verdict is that the money is wrong, and one of the
/// reasons holds each of `parts`.
async fn check(lie: Lie, which: fn(&Transfer) -> bool, parts: &[&str]) {
    let about = About { lie, which, after: 5 };
    let (fake, record) = play_with(EVERYTHING, |state| state.lie = Some(about)).await;
    assert!(fake.state().lie.is_none(), "{lie:?} was not told");
    assert_eq!(record.verdict, Verdict::MoneyWrong, "{lie:?}: {:?}", record.reasons);
    assert_eq!(verdict::exit_code(record.verdict), exit::MONEY_WRONG);
    let named = record.reasons.iter().any(|reason| parts.iter().all(|part| reason.contains(part)));
    assert!(named, "{lie:?} is not named: {:?}", record.reasons);
}

fn payment(t: &Transfer) -> bool {
    t.user_data_32 == tag(Kind::Payment)
}

fn authorisation(t: &Transfer) -> bool {
    t.user_data_32 == tag(Kind::Authorise)
}

fn capture(t: &Transfer) -> bool {
    t.user_data_32 == tag(Kind::Capture)
}

fn refund(t: &Transfer) -> bool {
    t.user_data_32 == tag(Kind::Refund)
}

fn chained(t: &Transfer) -> bool {
    t.user_data_32 == tag(Kind::Chain)
}

fn opening(t: &Transfer) -> bool {
    t.user_data_32 == tag(Kind::Opening)
}

#[tokio::test]
async fn an_honest_ledger_passes() {
    let (fake, record) = play_with(EVERYTHING, |_| {}).await;
    assert_eq!((record.verdict, record.reasons.as_slice()), (Verdict::Passed, &[][..]));
    assert_proven(&record);
    assert_eq!(record.kinds.len(), Kind::MEASURED.len(), "every kind was there: {:?}", record.kinds);
    let audit = record.audit.unwrap();
    let state = fake.state();
    assert_eq!((audit.rows, audit.accounts), (state.transfers.len() as u64, state.accounts.len() as u64));
}

#[tokio::test]
async fn what_was_acknowledged_and_is_not_there_is_found() {
    tokio::join!(
        check(Lie::NeverMade, payment, &["acknowledged payment", "is not in the ledger"]),
        check(Lie::NoRow, payment, &["acknowledged payment", "is not in the ledger"]),
        check(Lie::NeverMade, capture, &["acknowledged capture", "is not in the ledger"]),
        check(Lie::NeverMade, chained, &["acknowledged chain", "is not in the ledger"]),
        check(Lie::NoRow, opening, &["of 200 acknowledged opening balances are in the ledger"]),
    );
}

#[tokio::test]
async fn what_must_not_be_there_is_found() {
    tokio::join!(
        check(Lie::MadeThoughRefused, payment, &["is in the ledger, and was refused: exceeds_credits"]),
        check(Lie::MadeThoughRefused, authorisation, &["authorise", "was refused"]),
        check(Lie::NoLimit, payment, &["payment", "was made from an account that has nothing"]),
        check(Lie::MadeTwice, payment, &["carries this run's tag, and this run never sent it"]),
        check(Lie::ListedTwice, refund, &["is in the ledger twice"]),
    );
}

#[tokio::test]
async fn what_is_there_otherwise_than_sent_is_found() {
    tokio::join!(
        check(Lie::OtherAmount, payment, &["is in the ledger as", "and was sent as"]),
        check(Lie::OtherAmount, chained, &["is in the ledger as", "and was sent as"]),
        check(Lie::OtherDirection, refund, &["is in the ledger as", "and was sent as"]),
        check(Lie::OtherTimestamp, payment, &["another timestamp than was acknowledged"]),
    );
}

#[tokio::test]
async fn wrong_balances_and_contradictions_are_found() {
    tokio::join!(
        check(Lie::OtherBalance, capture, &["debits_posted is", "and has to be"]),
        check(Lie::OtherReservation, authorisation, &["credits_pending is", "and has to be"]),
        check(Lie::RefusedAtLast, payment, &["was answered", "exceeds_credits"]),
    );
}

#[tokio::test]
async fn an_audit_of_the_ledger_itself_that_does_not_hold_is_wrong_money() {
    let (_, record) = play_with(EVERYTHING, |state| state.findings = vec!["shard 3 lost a koruna".into()]).await;
    assert_eq!(record.verdict, Verdict::MoneyWrong);
    assert_eq!(record.reasons, ["the ledger's own audit does not hold", "shard 3 lost a koruna"]);
}
