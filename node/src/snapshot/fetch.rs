//! Fetching a snapshot's files from the leader: piece by piece, checked, no faster than a bound, and on from where it
//! stopped.

use std::sync::Arc;

use crest_proto::internal as wire;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::Fetch;
use crate::consensus::ReplicaId;
use crate::node::NodeHandle;
use crate::peers::{Peers, Question};
use crate::store::FORMAT_VERSION;
use crate::store::home::Home;
use crate::{limits, points};

/// How often in a row the leader may leave a question without an answer. After that raft offers the snapshot again, or
/// another one.
const TRIES: u32 = 20;

/// Fetches what is offered, one snapshot at a time, until the replica ends.
pub(crate) async fn run(
    handle: NodeHandle,
    peers: Arc<dyn Peers>,
    home: Arc<dyn Home>,
    mut todo: mpsc::Receiver<Fetch>,
) {
    let labels = [("shard", handle.shard().to_string())];
    let bytes = metrics::counter!("crest_raft_snapshot_bytes_total", &labels);
    bytes.increment(0);
    loop {
        let next = tokio::select! {
            biased;
            _ = handle.ended() => None,
            next = todo.recv() => next,
        };
        let Some(Fetch { message, meta }) = next else { return };
        let index = meta.index;
        let (shard, begun) = (handle.shard(), Instant::now());
        tracing::info!(shard, index, leader = message.from, "takes in a snapshot");
        let fetching = Fetching { handle: &handle, peers: &*peers, home: &*home, leader: message.from, index };
        match fetching.all(&bytes).await {
            Ok(total) => {
                tracing::info!(shard, index, bytes = total, seconds = begun.elapsed().as_secs_f64(), "has a snapshot");
                handle.fetched(Some(message)).await;
            }
            Err(why) => {
                tracing::warn!(shard, index, why, "has not got a snapshot; it is offered again");
                handle.fetched(None).await;
            }
        }
    }
}

struct Fetching<'a> {
    handle: &'a NodeHandle,
    peers: &'a dyn Peers,
    home: &'a dyn Home,
    leader: u64,
    index: u64,
}

impl Fetching<'_> {
    async fn all(&self, counter: &metrics::Counter) -> Result<u64, String> {
        let replica = self.handle.replica().number();
        let what = wire::peer_question::What::Manifest(wire::SnapshotRequest { index: self.index, replica });
        let wire::peer_answer::What::Manifest(manifest) = self.ask(what).await? else { return Err(unexpected()) };
        if manifest.format != FORMAT_VERSION {
            return Err(format!(
                "the leader's store has format {}, and this build reads {FORMAT_VERSION}: use builds of one format",
                manifest.format
            ));
        }
        let files: Vec<(String, u64)> = manifest.files.into_iter().map(|f| (f.name, f.bytes)).collect();
        // What is there of another snapshot, or of another leader's, is of no use.
        self.home.begin(&format!("{}-{}", self.leader, self.index), &files).map_err(|e| e.to_string())?;
        let mut total = 0;
        for (file, length) in &files {
            let mut at = self.home.received(file).map_err(|e| e.to_string())?;
            while at < *length {
                let begun = Instant::now();
                let piece = self.piece(replica, file, at).await?;
                self.home.receive(file, at, &piece).map_err(|e| e.to_string())?;
                points::SNAPSHOT_PIECE.pass_async().await;
                at += piece.len() as u64;
                total += piece.len() as u64;
                counter.increment(piece.len() as u64);
                let least =
                    Duration::from_secs(1).mul_f64(piece.len() as f64 / limits::SNAPSHOT_BYTES_PER_SECOND as f64);
                sleep_until(begun + least).await;
            }
        }
        self.home.complete().map_err(|e| e.to_string())?;
        Ok(total)
    }

    async fn piece(&self, replica: u64, file: &str, offset: u64) -> Result<Vec<u8>, String> {
        for _ in 0..TRIES {
            let what = wire::SnapshotPiece { index: self.index, replica, file: file.to_owned(), offset };
            let wire::peer_answer::What::Piece(piece) = self.ask(wire::peer_question::What::Piece(what)).await? else {
                return Err(unexpected());
            };
            if crc32c::crc32c(&piece.bytes) == piece.crc32c && !piece.bytes.is_empty() {
                return Ok(piece.bytes.to_vec());
            }
            tracing::warn!(
                shard = self.handle.shard(),
                file,
                offset,
                "a piece of a snapshot came damaged; asked for again"
            );
        }
        Err(format!("{file} at {offset} came damaged again and again"))
    }

    async fn ask(&self, what: wire::peer_question::What) -> Result<wire::peer_answer::What, String> {
        let node = ReplicaId::from_number(self.leader).ok_or_else(unexpected)?.node();
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.peers.ask(node, Question { shard: self.handle.shard(), what: what.clone() }).await {
                Ok(answer) => match answer.what {
                    Some(what) => return Ok(what),
                    // It is there and has no such snapshot: no use in asking again.
                    None => return Err(answer.error),
                },
                Err(why) => last = why,
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(last)
    }
}

fn unexpected() -> String {
    "an answer to another question".to_owned()
}
