//! What the ledger can be told to get wrong. Each lie is told once; the answer never betrays it.

use crest_ledger::{Transfer, TransferStatus};

use super::State;

/// What it gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Says that it is made, and makes nothing.
    NeverMade,
    /// Makes it, moves the money, and has no row of it.
    NoRow,
    /// Makes it, and says that it was refused.
    MadeThoughRefused,
    /// Makes it, and once more under another id.
    MadeTwice,
    /// Makes it, and lists it twice.
    ListedTwice,
    /// Makes one of one more than was asked for.
    OtherAmount,
    /// Makes it the other way round.
    OtherDirection,
    /// Makes it, and adds one to the payer's debits.
    OtherBalance,
    /// Makes it, and leaves its reservation as it was, or reserves nothing.
    OtherReservation,
    /// Makes it, and stores another instant than it says.
    OtherTimestamp,
    /// Gives the payer what it lacks first, and then makes it, though it had to be refused.
    NoLimit,
    /// Answers a second request for it as if there had been none, with a refusal.
    RefusedAtLast,
}

/// A lie about a transfer of the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) lie: Lie,
    /// Which transfers may be lied about.
    pub(crate) which: fn(&Transfer) -> bool,
    /// How many of them are left alone first.
    pub(crate) after: u32,
}

impl State {
    /// Makes a transfer, or does with it what was ordered.
    pub(super) fn create_or_lie(&mut self, transfer: Transfer) -> (TransferStatus, u64) {
        let known = self.transfers.contains_key(&transfer.id);
        let Some(about) = self.lie.as_mut().filter(|about| (about.which)(&transfer)) else {
            return self.create_transfer(transfer);
        };
        if known != (about.lie == Lie::RefusedAtLast) {
            return self.create_transfer(transfer);
        }
        if about.after > 0 {
            about.after -= 1;
            return self.create_transfer(transfer);
        }
        let lie = about.lie;
        let answer = self.tell(lie, transfer);
        // What is refused anyway was nothing to lie about.
        if answer.is_some() {
            self.lie = None;
        }
        answer.unwrap_or_else(|| self.create_transfer(transfer))
    }

    fn tell(&mut self, lie: Lie, transfer: Transfer) -> Option<(TransferStatus, u64)> {
        let (id, now) = (transfer.id, self.now());
        match lie {
            Lie::NeverMade => return Some((TransferStatus::Created, now)),
            Lie::RefusedAtLast => return Some((TransferStatus::ExceedsCredits, now)),
            // This one has what it pays.
            Lie::NoLimit if self.check(&transfer).is_ok() => return None,
            Lie::NoLimit => {
                self.accounts.entry(transfer.debit_account_id).and_modify(|a| a.credits_posted += transfer.amount);
            }
            _ => {}
        }
        let asked = match lie {
            Lie::OtherAmount => Transfer { amount: transfer.amount + 1, ..transfer },
            Lie::OtherDirection => Transfer {
                debit_account_id: transfer.credit_account_id,
                credit_account_id: transfer.debit_account_id,
                ..transfer
            },
            _ => transfer,
        };
        let (status, at) = self.create_transfer(asked);
        if status != TransferStatus::Created {
            return None;
        }
        match lie {
            Lie::NoRow => self.order.retain(|other| *other != id),
            Lie::MadeThoughRefused => return Some((TransferStatus::ExceedsCredits, at)),
            Lie::MadeTwice => drop(self.create_transfer(Transfer { id: id ^ 1 << 127, ..transfer })),
            Lie::ListedTwice => self.order.push(id),
            Lie::OtherTimestamp => {
                let later = self.now();
                self.transfers.entry(id).and_modify(|stored| stored.timestamp = later);
            }
            Lie::OtherBalance => {
                self.accounts.entry(transfer.debit_account_id).and_modify(|a| a.debits_posted += 1);
            }
            Lie::OtherReservation => {
                self.accounts.entry(transfer.credit_account_id).and_modify(|a| a.credits_pending += 1);
            }
            _ => {}
        }
        Some((status, at))
    }
}
