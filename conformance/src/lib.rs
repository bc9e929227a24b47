//! The ledger's semantics as tables: what every implementation has to answer (docs/SEMANTICS.md).
//!
//! Three things, for tests only:
//!
//! * [`Subject`] is what claims to be the ledger: one state machine, a node, or a whole cluster behind its routers.
//! * [`cases::all`] are the tables. [`run()`] plays one of them on a subject and panics where an answer is another one.
//! * [`differential`] plays random operations on a subject and on [`Model`], a deliberately naive ledger, and compares.
//!
//! Nothing here knows how a subject works, on which shard an account lives, or how many shards there are: a runner says
//! which real ids stand for the small numbers in the tables, and so places the accounts.

#![allow(clippy::panic, reason = "a conformance suite reports by panicking, as tests do")]

pub mod case;
pub mod cases;
pub mod event;
pub mod model;
pub mod random;
mod run;
pub mod subject;
mod workload;

pub use case::{Case, Step};
pub use model::Model;
pub use run::run;
pub use subject::Subject;
pub use workload::{differential, seeds};
