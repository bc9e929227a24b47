//! Taking a backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crest_ledger::wire::backup::BackupKind;
use crest_loadgen::progress::Progress;
use crest_proto::border::{number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::backup_response::Update;
use serde_json::json;
use tonic::Code;

use super::super::connect::Common;
use super::super::human::{format_amount, format_time};
use super::super::outcome::{Failure, Outcome};
use super::{Stopped, ends};
use crate::backup::blocks::{BlockWriter, Of};
use crate::backup::folder::{Folder, Locked, follows};
use crate::backup::manifest::{FileEntry, Manifest, Mark, Parent, Shard};
use crate::backup::{BackupError, FORMAT};

/// How often a backup is made again because its parts do not hold together.
const TRIES: u32 = 3;

/// Where to, and how fast.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the backups; it is made when it is not there
    #[arg(long, value_name = "DIR", required = true)]
    to: Option<PathBuf>,
    /// Take everything, also where there is a backup to go on from
    #[arg(long)]
    full: bool,
    /// Read at most so many MiB a second, from all shards together
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    rate_mib: u32,
}

pub(super) async fn execute(args: &Args, common: &Common) -> Result<Outcome, Stopped> {
    let Some(to) = &args.to else { return Err(Failure::Usage("--to DIR is missing".to_owned()).into()) };
    let begun = Instant::now();
    let locked = Folder::at(to).lock()?;
    let parent = match locked.folder.instants()?.last().filter(|_| !args.full) {
        Some(at) => Some(Manifest::load(&locked.folder.path(*at))?),
        None => None,
    };
    let mut why = String::new();
    for _ in 0..TRIES {
        let mut taking = Taking::begin(&locked, parent.as_ref(), args.rate_mib)?;
        taking.receive(common).await?;
        match taking.manifest() {
            Ok(manifest) => {
                let path = locked.complete(&manifest)?;
                return Ok(outcome(&manifest, &path, begun.elapsed(), common.scale));
            }
            Err(not) => why = not,
        }
    }
    let again = if parent.is_some() {
        "; if that is not it, begin anew with --full, and run crest audit"
    } else {
        "; if that is not it, run crest audit"
    };
    Err(Stopped::unavailable(format!(
        "no backup was made: {why}; were events imported all the while, dated back?{again}"
    )))
}

/// A backup on its way.
struct Taking<'a> {
    dir: PathBuf,
    parent: Option<&'a Manifest>,
    begun: Option<v1::BackupBegun>,
    cluster: Option<String>,
    parts: BTreeMap<u32, Part>,
    pace: Pace,
    progress: Progress,
}

/// What was told of one shard.
#[derive(Default)]
struct Part {
    files: BTreeMap<BackupKind, BlockWriter>,
    /// How the balances of ledger numbers changed, as far as that does not stand in the end.
    changes: Vec<v1::LedgerTotals>,
    end: Option<(v1::BackupShardEnd, Vec<FileEntry>)>,
}

impl<'a> Taking<'a> {
    fn begin(locked: &Locked, parent: Option<&'a Manifest>, rate_mib: u32) -> Result<Self, Stopped> {
        Ok(Self {
            dir: locked.begin()?,
            parent,
            begun: None,
            cluster: None,
            parts: BTreeMap::new(),
            pace: Pace::new(rate_mib),
            progress: Progress::of_time(),
        })
    }

    /// Asks for a backup and writes what comes.
    async fn receive(&mut self, common: &Common) -> Result<(), Stopped> {
        let mut client = common.operations().await?;
        let mark = |mark: Mark| Some(v1::BackupMark { timestamp: mark.at, print: number_to(mark.print) });
        let marks = |shard: &Shard| v1::BackupMarks {
            shard: shard.shard,
            account: mark(shard.account),
            transfer: mark(shard.transfer),
        };
        let shards = self.parent.iter().flat_map(|parent| &parent.shards);
        let since = self.parent.map_or(0, |parent| parent.at);
        let request = v1::BackupRequest { since, marks: shards.map(marks).collect() };
        let mut updates = client.backup(request).await.map_err(|s| failed(&s))?.into_inner();
        loop {
            match updates.message().await.map_err(|s| failed(&s))? {
                Some(v1::BackupResponse { update: Some(update) }) => self.take(update).await?,
                Some(v1::BackupResponse { update: None }) => {}
                None => break,
            }
        }
        self.progress.finish();
        Ok(())
    }

