//! The time that a process stamps log entries with.
//!
//! It comes from the monotonic clock and is only *steered* towards the machine's wall clock, by at most [`STEERING_PPM`]
//! ([`steered`]). A wall clock that jumps is reported and not followed, so that it neither ends reservations early nor carries a shard's
//! time into the future. The nodes of a cluster compare their times ([`compare`]): a process whose time differs from what a majority
//! agrees on ([`agreement`]) leads no shard until it agrees again.

mod agreement;
pub mod compare;
mod machine;
mod steered;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use agreement::{Agreement, Offsets, agree};
use crest_ledger::Timestamp;
pub use machine::MachineClocks;
use metrics::{Counter, Gauge, counter, gauge};
pub use steered::STEERING_PPM;
use steered::Steered;

use crate::limits::{CLOCK_COMPARISON_LIFETIME, CLOCK_JUMP_NS, CLOCK_START_PATIENCE};

/// The two clocks of a machine. A simulation has its own.
pub trait Readings: Send + Sync {
    /// Time since some fixed point, ns. It never goes back and never jumps, and goes on while the machine is suspended.
    fn monotonic(&self) -> u64;

    /// What the machine believes the time is, ns since the Unix epoch. It may be wrong, jump and stand still.
    fn wall(&self) -> Timestamp;
}

/// Where a replica's time comes from.
#[derive(Clone)]
pub enum ClockSource {
    /// The clock of the process, which all its replicas share.
    Process(ProcessClock),
    /// A clock that only moves when a test moves it, ns since the Unix epoch.
    Manual(Arc<AtomicU64>),
}

impl Default for ClockSource {
    /// The machine's clock, steered, and compared with nobody's.
    fn default() -> Self {
        Self::Process(ProcessClock::alone(Box::new(MachineClocks)))
    }
}

impl std::fmt::Debug for ClockSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Process(_) => "Process",
            Self::Manual(_) => "Manual",
        })
    }
}

impl ClockSource {
    /// Nanoseconds since the Unix epoch.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Process(clock) => clock.now(),
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Why entries must not be stamped with this clock now; `None` when they may.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Process(clock) => clock.problem(),
            Self::Manual(_) => None,
        }
    }

    /// Whether entries may be stamped with this clock. Cheap.
    pub fn is_trusted(&self) -> bool {
        match self {
            Self::Process(clock) => clock.is_trusted(),
            Self::Manual(_) => true,
        }
    }

    /// Whether it was not compared yet: that takes moments, so whoever asks for an entry meanwhile may wait.
    pub fn is_starting(&self) -> bool {
        match self {
            Self::Process(clock) => matches!(clock.state().standing, Standing::Starting(_)),
            Self::Manual(_) => false,
        }
    }

    /// Whether another node's clock was found to agree with this one, or nothing is known of it.
    pub fn may_trust(&self, node: u32) -> bool {
        match self {
            Self::Process(clock) => !clock.state().contradicting.contains(&node),
            Self::Manual(_) => true,
        }
    }
}

/// Whether a process's time may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It agrees with a majority of the nodes, or did when it was last compared with one; or it could not be compared, and nobody
    /// contradicts it.
    Trusted { compared: bool },
    /// It was not compared yet, since that monotonic reading.
    Starting(u64),
    /// Others contradict it: what they say. Nobody has contradicted it since that monotonic reading, if it was heard.
    Distrusted { why: String, uncontradicted: Option<u64> },
}

/// The time of one process. Cheap to clone.
#[derive(Clone)]
pub struct ProcessClock(Arc<Inner>);

struct Inner {
    readings: Box<dyn Readings>,
    state: Mutex<State>,
    jumps: Counter,
    wall_offset: Gauge,
    trusted: Gauge,
}

struct State {
    steered: Steered,
    standing: Standing,
    /// How far the majority's time is from this one, at the least and at the most, ns; and when that was found.
    bounds: Option<(Offsets, u64)>,
    /// The nodes whose clocks were found to contradict this one the last time.
    contradicting: Vec<u32>,
    /// The difference between the wall clock and this one that was reported last, ns, and when.
    reported: (i64, u64),
}

