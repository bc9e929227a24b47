//! The parts that serve: everything in one process, or one part a process. The same parts in both.

pub mod embedded;
pub mod dev;
pub mod node;
pub mod router;
mod grpc;
pub(crate) mod health;
mod map;
mod metrics_page;
pub mod telemetry;

pub use embedded::{Embedded, EmbeddedConfig};
