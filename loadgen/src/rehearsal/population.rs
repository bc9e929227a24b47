//! The accounts of a rehearsal, and who of them is drawn how often.

use std::ops::Range;

use anyhow::bail;
use crest_ledger::{Account, AccountFlags};
use crest_proto::naming::name_id;
use crest_topology::SlotMap;

use crate::random::SplitMix64;
use crate::scenario;

/// Accounts that have nothing and can't go below.
const PENNILESS: u32 = 16;

/// What an account is for. Its number is the account's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Role {
    Customer = 1,
    Merchant = 2,
    Penniless = 3,
    Platform = 4,
    Treasury = 5,
    /// Named by a file.
    Named = 6,
}

/// An account of the rehearsal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) id: u128,
    pub(crate) role: Role,
    /// Whether it can't spend more than it has.
    pub(crate) limited: bool,
}

/// The accounts, and how payments choose among them. An account is its place in [`Population::members`].
#[derive(Debug)]
pub(crate) struct Population {
    pub(crate) members: Vec<Member>,
    /// By place.
    shards: Vec<u16>,
    /// Customers of each shard that has any.
    customers: Vec<Group>,
    merchants: Range<u32>,
    hot: u32,
    hot_share: f64,
    /// Among those that are not hot.
    cold: Draw,
    penniless: Range<u32>,
    pub(crate) platform: u32,
    pub(crate) treasury: u32,
    cross: Option<f64>,
}

/// The customers of one shard.
#[derive(Debug)]
struct Group {
    shard: u16,
    from: u32,
    draw: Draw,
}

impl Population {
    /// The accounts of `settings` on this ledger number. Their ids are the hashes of `rehearsal:LEDGER:SEED:ROLE:NUMBER`, so
    /// a second run with the same seed uses them again.
    ///
    /// # Errors
    /// When the shards of `map` don't allow the share of cross-shard payments that is asked for.
    pub(crate) fn new(settings: &scenario::Population, map: &SlotMap, ledger: u32, seed: u64) -> anyhow::Result<Self> {
        let limited = settings.opening_balance > 0;
        let name = |role: &str, number: u32| name_id(&format!("rehearsal:{ledger}:{seed}:{role}:{number}"));
        // An account keeps the flags that it was created with: with and without a limit they are different accounts.
        let customer = if limited { "limited-customer" } else { "customer" };
        let mut ids: Vec<u128> = (0..settings.customers).map(|i| name(customer, i)).collect();
        ids.sort_unstable_by_key(|&id| (map.shard_of(id), id));
        let mut members: Vec<Member> = ids.into_iter().map(|id| Member { id, role: Role::Customer, limited }).collect();
        let customers = groups(&members, map, settings.customer_skew);
        let mut add = |role: Role, word: &str, count: u32, limited: bool| -> Range<u32> {
            let from = members.len() as u32;
            members.extend((0..count).map(|i| Member { id: name(word, i), role, limited }));
            from..from + count
        };
        let merchants = add(Role::Merchant, "merchant", settings.merchants, false);
        let penniless = add(Role::Penniless, "penniless", PENNILESS, true);
        let platform = add(Role::Platform, "platform", 1, false).start;
        let treasury = add(Role::Treasury, "treasury", 1, false).start;
        if let Some(share) = settings.cross_shard {
            check_cross(share, &customers, map.shards().len())?;
        }
        let hot = settings.hot_merchants.min(settings.merchants);
        let cold = settings.merchants - hot;
        Ok(Self {
            shards: members.iter().map(|m| map.shard_of(m.id) as u16).collect(),
            members,
            customers,
            merchants,
            hot,
            // Whoever is the only kind gets everything.
            hot_share: if cold == 0 {
                1.0
            } else if hot == 0 {
                0.0
            } else {
                settings.hot_share
            },
            cold: Draw::zipf(cold as usize, settings.merchant_skew),
            penniless,
            platform,
            treasury,
            cross: settings.cross_shard,
        })
    }

