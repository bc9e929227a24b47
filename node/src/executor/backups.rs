//! The executor's part in backups: the instant, the checkpoint before the snapshot, and which thread answers.

use crest_ledger::wire::backup::BackupBegin;
use crest_link::LinkError;

use super::reads::Parked;
use super::{Ended, Executor, Reply};
use crate::backup::{Session, session};
use crate::limits;

/// The backups of a shard.
#[derive(Default)]
pub(super) struct Backups {
    /// Those that wait for the checkpoint that is being written.
    waiting: Vec<(BackupBegin, Reply)>,
    /// Those that are under way.
    sessions: Vec<Session>,
}

impl Executor {
    /// As an audit, a backup reads a snapshot, and the store has to have everything first: a checkpoint is written.
    pub(super) fn start_backup(&mut self, parked: Parked, begin: BackupBegin) -> Ended {
        if self.state.checkpointing {
            self.state.parked.push_back(parked);
            return Ok(());
        }
        self.maybe_checkpoint(true)?;
        self.state.backups.waiting.push((begin, parked.reply));
        Ok(())
    }

    /// Starts the backups that waited for the checkpoint which was just written.
    pub(super) fn run_backups(&mut self) {
        for (begin, begun) in std::mem::take(&mut self.state.backups.waiting) {
            let (shard, map, rows) = (self.shard, self.map.clone(), self.store.rows());
            let sessions = &mut self.state.backups.sessions;
            sessions.retain(|session| session.number() != begin.number && !session.is_over());
            if sessions.len() >= limits::BACKUPS_MAX {
                let why = format!("{} backups are under way already", limits::BACKUPS_MAX);
                let _ = begun.send(Err(LinkError::Refused { shard, why }));
                continue;
            }
            let stopping = self.state.audits_stop.clone();
            match Session::start(session::Begin { shard, map, rows, begin, begun, stopping }) {
                Ok(session) => sessions.push(session),
                Err(why) => tracing::warn!(shard, %why, "no thread for a backup"),
            }
        }
    }

    /// Hands the question for a page to the backup that it is of.
    pub(super) fn ask_backup(&self, number: u64, page: u64, reply: Reply) {
        let session = self.state.backups.sessions.iter().find(|session| session.number() == number);
        let unanswered = match session {
            Some(session) => session.ask((page, reply)).err(),
            None => Some((page, reply)),
        };
        if let Some((_, reply)) = unanswered {
            let why = format!("backup {number} is not under way here (any more)");
            let _ = reply.send(Err(LinkError::Refused { shard: self.shard, why }));
        }
    }
}
