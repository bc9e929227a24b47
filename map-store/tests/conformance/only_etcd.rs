//! What only etcd can do, or have happen to it.

use crate::subject::{NAME, first, marked, reaches, until};
use crate::{LOAD_MAX, SWAP_MAX, etcd, proxy};
use crest_map_store::{Location, StoreError, SwapError, open, open_with_copy, put};
use crest_topology::Cluster;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn etcd_goes_on_as_long_as_a_majority_of_its_members_does() {
    let mut members = etcd::Etcd::start_members(3);
    let addresses: Vec<String> = members.iter().map(|member| member.address().to_string()).collect();
    let location: Location = format!("etcd://{}/{}", addresses.join(","), NAME).parse().unwrap();
    let (store, mut map) = (open(location), first());
    store.swap(0, &map).await.unwrap();
    let mut watch = store.watch();
    reaches(&mut watch, &map).await;
    // The first is asked first. One dies, another is cut off: in turn, each of them.
    for n in 0..3 {
        if n == 1 {
            members[n].pause()
        } else {
            members[n].kill()
        }
        let next = marked(&map, &format!("without-{n}"));
        put(store.as_ref(), map.version, &next).await.unwrap();
        reaches(&mut watch, &next).await;
        map = next;
        if n == 1 {
            members[n].resume()
        } else {
            members[n].launch()
        }
        members.iter().for_each(etcd::Etcd::ready);
    }
    members[0].kill();
    members[1].kill();
    // The third is there, and cannot know whether it is up to date.
    let begun = Instant::now();
    assert!(matches!(store.load().await, Err(StoreError::Unavailable { .. })));
    assert!(begun.elapsed() < LOAD_MAX, "load took {:?}", begun.elapsed());
    until("the watch notices", || !watch.connected()).await;
    assert_eq!(watch.newest().as_deref(), Some(&map));
    members[1].restart();
    until("the watch is back", || watch.connected()).await;
    let next = marked(&map, "again");
    put(store.as_ref(), map.version, &next).await.unwrap();
    reaches(&mut watch, &next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_whose_answer_is_lost_is_unknown_and_a_look_settles_it() {
    let etcd = etcd::Etcd::start();
    let proxy = proxy::Proxy::start(etcd.address());
    let at = |address| format!("etcd://{address}/{}", NAME).parse::<Location>().unwrap();
    let (direct, store) = (open(at(etcd.address())), open(at(proxy.address())));
    store.swap(0, &first()).await.unwrap();

    let next = marked(&first(), "a");
    proxy.lose_answers(1);
    let begun = Instant::now();
    let swapped = store.swap(1, &next).await;
    assert!(matches!(swapped, Err(SwapError::Unknown { .. })), "{swapped:?}");
    assert!(begun.elapsed() < SWAP_MAX, "swap took {:?}", begun.elapsed());
    assert_eq!(*direct.load().await.unwrap(), next, "in fact it was done");

    let last = marked(&next, "b");
    proxy.lose_answers(1);
    assert_eq!(put(store.as_ref(), 2, &last).await, Ok(()), "it looks again, and finds its own map");
    assert_eq!(*direct.load().await.unwrap(), last);

    // Somebody else changes it between the lost answer and the look.
    let (ours, theirs) = (marked(&last, "ours"), marked(&last, "theirs"));
    proxy.lose_requests(1);
    let (ours, theirs) = tokio::join!(put(store.as_ref(), 3, &ours), direct.swap(3, &theirs));
    assert_eq!((ours, theirs), (Err(SwapError::Conflict { expected: 3, found: 4 }), Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_clusters_map_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("map.toml");
    std::fs::write(&copy, Cluster { name: "other".to_owned(), ..first() }.to_toml()).unwrap();
    // Nobody listens on port 1.
    let store = open_with_copy("etcd://127.0.0.1:1/pay".parse().unwrap(), copy);
    let first = store.watch().first(Duration::from_secs(4)).await;
    assert!(matches!(first, Err(StoreError::Unavailable { .. })), "{first:?}");
}
