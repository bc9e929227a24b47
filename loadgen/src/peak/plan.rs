//! Who pays whom: a function of the seed and the request's number, so that a run can be repeated.

use std::ops::Range;

use anyhow::bail;
use crest_proto::border::number_to;
use crest_proto::naming::name_id;
use crest_proto::v1;
use crest_topology::SlotMap;

use super::PeakArgs;
use super::ids::TransferIds;
use crate::random::SplitMix64;

/// The code of the rehearsal's accounts and transfers.
pub(crate) const CODE: u16 = 1;
/// Amounts go from 1 to this, in the smallest unit.
const AMOUNT_MAX: u64 = 10_000;

/// The accounts of a rehearsal and how payments choose among them.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    ledger: u32,
    batch: usize,
    independent: bool,
    /// Account ids; those of one shard stand together when the shards are known.
    pub(crate) accounts: Vec<u128>,
    /// Where each shard's accounts stand; a single range when the shards are not known.
    shards: Vec<Range<usize>>,
    /// The shard of each account; empty when the shards are not known.
    shard_of: Vec<u16>,
    /// Where the hot account stands, and its share of the payments.
    hot_at: usize,
    hot: f64,
    /// The share of payments between two shards, when it is planned.
    cross: Option<f64>,
}

/// What a request holds, for the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Sum of all amounts: at most 8,190 × 10,000.
    pub(crate) amount: u64,
    /// Payments whose accounts are on two shards.
    pub(crate) cross: u64,
}

impl Plan {
    /// The plan that `args` ask for. Account number `i` is the account named `peak:LEDGER:SEED:i`.
    ///
    /// # Errors
    /// When the shards do not allow what was asked for.
    pub(crate) fn new(args: &PeakArgs) -> anyhow::Result<Self> {
        let id = |i| name_id(&format!("peak:{}:{}:{i}", args.ledger, args.seed));
        let mut accounts: Vec<u128> = (0..args.accounts).map(id).collect();
        let hot_id = accounts[0];
        let (mut shards, mut shard_of) = (vec![0..accounts.len(); 1], Vec::new());
        if let Some(count) = args.shards {
            let map = SlotMap::even(&(0..count).collect::<Vec<_>>())?;
            // Sorted by id within a shard, so that two ids in the wrong order do not depend on the sort.
            accounts.sort_unstable_by_key(|&id| (map.shard_of(id), id));
            shard_of = accounts.iter().map(|&id| map.shard_of(id) as u16).collect();
            let end_of = |shard: u32| shard_of.partition_point(|&own| u32::from(own) <= shard);
            shards = (0..count)
                .map(|shard| if shard == 0 { 0..end_of(0) } else { end_of(shard - 1)..end_of(shard) })
                .collect();
            if args.cross_shard.is_some() && shards.iter().any(|range| range.len() < 2) {
                bail!("--cross-shard needs at least two accounts on each of {count} shards: raise --accounts");
            }
        }
        let hot_at = accounts.iter().position(|&id| id == hot_id).unwrap_or(0);
        Ok(Self {
            seed: args.seed,
            ledger: args.ledger,
            batch: args.batch as usize,
            independent: args.independent,
            accounts,
            shards,
            shard_of,
            hot_at,
            hot: args.hot,
            cross: args.cross_shard,
        })
    }

    /// Fills `request`, whose memory is used again, with the payments of request number `number`.
    pub(crate) fn fill(&self, number: u64, ids: &mut TransferIds, request: &mut v1::CreateTransfersRequest) -> Filled {
        let mut rng = SplitMix64::of(self.seed, number);
        let mut filled = Filled::default();
        ids.begin_request();
        request.independent = self.independent;
        request.transfers.clear();
        request.transfers.extend((0..self.batch).map(|_| {
            let (payer, payee) = self.pair(&mut rng);
            let amount = 1 + rng.below(AMOUNT_MAX);
            filled.amount += amount;
            filled.cross += u64::from(self.is_cross(payer, payee));
            v1::Transfer {
                id: number_to(ids.next_id()),
                debit_account_id: number_to(self.accounts[payer]),
                credit_account_id: number_to(self.accounts[payee]),
                amount: number_to(u128::from(amount)),
                ledger: self.ledger,
                code: u32::from(CODE),
                ..Default::default()
            }
        }));
        filled
    }

