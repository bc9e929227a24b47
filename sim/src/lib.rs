//! Deterministic simulation of a whole cluster: the real ledger, executor, log, store and router under virtual time.
//!
//! A seed decides everything: the cluster's size, what clients send, how messages travel, which process dies when, what a
//! disk forgets, how wrong a clock is. The same seed gives the same run, bit for bit, so a seed is a bug report. The method
//! is FoundationDB's ("FoundationDB: A Distributed Unbundled Transactional Key Value Store", SIGMOD 2021, section 4).
//!
//! Everything runs on one thread, in a tokio runtime whose clock stands still until nothing is left to do at an instant.
//! What is simulated: the network ([`network`], and [`links`] and [`peers`] over it), disks ([`disk`]), the rows of the store
//! ([`rows`], [`home`]), clocks and processes ([`machine`], [`front`]). What is real: everything else. Reading order: [`plan`]
//! what a seed decides, [`mod@run`] its course, [`workload`] and [`client`] who sends what, [`faults`] what goes wrong, [`ending`]
//! how everybody comes to rest, [`record`], [`truth`], [`replay`] and [`invariants`] what has to hold.

#![allow(clippy::panic, clippy::expect_used, reason = "a simulation reports by panicking, as tests do")]

pub mod plan;
pub mod run;
mod world;
mod trace;
mod network;
mod links;
mod peers;
mod disk;
mod rows;
mod home;
mod machine;
mod front;
mod workload;
mod client;
mod history;
mod faults;
mod ending;
mod record;
mod truth;
mod replay;
mod invariants;

pub use plan::Plan;
pub use record::Happened;
pub use run::{Report, run, run_plan};
