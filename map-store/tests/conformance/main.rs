//! What every store of maps does: one suite, over a file and over a real etcd that is killed, held still and started again.

#![allow(clippy::unwrap_used, reason = "this is a test")]

mod etcd;
mod only_a_file;
mod only_etcd;
mod proxy;
mod subject;

use crest_map_store::{ChangeError, StoreError, SwapError, Watch, change, open_with_copy, put};
use crest_topology::{Cluster, placement};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use subject::{PATIENCE, Subject, first, marked, reaches, until};

/// How long a store says that a read takes at the longest, and some more for a busy machine.
const LOAD_MAX: Duration = Duration::from_secs(5 + 2);
/// The same for a swap.
const SWAP_MAX: Duration = Duration::from_secs(8 + 2);

/// Runs each of these over both stores.
macro_rules! conformance {
    ($($name:ident)+) => {
        mod over_a_file {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Subject::file()).await; })+
        }
        mod over_etcd {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(super::Subject::etcd()).await; })+
        }
    };
}

conformance! {
    an_empty_store_says_so_and_takes_one_first_map
    an_empty_store_takes_a_map_that_goes_on_counting
    what_cannot_follow_is_not_taken
    every_version_has_exactly_one_winner_and_a_watch_never_goes_back
    a_watch_sees_changes_at_once
    a_store_that_was_killed_and_started_again_has_its_map
    without_a_connection_calls_end_in_time_and_a_watch_keeps_its_map
    what_is_not_the_map_is_refused_and_the_last_good_one_stays
    a_watch_does_not_go_back_to_an_older_map
    a_process_that_starts_without_its_store_takes_the_copy
    a_change_is_made_again_when_somebody_else_was_faster
}

async fn an_empty_store_says_so_and_takes_one_first_map(subject: Subject) {
    let (store, map) = (subject.open(), first());
    let empty = StoreError::Empty { store: subject.location() };
    assert_eq!(store.load().await, Err(empty.clone()));
    let mut watch = store.watch();
    until("the watch sees that there is nothing", || watch.problem() == Some(empty.clone())).await;
    assert_eq!((watch.newest(), watch.connected()), (None, true));
    assert_eq!(watch.first(Duration::from_millis(10)).await, Err(empty.clone()));
    assert_eq!(store.swap(1, &marked(&map, "a")).await, Err(SwapError::Conflict { expected: 1, found: 0 }));
    assert_eq!(store.load().await, Err(empty), "nothing was put there");

    assert_eq!(store.swap(0, &map).await, Ok(()));
    assert_eq!(store.load().await.unwrap(), Arc::new(map.clone()));
    reaches(&mut watch, &map).await;
    assert_eq!((watch.problem(), watch.connected()), (None, true));
    assert_eq!(store.swap(0, &map).await, Err(SwapError::Conflict { expected: 0, found: 1 }));
    let next = marked(&map, "b");
    assert_eq!(store.swap(1, &next).await, Ok(()));
    assert_eq!(store.swap(1, &marked(&map, "c")).await, Err(SwapError::Conflict { expected: 1, found: 2 }));
    reaches(&mut watch, &next).await;
    assert_eq!(subject.open().load().await.unwrap(), Arc::new(next));
}

async fn an_empty_store_takes_a_map_that_goes_on_counting(subject: Subject) {
    let (store, map) = (subject.open(), Cluster { version: 41, ..first() });
    store.swap(0, &map).await.unwrap();
    store.swap(41, &marked(&map, "a")).await.unwrap();
    assert_eq!(store.load().await.unwrap().version, 42);
}

async fn what_cannot_follow_is_not_taken(subject: Subject) {
    let (store, map) = (subject.open(), first());
    store.swap(0, &map).await.unwrap();
    let next = Cluster { version: 2, ..map.clone() };
    let unsorted = {
        let mut nodes = next.nodes.clone();
        nodes.reverse();
        Cluster { nodes, ..next.clone() }
    };
    let moved = Cluster::parse(&next.to_toml().replace("8191", "8190").replace("8192", "8191")).unwrap();
    for (wrong, part) in [
        (Cluster { version: 3, ..next.clone() }, "version 3"),
        (Cluster { name: "other".to_owned(), ..next.clone() }, "cluster other, not of pay"),
        (Cluster { nodes: Vec::new(), ..next.clone() }, "no [[node]]"),
        (unsorted, "sorted"),
        (moved, "epoch is still 1"),
    ] {
        match store.swap(1, &wrong).await {
            Err(SwapError::Invalid { why }) => assert!(why.contains(part), "{why:?} names {part:?}"),
            other => panic!("{part}: {other:?}"),
        }
    }
    assert_eq!(store.load().await.unwrap(), Arc::new(map));
    store.swap(1, &next).await.unwrap();
}

