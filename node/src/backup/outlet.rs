//! Rows become pages, and pages answers. Nothing is read ahead of what is asked for but one page.

use std::sync::atomic::{AtomicBool, Ordering};

use crest_ledger::wire::audit::{LedgerSums, TOTALS_MAX};
use crest_ledger::wire::backup::{BackupAnswer, BackupEnd, BackupKind, PAGE_BYTES_MAX};
use crest_ledger::wire::{QueryAnswer, Response};
use crest_link::LinkError;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::time::Instant;

use super::session::Ask;
use crate::audit::scan::{Interrupted, Outcome};
use crate::executor::Reply;
use crate::limits;

/// Where rows go.
pub(super) struct Outlet<'a> {
    shard: u32,
    give_up: &'a dyn Fn() -> bool,
    asks: Receiver<Ask>,
    told: &'a AtomicBool,
    /// The number of the next page.
    next: u64,
    /// The page before, in case its answer was lost.
    last: Option<BackupAnswer>,
    kind: BackupKind,
    rows: u32,
    body: Vec<u8>,
    read: u64,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(shard: u32, give_up: &'a dyn Fn() -> bool, asks: Receiver<Ask>, told: &'a AtomicBool) -> Self {
        let (kind, body) = (BackupKind::Transfers, Vec::new());
        Self { shard, give_up, asks, told, next: 0, last: None, kind, rows: 0, body, read: 0 }
    }

    /// Adds a row.
    pub(super) fn put(&mut self, kind: BackupKind, pack: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        if self.kind != kind {
            self.flush()?;
            self.kind = kind;
        }
        pack(&mut self.body);
        self.rows += 1;
        if self.body.len() >= PAGE_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Notes that so much was read. A page ends after a while, with rows or without, so that whoever asks can say how fast it
    /// may go on, and hears that it does.
    pub(super) fn count(&mut self, bytes: usize) -> Outcome {
        self.read += bytes as u64;
        if self.read >= limits::BACKUP_PAGE_READ_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands over what there is.
    fn flush(&mut self) -> Outcome {
        if self.rows == 0 && self.read == 0 {
            return Ok(());
        }
        let (body, rows, read) =
            (std::mem::take(&mut self.body), std::mem::take(&mut self.rows), std::mem::take(&mut self.read));
        self.answer(BackupAnswer::Page { kind: self.kind, rows, body, read })
    }

    /// Hands over the changes in the order of ledger numbers and the end, and stays for a while, in case its answer was lost.
    pub(super) fn end(mut self, changes: Vec<LedgerSums>, end: BackupEnd) -> Outcome {
        self.flush()?;
        let ledgers = changes.len() as u64;
        let mut changes = changes.into_iter();
        while changes.len() > TOTALS_MAX {
            self.answer(BackupAnswer::Changes(changes.by_ref().take(TOTALS_MAX).collect()))?;
        }
        let end = BackupEnd { changes: changes.collect(), ledgers, ..end };
        self.answer(BackupAnswer::End(end))?;
        self.told.store(true, Ordering::Relaxed);
        while let Ok((number, reply)) = self.wait() {
            self.repeat(number, reply);
        }
        Ok(())
    }

    /// Waits until the next page is asked for, and answers with this.
    fn answer(&mut self, answer: BackupAnswer) -> Outcome {
        loop {
            let (number, reply) = self.wait()?;
            if number != self.next {
                self.repeat(number, reply);
                continue;
            }
            let _ = reply.send(Ok(Response::Query(QueryAnswer::Backup(answer.clone()))));
            self.next += 1;
            self.last = Some(answer);
            return Ok(());
        }
    }

    fn repeat(&self, number: u64, reply: Reply) {
        let last = self.last.as_ref().filter(|_| number + 1 == self.next);
        let _ = reply.send(match last {
            Some(last) => Ok(Response::Query(QueryAnswer::Backup(last.clone()))),
            None => Err(LinkError::Refused { shard: self.shard, why: format!("page {number} is not the next one") }),
        });
    }

    fn wait(&self) -> Outcome<Ask> {
        let since = Instant::now();
        loop {
            match self.asks.recv_timeout(limits::TICK) {
                Ok(ask) => return Ok(ask),
                Err(RecvTimeoutError::Timeout) if !(self.give_up)() && since.elapsed() < limits::BACKUP_PATIENCE => {}
                Err(_) => return Err(Interrupted::Stopping),
            }
        }
    }
}
