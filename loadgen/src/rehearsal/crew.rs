//! Whoever sends: the lanes of this process, or agents elsewhere.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::agent::Remote;
use super::args::RunArgs;
use super::driver::LaneEnd;
use super::lanes::Running;
use super::sample::Told;
use super::setup::{Cluster, Prepared, Script, Wish};

/// Whoever sends.
pub(crate) enum Crew {
    /// Threads of this process, and the processor time that it had used before.
    Own {
        running: Running,
        cpu_before: Option<f64>,
    },
    Agents(Remote),
}

/// What a crew leaves behind.
pub(crate) struct Dismissed {
    /// By lane.
    pub(crate) ends: Vec<LaneEnd>,
    /// Each one's name, and the processor time that it used, s.
    pub(crate) agents: Vec<(String, Option<f64>)>,
}

impl Crew {
    /// Gets everybody ready.
    ///
    /// # Errors
    /// When a router or an agent can't be reached, or an agent can't do it.
    pub(crate) async fn connect(
        args: &RunArgs,
        script: &Script,
        cluster: &Cluster,
        course: &Arc<Prepared>,
        told: mpsc::Sender<Told>,
    ) -> anyhow::Result<Self> {
        if !args.agent.is_empty() {
            let wish = Wish::of(args);
            let remote = Remote::connect(&args.agent, &script.text, &wish, &cluster.map, course, &told).await?;
            return Ok(Self::Agents(remote));
        }
        let own = 0..course.lanes.count;
        let running = Running::connect(&course.plan, &course.lanes, own, &course.sending, &told).await?;
        Ok(Self::Own { running, cpu_before: crate::cpu::cpu_seconds() })
    }

    /// Lets everybody begin at `at`; agents as near to it as a message travels.
    pub(crate) async fn begin(&mut self, at: Instant) {
        match self {
            Self::Own { running, .. } => running.begin(at),
            Self::Agents(remote) => remote.begin(at.saturating_duration_since(Instant::now())).await,
        }
    }

    /// Nothing more is sent; what is under way is waited for.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Own { running, .. } => running.stop(),
            Self::Agents(remote) => remote.stop().await,
        }
    }

    /// Waits for everybody, on all of `count` lanes.
    ///
    /// # Errors
    /// When somebody failed: then nobody knows what became of what he sent.
    pub(crate) async fn end(self, count: u32) -> anyhow::Result<Dismissed> {
        let (mut lanes, agents) = match self {
            Self::Own { running, cpu_before } => {
                let lanes = running.end().await?;
                let cpu = crate::cpu::cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
                (lanes, vec![("this process".to_owned(), cpu)])
            }
            Self::Agents(remote) => {
                let mut lanes = Vec::new();
                let mut agents = Vec::new();
                for (name, ended) in remote.end().await? {
                    lanes.extend(ended.lanes);
                    agents.push((name, ended.cpu_seconds));
                }
                (lanes, agents)
            }
        };
        lanes.sort_by_key(|(lane, _)| *lane);
        if !lanes.iter().map(|(lane, _)| *lane).eq(0..count) {
            anyhow::bail!("{} lanes have ended, and there were {count}", lanes.len());
        }
        Ok(Dismissed { ends: lanes.into_iter().map(|(_, end)| end).collect(), agents })
    }
}
