//! What one record does to one account, in few bytes.

use crest_ledger::records::Effect;
use crest_ledger::{Transfer, TransferFlags};

/// A row of the scratch database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    /// Which pending column it is of, as an index of [`Effect`]: 0 debits, 2 credits.
    side: usize,
    added_pending: u128,
    added_posted: u128,
    taken_pending: u128,
    pub(super) imported: bool,
    pub(super) expiry: bool,
    /// What it made of the flag `closed`, if it touched it.
    pub(super) closed: Option<bool>,
}

impl Move {
    /// That of `t` on one side. `pending` is what it resolves.
    pub(super) fn of(t: &Transfer, pending: Option<&Transfer>, debit: bool) -> Self {
        let (side, account_id) = if debit { (0, t.debit_account_id) } else { (2, t.credit_account_id) };
        let effect = Effect::of(t, pending, account_id);
        Self {
            side,
            added_pending: effect.added[side],
            added_posted: effect.added[side + 1],
            taken_pending: effect.taken[side],
            imported: t.flags.any(TransferFlags::IMPORTED),
            expiry: t.flags.any(TransferFlags::EXPIRY),
            closed: effect.closed,
        }
    }

    /// The balances after it; `None` when one leaves its range.
    pub(super) fn apply(&self, mut balances: [u128; 4]) -> Option<[u128; 4]> {
        let pending = balances[self.side].checked_add(self.added_pending)?.checked_sub(self.taken_pending)?;
        let posted = balances[self.side + 1].checked_add(self.added_posted)?;
        (balances[self.side], balances[self.side + 1]) = (pending, posted);
        Some(balances)
    }

    pub(super) fn pack(&self) -> [u8; 49] {
        let mut out = [0; 49];
        let bit = |set: bool, bit: u8| if set { 1 << bit } else { 0 };
        out[0] = bit(self.side == 2, 0)
            | bit(self.imported, 1)
            | bit(self.expiry, 2)
            | bit(self.closed.is_some(), 3)
            | bit(self.closed == Some(true), 4);
        let amounts = [self.added_pending, self.added_posted, self.taken_pending];
        for (chunk, amount) in out[1..].chunks_exact_mut(16).zip(amounts) {
            chunk.copy_from_slice(&amount.to_le_bytes());
        }
        out
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first_chunk::<1>()?;
        let bit = |bit: u8| flags[0] & 1 << bit != 0;
        let (amounts, rest) = rest.as_chunks::<16>();
        let [added_pending, added_posted, taken_pending] = amounts else { return None };
        rest.is_empty().then_some(Self {
            side: if bit(0) { 2 } else { 0 },
            added_pending: u128::from_le_bytes(*added_pending),
            added_posted: u128::from_le_bytes(*added_posted),
            taken_pending: u128::from_le_bytes(*taken_pending),
            imported: bit(1),
            expiry: bit(2),
            closed: bit(3).then_some(bit(4)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_reads_back_and_does_what_its_transfer_does() {
        let pending = Transfer {
            id: 1,
            debit_account_id: 5,
            credit_account_id: 6,
            amount: 10,
            flags: TransferFlags(TransferFlags::PENDING | TransferFlags::CLOSING_CREDIT),
            ..Transfer::default()
        };
        let post =
            Transfer { id: 2, amount: 7, pending_id: 1, flags: TransferFlags(TransferFlags::POST_PENDING), ..pending };
        let void = Transfer { flags: TransferFlags(TransferFlags::VOID_PENDING | TransferFlags::IMPORTED), ..post };
        let expiry = Transfer { flags: TransferFlags(TransferFlags::EXPIRY), ..post };
        let plain = Transfer { amount: u128::MAX, flags: TransferFlags(0), ..pending };
        for (t, of) in
            [(pending, None), (post, Some(pending)), (void, Some(pending)), (expiry, Some(pending)), (plain, None)]
        {
            for debit in [true, false] {
                let a_move = Move::of(&t, of.as_ref(), debit);
                assert_eq!(Move::unpack(&a_move.pack()), Some(a_move), "{t:?}");
                let account_id = if debit { 5 } else { 6 };
                let effect = Effect::of(&t, of.as_ref(), account_id);
                let expected = std::array::from_fn(|i| {
                    effect.added[i].wrapping_add(if i % 2 == 0 { 20 } else { 0 }) - effect.taken[i]
                });
                assert_eq!(a_move.apply([20, 0, 20, 0]), Some(expected), "{t:?}");
            }
        }
        assert_eq!(
            Move::of(&post, Some(&pending), true).apply([9, 0, 0, 0]),
            None,
            "more is released than is reserved"
        );
        assert_eq!(Move::unpack(&[0; 48]), None);
    }
}