    /// The accounts that a file names: there is nobody to draw.
    pub(crate) fn named(ids: Vec<u128>, map: &SlotMap) -> Self {
        let member = |id| Member { id, role: Role::Named, limited: false };
        Self {
            shards: ids.iter().map(|&id| map.shard_of(id) as u16).collect(),
            members: ids.into_iter().map(member).collect(),
            customers: Vec::new(),
            merchants: 0..0,
            hot: 0,
            hot_share: 0.0,
            cold: Draw::zipf(0, 0.0),
            penniless: 0..0,
            platform: 0,
            treasury: 0,
            cross: None,
        }
    }

    /// The account at `place` as it is created.
    pub(crate) fn account(&self, place: usize, ledger: u32) -> Account {
        let Member { id, role, limited } = self.members[place];
        let flags = AccountFlags(if limited { AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS } else { 0 });
        Account { id, ledger, code: role as u16, flags, ..Default::default() }
    }

    /// The id of the account at `place`.
    pub(crate) fn id(&self, place: u32) -> u128 {
        self.members[place as usize].id
    }

    /// Whether two accounts live on different shards.
    pub(crate) fn is_cross(&self, one: u32, other: u32) -> bool {
        self.shards[one as usize] != self.shards[other as usize]
    }

    /// The places of all customers.
    pub(crate) fn customers(&self) -> Range<u32> {
        0..self.merchants.start
    }

    /// A merchant: a hot one as often as planned, another by its rank.
    pub(crate) fn merchant(&self, rng: &mut SplitMix64) -> u32 {
        if self.hot_share > 0.0 && rng.fraction() < self.hot_share {
            return self.merchants.start + rng.below(u64::from(self.hot)) as u32;
        }
        self.merchants.start + self.hot + self.cold.draw(rng) as u32
    }

    /// Who pays `merchant`: with a target for cross-shard payments, from another shard as often as that says.
    pub(crate) fn payer_of(&self, merchant: u32, rng: &mut SplitMix64) -> u32 {
        let shard = self.shards[merchant as usize];
        match self.cross {
            None => self.draw_customer(rng, |_| true),
            Some(share) if rng.fraction() < share => self.draw_customer(rng, |group| group.shard != shard),
            Some(_) => self.draw_customer(rng, |group| group.shard == shard),
        }
    }

    /// Somebody who has nothing.
    pub(crate) fn penniless(&self, rng: &mut SplitMix64) -> u32 {
        self.penniless.start + rng.below(self.penniless.len() as u64) as u32
    }

    /// Any customer, by rank.
    pub(crate) fn customer(&self, rng: &mut SplitMix64) -> u32 {
        self.draw_customer(rng, |_| true)
    }

    fn draw_customer(&self, rng: &mut SplitMix64, of: impl Fn(&Group) -> bool) -> u32 {
        let total: f64 = self.customers.iter().filter(|g| of(g)).map(|g| g.draw.weight()).sum();
        let mut left = rng.fraction() * total;
        let mut last = None;
        for group in self.customers.iter().filter(|g| of(g)) {
            last = Some(group);
            left -= group.draw.weight();
            if left < 0.0 {
                break;
            }
        }
        // `check_cross` has seen that there is one for every shard that is asked for.
        last.map_or(0, |group| group.from + group.draw.draw(rng) as u32)
    }
}

fn groups(customers: &[Member], map: &SlotMap, skew: f64) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut from = 0;
    for run in customers.chunk_by(|a, b| map.shard_of(a.id) == map.shard_of(b.id)) {
        groups.push(Group { shard: map.shard_of(run[0].id) as u16, from, draw: Draw::zipf(run.len(), skew) });
        from += run.len() as u32;
    }
    groups
}

fn check_cross(share: f64, customers: &[Group], shards: usize) -> anyhow::Result<()> {
    if shards < 2 && share > 0.0 {
        bail!("population.cross_shard = {share}: this cluster has one shard, so no payment is between two");
    }
    if customers.len() < shards {
        let empty = shards - customers.len();
        bail!(
            "population.cross_shard = {share}: {empty} of {shards} shards have no customer; raise population.customers"
        );
    }
    Ok(())
}