    async fn take(&mut self, update: Update) -> Result<(), Stopped> {
        match update {
            Update::Begun(begun) => {
                self.check_map(&begun)?;
                self.begun = Some(begun);
            }
            Update::ShardBegun(begun) => {
                if self.cluster.get_or_insert_with(|| begun.cluster.clone()) != &begun.cluster {
                    return Err(Stopped::Refused(format!("shard {} is of cluster {}", begun.shard, begun.cluster)));
                }
                if let Some(parent) = self.parent.filter(|parent| parent.cluster != begun.cluster) {
                    let (old, new) = (&parent.cluster, begun.cluster);
                    return Err(Stopped::Refused(format!(
                        "the backups in this folder are of cluster {old}, and this is cluster {new}; give another --to"
                    )));
                }
                self.forget(begun.shard)?;
            }
            Update::Page(page) => self.page(page).await?,
            Update::Changes(changes) => self.part(changes.shard)?.changes.extend(changes.changes),
            Update::ShardEnd(end) => {
                let part = self.part(end.shard)?;
                let end = with_changes(end, std::mem::take(&mut part.changes))?;
                let files: Result<Vec<FileEntry>, BackupError> =
                    std::mem::take(&mut part.files).into_values().map(BlockWriter::end).collect();
                part.end = Some((end, files?));
            }
        }
        Ok(())
    }

