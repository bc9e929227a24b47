//! The bytes of simple values and lists.

use crate::packed::{Reader, Writer};
use crate::records::Sides;
use crate::txn::{Event, EventResult, Step, TxnId};
use crate::{Account, AccountBalance, Transfer};

/// Something with a packed form.
pub(super) trait Packed: Sized {
    /// The fewest bytes that one takes: what bounds a list's memory.
    const BYTES_MIN: usize;

    fn pack(&self, out: &mut Vec<u8>);
    fn unpack(r: &mut Reader<'_>) -> Option<Self>;
}

/// A count and the items.
pub(super) fn pack_list<T: Packed>(items: &[T], out: &mut Vec<u8>) {
    Writer(out).u32(u32::try_from(items.len()).expect("lists are bounded far below 2^32"));
    for item in items {
        item.pack(out);
    }
}

/// As [`pack_list`], of a list that the other side reads with `max`: longer ones are a bug here, and not the other side's
/// trouble.
pub(super) fn pack_at_most<T: Packed>(items: &[T], max: usize, out: &mut Vec<u8>) {
    assert!(items.len() <= max, "a list of {} items is packed, and the other side reads at most {max}", items.len());
    pack_list(items, out);
}

/// The inverse of [`pack_list`], for at most `max` items.
pub(super) fn unpack_list<T: Packed>(r: &mut Reader<'_>, max: usize) -> Option<Vec<T>> {
    let n = r.count(max, T::BYTES_MIN)?;
    let mut items = Vec::with_capacity(n);
    for _ in 0..n {
        items.push(T::unpack(r)?);
    }
    Some(items)
}

macro_rules! packed_number {
    ($($ty:ty, $name:ident;)*) => {$(
        impl Packed for $ty {
            const BYTES_MIN: usize = size_of::<$ty>();

            fn pack(&self, out: &mut Vec<u8>) {
                Writer(out).$name(*self);
            }

            fn unpack(r: &mut Reader<'_>) -> Option<Self> {
                r.$name()
            }
        }
    )*};
}

packed_number! {
    u8, u8;
    u32, u32;
    u64, u64;
    u128, u128;
}

impl Packed for bool {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        match r.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<A: Packed, B: Packed> Packed for (A, B) {
    const BYTES_MIN: usize = A::BYTES_MIN + B::BYTES_MIN;

    fn pack(&self, out: &mut Vec<u8>) {
        self.0.pack(out);
        self.1.pack(out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some((A::unpack(r)?, B::unpack(r)?))
    }
}

impl<T: Packed> Packed for Option<T> {
    const BYTES_MIN: usize = 1;

    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(v) => {
                out.push(1);
                v.pack(out);
            }
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        match r.u8()? {
            0 => Some(None),
            1 => Some(Some(T::unpack(r)?)),
            _ => None,
        }
    }
}

impl Packed for Account {
    const BYTES_MIN: usize = 128;

    fn pack(&self, out: &mut Vec<u8>) {
        Account::pack(self, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Account::unpack(r)
    }
}

impl Packed for Transfer {
    const BYTES_MIN: usize = 128;

    fn pack(&self, out: &mut Vec<u8>) {
        Transfer::pack(self, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Transfer::unpack(r)
    }
}

impl Packed for AccountBalance {
    const BYTES_MIN: usize = 72;

    fn pack(&self, out: &mut Vec<u8>) {
        AccountBalance::pack(self, out);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        AccountBalance::unpack(r)
    }
}

impl Packed for TxnId {
    const BYTES_MIN: usize = 24;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u128(self.first_id).u64(self.attempt);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { first_id: r.u128()?, attempt: r.u64()? })
    }
}

impl Packed for EventResult {
    const BYTES_MIN: usize = 9;

    fn pack(&self, out: &mut Vec<u8>) {
        Writer(out).u8(self.status).u64(self.timestamp);
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self { status: r.u8()?, timestamp: r.u64()? })
    }
}

const STEP_ACCOUNT: u8 = 1;
const STEP_TRANSFER: u8 = 2;
const STEP_TRANSFER_CLAMPED: u8 = 3;

impl Packed for Step {
    const BYTES_MIN: usize = 133;

    fn pack(&self, out: &mut Vec<u8>) {
        let kind = match &self.event {
            Event::Account(_) => STEP_ACCOUNT,
            Event::Transfer(t) if t.amount == self.amount_max => STEP_TRANSFER,
            Event::Transfer(_) => STEP_TRANSFER_CLAMPED,
        };
        Writer(out).u8(kind).u8(self.sides.number()).u8(self.request_status).u16(self.index);
        match &self.event {
            Event::Account(a) => a.pack(out),
            Event::Transfer(t) => t.pack(out),
        }
        if kind == STEP_TRANSFER_CLAMPED {
            Writer(out).u128(self.amount_max);
        }
    }

    fn unpack(r: &mut Reader<'_>) -> Option<Self> {
        let kind = r.u8()?;
        let sides = Sides::from_number(r.u8()?)?;
        let (request_status, index) = (r.u8()?, r.u16()?);
        let (event, amount_max) = match kind {
            STEP_ACCOUNT => (Event::Account(Account::unpack(r)?), 0),
            STEP_TRANSFER | STEP_TRANSFER_CLAMPED => {
                let t = Transfer::unpack(r)?;
                (Event::Transfer(t), if kind == STEP_TRANSFER { t.amount } else { r.u128()? })
            }
            _ => return None,
        };
        Some(Self { index, sides, request_status, amount_max, event })
    }
}