/// A draw among `0..n` in which number `i` has the weight `1 / (i + 1)^skew` (Zipf's law).
#[derive(Debug)]
enum Draw {
    Even(usize),
    /// Sums of the weights up to and with each number.
    Sums(Vec<f64>),
}

impl Draw {
    fn zipf(n: usize, skew: f64) -> Self {
        if skew == 0.0 || n == 0 {
            return Self::Even(n);
        }
        let mut sum = 0.0;
        Self::Sums(
            (1..=n)
                .map(|rank| {
                    sum += (rank as f64).powf(-skew);
                    sum
                })
                .collect(),
        )
    }

    fn weight(&self) -> f64 {
        match self {
            Self::Even(n) => *n as f64,
            Self::Sums(sums) => sums.last().copied().unwrap_or(0.0),
        }
    }

    fn draw(&self, rng: &mut SplitMix64) -> usize {
        match self {
            Self::Even(n) => rng.below(*n as u64) as usize,
            Self::Sums(sums) => {
                let at = rng.fraction() * self.weight();
                // Rounding may put it at the very end.
                sums.partition_point(|&sum| sum <= at).min(sums.len() - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> scenario::Population {
        scenario::Population {
            customers: 2_000,
            merchants: 100,
            merchant_skew: 1.0,
            customer_skew: 0.0,
            hot_merchants: 2,
            hot_share: 0.3,
            cross_shard: None,
            opening_balance: 0,
            amount_max: 100,
        }
    }

    fn population(settings: &scenario::Population, shards: u32) -> anyhow::Result<Population> {
        let map = SlotMap::even(&(0..shards).collect::<Vec<_>>()).unwrap();
        Population::new(settings, &map, 7, 1)
    }

    #[test]
    fn cross_shard_payments_are_as_many_as_planned_whatever_the_skews() {
        let check = |cross_shard, shards, customer_skew, expected: f64| {
            let settings = scenario::Population { cross_shard, customer_skew, ..settings() };
            let population = population(&settings, shards).unwrap();
            let mut rng = SplitMix64::new(5);
            let crossed = (0..20_000).filter(|_| {
                let merchant = population.merchant(&mut rng);
                population.is_cross(population.payer_of(merchant, &mut rng), merchant)
            });
            let share = crossed.count() as f64 / 20_000.0;
            assert!((share - expected).abs() < 0.02, "{share} instead of {expected}");
        };
        check(None, 4, 0.0, 0.75);
        check(Some(0.0), 4, 0.0, 0.0);
        check(Some(0.3), 3, 0.0, 0.3);
        check(Some(1.0), 2, 1.2, 1.0);
        check(Some(0.5), 8, 1.2, 0.5);
    }

    #[test]
    fn hot_merchants_get_their_share_and_the_others_follow_zipf() {
        let population = population(&settings(), 4).unwrap();
        let mut rng = SplitMix64::new(6);
        let mut counts = [0u32; 100];
        (0..100_000).for_each(|_| counts[(population.merchant(&mut rng) - population.merchants.start) as usize] += 1);
        let share = |n: u32| f64::from(n) / 100_000.0;
        assert!((share(counts[0] + counts[1]) - 0.3).abs() < 0.01, "{counts:?}");
        // Of the 98 others, the first has twice what the second has, and three times the third's.
        let ratio = |a: usize, b: usize| f64::from(counts[a]) / f64::from(counts[b]);
        assert!((ratio(2, 3) - 2.0).abs() < 0.15 && (ratio(2, 4) - 3.0).abs() < 0.3, "{counts:?}");
    }

    #[test]
    fn what_the_shards_do_not_allow_is_refused() {
        let check = |customers, shards, part: &str| {
            let settings = scenario::Population { customers, cross_shard: Some(0.5), ..settings() };
            let refused = population(&settings, shards).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        };
        check(2_000, 1, "one shard");
        check(3, 8, "raise population.customers");
    }
}