async fn every_version_has_exactly_one_winner_and_a_watch_never_goes_back(subject: Subject) {
    const TASKS: usize = 8;
    const LAST: u64 = 121;
    let subject = Arc::new(subject);
    let winners = Arc::new(Mutex::new(BTreeMap::from([(1, vec![first()])])));
    let shared = subject.open();
    shared.swap(0, &first()).await.unwrap();
    let watched = tokio::spawn(watched(subject.open().watch(), LAST));
    let contend = |task: usize| {
        // Half of them are as processes of their own.
        let store = if task.is_multiple_of(2) { shared.clone() } else { subject.open() };
        let (winners, subject) = (winners.clone(), subject.clone());
        tokio::spawn(async move {
            loop {
                let current = store.load().await.unwrap();
                if current.version >= LAST {
                    return;
                }
                let next = marked(&current, &format!("task-{task}"));
                match store.swap(current.version, &next).await {
                    Ok(()) => winners.lock().unwrap().entry(next.version).or_default().push(next),
                    Err(SwapError::Conflict { expected, found }) => assert!(found > expected, "{found} > {expected}"),
                    Err(error) => panic!("{error}"),
                }
                if current.version.is_multiple_of(7) {
                    subject.forget().await;
                }
            }
        })
    };
    for contender in (0..TASKS).map(contend).collect::<Vec<_>>() {
        contender.await.unwrap();
    }
    let winners = winners.lock().unwrap().clone();
    assert_eq!(winners.keys().copied().collect::<Vec<_>>(), (1..=LAST).collect::<Vec<_>>(), "no version is left out");
    for (version, of_version) in &winners {
        assert_eq!(of_version.len(), 1, "version {version} was won once");
    }
    let seen = watched.await.unwrap();
    for map in &seen {
        assert_eq!(**map, winners[&map.version][0], "what was seen is what the winner put there");
    }
    assert_eq!(seen.last().unwrap().version, LAST);
    assert_eq!(*subject.open().load().await.unwrap(), winners[&LAST][0]);
}

/// What a watch gives, up to the version `last`: each newer than the one before.
async fn watched(mut watch: Watch, last: u64) -> Vec<Arc<Cluster>> {
    let mut seen: Vec<Arc<Cluster>> = Vec::new();
    while seen.last().is_none_or(|map| map.version < last) {
        let map = tokio::time::timeout(PATIENCE, watch.next()).await.expect("it sees the last version").unwrap();
        assert!(seen.last().is_none_or(|before| before.version < map.version), "{} after {seen:?}", map.version);
        seen.push(map);
    }
    seen
}

async fn a_watch_sees_changes_at_once(subject: Subject) {
    const CHANGES: u32 = 20;
    let (store, mut map) = (subject.open(), first());
    store.swap(0, &map).await.unwrap();
    let mut watch = store.watch();
    reaches(&mut watch, &map).await;
    let begun = Instant::now();
    for _ in 0..CHANGES {
        let next = marked(&map, "a");
        store.swap(map.version, &next).await.unwrap();
        reaches(&mut watch, &next).await;
        map = next;
    }
    // A file is looked at every 200 ms. etcd's key is read every 2 s in any case: that alone would take 40 s.
    assert!(begun.elapsed() < Duration::from_secs(12), "{CHANGES} changes took {:?}", begun.elapsed());
}

async fn a_store_that_was_killed_and_started_again_has_its_map(mut subject: Subject) {
    let (store, map) = (subject.open(), first());
    let mut watch = store.watch();
    store.swap(0, &map).await.unwrap();
    let next = marked(&map, "a");
    store.swap(1, &next).await.unwrap();
    reaches(&mut watch, &next).await;
    for version in 2..5 {
        subject.kill();
        until("the watch notices", || !watch.connected()).await;
        assert_eq!(watch.newest().unwrap().version, version);
        assert!(matches!(store.load().await, Err(StoreError::Unavailable { .. })));
        subject.restart();
        until("the watch is back", || watch.connected()).await;
        let current = store.load().await.unwrap();
        assert_eq!(current.version, version);
        let next = marked(&current, "b");
        store.swap(version, &next).await.unwrap();
        reaches(&mut watch, &next).await;
    }
}

