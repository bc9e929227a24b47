//! Bounded rehearsals against the naive ledger.

use clap::Parser;

use super::*;
use crate::fake::Fake;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: PeakArgs,
}

/// Small settings against the router at `url`, as the command line would give them.
pub(crate) fn args(url: &str) -> PeakArgs {
    let line = [
        "peak",
        "--router",
        url,
        "--requests",
        "20",
        "--batch",
        "50",
        "--accounts",
        "100",
        "--warm-up",
        "0",
        "--in-flight",
        "8",
    ];
    Line::parse_from(line).args
}

async fn rehearse_quietly(args: &PeakArgs) -> PeakReport {
    rehearse(args, &mut Progress::quiet()).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_proven_to_be_there() {
    let (fake, url) = Fake::serve().await;
    let report = rehearse_quietly(&PeakArgs { shards: Some(4), ..args(&url) }).await;
    assert_eq!((report.acknowledged, report.requests, report.exit_code()), (1_000, 20, exit::PASSED), "{report:?}");
    assert_eq!((report.sampled, report.sampled_found, report.results["created"]), (1_000, 1_000, 1_000));
    assert!(report.cross_shard_share.unwrap() > 0.5);
    assert_eq!(fake.state().transfers.len(), 1_000);
    let again = rehearse_quietly(&PeakArgs { ids: IdOrder::Ordered, ..args(&url) }).await;
    assert_eq!((again.acknowledged, again.exit_code()), (1_000, exit::PASSED), "a second run stands on the first");
}

#[tokio::test]
async fn streams_carry_the_same_requests() {
    let (fake, url) = Fake::serve().await;
    let report = rehearse_quietly(&PeakArgs { stream: true, in_flight: 200, requests: Some(300), ..args(&url) }).await;
    assert_eq!((report.acknowledged, report.exit_code()), (15_000, exit::PASSED), "{report:?}");
    assert_eq!(fake.state().transfers.len(), 15_000);
}

#[tokio::test]
async fn lost_answers_and_a_busy_router_are_settled_with_the_same_ids() {
    for stream in [false, true] {
        let (fake, url) = Fake::serve().await;
        (fake.state().lose_every, fake.state().busy) = (3, 2);
        let report = rehearse_quietly(&PeakArgs { stream, ..args(&url) }).await;
        assert_eq!((report.acknowledged, report.exit_code()), (1_000, exit::PASSED), "{report:?}");
        assert!(report.unknown_attempts > 0 && report.busy_attempts == 2 && report.results["exists"] > 0);
        assert_eq!(fake.state().transfers.len(), 1_000);
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_ends_the_run_and_is_looked_up() {
    let (fake, url) = Fake::serve().await;
    fake.state().lose_every = 1;
    let mut args = PeakArgs { in_flight: 2, ..args(&url) };
    args.router.retry_for = Duration::ZERO;
    let report = rehearse_quietly(&args).await;
    assert_eq!((report.acknowledged, report.exit_code()), (0, exit::COULD_NOT_RUN));
    assert!(report.wrong.is_empty(), "what was made without an answer is found and counted: {:?}", report.wrong);
    assert!(report.stopped.unwrap().contains("Unavailable"));
}

#[tokio::test]
async fn lost_money_is_found() {
    let (fake, url) = Fake::serve().await;
    fake.state().forget_transfers = true;
    let report = rehearse_quietly(&args(&url)).await;
    assert_eq!((report.sampled_found, report.exit_code()), (999, exit::MONEY_WRONG));
    assert!(report.wrong[0].contains("is not in the ledger"), "{:?}", report.wrong);
}

#[tokio::test]
async fn an_audit_that_does_not_hold_is_wrong_money() {
    let (fake, url) = Fake::serve().await;
    fake.state().findings = vec!["shard 3 lost a koruna".to_owned()];
    let report = rehearse_quietly(&args(&url)).await;
    assert_eq!(report.exit_code(), exit::MONEY_WRONG);
    assert!(report.wrong.contains(&"shard 3 lost a koruna".to_owned()));
}

#[test]
fn arguments_that_contradict_each_other_are_usage_errors() {
    let check = |args: PeakArgs, part: &str| assert!(args.check().unwrap_err().contains(part), "{part}");
    assert!(args("x").check().is_ok());
    for ledger in [0, 1, 7_014, REHEARSAL_LEDGER_MIN - 1] {
        check(PeakArgs { ledger, ..args("x") }, &format!("--ledger {ledger}: this is a rehearsal"));
    }
    for ledger in [REHEARSAL_LEDGER_MIN, u32::MAX] {
        assert!(PeakArgs { ledger, ..args("x") }.check().is_ok());
    }
    check(PeakArgs { in_flight: 2_049, ..args("x") }, "--connections 3");
    check(PeakArgs { in_flight: 1, ..args("x") }, "has no use");
    check(PeakArgs { warm_up: Duration::from_secs(30), ..args("x") }, "--warm-up");
    check(PeakArgs { shards: Some(1), cross_shard: Some(0.1), ..args("x") }, "a single shard");
    assert!(Line::try_parse_from(["peak", "--cross-shard", "0.5"]).is_err(), "--cross-shard needs --shards");
    assert!(Line::try_parse_from(["peak", "--hot", "1.5"]).is_err());
    assert!(Line::try_parse_from(["peak", "--batch", "8191"]).is_err());
}
