//! The routers, which die and come back knowing nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crest_conformance::random::Random;
use crest_router::{Router, RouterError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::network::links;
use crate::world::{World, lock};

/// All routers of a run.
pub(crate) struct Front {
    world: Arc<World>,
    random: Mutex<Random>,
    routers: Vec<watch::Sender<Router>>,
}

impl Front {
    /// Starts the routers. Must be called inside a tokio runtime.
    pub(crate) fn new(world: &Arc<World>, routers: u32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let start = |router| watch::Sender::new(start(world, router, random.number()));
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
        self.routers[router as usize].send_replace(start(&self.world, router, seed));
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
        let mut changes = self.routers[router as usize].subscribe();
        let current = changes.borrow_and_update().clone();
        let unknown = |why: &str| Err(RouterError::Unknown(why.to_owned()));
        tokio::select! {
            biased;
            _ = changes.changed() => unknown("the router died"),
            answer = timeout(patience, request(current)) => answer.unwrap_or_else(|_| unknown("no answer in time")),
        }
    }
}

fn start(world: &Arc<World>, router: u32, seed: u64) -> Router {
    let end = world.new_router(router);
    Router::seeded(links(world, end), seed)
}