    /// What came of a shard before is void.
    fn forget(&mut self, shard: u32) -> Result<(), Stopped> {
        let at = self.begun.as_ref().map_or(0, |begun| begun.timestamp);
        if self.parts.insert(shard, Part::default()).is_some() {
            for kind in BackupKind::ALL {
                let path = self.dir.join(Of { shard, kind, at }.name());
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(BackupError::io("delete", &path)(e).into());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A backup goes on from one of the same slot map: each shard tells what is new on it.
    fn check_map(&self, begun: &v1::BackupBegun) -> Result<(), Stopped> {
        let now = begun.shards.iter().map(|shard| (shard.shard, slots_of(shard)));
        match self.parent {
            Some(parent) if !parent.shards.iter().map(|s| (s.shard, s.slots.clone())).eq(now) => Err(Stopped::Refused(
                "the slot map is not that of the backup before; give another --to, or --full".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn part(&mut self, shard: u32) -> Result<&mut Part, Stopped> {
        let broken = || Failure::broken_answer(format!("something of shard {shard} came before its begin"));
        Ok(self.parts.get_mut(&shard).filter(|part| part.end.is_none()).ok_or_else(broken)?)
    }

    async fn page(&mut self, page: v1::BackupPage) -> Result<(), Stopped> {
        let unknown = || Failure::broken_answer(format!("rows of the kind {}", page.kind));
        let kind = u8::try_from(page.kind).ok().and_then(BackupKind::from_number).ok_or_else(unknown)?;
        let at = self.begun.as_ref().map_or(0, |begun| begun.timestamp);
        let (dir, shard) = (self.dir.clone(), page.shard);
        let part = self.part(shard)?;
        if page.rows > 0 {
            let file = match part.files.entry(kind) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(BlockWriter::create(&dir, Of { shard, kind, at })?)
                }
            };
            file.put(page.rows, &page.body)?;
        }
        self.pace.count(page.read.max(page.body.len() as u64), page.body.len() as u64);
        let (done, shards) = (self.parts.values().filter(|part| part.end.is_some()).count(), self.shards());
        let pace = &self.pace;
        self.progress.show(pace.read, || pace.line(done, shards));
        self.pace.wait().await;
        Ok(())
    }

    fn shards(&self) -> usize {
        self.begun.as_ref().map_or(0, |begun| begun.shards.len())
    }

    /// The manifest, when the parts hold together.
    fn manifest(mut self) -> Result<Manifest, String> {
        let begun = self.begun.take().ok_or("the router did not say the instant")?;
        let mut shards = Vec::new();
        let mut all = Vec::new();
        for shard in &begun.shards {
            let part = self.parts.remove(&shard.shard).and_then(|part| part.end);
            let (end, files) = part.ok_or_else(|| format!("shard {} did not come to its end", shard.shard))?;
            shards.push(of_shard(shard, &end, files));
            all.push(end);
        }
        let totals = ends::check(&all, self.parent)?;
        let parent = match self.parent {
            Some(parent) => Some(Parent { at: parent.at, crc32c: parent.crc32c().map_err(|e| e.to_string())? }),
            None => None,
        };
        let (at, epoch) = (begun.timestamp, begun.epoch);
        let cluster = self.cluster.take().unwrap_or_default();
        let manifest = Manifest { format: FORMAT, cluster, at, parent, epoch, shards, totals };
        match self.parent {
            Some(parent) => follows(&manifest, parent).map(|()| manifest),
            None => Ok(manifest),
        }
    }
}

/// The end of a shard's part with all changes, those that came before included.
fn with_changes(end: v1::BackupShardEnd, mut changes: Vec<v1::LedgerTotals>) -> Result<v1::BackupShardEnd, Failure> {
    changes.extend(end.changes);
    if changes.len() as u64 != end.ledgers {
        return Err(Failure::broken_answer(format!(
            "shard {} has changes on {} ledgers, and sent those of {}",
            end.shard,
            end.ledgers,
            changes.len()
        )));
    }
    Ok(v1::BackupShardEnd { changes, ..end })
}

/// The slots of a shard; they are below 16,384.
fn slots_of(shard: &v1::BackupShard) -> Vec<(u16, u16)> {
    let slot = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    shard.slots.iter().map(|range| (slot(range.first), slot(range.last))).collect()
}

fn of_shard(shard: &v1::BackupShard, end: &v1::BackupShardEnd, files: Vec<FileEntry>) -> Shard {
    let mark = |mark: Option<v1::BackupMark>| {
        let mark = mark.unwrap_or_default();
        Mark { at: mark.timestamp, print: number_from(mark.print) }
    };
    let marks = end.marks.unwrap_or_default();
    Shard {
        shard: shard.shard,
        slots: slots_of(shard),
        accounts: end.accounts,
        transfers: end.transfers,
        new_accounts: end.new_accounts,
        new_transfers: end.new_transfers,
        account: mark(marks.account),
        transfer: mark(marks.transfer),
        files,
    }
}

fn failed(status: &tonic::Status) -> Stopped {
    if status.code() == Code::FailedPrecondition {
        let why = status.message();
        return Stopped::Refused(format!(
            "this cluster cannot go on from that backup: {why}; give another --to, or --full"
        ));
    }
    Failure::of_read(status).into()
}

/// How fast it goes, and may go.
struct Pace {
    begun: Instant,
    bytes_a_second: f64,
    read: u64,
    written: u64,
}

impl Pace {
    fn new(rate_mib: u32) -> Self {
        let bytes_a_second = f64::from(rate_mib) * 1_048_576.0;
        Self { begun: Instant::now(), bytes_a_second, read: 0, written: 0 }
    }

    fn count(&mut self, read: u64, written: u64) {
        self.read += read;
        self.written += written;
    }

    /// Waits until so much may have been read. The shards wait for whoever reads slowly.
    async fn wait(&self) {
        let due = Duration::from_secs_f64(self.read as f64 / self.bytes_a_second);
        tokio::time::sleep(due.saturating_sub(self.begun.elapsed())).await;
    }

    fn line(&self, done: usize, shards: usize) -> String {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let rate = mib(self.read) / self.begun.elapsed().as_secs_f64().max(0.001);
        let (read, written) = (mib(self.read), mib(self.written));
        format!("{done} of {shards} shards, {read:.0} MiB read ({rate:.0} MiB/s), {written:.0} MiB written")
    }
}

fn outcome(manifest: &Manifest, path: &Path, took: Duration, scale: u8) -> Outcome {
    let sum = |of: fn(&Shard) -> u64| manifest.shards.iter().map(of).sum::<u64>();
    let rows = |kind: BackupKind| {
        let files = manifest.shards.iter().flat_map(|shard| &shard.files);
        files.filter(|file| file.kind == kind.name()).map(|file| file.rows).sum::<u64>()
    };
    let (accounts, new_accounts) = (sum(|s| s.accounts), sum(|s| s.new_accounts));
    let records = rows(BackupKind::Transfers);
    let what = match &manifest.parent {
        Some(parent) => format!("what is new since {}", format_time(parent.at)),
        None => "everything".to_owned(),
    };
    let mut text = format!(
        "{} of cluster {} at {}: {what}\n{accounts} accounts ({new_accounts} new), {records} records of transfers, {:.1} MiB \
         in {:.1} s, {} shards\n{}\n",
        "BACKED UP",
        manifest.cluster,
        format_time(manifest.at),
        manifest.bytes() as f64 / 1_048_576.0,
        took.as_secs_f64(),
        manifest.shards.len(),
        path.display()
    );
    for totals in &manifest.totals {
        let amount = |n| format_amount(n, scale);
        let (posted, pending) = (amount(totals.debits_posted), amount(totals.debits_pending));
        text.push_str(&format!("ledger {}: {posted} debited and credited, {pending} pending\n", totals.ledger));
    }
    let json = json!({
        "timestamp": manifest.at.to_string(),
        "since": manifest.parent.as_ref().map(|parent| parent.at.to_string()),
        "cluster": manifest.cluster,
        "path": path.display().to_string(),
        "shards": manifest.shards.len(),
        "accounts": accounts.to_string(),
        "new_accounts": new_accounts.to_string(),
        "records": records.to_string(),
        "failed_ids": rows(BackupKind::FailedIds).to_string(),
        "bytes": manifest.bytes().to_string(),
        "seconds": took.as_secs_f64(),
    });
    Outcome { text, json, refusal: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_came_before_the_end_are_part_of_it_and_none_may_be_missing() {
        let of = |ledger| v1::LedgerTotals { ledger, ..Default::default() };
        let end = |ledgers| v1::BackupShardEnd { shard: 3, ledgers, changes: vec![of(9)], ..Default::default() };
        let Ok(all) = with_changes(end(3), vec![of(1), of(2)]) else { panic!("it is complete") };
        assert_eq!(all.changes.iter().map(|of| of.ledger).collect::<Vec<_>>(), [1, 2, 9]);
        assert!(with_changes(end(4), vec![of(1), of(2)]).is_err(), "those of one ledger are missing");
        assert!(with_changes(end(2), vec![of(1), of(2)]).is_err(), "one came twice");
    }
}
