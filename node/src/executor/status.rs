//! What a shard says of itself.

use crest_ledger::wire::ShardStatus;

use super::Executor;

impl Executor {
    /// How it is now.
    pub(super) fn status(&self) -> ShardStatus {
        let scalars = self.tables.scalars();
        let figures = self.in_doubt_figures();
        ShardStatus {
            accounts: scalars.accounts,
            transfers: scalars.transfers,
            rehearsal_accounts: scalars.rehearsal_accounts,
            rehearsal_transfers: scalars.rehearsal_transfers,
            holds: self.tables.holds().len() as u64,
            hold_age_ms_max: figures.hold_age.as_millis() as u64,
            outbox: self.tables.decisions().outbox_len() as u64,
            outbox_age_ms_max: figures.outbox_age.as_millis() as u64,
            in_doubt: figures.in_doubt as u64,
            in_doubt_age_ms_max: figures.in_doubt_age.as_millis() as u64,
            applied_index: self.applied,
            checkpoint_index: self.state.checkpoint_index,
            clock: scalars.clock,
        }
    }
}
