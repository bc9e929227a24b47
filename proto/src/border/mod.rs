//! The border: the one place where messages become domain types ([`crest_ledger`]) and back. Nothing behind it handles an
//! unset field, a number that does not fit, or an unknown enum value.
//!
//! `…_from` reads a message and may refuse it with a [`FieldError`] that names the field; `…_to` writes one and cannot
//! fail. Servers read requests (`accounts_from`, `account_filter_from`) and write answers (`account_to`,
//! `transfer_result_to`); clients do the reverse with the same functions.
//!
//! The border checks form only: what does not fit its type, counts and filters. What the ledger has a status for, such as
//! an id of 0, goes through and is answered event by event.

mod account;
mod audit;
mod cursor;
mod error;
mod filter;
mod finding;
mod in_doubt;
mod number;
mod result;
mod transfer;

pub use account::{account_from, account_to, accounts_from, balance_from, balance_to};
pub use audit::MoreTotals;
pub use cursor::cursor_after;
pub use error::FieldError;
pub use filter::{account_filter_from, query_filter_from, read_at_from};
pub use finding::{finding_from, finding_to};
pub use in_doubt::{
    Resolve, attempt_from, attempt_to, in_doubt_cursor, in_doubt_filter_from, limit_from, resolve_from,
};
pub use number::{id_to, ids_from, ids_to, number_from, number_to};
pub use result::{account_result_from, account_result_to, transfer_result_from, transfer_result_to};
pub use transfer::{transfer_from, transfer_to, transfers_from};
