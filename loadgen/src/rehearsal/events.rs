//! What is done to the cluster while it runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::sync::watch;

use super::local::{Local, Part};
use crate::record::EventRecord;
use crate::scenario::{Action, Event};

/// How often it is looked whether a part that was started again is ready.
const LOOK: Duration = Duration::from_millis(20);
/// How long a part that was started again may take to be ready.
const READY: Duration = Duration::from_secs(120);

/// What has happened so far, for whoever watches.
pub(crate) type Happenings = Arc<Mutex<Vec<EventRecord>>>;

/// Refuses what this cluster can't do, before anything is sent.
///
/// # Errors
/// The first event that can't be done, and why.
pub(crate) fn check(events: &[Event], local: Option<(u32, u32)>, shards: u32) -> anyhow::Result<()> {
    for event in events {
        let at = event.at;
        let part = match event.action {
            Action::Load { .. } => continue,
            Action::Rebalance { .. } => bail!("the event at {at:?}: this cluster can't move slots"),
            Action::KillLeader { shard, .. } | Action::PauseLeader { shard, .. } => Part::Leader(shard),
            Action::KillRouter { router, .. } => Part::Router(router),
        };
        let Some((_, routers)) = local else {
            bail!(
                "the event at {at:?} needs {part} in reach: only processes that the rehearsal has started itself are killed \
                 or held still; give --local SHARDS instead of --router"
            );
        };
        match part {
            Part::Leader(shard) if shard >= shards => {
                bail!("the event at {at:?}: there is no shard {shard}; the cluster has {shards}, from 0 on")
            }
            Part::Router(router) if router >= routers => bail!(
                "the event at {at:?}: there is no router {router}; the cluster has {routers}, from 0 on (--local-routers)"
            ),
            _ => {}
        }
    }
    Ok(())
}

/// The record of every event before it has happened.
pub(crate) fn planned(events: &[Event]) -> Vec<EventRecord> {
    let record = |event: &Event| {
        let (label, text) = match &event.action {
            Action::Load { factor, lasts } => {
                (format!("load × {factor}"), format!("The planned rate was multiplied by {factor} for {lasts:?}."))
            }
            Action::KillLeader { shard, .. } => (format!("kill leader {shard}"), String::new()),
            Action::KillRouter { router, .. } => (format!("kill router {router}"), String::new()),
            Action::PauseLeader { shard, .. } => (format!("pause leader {shard}"), String::new()),
            Action::Rebalance { from, to, .. } => (format!("move slots {from} → {to}"), String::new()),
        };
        // The load is a part of the plan: it happens whatever else does.
        let load = matches!(event.action, Action::Load { .. });
        EventRecord {
            planned: event.at.as_secs_f64(),
            happened: load.then_some(event.at.as_secs_f64()),
            until: load.then(|| event.until().as_secs_f64()),
            label,
            text,
            done: load,
            load,
        }
    };
    events.iter().map(record).collect()
}

/// Does what the events say, each in its time, until the last one is over or `stop` says so. Whatever was begun is ended:
/// what was killed is started again, what stands still goes on.
pub(crate) async fn run(
    events: &[Event],
    local: Arc<Mutex<Option<Local>>>,
    begin: Instant,
    happenings: Happenings,
    stop: watch::Receiver<bool>,
) {
    let breaking = (0..events.len()).filter(|&at| !matches!(events[at].action, Action::Load { .. }));
    let one = |at: usize| {
        let (stop, event) = (stop.clone(), events[at].clone());
        let stage = Stage { at, local: Arc::clone(&local), begin, happenings: Arc::clone(&happenings), stop };
        tokio::spawn(stage.play(event))
    };
    let all: Vec<_> = breaking.map(one).collect();
    for played in all {
        let _ = played.await;
    }
}

/// One event.
struct Stage {
    at: usize,
    local: Arc<Mutex<Option<Local>>>,
    begin: Instant,
    happenings: Happenings,
    stop: watch::Receiver<bool>,
}

impl Stage {
    async fn play(mut self, event: Event) {
        if !self.wait_until(event.at).await {
            self.tell(|record| record.text = "The run had ended before.".to_owned());
            return;
        }
        let (part, lasts, pause) = match event.action {
            Action::KillLeader { shard, back_after } => (Part::Leader(shard), back_after, false),
            Action::PauseLeader { shard, lasts } => (Part::Leader(shard), lasts, true),
            Action::KillRouter { router, back_after } => (Part::Router(router), back_after, false),
            Action::Load { .. } | Action::Rebalance { .. } => return,
        };
        let began = self.with(|local| if pause { local.hold(part, true) } else { local.kill(part) });
        let happened = self.begin.elapsed().as_secs_f64();
        let how = if pause { "was held still (SIGSTOP)" } else { "was killed (SIGKILL)" };
        match began {
            Err(error) => {
                self.tell(|record| record.text = format!("It could not be done: {error:#}."));
                return;
            }
            Ok(()) => self.tell(|record| {
                (record.happened, record.done) = (Some(happened), true);
                record.text = format!("{} {how}.", capital(&part.to_string()));
            }),
        }
        self.wait_until(self.begin.elapsed() + lasts).await;
        let ended = if pause { self.with(|local| local.hold(part, false)) } else { self.bring_back(part).await };
        let until = self.begin.elapsed().as_secs_f64();
        self.tell(|record| {
            record.until = Some(until);
            let after = until - happened;
            record.text = match ended {
                Ok(()) if pause => format!("{} {how} for {after:.1} s.", capital(&part.to_string())),
                Ok(()) => format!(
                    "{} {how}, started again {:.1} s later, and ready {after:.1} s after the kill.",
                    capital(&part.to_string()),
                    lasts.as_secs_f64()
                ),
                Err(error) => format!("{} {how}, and did not come back: {error:#}.", capital(&part.to_string())),
            };
        });
    }

    async fn bring_back(&self, part: Part) -> anyhow::Result<()> {
        self.with(|local| local.start_again(part))?;
        let begun = Instant::now();
        while !self.with(|local| local.is_ready(part))? {
            if begun.elapsed() > READY {
                bail!("it is not ready after {READY:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits for an instant of the run; false when the run was stopped before.
    async fn wait_until(&mut self, at: Duration) -> bool {
        let sleep = tokio::time::sleep_until((self.begin + at).into());
        tokio::select! {
            () = sleep => true,
            _ = self.stop.wait_for(|stopped| *stopped) => false,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Local) -> anyhow::Result<T>) -> anyhow::Result<T> {
        match self.local.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(local) => act(local),
            None => bail!("the cluster is stopped"),
        }
    }

    fn tell(&self, change: impl FnOnce(&mut EventRecord)) {
        let mut happenings = self.happenings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = happenings.get_mut(self.at) {
            change(record);
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
