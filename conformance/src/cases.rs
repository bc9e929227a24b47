//! The tables, by subject.

mod accounts;
mod balancing;
mod chains;
mod closing;
mod failed;
mod fields;
mod idempotency;
mod imported;
mod limits;
mod lists;
mod order;
mod overflow;
mod pending;
mod precedence;
mod queries;
mod rehearsals;
mod reused;
mod reused_in_chains;
mod timeouts;

use crate::case::{Case, list, query};
use crate::event::{Moment, TransferEvent, account, hold, pay, plain, post, void};

/// All cases.
pub fn all() -> Vec<Case> {
    [
        accounts::cases(),
        fields::cases(),
        precedence::cases(),
        limits::cases(),
        overflow::cases(),
        balancing::cases(),
        pending::cases(),
        timeouts::cases(),
        closing::cases(),
        idempotency::cases(),
        failed::cases(),
        chains::cases(),
        order::cases(),
        reused::cases(),
        reused_in_chains::cases(),
        imported::cases(),
        lists::cases(),
        queries::cases(),
        rehearsals::cases(),
    ]
    .concat()
}
