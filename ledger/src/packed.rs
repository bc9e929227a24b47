//! Reading and writing little-endian fields: the one style of bytes in the log, between router and nodes, and in values.

/// Reads from the front of a slice. Every method answers `None` at the end and never panics.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

macro_rules! read {
    ($($name:ident -> $ty:ty),*) => {$(
        /// The next field.
        pub fn $name(&mut self) -> Option<$ty> {
            let (head, tail) = self.0.split_first_chunk::<{ size_of::<$ty>() }>()?;
            self.0 = tail;
            Some(<$ty>::from_le_bytes(*head))
        }
    )*};
}

impl<'a> Reader<'a> {
    read!(u8 -> u8, u16 -> u16, u32 -> u32, u64 -> u64, u128 -> u128);

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    /// A count that is at most `max` and for which at least `each` bytes an item are left: safe to reserve memory for.
    pub fn count(&mut self, max: usize, each: usize) -> Option<usize> {
        let n = self.u32()? as usize;
        (n <= max && n.checked_mul(each)? <= self.0.len()).then_some(n)
    }

    /// Whether all bytes were read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends to a vector.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

macro_rules! write {
    ($($name:ident($ty:ty)),*) => {$(
        /// Appends the field.
        pub fn $name(&mut self, v: $ty) -> &mut Self {
            self.0.extend_from_slice(&v.to_le_bytes());
            self
        }
    )*};
}

impl Writer<'_> {
    write!(u8(u8), u16(u16), u32(u32), u64(u64), u128(u128));
}