impl ProcessClock {
    /// The clock of a process that is alone: it is trusted from the start.
    pub fn alone(readings: Box<dyn Readings>) -> Self {
        Self::new(readings, |_| Standing::Trusted { compared: true })
    }

    /// The clock of a process of a cluster: it is trusted once [`compare::run`] has compared it with the others'.
    pub fn of_cluster(readings: Box<dyn Readings>) -> Self {
        Self::new(readings, Standing::Starting)
    }

    fn new(readings: Box<dyn Readings>, standing: impl FnOnce(u64) -> Standing) -> Self {
        let (monotonic, wall) = (readings.monotonic(), readings.wall());
        let jumps = counter!("crest_clock_jumps_total");
        jumps.increment(0);
        let state = State {
            steered: Steered::new(monotonic, wall),
            standing: standing(monotonic),
            bounds: None,
            contradicting: Vec::new(),
            reported: (0, monotonic),
        };
        let clock = Self(Arc::new(Inner {
            readings,
            state: Mutex::new(state),
            jumps,
            wall_offset: gauge!("crest_clock_wall_offset_seconds"),
            trusted: gauge!("crest_clock_trusted"),
        }));
        clock.measure();
        clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, ns since the Unix epoch. While the clock is trusted it never goes back.
    pub fn now(&self) -> Timestamp {
        let mut state = self.state();
        // Read inside the lock: readings of two threads must not come in the wrong order.
        let (monotonic, wall) = (self.0.readings.monotonic(), self.0.readings.wall());
        let now = state.read(monotonic, wall);
        if let Some(offset) = state.jump(monotonic, wall, now) {
            self.0.jumps.increment(1);
            tracing::warn!(
                offset_ms = offset / 1_000_000,
                "the machine's clock jumped and is not followed: time goes on by the monotonic clock, steered towards the machine's by \
                 at most {STEERING_PPM} parts per million. When the machine's time is the right one, restart this process to take it; \
                 when it is wrong, correct it (docs/OPERATIONS.md, CrestClockJumped)"
            );
        }
        now
    }

    /// Whether entries may be stamped with it.
    pub fn is_trusted(&self) -> bool {
        self.state().is_trusted()
    }

    /// Why entries must not be stamped with it now; `None` when they may.
    pub fn problem(&self) -> Option<String> {
        match &self.state().standing {
            Standing::Trusted { .. } => None,
            Standing::Starting(_) => Some("its clock was not compared with the other nodes' yet".to_owned()),
            Standing::Distrusted { why, .. } => Some(why.clone()),
        }
    }

    /// How far the machine's wall clock is ahead of this time, ns; negative when it is behind.
    pub fn wall_offset(&self) -> i64 {
        let mut state = self.state();
        let (monotonic, wall) = (self.0.readings.monotonic(), self.0.readings.wall());
        offset(wall, state.read(monotonic, wall))
    }

    fn measure(&self) {
        self.0.wall_offset.set(self.wall_offset() as f64 / 1e9);
        self.0.trusted.set(f64::from(u8::from(self.is_trusted())));
    }

    /// Takes in what the other nodes' clocks show: `nodes` is how many nodes there are, this one included, and `others` how far the
    /// clocks of those that answered are from this one.
    pub(crate) fn compared(&self, nodes: usize, others: &[(u32, Offsets)]) {
        // What is trusted from now on is what the clock shows now.
        self.now();
        let monotonic = self.0.readings.monotonic();
        let change = self.state().compared(monotonic, nodes, others);
        match change {
            Some(None) => tracing::info!("this node's clock agrees with the other nodes': it may lead"),
            Some(Some(why)) => tracing::error!(why, "this node's clock can't be trusted: it leads no shard"),
            None => {}
        }
        self.measure();
    }
}

impl State {
    fn is_trusted(&self) -> bool {
        matches!(self.standing, Standing::Trusted { .. })
    }

    fn read(&mut self, monotonic: u64, wall: Timestamp) -> Timestamp {
        if !self.is_trusted() {
            // Nothing is stamped with it, so it may go anywhere.
            return self.steered.set(monotonic, wall);
        }
        let lifetime = CLOCK_COMPARISON_LIFETIME.as_nanos() as u64;
        let bounds = self.bounds.filter(|(_, found)| monotonic.saturating_sub(*found) <= lifetime);
        self.steered.advance(monotonic, |now| match bounds {
            Some((bounds, _)) => {
                wall.clamp(now.saturating_add_signed(bounds.min), now.saturating_add_signed(bounds.max.max(bounds.min)))
            }
            None => wall,
        })
    }

