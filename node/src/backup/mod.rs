//! A backup of one shard: a snapshot of its store, read page by page on a thread of its own while payments flow.
//!
//! What is told is logical: accounts, transfers, failed ids, all as of one instant. Nothing else makes up a shard's state
//! then. At or below that instant nothing is in doubt, so no hold is open, every decision has been carried out wherever it
//! had to be, and no tombstone refuses anything that could still come; what was decided later is in no part of it, on no
//! shard. Ids, histories and timeouts follow from the records.
//!
//! Reading order: [`session`] is the thread, [`outlet`] makes pages of rows, [`read`] says what is told, [`transfers`] and
//! [`accounts`] how.

mod outlet;
mod read;
mod transfers;
mod accounts;
pub(crate) mod session;

pub(crate) use session::Session;
