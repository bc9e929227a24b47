//! What the parts are called, small enough that a state is a few hundred bytes.

use std::fmt;

/// Shards in every world: A, B and C.
pub const SHARDS: usize = 3;

/// The most attempts, each with a router of its own.
pub const ATTEMPTS_MAX: usize = 3;

/// The most events.
pub const EVENTS_MAX: usize = 3;

/// The most accounts.
pub const ACCOUNTS_MAX: usize = 4;

/// Abstract time: one tick is one decide window ([`crate::world::DECIDE_WINDOW`]).
pub type Time = u8;

/// What moves, in the smallest unit.
pub type Amount = u8;

/// What moves in each event of a world.
pub type Amounts = [Amount; EVENTS_MAX];

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $letters:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u8);

        impl $name {
            /// As an index.
            pub fn at(self) -> usize {
                usize::from(self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let letters: &[&str] = &$letters;
                f.write_str(letters.get(self.at()).copied().unwrap_or("?"))
            }
        }
    };
}

name!(
    /// A shard.
    ShardId,
    ["A", "B", "C"]
);
name!(
    /// An attempt at a request, and the router that drives it.
    AttemptId,
    ["1", "2", "3"]
);
name!(
    /// An event: a transfer by its id.
    EventId,
    ["e0", "e1", "e2"]
);
name!(
    /// An account.
    AccountId,
    ["x", "y", "z", "w"]
);

/// All shards.
pub const ALL: [ShardId; SHARDS] = [ShardId(0), ShardId(1), ShardId(2)];

/// A set of shards.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shards(u8);

impl Shards {
    /// With one more.
    #[must_use]
    pub fn with(self, shard: ShardId) -> Self {
        Self(self.0 | 1 << shard.0)
    }

    /// Without one.
    #[must_use]
    pub fn without(self, shard: ShardId) -> Self {
        Self(self.0 & !(1 << shard.0))
    }

    /// Whether it is in.
    pub fn has(self, shard: ShardId) -> bool {
        self.0 & 1 << shard.0 != 0
    }

    /// Whether none is in.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in, in order.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        ALL.into_iter().filter(move |s| self.has(*s))
    }
}

impl FromIterator<ShardId> for Shards {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        shards.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
