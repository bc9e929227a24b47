//! On which shards the accounts of a case live.

use crest_topology::SlotMap;

/// How a case's accounts are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All on one shard of four: every transfer is local.
    OneShard,
    /// Wherever their hash says, over four shards: local and cross-shard ones together.
    Scattered,
    /// Account `n` on shard `n % shards`. With 2 shards, about half of the transfers are local, and the others touch the same
    /// two shards; with 7, nearly every transfer is cross-shard, and many have no shard in common.
    Apart(u32),
}

impl Layout {
    /// How many shards the cluster has.
    pub(crate) fn shards(self) -> u32 {
        match self {
            Self::OneShard | Self::Scattered => 4,
            Self::Apart(shards) => shards,
        }
    }

    /// Whether all accounts are on one shard.
    pub(crate) fn is_one_shard(self) -> bool {
        matches!(self, Self::OneShard | Self::Apart(1))
    }

    /// The id that stands for a case's account `n`; other ones for every `salt`. It is one to one, since multiplying by an
    /// odd number is.
    pub(crate) fn account(self, n: u128, salt: u128) -> u128 {
        let candidate = |attempt: u128| {
            (n + (salt << 16) + (attempt << 80)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        };
        let shard = match self {
            Self::Scattered => return candidate(0),
            Self::OneShard => 0,
            Self::Apart(shards) => u32::try_from(n % u128::from(shards)).unwrap(),
        };
        let map = SlotMap::even(&(0..self.shards()).collect::<Vec<_>>()).unwrap();
        (0..).map(candidate).find(|id| map.shard_of(*id) == shard).unwrap()
    }
}
