//! What every request holds: a function of the scenario, the seed and the request's number, and of nothing else. So a run
//! can be repeated, agents need not talk to each other, and the auditor can work out afterwards what every transfer had to
//! be, from one byte that says what became of it.

use std::time::Duration;

use crest_ledger::TransferFlags;
use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::border::{id_to, number_to, transfer_to};
use crest_proto::v1;

use super::draws::leg;
use super::ids::{Place, RunId, Step};
use super::population::Population;
use crate::random::SplitMix64;
use crate::scenario::{Mix, Scenario};

/// The code of the rehearsal's transfers.
pub(crate) const CODE: u16 = 1;
/// Transfers that a read of an account's history asks for.
const HISTORY_ROWS: u32 = 10;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    Payment = 0,
    Authorise,
    Capture,
    Void,
    Refund,
    Chain,
    Read,
    /// What a customer is given before the run.
    Opening,
}

impl Kind {
    /// All kinds that a run is measured by, in the order of their numbers.
    pub(crate) const MEASURED: [Self; 7] =
        [Self::Payment, Self::Authorise, Self::Capture, Self::Void, Self::Refund, Self::Chain, Self::Read];

    /// Its name in records and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Authorise => "authorise",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Chain => "chain",
            Self::Read => "read",
            Self::Opening => "opening",
        }
    }
}

/// What comes after a transfer of the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    Nothing,
    /// Captures so much of it.
    Capture(u64),
    Void,
    Refund,
}

impl Follow {
    /// When it is sent.
    pub(crate) fn step(self) -> Option<Step> {
        match self {
            Self::Nothing => None,
            Self::Capture(_) | Self::Void => Some(Step::Settle),
            Self::Refund => Some(Step::Refund),
        }
    }
}

/// A transfer of the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) kind: Kind,
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) amount: u64,
    /// Chained with the next one.
    pub(crate) linked: bool,
    /// Whether the ledger has to refuse it: the payer has nothing.
    pub(crate) penniless: bool,
    pub(crate) follow: Follow,
}

/// A transfer of any step, as it is sent and as the ledger has to hold it. Accounts are places in the population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) debit: u32,
    pub(crate) credit: u32,
    pub(crate) amount: u64,
    /// Bits of [`TransferFlags`].
    pub(crate) flags: u16,
    /// Of a capture or void: what was authorised, and how much of it.
    pub(crate) pending: Option<(Place, u64)>,
    /// Seconds; of an authorisation.
    pub(crate) timeout: u32,
    pub(crate) penniless: bool,
}

/// What a request is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Transfers, which stand in the list of legs; sent a second time after so long.
    Transfers { duplicate: Option<Duration> },
    /// A read of the balances of these accounts.
    Balances(Vec<u32>),
    /// A read of the latest transfers of an account.
    History(u32),
}

/// Where operations come from.
#[derive(Debug)]
enum Draws {
    Mix(Mix),
    /// The payments of a file: payer, payee, amount.
    Rows(Vec<(u32, u32, u64)>),
}

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) population: Population,
    pub(crate) run: RunId,
    pub(crate) ledger: u32,
    /// Operations in a request.
    pub(crate) batch: u32,
    draws: Draws,
    seed: u64,
    pub(super) amount_max: u64,
    opening_balance: u64,
}

impl Plan {
    /// The plan of a scenario whose operations are drawn by chance.
    pub(crate) fn of_mix(
        scenario: &Scenario,
        mix: &Mix,
        population: Population,
        run: RunId,
        ledger: u32,
        seed: u64,
    ) -> Self {
        Self {
            population,
            run,
            ledger,
            batch: scenario.requests.batch,
            draws: Draws::Mix(mix.clone()),
            seed,
            amount_max: scenario.population.amount_max,
            opening_balance: scenario.population.opening_balance,
        }
    }

    /// The plan of the payments of a file.
    pub(crate) fn of_rows(
        rows: Vec<(u32, u32, u64)>,
        batch: u32,
        population: Population,
        run: RunId,
        ledger: u32,
    ) -> Self {
        let draws = Draws::Rows(rows);
        Self { population, run, ledger, batch, draws, seed: 0, amount_max: 0, opening_balance: 0 }
    }

