//! What is drawn by chance: the operations of a request, by the weights of the mix.

use std::time::Duration;

use super::plan::{Content, Follow, Kind, Leg, Plan};
use crate::random::SplitMix64;
use crate::scenario::Mix;

/// How long after a request its duplicate leaves, when it does not leave at once.
const DUPLICATE_AFTER: Duration = Duration::from_millis(50);

impl Plan {
    /// Draws a request by `mix`.
    pub(super) fn draw(&self, mix: &Mix, rng: &mut SplitMix64, legs: &mut Vec<Leg>) -> Content {
        let writes = mix.payment + mix.authorise + mix.chain;
        if mix.read > 0.0 && rng.fraction() * mix.weights() >= writes {
            return self.draw_read(rng);
        }
        let again = mix.duplicates > 0.0 && rng.fraction() < mix.duplicates;
        let duplicate = again.then(|| if rng.below(2) == 0 { Duration::ZERO } else { DUPLICATE_AFTER });
        for _ in 0..self.batch {
            let at = rng.fraction() * writes;
            if at < mix.payment {
                self.draw_payment(mix, rng, legs);
            } else if at < mix.payment + mix.authorise {
                self.draw_authorisation(mix, rng, legs);
            } else {
                self.draw_chain(mix, rng, legs);
            }
        }
        Content::Transfers { duplicate }
    }

    fn draw_read(&self, rng: &mut SplitMix64) -> Content {
        if self.batch == 1 && rng.below(2) == 0 {
            return Content::History(self.population.customer(rng));
        }
        Content::Balances((0..self.batch).map(|_| self.population.customer(rng)).collect())
    }

    fn draw_payment(&self, mix: &Mix, rng: &mut SplitMix64, legs: &mut Vec<Leg>) {
        let merchant = self.population.merchant(rng);
        let amount = 1 + rng.below(self.amount_max);
        if mix.insufficient_funds > 0.0 && rng.fraction() < mix.insufficient_funds {
            let payer = self.population.penniless(rng);
            legs.push(Leg { penniless: true, ..leg(Kind::Payment, payer, merchant, amount) });
            return;
        }
        let payer = self.population.payer_of(merchant, rng);
        let refund = mix.refund.share > 0.0 && rng.fraction() < mix.refund.share;
        let follow = if refund { Follow::Refund } else { Follow::Nothing };
        legs.push(Leg { follow, ..leg(Kind::Payment, payer, merchant, amount) });
    }

    fn draw_authorisation(&self, mix: &Mix, rng: &mut SplitMix64, legs: &mut Vec<Leg>) {
        let merchant = self.population.merchant(rng);
        let payer = self.population.payer_of(merchant, rng);
        let amount = 1 + rng.below(self.amount_max);
        let follow = if rng.fraction() >= mix.capture.share {
            Follow::Void
        } else if rng.fraction() < mix.capture.partial {
            Follow::Capture(amount.div_ceil(2))
        } else {
            Follow::Capture(amount)
        };
        legs.push(Leg { follow, ..leg(Kind::Authorise, payer, merchant, amount) });
    }

    /// Customer to merchant, merchant to platform, and what more legs there are from the platform to other merchants.
    fn draw_chain(&self, mix: &Mix, rng: &mut SplitMix64, legs: &mut Vec<Leg>) {
        let merchant = self.population.merchant(rng);
        let payer = self.population.payer_of(merchant, rng);
        let amount = 1 + rng.below(self.amount_max);
        let platform = self.population.platform;
        let fee = amount.div_ceil(100);
        let last = mix.chain_legs - 1;
        for index in 0..mix.chain_legs {
            let (debit, credit, amount) = match index {
                0 => (payer, merchant, amount),
                1 => (merchant, platform, fee),
                _ => (platform, self.population.merchant(rng), fee),
            };
            legs.push(Leg { linked: index < last, ..leg(Kind::Chain, debit, credit, amount) });
        }
    }
}

/// A transfer that nothing follows.
pub(super) fn leg(kind: Kind, debit: u32, credit: u32, amount: u64) -> Leg {
    Leg { kind, debit, credit, amount, linked: false, penniless: false, follow: Follow::Nothing }
}
