//! The law of Crest: what an account and a transfer are, and what may become of them.
//!
//! Pure and deterministic: no I/O, no clock, no randomness, no threads. A shell (crate `crest-node`, or a simulation)
//! loads the records that a command names, calls a verb, and stores what changed. Reading order: the modules below.

pub mod limits;
pub mod clock;
pub mod packed;
pub mod rehearsal;
pub mod account;
pub mod transfer;
pub mod status;
pub mod query;
pub mod txn;
pub mod records;
pub mod holds;
pub mod decisions;
pub mod resolutions;
pub mod chains;
pub mod tables;
pub mod checks;
mod record;
pub mod verbs;
pub mod needs;
pub mod command;
pub mod finding;
pub mod wire;

pub use account::{Account, AccountFlags};
pub use clock::Timestamp;
pub use query::{AccountBalance, AccountFilter, Conditions, Page, QueryFilter};
pub use rehearsal::{Rehearsals, Traffic, is_rehearsal};
pub use status::{AccountStatus, TransferStatus};
pub use transfer::{Transfer, TransferFlags};
