//! Bringing all shards to the time of the one that is furthest ahead: the way back after a wrong clock.
//!
//! A shard's time never goes back, since its timestamps may not. When it was carried far into the future, the others refuse what it
//! stamps, and payments between them fail until real time has caught up. Advancing the others ends that at once. It is safe: timestamps go
//! on rising, and reservations end by the leaders' clocks, not by the advanced time (`Tables::expiry_time`).

use crest_ledger::Timestamp;
use crest_ledger::command::Command;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::{Request, Response, ShardStatus};
use crest_link::LinkError;
use crest_proto::v1;
use futures_util::future::join_all;

use crate::limits;
use crate::router::Router;

/// A shard's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardTime {
    /// Which shard.
    pub shard: ShardId,
    /// Where it is.
    pub address: String,
    /// What it was before, ns; an error when the shard did not answer, and nothing was changed.
    pub before: Result<Timestamp, LinkError>,
    /// Whether it was advanced; an error when nobody knows.
    pub advanced: Result<bool, LinkError>,
}

impl Router {
    /// Every shard's time, and what it came to when those behind are advanced to the latest. With `dry_run`, nothing is changed.
    pub async fn align_shard_times(&self, dry_run: bool) -> Vec<ShardTime> {
        let statuses = self.status().await;
        let clock = |status: &Result<ShardStatus, LinkError>| status.as_ref().map(|s| s.clock).map_err(Clone::clone);
        let latest = statuses.iter().filter_map(|(_, _, status)| clock(status).ok()).max().unwrap_or(0);
        let align = statuses.into_iter().map(|(shard, address, status)| async move {
            let before = clock(&status);
            let advanced = match &before {
                // Shards that are this close follow each other by themselves.
                Ok(before) if latest.saturating_sub(*before) > limits::SHARD_TIMES_CLOSE_NS && !dry_run => {
                    self.advance(shard, latest).await.map(|()| true)
                }
                Ok(_) => Ok(false),
                Err(e) => Err(e.clone()),
            };
            ShardTime { shard, address, before, advanced }
        });
        join_all(align).await
    }

    async fn advance(&self, shard: ShardId, to: Timestamp) -> Result<(), LinkError> {
        let request = Request::commands(vec![Command::AdvanceTime(to)]);
        match self.links.send(shard, request, limits::STATUS_TIMEOUT).await? {
            Response::Answers(_) => Ok(()),
            Response::Query(_) => Err(LinkError::Unknown { shard, why: "an answer of another kind".to_owned() }),
        }
    }
}

/// The answer to `AlignShardTimes`.
pub(crate) fn response(times: Vec<ShardTime>) -> v1::AlignShardTimesResponse {
    let latest = times.iter().filter_map(|time| time.before.as_ref().ok()).copied().max().unwrap_or(0);
    let one = |time: ShardTime| {
        let error = time.before.as_ref().err().or(time.advanced.as_ref().err()).map(ToString::to_string);
        v1::ShardTime {
            shard: time.shard,
            address: time.address,
            timestamp_before: time.before.unwrap_or(0),
            advanced: time.advanced.unwrap_or(false),
            error: error.unwrap_or_default(),
        }
    };
    v1::AlignShardTimesResponse { timestamp: latest, shards: times.into_iter().map(one).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_each_shard_is_told_and_none_is_left_out() {
        let silent = LinkError::Unreachable { shard: 2, why: "gone".to_owned() };
        let lost = LinkError::Unknown { shard: 3, why: "lost".to_owned() };
        let of = |shard, before, advanced| ShardTime { shard, address: String::new(), before, advanced };
        let times = vec![
            of(0, Ok(9), Ok(false)),
            of(1, Ok(5), Ok(true)),
            of(2, Err(silent.clone()), Err(silent)),
            of(3, Ok(4), Err(lost)),
        ];
        let response = response(times);
        assert_eq!(response.timestamp, 9);
        let shards: Vec<_> =
            response.shards.iter().map(|s| (s.timestamp_before, s.advanced, s.error.as_str())).collect();
        assert_eq!(shards[..2], [(9, false, ""), (5, true, "")]);
        assert_eq!((shards[2].0, shards[2].2), (0, "shard 2 can't be reached just now: gone"));
        assert_eq!((shards[3].0, shards[3].2), (4, "no answer from shard 3: lost"));
    }
}
