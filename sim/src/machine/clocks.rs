//! The two clocks of a machine: the monotonic one is right, and the wall clock may be anything.

use std::sync::{Arc, Mutex};

use crest_node::clock::Readings;

use crate::world::{EPOCH_NS, World, lock};

/// What is wrong with a wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// It is off by so much, ns.
    Off(i64),
    /// It has run this much too fast, parts per thousand, since that virtual time; ns.
    Fast { permille: u64, since: u64 },
    /// It stands still since that virtual time, ns.
    Still { since: u64 },
}

impl Wall {
    /// What it shows at a virtual time, ns since the Unix epoch.
    pub(crate) fn shows(self, now: u64) -> u64 {
        match self {
            Self::Off(ns) => (EPOCH_NS + now).saturating_add_signed(ns),
            Self::Fast { permille, since } => EPOCH_NS + now + now.saturating_sub(since) / 1_000 * permille,
            Self::Still { since } => EPOCH_NS + since,
        }
    }
}

/// The clocks of one machine. Cheap to clone.
#[derive(Clone)]
pub(super) struct MachineClocks {
    world: Arc<World>,
    wall: Arc<Mutex<Wall>>,
}

impl MachineClocks {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self { world: world.clone(), wall: Arc::new(Mutex::new(Wall::Off(0))) }
    }

    pub(super) fn set(&self, wall: Wall) {
        *lock(&self.wall) = wall;
    }
}

impl Readings for MachineClocks {
    fn monotonic(&self) -> u64 {
        self.world.now()
    }

    fn wall(&self) -> u64 {
        lock(&self.wall).shows(self.world.now())
    }
}
