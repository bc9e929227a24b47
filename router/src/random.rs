//! Where a router's random numbers come from: attempt numbers, and how long it pauses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The system's random numbers; in a simulation, those of a seed.
#[derive(Clone, Debug, Default)]
pub(crate) enum Random {
    /// From the operating system.
    #[default]
    System,
    /// The same ones each time.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        match self {
            Self::System => rand::random_range(0..end),
            Self::Seeded(numbers) => numbers.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..end),
        }
    }

    /// Between half and all of a pause, so that two routers that are in each other's way do not stay in step.
    pub(crate) fn jittered(&self, pause: Duration) -> Duration {
        let half = pause / 2;
        half + Duration::from_nanos(self.below(u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1)))
    }
}
