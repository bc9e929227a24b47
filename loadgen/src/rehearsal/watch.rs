//! While it runs, the shards are asked how they do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crest_proto::v1;
use tokio::sync::watch;

use super::asking::Asking;
use crate::live::ShardLive;
use crate::record::ShardRecord;

/// How often the shards are asked.
const ASK: Duration = Duration::from_secs(1);
/// How long they may take to answer: a router waits 2 s for a shard that says nothing, and tells of the others then.
const ANSWER: Duration = Duration::from_secs(3);
/// Looks that are further apart say nothing about a single second.
const APART_SECONDS: f64 = 4.5;

/// What the shards said, in order of time; the time is of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looks(Arc<Mutex<Vec<Look>>>);

/// When the shards were asked, and what they said.
type Look = (Duration, Vec<v1::ShardStatus>);

impl Looks {
    /// Asks once a second until `stop` says so.
    pub(crate) async fn run(self, asking: Asking, begin: Instant, mut stop: watch::Receiver<bool>) {
        let mut clock = tokio::time::interval_at(begin.into(), ASK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                _ = stop.wait_for(|stopped| *stopped) => break,
            }
            if let Ok(status) = asking.status(ANSWER).await {
                self.all().push((begin.elapsed(), status.shards));
            }
        }
        if let Ok(status) = asking.status(ANSWER).await {
            self.all().push((begin.elapsed(), status.shards));
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each of `shards` did between the last two looks.
    pub(crate) fn latest(&self, shards: &[u32]) -> Vec<ShardLive> {
        let all = self.all();
        let [.., (from, before), (to, after)] = all.as_slice() else { return Vec::new() };
        let seconds = (*to - *from).as_secs_f64().max(1e-3);
        let find = |look: &[v1::ShardStatus], shard| look.iter().find(|s| s.shard == shard && s.reachable).cloned();
        let live = |&shard: &u32| {
            let (then, now) = (find(before, shard), find(after, shard));
            let made = then.zip(now.as_ref()).map(|(then, now)| now.transfers.saturating_sub(then.transfers));
            ShardLive { shard, per_second: made.map(|made| made as f64 / seconds), holds: now.map(|now| now.holds) }
        };
        shards.iter().map(live).collect()
    }

    /// The load of each of `shards` over so many seconds.
    pub(crate) fn records(&self, shards: &[u32], seconds: usize) -> Vec<ShardRecord> {
        let all = self.all();
        shards.iter().map(|&shard| record(&all, shard, seconds)).collect()
    }
}

fn record(all: &[Look], shard: u32, seconds: usize) -> ShardRecord {
    let own: Vec<(f64, u64, u64)> = all
        .iter()
        .filter_map(|(at, shards)| {
            let status = shards.iter().find(|status| status.shard == shard && status.reachable)?;
            Some((at.as_secs_f64(), status.transfers, status.holds))
        })
        .collect();
    let between = |second: usize| {
        // Looks are about a second apart: the pair that holds the middle of the second.
        let middle = second as f64 + 0.5;
        let pair = own.windows(2).find(|pair| pair[0].0 <= middle && middle < pair[1].0)?;
        let length = pair[1].0 - pair[0].0;
        // While it did not answer, nobody knows when it did what.
        (length < APART_SECONDS).then(|| (pair[1].1.saturating_sub(pair[0].1) as f64 / length.max(1e-3), pair[1].2))
    };
    let looks: Vec<Option<(f64, u64)>> = (0..seconds).map(between).collect();
    let transfers = own.first().zip(own.last()).map_or(0, |(first, last)| last.1.saturating_sub(first.1));
    ShardRecord {
        shard,
        transfers_per_second: looks.iter().map(|look| look.map(|(rate, _)| rate)).collect(),
        holds: looks.iter().map(|look| look.map(|(_, holds)| holds)).collect(),
        transfers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_did_not_answer_has_a_gap() {
        let status = |transfers, reachable| v1::ShardStatus { shard: 3, reachable, transfers, ..Default::default() };
        let look = |at: f64, status| (Duration::from_secs_f64(at), vec![status]);
        let all = [
            look(0.0, status(100, true)),
            look(1.0, status(200, true)),
            look(2.0, status(0, false)),
            look(3.0, status(0, false)),
            look(6.0, status(260, true)),
            look(7.0, status(300, true)),
        ];
        let record = record(&all, 3, 7);
        assert_eq!(record.transfers_per_second, [Some(100.0), None, None, None, None, None, Some(40.0)]);
        assert_eq!(record.transfers, 200);
    }
}
