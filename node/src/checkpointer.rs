//! The thread that writes checkpoints, off the path of any answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crest_ledger::tables::Layer;
use crossbeam_channel::{Receiver, Sender, bounded};
use rocksdb::DB;

use crate::executor::Event;
use crate::store::checkpoint::Checkpoint;

pub(crate) enum CheckpointJob {
    Write(Checkpoint),
    /// A layer that is stored: giving back its memory takes a while, so it is done here.
    Drop(Arc<Layer>),
}

/// Starts the thread. It ends when the returned sender is dropped, or after the first failure.
pub(crate) fn start(
    shard: u32,
    db: Arc<DB>,
    dir: PathBuf,
    events: Sender<Event>,
) -> std::io::Result<(Sender<CheckpointJob>, JoinHandle<()>)> {
    let (jobs, todo): (Sender<CheckpointJob>, Receiver<CheckpointJob>) = bounded(4);
    let labels = [("shard", shard.to_string())];
    let seconds = metrics::histogram!("crest_checkpoint_seconds", &labels);
    let records = metrics::histogram!("crest_checkpoint_records", &labels);
    let thread = std::thread::Builder::new().name(format!("checkpoint-{shard}")).spawn(move || {
        for job in todo {
            let checkpoint = match job {
                CheckpointJob::Write(checkpoint) => checkpoint,
                CheckpointJob::Drop(layer) => {
                    drop(layer);
                    continue;
                }
            };
            let begun = Instant::now();
            let result = checkpoint.write(&db, &dir);
            seconds.record(begun.elapsed());
            records.record(checkpoint.layer.records() as f64);
            let event = match result {
                Ok(()) => Event::Checkpointed(checkpoint.applied),
                Err(e) => Event::Failed(e.to_string()),
            };
            let failed = matches!(event, Event::Failed(_));
            if events.send(event).is_err() || failed {
                break;
            }
        }
    })?;
    Ok((jobs, thread))
}
