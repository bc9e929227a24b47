//! Comparing a process's clock with the other nodes': asked for as long as the process runs, most often until it is trusted.

use std::sync::Arc;

use crest_proto::internal as wire;
use crest_proto::internal::peer_answer::What as Told;
use crest_proto::internal::peer_question::What as Asked;
use crest_topology::NodeId;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};

use super::{Agreement, Offsets, ProcessClock, agree};
use crate::limits::{CLOCK_ASK_TIMEOUT, CLOCK_COMPARE_INTERVAL, CLOCK_START_INTERVAL};
use crate::peers::{Peers, Question};

/// What this process answers when another node asks for its time.
pub fn answer(clock: &ProcessClock) -> wire::PeerAnswer {
    let reading = wire::ClockReading { time: clock.now(), trusted: clock.is_trusted() };
    wire::PeerAnswer { what: Some(Told::Clock(reading)), ..wire::PeerAnswer::default() }
}

/// Compares the clock with those of all other nodes, again and again.
pub async fn run(clock: ProcessClock, peers: Arc<dyn Peers>) {
    loop {
        let nodes = peers.nodes();
        let mut asked: FuturesUnordered<_> = nodes.iter().map(|node| ask(&clock, &*peers, *node)).collect();
        let mut others = Vec::with_capacity(nodes.len());
        while let Some(answer) = asked.next().await {
            others.extend(answer);
            // A process that starts does not wait for nodes that are away.
            let offsets: Vec<Offsets> = others.iter().map(|(_, offsets)| *offsets).collect();
            if !clock.is_trusted() && matches!(agree(nodes.len() + 1, &offsets), Agreement::Agrees(_)) {
                clock.compared(nodes.len() + 1, &others);
            }
        }
        clock.compared(nodes.len() + 1, &others);
        drop(asked);
        sleep(if clock.is_trusted() { CLOCK_COMPARE_INTERVAL } else { CLOCK_START_INTERVAL }).await;
    }
}

/// How far the clock of another node is from this one; nothing when it does not answer.
async fn ask(clock: &ProcessClock, peers: &dyn Peers, node: NodeId) -> Option<(NodeId, Offsets)> {
    let begun = clock.0.readings.monotonic();
    let question = Question { shard: 0, what: Asked::Clock(wire::ClockQuestion {}) };
    let answer = timeout(CLOCK_ASK_TIMEOUT, peers.ask(node, question)).await.ok()?.ok()?;
    let Some(Told::Clock(reading)) = answer.what else { return None };
    let now = clock.now();
    let took = clock.0.readings.monotonic().saturating_sub(begun);
    Some((node, Offsets::measured(reading.time, now, took)))
}
