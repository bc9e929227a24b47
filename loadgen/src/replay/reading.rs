//! The thread that turns the file into requests, a few of them ahead of the one that is in flight.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, anyhow, bail};
use crest_proto::border::number_to;
use crest_proto::naming::name_id;
use crest_proto::v1;
use csv::ByteRecord;
use tokio::sync::mpsc;

use super::ids::{code_of, namespace_bits, transfer_id};
use super::rows::{Columns, parse_row};
use super::source;

/// Kinds whose codes the report lists.
pub(crate) const KINDS_LISTED_MAX: usize = 64;

/// What to read and how.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) file: PathBuf,
    pub(crate) namespace: String,
    pub(crate) ledger: u32,
    pub(crate) scale: u32,
    /// Payments in one request.
    pub(crate) batch: usize,
    /// Read no further than the first wrong row.
    pub(crate) stop_on_error: bool,
}

/// A row that is no payment.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct WrongRow {
    /// The line in the file at which the row begins; the first line is 1.
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// A piece of the file, in its order.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Accounts that no earlier chunk has named.
    pub(crate) new_accounts: Vec<(Box<str>, u128)>,
    /// The payments; may be none.
    pub(crate) request: v1::CreateTransfersRequest,
    /// The line of each payment.
    pub(crate) lines: Vec<u64>,
    /// Rows of this piece that are no payments.
    pub(crate) wrong: Vec<WrongRow>,
    /// The line of its last row.
    pub(crate) last_line: u64,
}

/// Reads all of the file into `chunks`, waiting while they are full, and gives the codes of the kinds it met (the first
/// [`KINDS_LISTED_MAX`] of them). Ends early and well when nobody takes the chunks any more.
///
/// # Errors
/// When the file cannot be read, is damaged, or lacks a column.
pub(crate) fn read(
    reading: &Reading,
    bytes_read: Arc<AtomicU64>,
    chunks: &mpsc::Sender<Chunk>,
) -> anyhow::Result<BTreeMap<String, u16>> {
    let mut csv = source::open(&reading.file, bytes_read)?;
    let file = reading.file.display();
    let header = csv.byte_headers().with_context(|| file.to_string())?.clone();
    if header.is_empty() {
        bail!("{file}: the file is empty; its first row has to name the columns");
    }
    let columns = Columns::find(&header).map_err(|reason| anyhow!("{file}: {reason}"))?;
    let bits = namespace_bits(&reading.namespace);
    let mut parser = Parser { reading, columns, bits, ids: HashMap::new(), kinds: BTreeMap::new() };
    let mut chunk = Chunk::default();
    let mut record = ByteRecord::new();
    while csv.read_byte_record(&mut record).with_context(|| format!("{file}: reading on"))? {
        let clean = parser.add(&record, &mut chunk);
        let stop = !clean && reading.stop_on_error;
        if stop || chunk.lines.len() >= reading.batch || chunk.wrong.len() >= reading.batch {
            // An error here says that the receiver is gone: it has its reasons and reports them.
            if chunks.blocking_send(std::mem::take(&mut chunk)).is_err() || stop {
                return Ok(parser.kinds);
            }
        }
    }
    let _ = chunks.blocking_send(chunk);
    Ok(parser.kinds)
}

struct Parser<'a> {
    reading: &'a Reading,
    columns: Columns,
    bits: u64,
    ids: HashMap<Box<str>, u128>,
    kinds: BTreeMap<String, u16>,
}

impl Parser<'_> {
    /// Adds the row to the chunk; false when it is wrong.
    fn add(&mut self, record: &ByteRecord, chunk: &mut Chunk) -> bool {
        let line = record.position().map_or(0, csv::Position::line);
        chunk.last_line = line;
        let row = match parse_row(record, &self.columns, self.reading.scale) {
            Ok(row) => row,
            Err(reason) => {
                chunk.wrong.push(WrongRow { line, reason: reason.to_string() });
                return false;
            }
        };
        let code = code_of(row.kind);
        if self.kinds.len() < KINDS_LISTED_MAX && !self.kinds.contains_key(row.kind) {
            self.kinds.insert(row.kind.to_owned(), code);
        }
        let transfer = v1::Transfer {
            id: number_to(transfer_id(self.bits, row.id)),
            debit_account_id: number_to(account_id(&mut self.ids, row.debit, chunk)),
            credit_account_id: number_to(account_id(&mut self.ids, row.credit, chunk)),
            amount: number_to(row.amount),
            user_data_64: row.date,
            // The lower 32 bits: a second row with the same id differs from the first at least in this.
            user_data_32: line as u32,
            ledger: self.reading.ledger,
            code: u32::from(code),
            ..Default::default()
        };
        chunk.request.transfers.push(transfer);
        chunk.lines.push(line);
        true
    }
}

/// The account's id, which is hashed once; a new account joins the chunk.
fn account_id(ids: &mut HashMap<Box<str>, u128>, name: &str, chunk: &mut Chunk) -> u128 {
    if let Some(&id) = ids.get(name) {
        return id;
    }
    let id = name_id(name);
    ids.insert(name.into(), id);
    chunk.new_accounts.push((name.into(), id));
    id
}
