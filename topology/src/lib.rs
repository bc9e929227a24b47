//! The map: account id → slot → shard → nodes → addresses, with a version and an epoch.
//!
//! An account id hashes to one of [`SLOTS`] slots, for ever; the [`SlotMap`] says which shard owns a slot, at an epoch;
//! the [`Cluster`] says on which nodes the replicas of a shard are, and where the nodes are. [`placement`] makes the next
//! version of it. Everything here is a value: nothing watches, connects or retries, and only [`Cluster::load`] touches the
//! disk. Reading order: the modules below.

pub mod slots;
pub mod map;
pub mod cluster;
pub mod file;
pub mod placement;

pub use cluster::{Cluster, NodeEntry, NodeId, ShardEntry, SuccessionError};
pub use file::ClusterFileError;
pub use map::{MapError, SlotMap, SlotRange};
pub use slots::{SLOTS, ShardId, Slot, slot_of};
