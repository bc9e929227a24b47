//! From two shards that differ to the transfers that do.
//!
//! Both are asked for the sums of the parts of a time range, again for a part that differs, and for its transfers once they
//! are few. Records at or below the audit's instant do not change, so it does not matter that every answer is of a later
//! snapshot than the one before. Only imported transfers are dated back: whatever differs is looked up once more on both
//! shards, at an instant of its own at which nothing is in doubt, and only what differs then is a finding.

use std::collections::BTreeMap;

use crest_ledger::finding::{Field, Finding, FindingKind};
use crest_ledger::records::TransferRecord;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::audit::{BUCKETS, HALVES_MAX, HalvesQuery};
use crest_ledger::wire::{Query, QueryAnswer, Request, Response};
use crest_ledger::{Timestamp, Transfer};

use super::combine::Pair;
use crate::error::RouterError;
use crate::limits;
use crate::reads::other_answer;
use crate::router::Router;

/// What a second look at all pairs came to.
#[derive(Default)]
pub(super) struct Paired {
    pub(super) findings: Vec<Finding>,
    /// Something differed at first and did not on the second look.
    pub(super) late: bool,
}

/// Names the transfers of which the halves differ.
pub(super) async fn look(router: &Router, at: Timestamp, pairs: Vec<Pair>) -> Result<Paired, RouterError> {
    let mut paired = Paired::default();
    for (n, pair) in pairs.into_iter().enumerate() {
        let named = paired.findings.len();
        if n >= limits::AUDIT_PAIRS_MAX || named >= limits::AUDIT_SPLITS_MAX {
            paired.findings.push(unnamed(&pair));
            continue;
        }
        let descent = Descent { router, pair, questions: 0, splits: BTreeMap::new() };
        let (splits, complete) = descent.descend(at).await?;
        let findings = confirm(router, &pair, splits).await?;
        if findings.is_empty() {
            paired.late = true;
        } else if !complete {
            paired.findings.push(unnamed(&pair));
        }
        paired.findings.extend(findings);
    }
    // A record that names another account by mistake is missing for one pair and too many for another one.
    let differing: Vec<(u128, Timestamp)> = paired
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::HalvesDiffer)
        .map(|f| (f.transfer_id, f.timestamp))
        .collect();
    let told = |f: &Finding| f.kind == FindingKind::HalfMissing && differing.contains(&(f.transfer_id, f.timestamp));
    paired.findings.retain(|finding| !told(finding));
    Ok(paired)
}

fn unnamed(pair: &Pair) -> Finding {
    let finding = Finding::new(FindingKind::PairDiffers);
    let finding = finding.differs(Field::Transfers, pair.counts[0].into(), pair.counts[1].into());
    Finding { shard: Some(pair.payer), other_shard: Some(pair.payee), ..finding }
}

/// The halves of one timestamp, where they differ: the payer's and the payee's.
type Split = [Option<TransferRecord>; 2];

struct Descent<'a> {
    router: &'a Router,
    pair: Pair,
    questions: usize,
    splits: BTreeMap<Timestamp, Split>,
}

impl Descent<'_> {
    /// The transfers up to `at` that differ, oldest first, and whether these are all of them.
    async fn descend(mut self, at: Timestamp) -> Result<(BTreeMap<Timestamp, Split>, bool), RouterError> {
        // The oldest range is on top. A range adds at most 256 smaller ones, and there are at most eight levels.
        let mut ranges = vec![(0, at)];
        while let Some((min, max)) = ranges.pop() {
            if self.splits.len() >= limits::AUDIT_SPLITS_MAX || self.questions >= limits::AUDIT_QUESTIONS_MAX {
                return Ok((self.splits, false));
            }
            let range = HalvesQuery { peer: self.pair.payee, payer_here: true, min, max };
            let [debits, credits] = self.buckets(range).await?;
            let mut deeper = Vec::new();
            for index in 0..BUCKETS as usize {
                let (debit, credit) = (debits.get(index), credits.get(index));
                let Some(part) = range.bucket(index).filter(|_| debit != credit) else { continue };
                let most = debit.map_or(0, |b| b.0).max(credit.map_or(0, |b| b.0));
                if most > HALVES_MAX as u64 {
                    deeper.push((part.min, part.max));
                } else if self.splits.len() < limits::AUDIT_SPLITS_MAX {
                    self.rows(part).await?;
                } else {
                    return Ok((self.splits, false));
                }
            }
            ranges.extend(deeper.into_iter().rev());
        }
        Ok((self.splits, true))
    }

    /// What both shards have of a range: the payer's, and the payee's.
    async fn both(
        &mut self,
        range: HalvesQuery,
        query: fn(HalvesQuery) -> Query,
    ) -> Result<[QueryAnswer; 2], RouterError> {
        self.questions += 1;
        let Pair { payer, payee, .. } = self.pair;
        let of_payee = HalvesQuery { peer: payer, payer_here: false, ..range };
        let (debits, credits) =
            tokio::join!(ask(self.router, payer, query(range)), ask(self.router, payee, query(of_payee)));
        Ok([debits?, credits?])
    }

    async fn buckets(&mut self, range: HalvesQuery) -> Result<[Vec<(u64, u128)>; 2], RouterError> {
        match self.both(range, Query::AuditBuckets).await? {
            [QueryAnswer::AuditBuckets(debits), QueryAnswer::AuditBuckets(credits)] => Ok([debits, credits]),
            _ => Err(other_answer(self.pair.payer)),
        }
    }

    async fn rows(&mut self, range: HalvesQuery) -> Result<(), RouterError> {
        let [QueryAnswer::AuditHalves(debits), QueryAnswer::AuditHalves(credits)] =
            self.both(range, Query::AuditHalves).await?
        else {
            return Err(other_answer(self.pair.payer));
        };
        let mut splits: BTreeMap<Timestamp, Split> = BTreeMap::new();
        for (side, records) in [debits, credits].into_iter().enumerate() {
            for record in records {
                splits.entry(record.transfer.timestamp).or_default()[side] = Some(record);
            }
        }
        let differ = |split: &Split| split[0].map(|r| r.transfer) != split[1].map(|r| r.transfer);
        self.splits.extend(splits.into_iter().filter(|(_, split)| differ(split)));
        Ok(())
    }
}

