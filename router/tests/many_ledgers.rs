//! An audit of shards that have more ledger numbers than fit a message: all are compared, and all are given.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use crest_ledger::wire::audit::{LedgerSums, TOTALS_MAX, TotalsPage};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response, ShardAudit};
use crest_link::{Answering, LinkError, Links, ShardLink};
use crest_router::{Router, RouterError};
use crest_topology::SlotMap;
use tokio::sync::mpsc;

/// A shard with these sums. It forgets those of an audit when it `forgets`, as another leader would not know them.
struct Shard {
    sums: Vec<LedgerSums>,
    forgets: bool,
}

impl Shard {
    fn page(&self, after: Option<u32>) -> TotalsPage {
        let mut left = self.sums.iter().filter(|(ledger, ..)| after.is_none_or(|after| *ledger > after)).copied();
        let totals: Vec<LedgerSums> = left.by_ref().take(TOTALS_MAX).collect();
        TotalsPage { totals, more: left.next().is_some() }
    }
}

impl ShardLink for Shard {
    fn send(&self, request: Request) -> Answering {
        let answer = match request {
            Request::Query(Query::Clock) => QueryAnswer::Clock(5),
            Request::Query(Query::Audit(..)) => {
                QueryAnswer::Audit(ShardAudit { totals: self.page(None), ..ShardAudit::default() })
            }
            Request::Query(Query::AuditTotals(..)) if self.forgets => {
                let refused = LinkError::Refused { shard: 0, why: "not kept here".to_owned() };
                return Box::pin(async move { Err(refused) });
            }
            Request::Query(Query::AuditTotals(_, after)) => QueryAnswer::AuditTotals(self.page(Some(after))),
            other => panic!("an audit asks for something else: {other:?}"),
        };
        Box::pin(async move { Ok(Response::Query(answer)) })
    }

    fn address(&self) -> String {
        String::new()
    }
}

fn router(shards: Vec<Shard>) -> Router {
    let numbers: Vec<u32> = (0..shards.len() as u32).collect();
    let map = SlotMap::even(&numbers).unwrap();
    let links: BTreeMap<u32, Arc<dyn ShardLink>> =
        numbers.into_iter().zip(shards).map(|(n, shard)| (n, Arc::new(shard) as Arc<dyn ShardLink>)).collect();
    Router::new(Links::new(map, links))
}

/// Sums of every so many ledger numbers: so much debited and credited.
fn sums(step: usize, debited: u128, credited: u128) -> Vec<LedgerSums> {
    (1..=30_000).step_by(step).map(|ledger| (ledger, [0, debited, 0, credited], 1)).collect()
}

fn shard(sums: Vec<LedgerSums>) -> Shard {
    Shard { sums, forgets: false }
}

#[tokio::test]
async fn every_ledger_is_added_up_over_all_shards_and_given_once_and_in_order() {
    // On every ledger of the first shard one is debited, and on the others what makes it even.
    let second: Vec<LedgerSums> = (1..=30_000).map(|ledger| (ledger, [0, 0, 0, 1], 2)).collect();
    let router = router(vec![shard(sums(1, 1, 0)), shard(second), shard(sums(7, 3, 3)), shard(Vec::new())]);
    let (more, mut given) = mpsc::channel(100);
    let audit = router.audit_watched(None, Some(&more)).await.unwrap();
    drop(more);
    assert!(audit.findings.is_empty(), "{:?}", audit.findings);
    assert_eq!((audit.totals.len(), audit.totals_left_out), (TOTALS_MAX, 30_000 - TOTALS_MAX as u64));
    let mut all = audit.totals;
    while let Some(page) = given.recv().await {
        assert!((1..=TOTALS_MAX).contains(&page.len()));
        all.extend(page);
    }
    let expected = (1..=30_000u32).map(|ledger| {
        let third = u64::from(ledger % 7 == 1);
        (ledger, [0, 1 + 3 * u128::from(third), 0, 1 + 3 * u128::from(third)], 3 + third)
    });
    assert_eq!(all, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn money_that_is_missing_on_the_last_of_many_ledgers_is_found_whoever_listens() {
    let mut wrong = sums(1, 4, 4);
    wrong.last_mut().unwrap().1[1] = 5;
    let router = router(vec![shard(wrong), shard(sums(2, 1, 1))]);
    let found: Vec<String> = router.audit().await.unwrap().findings.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["ledger 30000: 5 was debited, but 4 credited: 1 too much"]);
}

#[tokio::test]
async fn an_audit_whose_sums_were_lost_proves_nothing() {
    let router = router(vec![shard(sums(1, 1, 1)), Shard { sums: sums(1, 1, 1), forgets: true }]);
    let audit = router.audit().await;
    assert!(matches!(&audit, Err(RouterError::Refused(why)) if why.contains("not kept here")), "{audit:?}");
}
