//! The lanes that one process drives, each on a thread of its own.

use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{mpsc, watch};

use super::course::Lanes;
use super::driver::{Driver, LaneEnd};
use super::plan::Plan;
use super::sample::Told;
use super::sender::{Sender, Way};
use crate::caller::Caller;
use crate::connect::{connect, ledger};

/// How far lanes ask to be preferred by the scheduler, where they may (nice(2)): a late stopwatch measures itself.
const NICE: i32 = -10;

/// How lanes send.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    /// At least one.
    pub(crate) routers: Vec<String>,
    pub(crate) stream: bool,
    /// Requests in flight on one lane at the most.
    pub(crate) window: usize,
    pub(crate) deadline: Duration,
    pub(crate) retry_for: Duration,
}

/// Lanes that are running, or about to.
pub(crate) struct Running {
    threads: Vec<(u32, JoinHandle<anyhow::Result<LaneEnd>>)>,
    begin: watch::Sender<Option<Instant>>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Starts the threads of these lanes, and waits until each has its connections.
    ///
    /// # Errors
    /// When a router can't be reached.
    pub(crate) async fn connect(
        plan: &Arc<Plan>,
        lanes: &Lanes,
        own: Range<u32>,
        sending: &Sending,
        told: &mpsc::Sender<Told>,
    ) -> anyhow::Result<Self> {
        let (begin, begun) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let (ready, mut are_ready) = mpsc::channel(own.len().max(1));
        let mut threads = Vec::new();
        for lane in own.clone() {
            let setting = Setting {
                plan: Arc::clone(plan),
                lanes: lanes.clone(),
                lane,
                sending: sending.clone(),
                told: told.clone(),
                begun: begun.clone(),
                stopped: stopped.clone(),
                ready: ready.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("lane-{lane}")).spawn(move || setting.run());
            threads.push((lane, thread.context("starting a thread")?));
        }
        drop(ready);
        let running = Self { threads, begin, stop };
        for _ in own {
            if are_ready.recv().await.is_none() {
                // One ended without being ready: its reason is the error.
                running.stop();
                running.end().await?;
                anyhow::bail!("a lane ended before it began");
            }
        }
        Ok(running)
    }

    /// Lets all lanes begin their first planned instant at `at`.
    pub(crate) fn begin(&self, at: Instant) {
        self.begin.send_replace(Some(at));
    }

    /// Nothing more is sent; what is under way is waited for.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        // One that has not begun would wait for that.
        self.begin.send_if_modified(|begin| begin.is_none() && begin.replace(Instant::now()).is_none());
    }

    /// Waits for all lanes; gives what each leaves behind.
    ///
    /// # Errors
    /// The first lane's that failed.
    pub(crate) async fn end(mut self) -> anyhow::Result<Vec<(u32, LaneEnd)>> {
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            let end = |(lane, thread): (u32, JoinHandle<_>)| {
                let end = thread.join().map_err(|_| anyhow::anyhow!("lane {lane} ended early"))?;
                Ok((lane, end?))
            };
            threads.into_iter().map(end).collect::<Vec<anyhow::Result<_>>>()
        });
        joined.await.context("waiting for the lanes")?.into_iter().collect()
    }
}

impl Drop for Running {
    /// Whoever forgets about lanes does not want them to go on.
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a lane's thread begins with.
struct Setting {
    plan: Arc<Plan>,
    lanes: Lanes,
    lane: u32,
    sending: Sending,
    told: mpsc::Sender<Told>,
    begun: watch::Receiver<Option<Instant>>,
    stopped: watch::Receiver<bool>,
    ready: mpsc::Sender<()>,
}

impl Setting {
    fn run(self) -> anyhow::Result<LaneEnd> {
        // Only whoever may: otherwise it stays as it is.
        let _ = rustix::process::setpriority_process(None, NICE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("starting a runtime")?.block_on(self.drive())
    }

    async fn drive(mut self) -> anyhow::Result<LaneEnd> {
        let sender = self.sender().await?;
        // Whoever waits for it is there as long as the process runs.
        let _ = self.ready.send(()).await;
        drop(self.ready);
        let begin = *self.begun.wait_for(Option::is_some).await.context("the run was given up")?;
        let begin = begin.unwrap_or_else(Instant::now);
        tokio::time::sleep_until(begin.into()).await;
        let driver = Driver {
            plan: self.plan,
            lanes: self.lanes,
            lane: self.lane,
            window: self.sending.window,
            deadline: self.sending.deadline,
            sender,
            told: self.told,
            begin,
            stop: self.stopped,
        };
        driver.run().await
    }

    /// Connections to all routers, another one first for each lane.
    async fn sender(&self) -> anyhow::Result<Sender> {
        let routers = &self.sending.routers;
        let mut ways = Vec::new();
        for index in 0..routers.len() {
            let router = &routers[(self.lane as usize + index) % routers.len()];
            let client = ledger(connect(router).await?);
            let caller = match self.sending.stream {
                true => Caller::streams(&client, self.sending.window, self.sending.deadline),
                false => Caller::Unary(client.clone()),
            };
            ways.push(Way::new(client, caller));
        }
        let Sending { deadline: attempt, retry_for, .. } = self.sending;
        Ok(Sender { ways, attempt, retry_for, stop: self.stopped.clone() })
    }
}