async fn without_a_connection_calls_end_in_time_and_a_watch_keeps_its_map(mut subject: Subject) {
    let (store, map) = (subject.open(), first());
    store.swap(0, &map).await.unwrap();
    let mut watch = store.watch();
    reaches(&mut watch, &map).await;
    subject.lose();
    let (begun, next) = (Instant::now(), marked(&map, "a"));
    assert!(matches!(store.load().await, Err(StoreError::Unavailable { .. })));
    assert!(begun.elapsed() < LOAD_MAX, "load took {:?}", begun.elapsed());
    let begun = Instant::now();
    let swapped = store.swap(1, &next).await;
    assert!(matches!(swapped, Err(SwapError::Store(StoreError::Unavailable { .. }))), "{swapped:?}");
    assert!(begun.elapsed() < SWAP_MAX, "swap took {:?}", begun.elapsed());
    until("the watch notices", || !watch.connected()).await;
    assert!(matches!(watch.problem(), Some(StoreError::Unavailable { .. })), "{:?}", watch.problem());
    assert_eq!(watch.newest().as_deref(), Some(&map), "it keeps the map");

    subject.regain();
    until("the watch is back", || watch.connected() && watch.problem().is_none()).await;
    assert_eq!(watch.newest().as_deref(), Some(&map));
    assert_eq!(put(store.as_ref(), 1, &next).await, Ok(()));
    reaches(&mut watch, &next).await;
}

async fn what_is_not_the_map_is_refused_and_the_last_good_one_stays(subject: Subject) {
    let (store, map) = (subject.open(), first());
    store.swap(0, &map).await.unwrap();
    let mut watch = store.watch();
    reaches(&mut watch, &map).await;
    let next = marked(&map, "a");
    let text = next.to_toml();
    let damages: [(&[u8], &str); 5] = [
        (b"", "cluster: is missing"),
        (b"\xff\xfe", "not text"),
        (&text.as_bytes()[..text.len() / 2], ""),
        (text.replace("id = 9", "id = 3").into_bytes().leak(), "node[3].id: 3 is also the id of node[2]"),
        (text.replace("slots = [\"0-", "slots = [\"1-").into_bytes().leak(), "nobody owns slots 0-0"),
    ];
    for (damaged, part) in damages {
        subject.write(damaged).await;
        let refused = |error: &StoreError| matches!(error, StoreError::Damaged { why, .. } if why.contains(part));
        let error = store.load().await.unwrap_err();
        assert!(refused(&error), "{error:?} names {part:?}");
        assert!(error.to_string().contains(&subject.location().to_string()), "{error} names the store");
        let swapped = store.swap(1, &next).await;
        assert!(matches!(&swapped, Err(SwapError::Store(error)) if refused(error)), "{swapped:?}");
        until(part, || watch.problem().as_ref().is_some_and(refused)).await;
        assert_eq!((watch.newest().as_deref(), watch.connected()), (Some(&map), true));
    }
    subject.write(text.as_bytes()).await;
    reaches(&mut watch, &next).await;
    assert_eq!(watch.problem(), None);

    let other = Cluster { name: "other".to_owned(), version: 3, ..next.clone() };
    subject.write(other.to_toml().as_bytes()).await;
    until("another cluster's map is not taken", || {
        watch.problem().is_some_and(|problem| problem.to_string().contains("cluster other, not of pay"))
    })
    .await;
    subject.erase().await;
    let empty = StoreError::Empty { store: subject.location() };
    until("the watch sees that it is gone", || watch.problem() == Some(empty.clone())).await;
    assert_eq!(watch.newest().as_deref(), Some(&next));
    store.swap(0, &Cluster { version: 3, ..next.clone() }).await.unwrap();
    until("the watch goes on", || watch.newest().is_some_and(|map| map.version == 3)).await;
}

