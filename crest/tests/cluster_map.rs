//! `crest cluster` over a real etcd.

#![allow(clippy::unwrap_used, reason = "this is a test")]

#[path = "../../map-store/tests/conformance/etcd.rs"]
mod etcd;
mod processes;

use crest_topology::Cluster;
use processes::{Ended, folder, run, text};
use std::time::Duration;

/// More than a command gives a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_map_of_a_cluster_is_put_into_etcd_and_outlives_it() {
    let (dir, mut etcd) = (folder(), etcd::Etcd::start());
    let file = dir.path().join("cluster.toml");
    let cluster =
        "cluster = \"demo\"\nepoch = 1\n[[shard]]\nid = 0\naddress = \"a:1\"\n[[shard]]\nid = 1\naddress = \"b:1\"\n";
    std::fs::write(&file, cluster).unwrap();
    let store = format!("etcd://{}/demo", etcd.address());
    let show = || run(&["cluster", "show", "--cluster", &store], PATIENCE);
    let init = |store: &str| run(&["cluster", "init", text(&file), "--cluster", store], PATIENCE);
    #[track_caller]
    fn check(ended: &Ended, code: i32, said: &str) {
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stdout.contains(said) || ended.stderr.contains(said), "{said:?}: {ended:?}");
    }
    check(&show(), 1, &format!("holds no map: put one there with `crest cluster init FILE --cluster {store}`"));
    check(&init(&store.replace("/demo", "/other")), 1, "it is the map of cluster demo, not of other");
    check(&init(&store), 0, "has the map of cluster demo now: version 1");
    check(&init(&store), 0, "already");
    etcd.restart();
    let shown = show();
    assert_eq!(Cluster::parse(&shown.stdout).unwrap(), Cluster::parse(cluster).unwrap(), "{shown:?}");
    etcd.kill();
    check(&show(), 3, "does not answer");
}
