//! What one account does when one thing happens after the other: the specification that histories are checked against.

use std::collections::BTreeMap;

use stateright::semantics::SequentialSpec;

use super::payments::Balances;

/// An account whose debits must not exceed its credits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    balances: Balances,
    /// What pending transfers reserved, by id: the amount, and whether it is a debit of the account.
    reserved: BTreeMap<u128, (u128, bool)>,
}

/// Something that is done to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// Somebody pays the account.
    Deposit(u128),
    /// The account pays somebody.
    Withdraw(u128),
    /// The account pays what it has, at most so much.
    Drain(u128),
    /// Somebody reserves a payment to the account, under an id.
    Promise(u128, u128),
    /// A payment of the account is reserved, under an id.
    Reserve(u128, u128),
    /// So much of what was reserved under an id is paid, and the rest released.
    Post(u128, u128),
    /// What was reserved under an id is released.
    Void(u128),
    /// The balances are read.
    Read,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ret {
    Done,
    /// There was not enough.
    Refused,
    /// As they were read.
    Balances(Balances),
}

impl Account {
    /// A new account that was paid `funds` first.
    pub(crate) fn with(funds: u128) -> Self {
        Self { balances: [0, 0, 0, funds], reserved: BTreeMap::new() }
    }

    /// What it can pay.
    fn room(&self) -> u128 {
        let [debits_pending, debits_posted, _, credits_posted] = self.balances;
        credits_posted.saturating_sub(debits_posted + debits_pending)
    }

    /// Takes what was reserved under an id out of the pending columns; and posts so much of it.
    fn end(&mut self, id: u128, posted: u128) -> Ret {
        let Some((amount, is_debit)) = self.reserved.remove(&id) else { return Ret::Refused };
        let (pending, into) = if is_debit { (0, 1) } else { (2, 3) };
        self.balances[pending] -= amount;
        self.balances[into] += posted;
        Ret::Done
    }
}

impl SequentialSpec for Account {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match *op {
            Op::Withdraw(amount) | Op::Reserve(_, amount) if amount > self.room() => return Ret::Refused,
            Op::Deposit(amount) => self.balances[3] += amount,
            Op::Withdraw(amount) => self.balances[1] += amount,
            Op::Drain(most) => self.balances[1] += most.min(self.room()),
            Op::Promise(id, amount) => {
                self.balances[2] += amount;
                self.reserved.insert(id, (amount, false));
            }
            Op::Reserve(id, amount) => {
                self.balances[0] += amount;
                self.reserved.insert(id, (amount, true));
            }
            Op::Post(id, amount) => return self.end(id, amount),
            Op::Void(id) => return self.end(id, 0),
            Op::Read => return Ret::Balances(self.balances),
        }
        Ret::Done
    }
}
