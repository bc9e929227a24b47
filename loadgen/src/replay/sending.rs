//! From requests to results, in the order of the file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use crest_ledger::TransferStatus;
use crest_proto::border::{number_from, transfer_result_from};
use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::accounts::{Accounts, Opening};
use super::reading::{Chunk, WrongRow};
use crate::progress::Progress;
use crate::retry::{Patience, Settled, Unsettled, until_settled};

/// Rows that the report keeps; all of them are named as they are met.
const ROWS_KEPT_MAX: usize = 1_000;

/// What became of the rows.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answers, by status.
    pub(crate) statuses: BTreeMap<TransferStatus, u64>,
    /// Rows that are no payments.
    pub(crate) wrong: u64,
    /// The first rows that were wrong or refused.
    pub(crate) kept: Vec<WrongRow>,
    /// Lines of all rows that were wrong or refused: the file's sums leave them out.
    pub(crate) left_out: Vec<u64>,
    /// The last line that was dealt with.
    pub(crate) last_line: u64,
    /// Attempts with an unknown outcome, and attempts that the router was too busy for.
    pub(crate) unknown: u64,
    pub(crate) busy: u64,
    /// The line at which it stopped, when it was to stop.
    pub(crate) stopped_at: Option<u64>,
}

impl Tally {
    /// Rows that were sent and answered.
    pub(crate) fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }
}

/// Sends what is read.
pub(crate) struct Sender<'a> {
    pub(crate) client: LedgerClient<Channel>,
    pub(crate) opening: Opening,
    pub(crate) in_flight: usize,
    pub(crate) stop_on_error: bool,
    pub(crate) accounts: Accounts,
    pub(crate) tally: Tally,
    pub(crate) progress: &'a mut Progress,
    pub(crate) bytes_read: Arc<AtomicU64>,
    pub(crate) begun: Instant,
}

type Outcome = Result<Settled<v1::CreateTransfersResponse>, Unsettled>;

impl Sender<'_> {
    /// Sends every chunk, at most `in_flight` at a time. With one at a time, the order of the file is the order of every
    /// account; the next chunk is read meanwhile.
    ///
    /// # Errors
    /// When an outcome stays unknown, the ledger refuses a whole request, or answers nonsense.
    pub(crate) async fn send_all(&mut self, mut chunks: mpsc::Receiver<Chunk>) -> anyhow::Result<()> {
        let mut in_flight = JoinSet::new();
        while let Some(mut chunk) = chunks.recv().await {
            while in_flight.len() >= self.in_flight {
                self.settle_next(&mut in_flight).await?;
            }
            if self.tally.stopped_at.is_some() {
                break;
            }
            for row in std::mem::take(&mut chunk.wrong) {
                self.tally.wrong += 1;
                self.leave_out(row);
            }
            self.tally.last_line = self.tally.last_line.max(chunk.last_line);
            let new = std::mem::take(&mut chunk.new_accounts);
            let notes = self.accounts.open(&self.client, &self.opening, new).await?;
            notes.iter().for_each(|note| self.progress.note(note));
            if !chunk.lines.is_empty() {
                in_flight.spawn(send(self.client.clone(), self.opening.patience, chunk));
            }
        }
        while !in_flight.is_empty() {
            self.settle_next(&mut in_flight).await?;
        }
        self.tally.left_out.sort_unstable();
        Ok(())
    }

    /// Leaves a row out of the sums, and names it.
    fn leave_out(&mut self, row: WrongRow) {
        self.progress.note(&format!("line {}: {}", row.line, row.reason));
        if self.stop_on_error && self.tally.stopped_at.is_none() {
            self.tally.stopped_at = Some(row.line);
        }
        self.tally.left_out.push(row.line);
        if self.tally.kept.len() < ROWS_KEPT_MAX {
            self.tally.kept.push(row);
        }
    }

    async fn settle_next(&mut self, in_flight: &mut JoinSet<(Chunk, Outcome)>) -> anyhow::Result<()> {
        let Some(joined) = in_flight.join_next().await else { return Ok(()) };
        let (chunk, outcome) = joined.context("a sending task ended early")?;
        let (first, last) = (chunk.lines.first().copied().unwrap_or(0), chunk.last_line);
        let settled = outcome.with_context(|| format!("sending the payments of lines {first} to {last}"))?;
        self.tally.unknown += settled.unknown;
        self.tally.busy += settled.busy;
        let results = settled.answer.results;
        if results.len() != chunk.lines.len() {
            bail!("lines {first} to {last}: {} results for {} payments", results.len(), chunk.lines.len());
        }
        for ((result, transfer), &line) in results.into_iter().zip(&chunk.request.transfers).zip(&chunk.lines) {
            let (status, at) = transfer_result_from(result).with_context(|| format!("the result of line {line}"))?;
            *self.tally.statuses.entry(status).or_default() += 1;
            let [debit, credit] = [transfer.debit_account_id, transfer.credit_account_id].map(number_from);
            if status.is_done() {
                self.accounts.settle(status, debit, credit, number_from(transfer.amount), at);
            } else {
                // The lower half of the transfer's id is the row's own.
                let row = number_from(transfer.id) as u64;
                self.leave_out(WrongRow { line, reason: reason(status, row) });
            }
        }
        let (sent, seconds) = (self.tally.answered(), self.begun.elapsed().as_secs_f64());
        let bytes = self.bytes_read.load(Ordering::Relaxed);
        self.progress.show(bytes, || format!("{sent} payments, {:.0}/s, line {last}", sent as f64 / seconds.max(1e-9)));
        Ok(())
    }
}

/// Why the ledger refused the row with the number `row`.
fn reason(status: TransferStatus, row: u64) -> String {
    if (TransferStatus::ExistsWithDifferentFlags..TransferStatus::Exists).contains(&status) {
        format!("refused: {status}; id {row} is a duplicate: another row of this namespace has used it")
    } else {
        format!("refused: {status} (id {row})")
    }
}

async fn send(client: LedgerClient<Channel>, patience: Patience, chunk: Chunk) -> (Chunk, Outcome) {
    let outcome = until_settled(patience, || {
        let (mut client, request) = (client.clone(), chunk.request.clone());
        async move { client.create_transfers(request).await.map(tonic::Response::into_inner) }
    });
    let outcome = outcome.await;
    (chunk, outcome)
}