async fn a_watch_does_not_go_back_to_an_older_map(subject: Subject) {
    let (store, map) = (subject.open(), Cluster { version: 5, ..first() });
    store.swap(0, &map).await.unwrap();
    let watch = store.watch();
    until("the map is there", || watch.newest().is_some()).await;
    let other = Cluster { version: 5, ..marked(&map, "a") };
    let moved = map.to_toml().replace("8191", "8190").replace("8192", "8191").replace("version = 5", "version = 6");
    for (text, part) in [
        (Cluster { version: 4, ..map.clone() }.to_toml(), "version 4, and 5 was seen already"),
        (other.to_toml(), "its version is still 5"),
        (moved, "the epoch is still 1"),
    ] {
        subject.write(text.as_bytes()).await;
        let refused = || watch.problem().is_some_and(|problem| problem.to_string().contains(part));
        until(part, refused).await;
        assert_eq!(watch.newest().as_deref(), Some(&map), "{part}");
    }
    let newer = Cluster { version: 6, ..map.clone() };
    subject.write(newer.to_toml().as_bytes()).await;
    until("a newer one is taken", || watch.newest().as_deref() == Some(&newer) && watch.problem().is_none()).await;
}

async fn a_process_that_starts_without_its_store_takes_the_copy(mut subject: Subject) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("map.toml");
    let open = |subject: &Subject| open_with_copy(subject.location(), copy.clone());
    let (store, map) = (open(&subject), Cluster { version: 7, ..first() });
    std::fs::write(&copy, map.to_toml()).unwrap();
    let mut watch = store.watch();
    let empty = watch.first(Duration::from_secs(4)).await;
    assert_eq!(
        empty,
        Err(StoreError::Empty { store: subject.location() }),
        "a store that says it is empty is believed"
    );
    std::fs::remove_file(&copy).unwrap();

    store.swap(0, &map).await.unwrap();
    reaches(&mut watch, &map).await;
    until("the copy is written", || Cluster::load(&copy).is_ok_and(|copied| copied == map)).await;
    drop((store, watch));
    subject.lose();
    let begun = Instant::now();
    let store = open(&subject);
    let mut watch = store.watch();
    assert_eq!(watch.first(PATIENCE).await.unwrap(), Arc::new(map.clone()));
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    until("the watch notices", || matches!(watch.problem(), Some(StoreError::Unavailable { .. }))).await;
    assert!(!watch.connected());
    assert!(matches!(store.load().await, Err(StoreError::Unavailable { .. })), "only a watch takes the copy");
    assert!(matches!(store.swap(7, &marked(&map, "a")).await, Err(SwapError::Store(StoreError::Unavailable { .. }))));

    subject.regain();
    until("the watch is back", || watch.connected()).await;
    let next = marked(&map, "b");
    store.swap(7, &next).await.unwrap();
    reaches(&mut watch, &next).await;
    until("the copy follows", || Cluster::load(&copy).is_ok_and(|copied| copied == next)).await;
}

async fn a_change_is_made_again_when_somebody_else_was_faster(subject: Subject) {
    let store = subject.open();
    store.swap(0, &first()).await.unwrap();
    let add = |node: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            let address = format!("m{node}:1");
            change(store.as_ref(), |map| placement::add_node(map, node, &address)).await.unwrap()
        })
    };
    for adding in (11..=16).map(add).collect::<Vec<_>>() {
        assert!(adding.await.unwrap().version > 1);
    }
    let map = store.load().await.unwrap();
    assert_eq!(map.version, 7);
    assert_eq!(map.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 2, 3, 11, 12, 13, 14, 15, 16]);
    let refused = change(store.as_ref(), |map| placement::drain(map, 40)).await;
    assert!(matches!(refused, Err(ChangeError::Refused(placement::PlacementError::UnknownNode { .. }))), "{refused:?}");
    assert_eq!(store.load().await.unwrap(), map);
}

#[tokio::test]
async fn a_watch_tells_its_metrics() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // One thread runs everything here, so that this recorder hears of it.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut subject = Subject::file();
    let store = subject.open();
    store.swap(0, &Cluster { version: 41, ..first() }).await.unwrap();
    let watch = store.watch();
    let has = |line: &str| metrics.render().lines().any(|found| found == line);
    until("the version", || has("crest_map_version 41")).await;
    until("the connection", || has("crest_map_store_connected 1")).await;
    subject.lose();
    until("its loss", || has("crest_map_store_connected 0")).await;
    assert!(has("crest_map_version 41") && watch.newest().is_some());
}
