//! A ledger of real processes whose records are changed by hand, and what an audit says of every change.

mod cases;
mod hand;
mod ledger;

use std::time::Duration;

pub(crate) use cases::{CASES, Case};
pub(crate) use hand::{Opened, flip_a_byte};
pub(crate) use ledger::{Fixture, SHARDS};

/// How long a command may take, and what is in doubt.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
