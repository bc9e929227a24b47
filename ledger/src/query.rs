//! What readers ask for: filters over one account's transfers, over accounts and over transfers (docs/SEMANTICS.md, 7).

use crate::clock::Timestamp;
use crate::limits::TIMESTAMP_MAX;
use crate::packed::{Reader, Writer};
use crate::{Account, Rehearsals, Transfer, TransferFlags};

/// Conditions that an object has to meet, all of them; 0 is any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The user's own.
    pub user_data_128: u128,
    /// The user's own.
    pub user_data_64: u64,
    /// The user's own.
    pub user_data_32: u32,
    /// The ledger number.
    pub ledger: u32,
    /// The kind.
    pub code: u16,
    /// Whether what is on ledger numbers of rehearsals belongs to it.
    pub rehearsals: Rehearsals,
}

impl Conditions {
    fn meet(&self, user: (u128, u64, u32), ledger: u32, code: u16) -> bool {
        (self.user_data_128 == 0 || self.user_data_128 == user.0)
            && (self.user_data_64 == 0 || self.user_data_64 == user.1)
            && (self.user_data_32 == 0 || self.user_data_32 == user.2)
            && (self.ledger == 0 || self.ledger == ledger)
            && (self.code == 0 || self.code == code)
            && self.rehearsals.admit(ledger)
    }

    /// Whether `account` meets them.
    pub fn match_account(&self, a: &Account) -> bool {
        self.meet((a.user_data_128, a.user_data_64, a.user_data_32), a.ledger, a.code)
    }

    /// Whether `transfer` meets them. The records of expiries are no transfers and never do.
    pub fn match_transfer(&self, t: &Transfer) -> bool {
        !t.flags.any(TransferFlags::EXPIRY)
            && self.meet((t.user_data_128, t.user_data_64, t.user_data_32), t.ledger, t.code)
    }
}

/// A page of a list that is ordered by timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The first timestamp that belongs to it, ns, inclusive.
    pub timestamp_min: Timestamp,
    /// The last one, inclusive.
    pub timestamp_max: Timestamp,
    /// From `timestamp_max` down instead of from `timestamp_min` up.
    pub newest_first: bool,
    /// Rows at the most; at least 1.
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { timestamp_min: 0, timestamp_max: TIMESTAMP_MAX, newest_first: false, limit: 8_190 }
    }
}

/// The transfers (or balances) of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Whose.
    pub account_id: u128,
    /// Which; `ledger` and `rehearsals` leave nothing out here: an account has one ledger number.
    pub conditions: Conditions,
    /// Leave out those that debit the account.
    pub without_debits: bool,
    /// Leave out those that credit the account.
    pub without_credits: bool,
    /// Which part.
    pub page: Page,
}

impl AccountFilter {
    /// Whether `transfer`, which touches the account, belongs to the list.
    pub fn matches(&self, t: &Transfer) -> bool {
        let debits = t.debit_account_id == self.account_id && !self.without_debits;
        let credits = t.credit_account_id == self.account_id && !self.without_credits;
        (debits || credits) && self.conditions.match_transfer(t)
    }
}

/// All accounts, or all transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryFilter {
    /// Which.
    pub conditions: Conditions,
    /// Which part.
    pub page: Page,
}

/// The four balances of an account right after the transfer with this timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountBalance {
    /// As in [`Account`].
    pub debits_pending: u128,
    /// As in [`Account`].
    pub debits_posted: u128,
    /// As in [`Account`].
    pub credits_pending: u128,
    /// As in [`Account`].
    pub credits_posted: u128,
    /// The transfer's, ns.
    pub timestamp: Timestamp,
}

impl Conditions {
    fn pack(&self, w: &mut Writer<'_>) {
        w.u128(self.user_data_128).u64(self.user_data_64).u32(self.user_data_32).u32(self.ledger).u16(self.code);
        w.u8(self.rehearsals.number());
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            user_data_128: r.u128()?,
            user_data_64: r.u64()?,
            user_data_32: r.u32()?,
            ledger: r.u32()?,
            code: r.u16()?,
            rehearsals: Rehearsals::from_number(r.u8()?)?,
        })
    }
}

impl Page {
    fn pack(&self, w: &mut Writer<'_>) {
        w.u64(self.timestamp_min).u64(self.timestamp_max).u8(u8::from(self.newest_first)).u32(self.limit);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { timestamp_min: r.u64()?, timestamp_max: r.u64()?, newest_first: r.u8()? != 0, limit: r.u32()? })
    }
}

impl AccountFilter {
    /// Appends the filter's bytes.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u128(self.account_id).u8(u8::from(self.without_debits)).u8(u8::from(self.without_credits));
        self.conditions.pack(&mut w);
        self.page.pack(&mut w);
    }

    /// The inverse of [`AccountFilter::pack`].
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            account_id: r.u128()?,
            without_debits: r.u8()? != 0,
            without_credits: r.u8()? != 0,
            conditions: Conditions::unpack(r)?,
            page: Page::unpack(r)?,
        })
    }
}

impl QueryFilter {
    /// Appends the filter's bytes.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        self.conditions.pack(&mut w);
        self.page.pack(&mut w);
    }

    /// The inverse of [`QueryFilter::pack`].
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { conditions: Conditions::unpack(r)?, page: Page::unpack(r)? })
    }
}

impl AccountBalance {
    /// Appends the balance's bytes.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u128(self.debits_pending).u128(self.debits_posted).u128(self.credits_pending).u128(self.credits_posted);
        w.u64(self.timestamp);
    }

    /// The inverse of [`AccountBalance::pack`].
    pub fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            debits_pending: r.u128()?,
            debits_posted: r.u128()?,
            credits_pending: r.u128()?,
            credits_posted: r.u128()?,
            timestamp: r.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_they_were_written_and_refused_when_cut_short() {
        for rehearsals in Rehearsals::ALL {
            let conditions =
                Conditions { user_data_128: 1, user_data_64: 2, user_data_32: 3, ledger: 4, code: 5, rehearsals };
            let page = Page { timestamp_min: 6, timestamp_max: 7, newest_first: true, limit: 8 };
            let query = QueryFilter { conditions, page };
            let account =
                AccountFilter { account_id: 9, without_debits: true, without_credits: false, conditions, page };
            let (mut bytes, mut other) = (Vec::new(), Vec::new());
            query.pack(&mut bytes);
            account.pack(&mut other);
            assert_eq!(QueryFilter::unpack(&mut Reader(&bytes)), Some(query));
            assert_eq!(AccountFilter::unpack(&mut Reader(&other)), Some(account));
            assert_eq!(QueryFilter::unpack(&mut Reader(&bytes[..bytes.len() - 1])), None);
        }
    }
}