    fn shard_at(&self, at: usize) -> usize {
        self.shard_of.get(at).map_or(0, |&shard| usize::from(shard))
    }

    fn is_cross(&self, one: usize, other: usize) -> bool {
        self.shard_at(one) != self.shard_at(other)
    }

    /// Where the payer and the payee stand; never the same account.
    fn pair(&self, rng: &mut SplitMix64) -> (usize, usize) {
        if self.hot > 0.0 && rng.fraction() < self.hot {
            return (self.partner(rng, self.hot_at), self.hot_at);
        }
        let payer = rng.below(self.accounts.len() as u64) as usize;
        (payer, self.partner(rng, payer))
    }

    fn partner(&self, rng: &mut SplitMix64, one: usize) -> usize {
        let below = |rng: &mut SplitMix64, bound: usize| rng.below(bound as u64) as usize;
        let Some(share) = self.cross else {
            return skip(below(rng, self.accounts.len() - 1), one, 1);
        };
        let own = &self.shards[self.shard_at(one)];
        if rng.fraction() < share {
            skip(below(rng, self.accounts.len() - own.len()), own.start, own.len())
        } else {
            skip(own.start + below(rng, own.len() - 1), one, 1)
        }
    }
}

/// The place `at` of a list from which `count` items beginning at `from` are left out.
fn skip(at: usize, from: usize, count: usize) -> usize {
    if at < from { at } else { at + count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peak::IdOrder;
    use crate::peak::tests::args;

    fn shares(args: &PeakArgs) -> (f64, f64) {
        let plan = Plan::new(args).unwrap();
        let mut ids = TransferIds::new(IdOrder::Random);
        let (mut request, mut cross, mut hot) = (v1::CreateTransfersRequest::default(), 0, 0);
        for number in 0..100 {
            cross += plan.fill(number, &mut ids, &mut request).cross;
            for t in &request.transfers {
                assert_ne!(t.debit_account_id, t.credit_account_id);
                hot += u64::from(t.credit_account_id == number_to(plan.accounts[plan.hot_at]));
            }
        }
        let all = (100 * args.batch) as f64;
        (cross as f64 / all, hot as f64 / all)
    }

    #[test]
    fn shares_are_as_planned() {
        let check = |cross_shard, hot, shards, expected_cross: f64| {
            let (cross, paid) =
                shares(&PeakArgs { cross_shard, hot, shards: Some(shards), accounts: 1_000, ..args("") });
            assert!((cross - expected_cross).abs() < 0.02, "{cross} of {expected_cross} are cross-shard");
            assert!((paid - hot).abs() < 0.02, "{paid} of {hot} pay the hot account");
        };
        check(None, 0.0, 4, 0.75);
        check(Some(0.0), 0.0, 4, 0.0);
        check(Some(0.3), 0.5, 3, 0.3);
        check(Some(1.0), 0.9, 2, 1.0);
    }

    #[test]
    fn a_seed_repeats_the_payments_but_not_their_ids() {
        let fill = |seed| {
            let plan = Plan::new(&PeakArgs { seed, ..args("") }).unwrap();
            let mut request = v1::CreateTransfersRequest::default();
            plan.fill(5, &mut TransferIds::new(IdOrder::Random), &mut request);
            request.transfers
        };
        let (one, again, other) = (fill(1), fill(1), fill(2));
        let pays = |t: &v1::Transfer| (t.debit_account_id, t.credit_account_id, t.amount);
        assert!(one.iter().map(pays).eq(again.iter().map(pays)));
        assert!(one.iter().zip(&again).all(|(a, b)| a.id != b.id));
        assert!(!one.iter().map(pays).eq(other.iter().map(pays)));
    }

    #[test]
    fn too_few_accounts_for_the_shards_are_refused() {
        let few = PeakArgs { accounts: 3, shards: Some(8), cross_shard: Some(0.5), ..args("") };
        assert!(Plan::new(&few).unwrap_err().to_string().contains("raise --accounts"));
    }
}
