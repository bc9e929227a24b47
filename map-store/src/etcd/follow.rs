//! Following a key of etcd: a stream of its changes, which is quick, and a read every other second, which notices when the
//! stream is silent since its member is gone, or cut off from the others.

use super::Place;
use super::client::{Read, api};
use crate::errors::StoreError;
use crate::publish::Publisher;
use crest_topology::Cluster;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// How often the key is read although nothing tells of a change.
const READ_EVERY: Duration = Duration::from_secs(2);
/// The pause after a first failure; the next ones are each twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Follows the key until nobody watches.
pub(super) async fn follow(place: Arc<Place>, publisher: Arc<Publisher>) {
    let follower = Follower { place, publisher: publisher.clone() };
    tokio::select! {
        () = publisher.unwatched() => {}
        () = follower.run() => {}
    }
}

struct Follower {
    place: Arc<Place>,
    publisher: Arc<Publisher>,
}

/// The last look at the key.
struct Look {
    /// The store's revision at which the key was so. What is told of an older one is known already.
    revision: i64,
    /// The revision at which the key got its value; 0 when it is not there.
    changed: i64,
    map: Result<Arc<Cluster>, StoreError>,
}

impl Follower {
    async fn run(self) {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.place.client.read().await {
                Ok(read) => {
                    if self.follow_from(read).await {
                        pause = PAUSE_FIRST;
                    }
                }
                Err(why) => self.publisher.saw(Err(self.place.silent(&why))).await,
            }
            // Many processes lose the same etcd at the same moment: they must not all come back at the same moment.
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Follows the key from `read` on for as long as the stream of changes lasts. Whether it lasted for long enough to be
    /// worth a new one at once.
    async fn follow_from(&self, read: Read) -> bool {
        let member = read.member;
        let mut look = self.look(&read);
        self.publisher.saw(look.map.clone()).await;
        let mut changes = match self.place.client.watch(member, look.revision + 1).await {
            Ok(changes) => changes,
            Err(why) => {
                tracing::debug!(store = %self.place.store, why, "cannot watch the map; reading it again");
                return false;
            }
        };
        let mut reads = interval_at(Instant::now() + READ_EVERY, READ_EVERY);
        reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lasted = false;
        loop {
            tokio::select! {
                told = changes.message() => match told {
                    Ok(Some(told)) if !told.canceled => self.told(&mut look, told.events).await,
                    // Also when the first revision asked for is forgotten: then the next read is as good.
                    ended => {
                        tracing::debug!(store = %self.place.store, ?ended, "a watch of the map ended");
                        return lasted;
                    }
                },
                _ = reads.tick() => match self.place.client.read().await {
                    Ok(read) => {
                        lasted = true;
                        let changed = read.value.as_ref().map_or(0, |value| value.mod_revision);
                        if changed != look.changed || look.revision > read.revision {
                            look = self.look(&read);
                        }
                        self.publisher.saw(look.map.clone()).await;
                        // The member that the stream is from does not answer any more.
                        if read.member != member {
                            return lasted;
                        }
                    }
                    Err(why) => {
                        self.publisher.saw(Err(self.place.silent(&why))).await;
                        return lasted;
                    }
                },
            }
        }
    }

    fn look(&self, read: &Read) -> Look {
        let changed = read.value.as_ref().map_or(0, |value| value.mod_revision);
        Look { revision: read.revision, changed, map: self.place.map_in(read.value.as_ref()) }
    }

    async fn told(&self, look: &mut Look, events: Vec<api::Event>) {
        for event in events {
            let deleted = event.r#type() == api::event::EventType::Delete;
            let Some(value) = event.kv.filter(|value| value.mod_revision > look.revision) else { continue };
            let (revision, value) = (value.mod_revision, Some(value).filter(|_| !deleted));
            let changed = if deleted { 0 } else { revision };
            *look = Look { revision, changed, map: self.place.map_in(value.as_ref()) };
            self.publisher.saw(look.map.clone()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::client::Client;
    use crate::location::Location;

    fn put(mod_revision: i64, version: u64) -> api::Event {
        let value = format!("cluster = \"x\"\nversion = {version}\nepoch = 1\n[[shard]]\nid = 0\naddress = \"a:1\"\n");
        let kv = api::KeyValue { key: b"k".to_vec(), mod_revision, value: value.into_bytes() };
        api::Event { r#type: api::event::EventType::Put.into(), kv: Some(kv) }
    }

    #[tokio::test]
    async fn what_a_read_was_ahead_of_is_not_told_again() {
        let store = Location::Etcd { endpoints: Vec::new(), name: "x".to_owned() };
        let place = Arc::new(Place { store: store.clone(), client: Client::new(Vec::new(), "k".to_owned()) });
        let (publisher, watch) = Publisher::start(store, None);
        let follower = Follower { place, publisher };
        let mut look = follower.look(&Read { member: 0, revision: 20, value: put(18, 4).kv });
        follower.publisher.saw(look.map.clone()).await;
        // The stream lags behind the read: these are older, and no reason to warn of a map that goes back.
        follower.told(&mut look, vec![put(17, 3), put(18, 4)]).await;
        assert_eq!((watch.newest().unwrap().version, watch.problem(), look.revision), (4, None, 20));
        follower.told(&mut look, vec![put(21, 5), put(22, 6)]).await;
        assert_eq!((watch.newest().unwrap().version, watch.problem(), look.revision), (6, None, 22));
        let gone = api::Event { r#type: api::event::EventType::Delete.into(), ..put(23, 0) };
        follower.told(&mut look, vec![gone]).await;
        assert!(matches!(watch.problem(), Some(StoreError::Empty { .. })), "{:?}", watch.problem());
        assert_eq!((watch.newest().unwrap().version, look.changed), (6, 0));
    }
}
