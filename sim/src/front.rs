//! The routers, which die and come back knowing nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crest_conformance::random::Random;
use crest_router::{Router, RouterError};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::links::links;
use crate::world::{World, lock};

/// All routers of a run.
pub(crate) struct Front {
    world: Arc<World>,
    random: Mutex<Random>,
    routers: Vec<Mutex<Process>>,
}

/// A router that lives. Who waits for its death is told in the order of waiting: a `watch` channel would tell them in an order
/// that no seed decides.
struct Process {
    router: Router,
    died: Arc<Notify>,
    /// How many of the same number died before it.
    before: u64,
}

impl Front {
    /// Starts the routers. Must be called inside a tokio runtime.
    pub(crate) fn new(world: &Arc<World>, routers: u32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let start = |router| Mutex::new(start(world, router, random.number(), 0));
        let routers = (0..routers).map(start).collect();
        Self { world: world.clone(), random: Mutex::new(random), routers }
    }

    pub(crate) fn count(&self) -> u32 {
        self.routers.len() as u32
    }

    /// A router dies, with everything that it was doing, and another one takes its place.
    pub(crate) fn kill(&self, router: u32) {
        self.world.note(format_args!("router {router} dies"), &[]);
        let seed = lock(&self.random).number();
        // The new one's messages are told from the old one's before any of them is sent.
        let mut process = lock(&self.routers[router as usize]);
        let new = start(&self.world, router, seed, process.before + 1);
        std::mem::replace(&mut *process, new).died.notify_waiters();
    }

    /// How often a router has died.
    pub(crate) fn deaths(&self, router: u32) -> u64 {
        lock(&self.routers[router as usize]).before
    }

    /// Asks a router for something; gives up when it dies or takes too long.
    ///
    /// # Errors
    /// The router's, or that the outcome is unknown.
    pub(crate) async fn ask<T, F>(
        &self,
        router: u32,
        patience: Duration,
        request: impl FnOnce(Router) -> F,
    ) -> Result<T, RouterError>
    where
        F: Future<Output = Result<T, RouterError>>,
    {
        let (current, died) = {
            let process = lock(&self.routers[router as usize]);
            (process.router.clone(), process.died.clone())
        };
        let unknown = |why: &str| Err(RouterError::Unknown(why.to_owned()));
        tokio::select! {
            biased;
            () = died.notified() => unknown("the router died"),
            answer = timeout(patience, request(current)) => answer.unwrap_or_else(|_| unknown("no answer in time")),
        }
    }
}

fn start(world: &Arc<World>, router: u32, seed: u64, before: u64) -> Process {
    let end = world.new_router(router);
    Process { router: Router::seeded(links(world, end), seed), died: Arc::default(), before }
}