/// Looks the transfers up on both shards, at an instant of now, and tells of those that differ still.
async fn confirm(
    router: &Router,
    pair: &Pair,
    splits: BTreeMap<Timestamp, Split>,
) -> Result<Vec<Finding>, RouterError> {
    if splits.is_empty() {
        return Ok(Vec::new());
    }
    let at = router.instant(&[pair.payer, pair.payee]).await?;
    let splits: Vec<(Timestamp, Split)> = splits.into_iter().collect();
    let mut findings = Vec::new();
    for some in splits.chunks(HALVES_MAX) {
        let times: Vec<Timestamp> = some.iter().map(|(time, _)| *time).collect();
        let query = || Query::AuditRecords(at, times.clone());
        let (debits, credits) = tokio::join!(ask(router, pair.payer, query()), ask(router, pair.payee, query()));
        let (QueryAnswer::AuditHalves(debits), QueryAnswer::AuditHalves(credits)) = (debits?, credits?) else {
            return Err(other_answer(pair.payer));
        };
        let [debits, credits] = [debits, credits].map(by_time);
        for (time, first) in some {
            let known = first[0].or(first[1]);
            // Imported transfers of two shards may have one timestamp: another transfer there is not this one's half.
            let map = router.links.map();
            let between = |t: &Transfer| (map.shard_of(t.debit_account_id), map.shard_of(t.credit_account_id));
            let same = |r: &&TransferRecord| {
                between(&r.transfer) == (pair.payer, pair.payee)
                    || known.is_some_and(|known| known.transfer.id == r.transfer.id)
            };
            let (debit, credit) = (debits.get(time).filter(same), credits.get(time).filter(same));
            findings.extend(compare(pair, debit.or(first[0].as_ref()), credit.or(first[1].as_ref())));
        }
    }
    Ok(findings)
}

fn by_time(records: Vec<TransferRecord>) -> BTreeMap<Timestamp, TransferRecord> {
    records.into_iter().map(|record| (record.transfer.timestamp, record)).collect()
}

fn compare(pair: &Pair, debit: Option<&TransferRecord>, credit: Option<&TransferRecord>) -> Vec<Finding> {
    let (here, there, t) = match (debit, credit) {
        (Some(debit), Some(credit)) => return differences(pair, &debit.transfer, &credit.transfer),
        (Some(debit), None) => (pair.payer, pair.payee, &debit.transfer),
        (None, Some(credit)) => (pair.payee, pair.payer, &credit.transfer),
        (None, None) => return Vec::new(),
    };
    let account_id = if there == pair.payer { t.debit_account_id } else { t.credit_account_id };
    let finding = Finding::new(FindingKind::HalfMissing).of(t).account(account_id);
    vec![Finding {
        shard: Some(here),
        other_shard: Some(there),
        ledger: t.ledger,
        field: Field::Amount,
        stored: Some(t.amount),
        ..finding
    }]
}

/// Every field in which two halves differ.
fn differences(pair: &Pair, debit: &Transfer, credit: &Transfer) -> Vec<Finding> {
    let fields = |t: &Transfer| {
        [
            (Field::Id, t.id),
            (Field::DebitAccountId, t.debit_account_id),
            (Field::CreditAccountId, t.credit_account_id),
            (Field::Amount, t.amount),
            (Field::PendingId, t.pending_id),
            (Field::UserData128, t.user_data_128),
            (Field::UserData64, t.user_data_64.into()),
            (Field::UserData32, t.user_data_32.into()),
            (Field::Timeout, t.timeout.into()),
            (Field::Ledger, t.ledger.into()),
            (Field::Code, t.code.into()),
            (Field::Flags, t.flags.0.into()),
        ]
    };
    let differing = fields(debit).into_iter().zip(fields(credit)).filter(|(a, b)| a.1 != b.1);
    let finding = |((field, here), (_, there)): ((Field, u128), (Field, u128))| Finding {
        shard: Some(pair.payer),
        other_shard: Some(pair.payee),
        ledger: debit.ledger,
        ..Finding::new(FindingKind::HalvesDiffer).of(debit).differs(field, here, there)
    };
    differing.map(finding).collect()
}

/// One question to a shard about an audit.
async fn ask(router: &Router, shard: ShardId, query: Query) -> Result<QueryAnswer, RouterError> {
    match router.links.send(shard, Request::Query(query), limits::AUDIT_TIMEOUT).await? {
        Response::Query(answer) => Ok(answer),
        Response::Answers(_) => Err(other_answer(shard)),
    }
}
