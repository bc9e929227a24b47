//! The sums of all shards by ledger number, page by page.
//!
//! Clients choose the ledger numbers, and a shard may have as many of them as accounts. So nothing here holds all of them: each
//! shard gives its sums in the order of the numbers, what all shards have told of is added up, compared and passed on, and
//! the shards go on behind it. Every number is compared, whoever listens.

use std::collections::BTreeMap;

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::txn::ShardId;
use crest_ledger::wire::audit::{FINDINGS_MAX, LedgerSums, TOTALS_MAX, TotalsPage};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use super::Audit;
use crate::error::RouterError;
use crate::limits;
use crate::reads::other_answer;
use crate::router::Router;

/// Where the sums go that do not fit the answer, at most [`TOTALS_MAX`] at a time; nowhere when nobody wants them.
pub(crate) type More<'a> = Option<&'a mpsc::Sender<Vec<LedgerSums>>>;

/// The sums of several shards, by ledger number.
type Merged = BTreeMap<u32, ([u128; 4], u64)>;

/// The next page of every shard that has one.
pub(super) type Pages = BTreeMap<ShardId, TotalsPage>;

/// Adds up the sums of all shards, beginning with the pages that came with their parts of audit `number`, and compares them.
pub(super) async fn add_up(
    router: &Router,
    number: u64,
    mut pages: Pages,
    mut sums: Sums<'_>,
) -> Result<(), RouterError> {
    let mut after = None;
    loop {
        let (merged, next) = merge(&pages);
        sums.take(merged).await?;
        let Some(next) = next else { return sums.end().await };
        if after.is_some_and(|after| next <= after) {
            return Err(RouterError::Unknown(format!(
                "a shard gives no sums above ledger {next}, and says it has some"
            )));
        }
        after = Some(next);
        let behind = |page: &TotalsPage| page.more || page.totals.last().is_some_and(|(ledger, ..)| *ledger > next);
        let asked =
            pages.iter().filter(|(_, page)| behind(page)).map(|(shard, _)| page_of(router, *shard, number, next));
        pages = try_join_all(asked).await?.into_iter().collect();
    }
}

async fn page_of(
    router: &Router,
    shard: ShardId,
    number: u64,
    after: u32,
) -> Result<(ShardId, TotalsPage), RouterError> {
    let request = Request::Query(Query::AuditTotals(number, after));
    match router.links.send(shard, request, limits::REQUEST_TIMEOUT).await? {
        Response::Query(QueryAnswer::AuditTotals(page)) => Ok((shard, page)),
        _ => Err(other_answer(shard)),
    }
}

/// Adds the pages up, as far as every shard has told: in the order of ledger numbers, and the last number where some have more.
fn merge(pages: &Pages) -> (Merged, Option<u32>) {
    let last = |page: &TotalsPage| page.totals.last().map_or(0, |(ledger, ..)| *ledger);
    let horizon = pages.values().filter(|page| page.more).map(last).min();
    let mut merged: Merged = BTreeMap::new();
    let rows = pages.values().flat_map(|page| &page.totals);
    for (ledger, sums, accounts) in rows.filter(|(ledger, ..)| horizon.is_none_or(|horizon| *ledger <= horizon)) {
        let total = merged.entry(*ledger).or_default();
        total.1 += accounts;
        for (sum, add) in total.0.iter_mut().zip(sums) {
            *sum = sum.wrapping_add(*add);
        }
    }
    (merged, horizon)
}

/// What becomes of the sums.
pub(super) struct Sums<'a> {
    /// Has the first of them, and what does not hold.
    pub(super) audit: &'a mut Audit,
    /// Whether they are compared: without all shards they say nothing.
    pub(super) compare: bool,
    /// Where the others go.
    pub(super) more: More<'a>,
    pending: Vec<LedgerSums>,
    named: usize,
}

impl<'a> Sums<'a> {
    pub(super) fn new(audit: &'a mut Audit, compare: bool, more: More<'a>) -> Self {
        Self { audit, compare, more, pending: Vec::new(), named: 0 }
    }

    async fn take(&mut self, merged: Merged) -> Result<(), RouterError> {
        for (ledger, (sums, accounts)) in merged {
            if self.compare {
                self.compare(ledger, sums);
            }
            if self.audit.totals.len() < TOTALS_MAX {
                self.audit.totals.push((ledger, sums, accounts));
                continue;
            }
            self.audit.totals_left_out += 1;
            if self.more.is_some() {
                self.pending.push((ledger, sums, accounts));
                if self.pending.len() >= TOTALS_MAX {
                    self.pass_on().await?;
                }
            }
        }
        Ok(())
    }

    async fn end(mut self) -> Result<(), RouterError> {
        if self.pending.is_empty() { Ok(()) } else { self.pass_on().await }
    }