    /// How many requests there can be; none when there is no end but the phases'.
    pub(crate) fn requests(&self) -> Option<u64> {
        match &self.draws {
            Draws::Mix(_) => None,
            Draws::Rows(rows) => Some((rows.len() as u64).div_ceil(u64::from(self.batch))),
        }
    }

    /// Transfers and reads that an operation comes to on average, with what follows it: so many times fewer operations
    /// begin, so that all together come to the planned rate.
    pub(crate) fn transfers_per_operation(&self) -> f64 {
        match &self.draws {
            Draws::Mix(mix) => mix.transfers_per_operation(),
            Draws::Rows(_) => 1.0,
        }
    }

    /// Transfers of the first step in a request, at most.
    pub(crate) fn positions(&self) -> usize {
        match &self.draws {
            Draws::Mix(mix) if mix.chain > 0.0 => (self.batch * mix.chain_legs) as usize,
            _ => self.batch as usize,
        }
    }

    /// The steps that requests can have.
    pub(crate) fn steps(&self) -> &'static [Step] {
        match &self.draws {
            Draws::Rows(_) => &[Step::First],
            Draws::Mix(mix) => match (mix.authorise > 0.0, mix.payment > 0.0 && mix.refund.share > 0.0) {
                (false, false) => &[Step::First],
                (true, false) => &[Step::First, Step::Settle],
                (false, true) => &[Step::First, Step::Refund],
                (true, true) => &[Step::First, Step::Settle, Step::Refund],
            },
        }
    }

    /// How long after the request's planned instant a step is due.
    pub(crate) fn due_after(&self, step: Step) -> Duration {
        match (&self.draws, step) {
            (Draws::Mix(mix), Step::Settle) => mix.capture.after,
            (Draws::Mix(mix), Step::Refund) => mix.refund.after,
            _ => Duration::ZERO,
        }
    }

    /// What request number `request` is; its transfers of the first step are put into `legs`, whose memory is used again.
    pub(crate) fn content(&self, request: u64, legs: &mut Vec<Leg>) -> Content {
        legs.clear();
        match &self.draws {
            Draws::Mix(mix) => self.draw(mix, &mut SplitMix64::of(self.seed, request), legs),
            Draws::Rows(rows) => {
                let from = (request * u64::from(self.batch)).min(rows.len() as u64) as usize;
                let rows = rows[from..].iter().take(self.batch as usize);
                legs.extend(rows.map(|&(debit, credit, amount)| leg(Kind::Payment, debit, credit, amount)));
                Content::Transfers { duplicate: None }
            }
        }
    }

    /// The transfer of `step` that belongs to the leg at `position` of request `request`; none when there is none.
    pub(crate) fn planned(&self, request: u64, step: Step, position: usize, leg: &Leg) -> Option<Planned> {
        let place = |step| Place { request, step, position: position as u16 };
        let own = Planned {
            place: place(step),
            kind: leg.kind,
            debit: leg.debit,
            credit: leg.credit,
            amount: leg.amount,
            flags: 0,
            pending: None,
            timeout: 0,
            penniless: leg.penniless,
        };
        let pending = Some((place(Step::First), leg.amount));
        match (step, leg.follow) {
            (Step::First, _) => {
                let linked = if leg.linked { TransferFlags::LINKED } else { 0 };
                let (reserve, timeout) = match (leg.kind, &self.draws) {
                    (Kind::Authorise, Draws::Mix(mix)) => {
                        (TransferFlags::PENDING, mix.capture.timeout.as_secs() as u32)
                    }
                    _ => (0, 0),
                };
                Some(Planned { flags: linked | reserve, timeout, ..own })
            }
            (Step::Settle, Follow::Capture(amount)) => {
                let flags = TransferFlags::POST_PENDING;
                Some(Planned { kind: Kind::Capture, amount, flags, pending, ..own })
            }
            (Step::Settle, Follow::Void) => {
                Some(Planned { kind: Kind::Void, flags: TransferFlags::VOID_PENDING, pending, ..own })
            }
            (Step::Refund, Follow::Refund) => {
                Some(Planned { kind: Kind::Refund, debit: leg.credit, credit: leg.debit, ..own })
            }
            _ => None,
        }
    }

    /// What customers are given before the run, in requests of as many as fit; empty without opening balances.
    pub(crate) fn openings(&self) -> impl Iterator<Item = Vec<Planned>> + '_ {
        let customers = if self.opening_balance > 0 { self.population.customers() } else { 0..0 };
        let customers: Vec<u32> = customers.collect();
        let parts: Vec<Vec<u32>> = customers.chunks(BATCH_EVENTS_MAX).map(<[u32]>::to_vec).collect();
        (0u64..).zip(parts).map(|(request, part)| {
            let opening = |(position, customer): (usize, u32)| self.opening(request, position, customer);
            part.into_iter().enumerate().map(opening).collect()
        })
    }

    /// The opening balance at this place; none when there is no such customer.
    pub(crate) fn opening_at(&self, place: Place) -> Option<Planned> {
        let customer = place.request.checked_mul(BATCH_EVENTS_MAX as u64)?.checked_add(u64::from(place.position))?;
        let customer = u32::try_from(customer).ok().filter(|c| self.population.customers().contains(c))?;
        let fits = self.opening_balance > 0 && usize::from(place.position) < BATCH_EVENTS_MAX;
        fits.then(|| self.opening(place.request, usize::from(place.position), customer))
    }

    fn opening(&self, request: u64, position: usize, customer: u32) -> Planned {
        Planned {
            place: Place { request, step: Step::Opening, position: position as u16 },
            kind: Kind::Opening,
            debit: self.population.treasury,
            credit: customer,
            amount: self.opening_balance,
            flags: 0,
            pending: None,
            timeout: 0,
            penniless: false,
        }
    }

    /// `planned` as the ledger has to hold it, but for its timestamp. Every transfer carries the run in `user_data_64` and
    /// 1 + the number of its kind in `user_data_32`.
    pub(crate) fn transfer(&self, planned: &Planned) -> crest_ledger::Transfer {
        crest_ledger::Transfer {
            id: planned.place.id(self.run),
            debit_account_id: self.population.id(planned.debit),
            credit_account_id: self.population.id(planned.credit),
            amount: u128::from(planned.amount),
            pending_id: planned.pending.map_or(0, |(place, _)| place.id(self.run)),
            user_data_64: self.run.number(),
            user_data_32: planned.kind as u32 + 1,
            timeout: planned.timeout,
            ledger: self.ledger,
            code: CODE,
            flags: TransferFlags(planned.flags),
            ..Default::default()
        }
    }

    /// `planned` as a message.
    pub(crate) fn message(&self, planned: &Planned) -> v1::Transfer {
        transfer_to(&self.transfer(planned))
    }

    /// The transfer by which the auditor, under its own name, voids the authorisation `leg` at `place`.
    pub(crate) fn release(&self, place: Place, leg: &Leg, auditor: RunId) -> v1::Transfer {
        transfer_to(&crest_ledger::Transfer {
            id: place.id(auditor),
            debit_account_id: self.population.id(leg.debit),
            credit_account_id: self.population.id(leg.credit),
            amount: u128::from(leg.amount),
            pending_id: place.id(self.run),
            user_data_64: self.run.number(),
            user_data_32: Kind::Void as u32 + 1,
            ledger: self.ledger,
            code: CODE,
            flags: TransferFlags(TransferFlags::VOID_PENDING),
            ..Default::default()
        })
    }

    /// The request that reads the balances of these accounts.
    pub(crate) fn balances(&self, accounts: &[u32]) -> v1::LookupAccountsRequest {
        v1::LookupAccountsRequest {
            ids: accounts.iter().map(|&place| id_to(self.population.id(place))).collect(),
            read: None,
        }
    }

    /// The request that reads the latest transfers of this account.
    pub(crate) fn history(&self, account: u32) -> v1::GetAccountTransfersRequest {
        let filter = v1::AccountFilter {
            account_id: number_to(self.population.id(account)),
            order: v1::Order::NewestFirst as i32,
            limit: HISTORY_ROWS,
            ..Default::default()
        };
        v1::GetAccountTransfersRequest { filter: Some(filter) }
    }
}
