//! The thread that makes log entries durable: one append and one fsync for each group.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::consensus::ToAppend;
use crate::executor::Event;
use crate::log::{AppendStats, SegmentLog};
use crate::points;

pub(crate) enum LogJob {
    Append(ToAppend),
    /// Everything up to this index is in a checkpoint.
    TruncateFront(u64),
}

impl LogJob {
    /// Does it. What the executor has to hear of it, and what an append cost.
    pub(crate) fn run(self, log: &mut SegmentLog) -> (Option<Event>, Option<AppendStats>) {
        match self {
            Self::Append(append) => match log.append(&append.entries, append.hard_state) {
                Ok(stats) => (Some(Event::Appended { number: append.number, bytes: stats.bytes }), Some(stats)),
                Err(e) => (Some(Event::Failed(e.to_string())), None),
            },
            Self::TruncateFront(through) => {
                (log.truncate_front(through).err().map(|e| Event::Failed(e.to_string())), None)
            }
        }
    }
}

/// Starts the thread. It ends when the returned sender is dropped, or after the first failure: a failed fsync is never
/// tried again, since the kernel may have dropped the pages ("fsyncgate", PostgreSQL, 2018).
pub(crate) fn start(
    shard: u32,
    mut log: SegmentLog,
    events: Sender<Event>,
) -> std::io::Result<(Sender<LogJob>, JoinHandle<()>)> {
    let (jobs, todo): (Sender<LogJob>, Receiver<LogJob>) = bounded(64);
    let labels = [("shard", shard.to_string())];
    let append_seconds = metrics::histogram!("crest_log_append_seconds", &labels);
    let sync_seconds = metrics::histogram!("crest_log_fsync_seconds", &labels);
    let bytes_total = metrics::counter!("crest_log_bytes_total", &labels);
    let thread = std::thread::Builder::new().name(format!("log-{shard}")).spawn(move || {
        for job in todo {
            let (event, stats) = job.run(&mut log);
            if let Some(stats) = stats {
                append_seconds.record(stats.write_time);
                sync_seconds.record(stats.sync_time);
                bytes_total.increment(stats.bytes);
                points::LOG_SYNCED.pass();
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