    async fn pass_on(&mut self) -> Result<(), RouterError> {
        let Some(more) = self.more else { return Ok(()) };
        let sums = std::mem::take(&mut self.pending);
        more.send(sums).await.map_err(|_| RouterError::Unknown("nobody listens any more".to_owned()))
    }

    /// On each ledger number, as much is debited as credited. No more are named than an answer holds.
    fn compare(&mut self, ledger: u32, sums: [u128; 4]) {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = sums;
        for (field, debits, credits) in [
            (Field::DebitsPosted, debits_posted, credits_posted),
            (Field::DebitsPending, debits_pending, credits_pending),
        ] {
            if debits == credits {
                continue;
            }
            if self.named >= FINDINGS_MAX {
                self.audit.left_out += 1;
                continue;
            }
            self.named += 1;
            let finding = Finding::new(FindingKind::TotalsDiffer).differs(field, debits, credits);
            self.audit.findings.push(Finding { ledger, ..finding });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ledgers: &[u32], more: bool) -> TotalsPage {
        TotalsPage { totals: ledgers.iter().map(|ledger| (*ledger, [0, 1, 0, 1], 1)).collect(), more }
    }

    #[track_caller]
    fn check(pages: &[TotalsPage], expected: &[(u32, u64)], next: Option<u32>) {
        let (merged, horizon) = merge(&(0..).zip(pages.iter().cloned()).collect());
        let accounts: Vec<(u32, u64)> = merged.iter().map(|(ledger, (_, accounts))| (*ledger, *accounts)).collect();
        assert_eq!((accounts.as_slice(), horizon), (expected, next));
        assert!(merged.values().all(|(sums, n)| *sums == [0, u128::from(*n), 0, u128::from(*n)]), "{merged:?}");
    }

    #[test]
    fn sums_are_added_up_as_far_as_every_shard_has_told() {
        check(&[page(&[1, 5], false), page(&[5, 9], false)], &[(1, 1), (5, 2), (9, 1)], None);
        check(&[page(&[1, 5], true), page(&[2, 5, 9], false)], &[(1, 1), (2, 1), (5, 2)], Some(5));
        check(&[page(&[7, 8], true), page(&[2, 3], true)], &[(2, 1), (3, 1)], Some(3));
        check(&[page(&[u32::MAX], false), page(&[], false)], &[(u32::MAX, 1)], None);
        check(&[], &[], None);
    }

    /// What becomes of so many ledgers, each with these sums: the audit, and what was passed on.
    async fn taken(ledgers: u32, sums: [u128; 4], compare: bool) -> (Audit, Vec<Vec<LedgerSums>>) {
        let (more, mut passed_on) = mpsc::channel(100);
        let mut audit = Audit::default();
        let mut all = Sums::new(&mut audit, compare, Some(&more));
        all.take((0..ledgers).map(|ledger| (ledger, (sums, 1))).collect()).await.unwrap();
        all.end().await.unwrap();
        let mut messages = Vec::new();
        while let Ok(message) = passed_on.try_recv() {
            messages.push(message);
        }
        (audit, messages)
    }

    #[tokio::test]
    async fn an_answer_has_the_lowest_numbers_and_the_others_come_in_messages_of_their_own() {
        let most = TOTALS_MAX as u32;
        for (ledgers, messages) in [(1, vec![]), (most, vec![]), (most + 1, vec![1]), (3 * most, vec![most, most])] {
            let (audit, passed_on) = taken(ledgers, [0; 4], true).await;
            assert_eq!(passed_on.iter().map(|m| m.len() as u32).collect::<Vec<_>>(), messages, "{ledgers}");
            assert_eq!(audit.totals_left_out, messages.iter().map(|n| u64::from(*n)).sum::<u64>());
            let all = audit.totals.iter().chain(passed_on.iter().flatten()).map(|(ledger, ..)| *ledger);
            assert!(all.eq(0..ledgers), "each ledger once, in order");
        }
    }

    #[tokio::test]
    async fn money_that_is_missing_is_found_on_every_ledger_and_named_as_far_as_an_answer_goes() {
        let (audit, _) = taken(1, [2, 7, 3, 6], true).await;
        let texts: Vec<String> = audit.findings.iter().map(ToString::to_string).collect();
        let expected = [
            "ledger 0: 7 was debited, but 6 credited: 1 too much",
            "ledger 0: 2 is pending as debits, but 3 as credits: 1 too little",
        ];
        assert_eq!(texts, expected);
        let (audit, _) = taken(10_000, [0, 7, 0, 6], true).await;
        assert_eq!((audit.findings.len(), audit.left_out), (FINDINGS_MAX, 9_900));
        let (audit, _) = taken(10_000, [0, 7, 0, 6], false).await;
        assert_eq!((audit.findings.len(), audit.left_out), (0, 0));
    }
}