    /// How far the wall clock is from here, when that is far from what was reported last.
    fn jump(&mut self, monotonic: u64, wall: Timestamp, now: Timestamp) -> Option<i64> {
        let offset = offset(wall, now);
        let (reported, at) = self.reported;
        let pause = Duration::from_secs(1).as_nanos() as u64;
        if offset.abs_diff(reported) <= CLOCK_JUMP_NS || monotonic.saturating_sub(at) < pause {
            return None;
        }
        self.reported = (offset, monotonic);
        // That it is back where it belongs is no jump to report.
        (offset.unsigned_abs() > CLOCK_JUMP_NS).then_some(offset)
    }

    /// Answers how the standing has changed, if it has: why the clock is not trusted any more, or nothing when it is.
    fn compared(&mut self, monotonic: u64, nodes: usize, others: &[(u32, Offsets)]) -> Option<Option<String>> {
        let offsets: Vec<Offsets> = others.iter().map(|(_, offsets)| *offsets).collect();
        let contradicting = others.iter().filter(|(_, offsets)| !offsets.includes_zero());
        self.contradicting = contradicting.map(|(node, _)| *node).collect();
        let agreement = agree(nodes, &offsets);
        let was_trusted = self.is_trusted();
        self.bounds = match agreement {
            Agreement::Agrees(bounds) => Some((bounds, monotonic)),
            _ => None,
        };
        let patience = CLOCK_START_PATIENCE.as_nanos() as u64;
        let waited = |since: u64| monotonic.saturating_sub(since) >= patience;
        let contradicted = !self.contradicting.is_empty();
        let next = match (&agreement, &self.standing) {
            (Agreement::Agrees(_), _) => Standing::Trusted { compared: true },
            (Agreement::Outside(_), _) => self.distrusted(others, "a majority of the nodes agrees on another time"),
            // Nobody knows who is right: who was compared once goes on, and who was not does not.
            (_, Standing::Trusted { compared }) if *compared || !contradicted => {
                Standing::Trusted { compared: *compared }
            }
            _ if contradicted => self.distrusted(others, "no majority of the nodes agrees on the time"),
            (_, Standing::Trusted { .. }) => self.standing.clone(),
            (_, Standing::Starting(since)) if waited(*since) => Standing::Trusted { compared: false },
            (_, Standing::Starting(since)) => Standing::Starting(*since),
            (_, Standing::Distrusted { uncontradicted: Some(since), .. }) if waited(*since) => {
                Standing::Trusted { compared: false }
            }
            (_, Standing::Distrusted { why, uncontradicted }) => {
                Standing::Distrusted { why: why.clone(), uncontradicted: Some(uncontradicted.unwrap_or(monotonic)) }
            }
        };
        let changed = std::mem::discriminant(&next) != std::mem::discriminant(&self.standing);
        self.standing = next;
        match &self.standing {
            Standing::Trusted { .. } if !was_trusted => Some(None),
            Standing::Distrusted { why, .. } if changed => Some(Some(why.clone())),
            _ => None,
        }
    }

    fn distrusted(&self, others: &[(u32, Offsets)], rule: &str) -> Standing {
        let far = others.iter().filter(|(node, _)| self.contradicting.contains(node));
        let far: Vec<String> = far.map(|(node, o)| format!("node {node}'s by {}", seconds(-o.middle()))).collect();
        let why = format!(
            "its clock is ahead of {}, and {rule}: correct this machine's clock, or theirs",
            if far.is_empty() { "others".to_owned() } else { far.join(", of ") }
        );
        Standing::Distrusted { why, uncontradicted: None }
    }
}

fn offset(wall: Timestamp, now: Timestamp) -> i64 {
    i64::try_from(i128::from(wall) - i128::from(now)).unwrap_or(if wall > now { i64::MAX } else { i64::MIN })
}

fn seconds(ns: i64) -> String {
    format!("{:.1} s", ns as f64 / 1e9)
}

#[cfg(test)]
mod tests;
