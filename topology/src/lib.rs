//! The map: account id → slot → shard → addresses, with epochs.
//!
//! An account id hashes to one of [`SLOTS`] slots, for ever; the [`SlotMap`] says which shard owns a slot, at an epoch;
//! the [`Cluster`] file says where the shards are. Everything here is a value: nothing watches, connects or retries, and
//! only [`Cluster::load`] touches the disk. Reading order: the modules below.

pub mod slots;
pub mod map;
pub mod cluster;

pub use cluster::{Cluster, ClusterFileError, ShardEntry};
pub use map::{MapError, SlotMap, SlotRange};
pub use slots::{SLOTS, ShardId, Slot, slot_of};
