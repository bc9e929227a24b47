//! The front door: any router takes any request, and works on it with the shards that it concerns.
//!
//! It has no disk and keeps no state that matters. Reading order: [`router`] is what it offers, [`place`], [`learned`],
//! [`stages`] and [`levels`] plan a request (all pure), [`drive`] works on it, [`finisher`] ends what was decided, [`service`] speaks gRPC.

pub mod limits;
pub mod points;
pub mod error;
mod admission;
pub mod router;
mod random;
mod seen;
mod place;
mod learned;
mod stages;
mod levels;
mod drive;
mod finisher;
mod known;
pub mod reads;
pub mod readiness;
pub mod audit;
pub mod backup;
mod audit_messages;
mod backup_messages;
pub mod in_doubt;
pub mod resolve;
pub mod shard_times;
mod in_doubt_messages;
mod status_message;
mod calls;
pub mod costs;
pub mod service;
mod stream;

pub use error::RouterError;
pub use router::Router;
