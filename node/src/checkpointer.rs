//! The thread that writes checkpoints, off the path of any answer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crest_ledger::tables::Layer;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::consensus::SnapshotMeta;
use crate::executor::Event;
use crate::points;
use crate::store::checkpoint::Checkpoint;
use crate::store::rows::Storage;

pub(crate) enum CheckpointJob {
    Write(Checkpoint),
    /// Offers the files of the store, which stands at that position, to other replicas.
    Export(SnapshotMeta),
    /// A layer that is stored: giving back its memory takes a while, so it is done here.
    Drop(Arc<Layer>),
}

impl CheckpointJob {
    /// Does it. What the executor has to hear of it.
    pub(crate) fn run(self, rows: &dyn Storage) -> Option<Event> {
        match self {
            Self::Write(checkpoint) => Some(match checkpoint.write(rows) {
                Ok(()) => Event::Checkpointed(checkpoint.group),
                Err(e) => Event::Failed(e.to_string()),
            }),
            Self::Export(meta) => Some(match rows.export() {
                Ok(files) => Event::Exported(meta, files),
                Err(e) => Event::NotExported(e.to_string()),
            }),
            Self::Drop(layer) => {
                drop(layer);
                None
            }
        }
    }

    fn records(&self) -> Option<usize> {
        match self {
            Self::Write(checkpoint) => Some(checkpoint.layer.records()),
            Self::Export(_) | Self::Drop(_) => None,
        }
    }
}

/// Starts the thread. It ends when the returned sender is dropped, or after the first failure.
pub(crate) fn start(
    shard: u32,
    rows: Arc<dyn Storage>,
    events: Sender<Event>,
) -> std::io::Result<(Sender<CheckpointJob>, JoinHandle<()>)> {
    let (jobs, todo): (Sender<CheckpointJob>, Receiver<CheckpointJob>) = bounded(4);
    let labels = [("shard", shard.to_string())];
    let seconds = metrics::histogram!("crest_checkpoint_seconds", &labels);
    let records = metrics::histogram!("crest_checkpoint_records", &labels);
    let thread = std::thread::Builder::new().name(format!("checkpoint-{shard}")).spawn(move || {
        for job in todo {
            let (begun, size) = (Instant::now(), job.records());
            let event = job.run(&*rows);
            if let Some(size) = size {
                seconds.record(begun.elapsed());
                records.record(size as f64);
                points::CHECKPOINT_DONE.pass();
            }
            let Some(event) = event else { continue };
            let failed = matches!(event, Event::Failed(_));
            if events.send(event).is_err() || failed {
                break;
            }
        }
    })?;
    Ok((jobs, thread))
}
