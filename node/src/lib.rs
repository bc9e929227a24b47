//! One replica of one shard: a ledger that a single thread executes, a log that makes it durable, a store that keeps it.
//!
//! Reading order: [`node`] opens and stops it, [`replica`] is what it is without threads, [`executor`] is its heart,
//! [`consensus`] and [`log`] order and keep the entries, [`store`] holds the state, [`service`], [`recovery`] and `expiry` speak with the others.

pub mod limits;
pub mod points;
pub mod node;
pub mod replica;
pub mod birth;
mod joining;
pub mod leaving;
pub mod peers;
pub mod snapshot;
pub mod host;
mod claim;
mod executor;
pub mod consensus;
pub mod log;
mod log_writer;
pub mod store;
mod checkpointer;
mod audit;
mod backup;
pub mod restore;
pub mod costs;
pub mod service;
pub mod recovery;
mod expiry;
mod peer_checks;
pub mod clock;
mod metrics_of;

pub use birth::Birth;
pub use clock::ClockSource;
pub use consensus::{Members, ReplicaId};
pub use node::{Node, NodeHandle};
pub use replica::{Replica, ReplicaConfig};
