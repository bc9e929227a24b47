//! `crest cluster` on real processes while payments flow: nodes come, are replaced, drained and removed, shards grow, leaders
//! are moved. Nothing that was acknowledged is lost, and the audit holds.

mod operated;
mod payments;
mod processes;

#[path = "../../map-store/tests/conformance/etcd.rs"]
mod etcd;

use std::sync::Arc;
use std::time::Duration;

use crest_conformance::random::Random;
use operated::{Operated, leader, troubles};
use payments::{Bank, Client, Load, check_everything, settle};
use processes::{is_quiet, run, status_until};

const CLIENTS: usize = 8;
const QUIET: Duration = Duration::from_secs(20);
const THREE: &[u32] = &[1, 2, 3];

/// Payments between two shards that go on until [`Payments::end`].
struct Payments {
    bank: Arc<Bank>,
    load: Load,
}

impl Payments {
    async fn begin(cluster: &Operated, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let bank = Arc::new(Bank::new(2, &mut random));
        bank.open(&mut cluster.router.ledger()).await;
        let clients = (0..CLIENTS).map(|_| Client::new(random.number(), bank.clone())).collect();
        Self { bank, load: Load::start(clients, &[cluster.router.ledger()]) }
    }

    /// Payments get answers.
    async fn flow(&self) {
        self.load.answers(200).await;
    }

    /// Stops them, and checks all that the clients know, and the audit.
    async fn end(self, cluster: &Operated) {
        let clients = settle(self.load.stop().await, &[cluster.router.ledger()]).await;
        status_until(&mut cluster.router.operations(), QUIET, "what is in doubt ends by itself", is_quiet).await;
        let sent: usize = clients.iter().map(|client| client.sent.len()).sum();
        check_everything(&self.bank, &clients, &mut cluster.router.ledger(), &mut cluster.router.operations()).await;
        println!("{sent} events were sent, and all is as the clients know it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_lost_replaced_drained_and_removed_while_payments_flow() {
    let mut cluster = Operated::start(&[THREE, THREE], None);
    cluster.healthy();
    cluster.check("status", 0, &["healthy: 2 shards, 3 nodes", "leader", "1-3"]);
    let payments = Payments::begin(&cluster, 11).await;
    payments.flow().await;

    cluster.kill(3);
    let lost = |status: &serde_json::Value, code: i32| {
        code == 1 && [0, 1].iter().all(|shard| troubles(status, *shard).contains("under-replicated (2 of 3)"))
    };
    cluster.status_until("the lost node is noticed", lost);
    cluster.check("status", 1, &["node 3 does not answer", "shards 0, 1: under-replicated (2 of 3)"]);
    payments.flow().await;

    let address = cluster.new_address(4);
    cluster.check(&format!("add-node --id 4 --address {address} --dry-run"), 0, &["node 4 at", "--dry-run"]);
    cluster.check(&format!("add-node --id 4 --address {address}"), 0, &["map version 1 -> 2", "--node 4"]);
    cluster.node(4);
    let replaced =
        cluster.check("replace-node 3 4 --timeout 60s", 0, &["shard 1: nodes 1-3 -> 1, 2, 4", "Done: 2 shards"]);
    assert!(replaced.stderr.contains("shard 0: "), "progress is told: {replaced:?}");
    payments.flow().await;
    cluster.check("status", 1, &["node 3 does not answer"]);
    cluster.check("remove-node 1", 1, &["node 1 is to have replicas of shards 0, 1", "drain it first"]);

    // It comes back to a group that does not have it any more.
    cluster.node(3);
    cluster.status_until("node 3 puts its replicas aside", |status, code| {
        code == 0 && !cluster.data_dir(3).join("shard-0").exists() && status["nodes"][2]["answers"] == true
    });
    let kept = std::fs::read_dir(cluster.data_dir(3)).expect("its folder").flatten();
    let kept: Vec<String> = kept.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(kept.iter().filter(|name| name.starts_with("removed-shard-")).count(), 2, "{kept:?}");
    cluster.check("remove-node 3", 0, &["node 3 is removed"]);
    cluster.stop(3);
    assert_eq!(cluster.healthy()["nodes"].as_array().map(Vec::len), Some(3));
    payments.flow().await;

    // A drain takes everything from a node, also what it leads.
    cluster.check("drain-node 1", 1, &["cannot leave node 1", "add a node first"]);
    let address = cluster.new_address(5);
    cluster.check(&format!("add-node --id 5 --address {address}"), 0, &[]);
    cluster.node(5);
    cluster.check("transfer-leader 0 --to 1", 0, &[]);
    cluster.check("drain-node 1 --timeout 60s", 0, &["1 goes", "5 comes", "Done: 2 shards"]);
    cluster.check("remove-node 1", 0, &[]);
    cluster.stop(1);
    payments.flow().await;
    let status = cluster.healthy();
    assert_eq!(status["shards"][0]["voters"], serde_json::json!([2, 4, 5]), "{status:#}");
    payments.end(&cluster).await;
    cluster.stop_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_are_moved_and_shards_grow_and_shrink_while_payments_flow() {
    let mut cluster = Operated::start(&[&[1], THREE], None);
    cluster.healthy();
    let payments = Payments::begin(&cluster, 12).await;
    payments.flow().await;

    cluster.check("place 0 --replicas 2", 1, &["none of the nodes", "one has to stay"]);
    cluster.check("place 0 --replicas 1,2", 1, &["2 replicas: expected 1, 3 or 5"]);
    cluster.check("place 7 --replicas 1", 1, &["no shard 7"]);
    cluster.check("place 0 --replicas 1,2,3 --timeout 60s", 0, &["shard 0: nodes 1 -> 1-3", "Done: 1 shard"]);
    cluster.healthy();
    payments.flow().await;

    for (shard, to) in [(0, 2), (1, 2), (0, 3)] {
        let moved = cluster.check(&format!("transfer-leader {shard} --to {to}"), 0, &[]);
        let led = cluster.status_until("it leads", |status, _| leader(status, shard) == to);
        assert_eq!(leader(&led, shard), to, "{moved:?}");
        payments.flow().await;
    }
    cluster.check("transfer-leader 0 --to 9", 1, &["node 9 has no voter of shard 0", "1, 2"]);
    cluster.check("transfer-leader --from 2", 0, &["shard 1: node 2 -> node 1"]);
    cluster.check("transfer-leader 0 --to 1", 0, &[]);
    cluster.check("balance-leaders", 0, &["node 1 -> node 2"]);
    assert_eq!(cluster.check("balance-leaders", 0, &[]).stdout.trim(), "Nothing to do.");

    // With three replicas, the one that was alone before can go.
    let first = leader(&cluster.healthy(), 0) as u32;
    cluster.kill(first);
    cluster.status_until("another one leads", |status, _| ![0, u64::from(first)].contains(&leader(status, 0)));
    payments.flow().await;
    cluster.node(first);
    cluster.healthy();
    cluster.check("place 0 --replicas 2", 1, &["would have fewer replicas", "--yes"]);
    cluster.check("place 0 --replicas 2 --yes --timeout 60s", 0, &["3 goes", "Done"]);
    payments.flow().await;
    assert_eq!(cluster.healthy()["shards"][0]["voters"], serde_json::json!([2]));
    payments.end(&cluster).await;
    cluster.stop_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_says_which_shards_do_not_serve_and_when_nobody_knows() {
    let mut cluster = Operated::start(&[THREE, &[3]], None);
    cluster.healthy();
    cluster.health_until(0, "serves");
    cluster.kill(2);
    cluster.kill(3);
    let without = |status: &serde_json::Value, code: i32| {
        code == 4 && troubles(status, 0).contains("no leader") && troubles(status, 1).contains("no replica answers")
    };
    cluster.status_until("the shards do not serve", without);
    cluster.check("status", 4, &["NOT healthy: ", "shard 0: no leader", "nodes 2, 3 do not answer"]);
    cluster.check("transfer-leader 0 --to 1", 1, &["shard 0 has no leader"]);
    cluster.check("place 0 --replicas 1 --yes", 1, &["shard 0 has no leader", "bring it back first"]);
    cluster.health_until(1, "answers, and does not serve: shard 0");
    cluster.kill(1);
    cluster.check("status", 3, &["UNKNOWN: no node answers"]);
    for node in [1, 2, 3] {
        cluster.node(node);
    }
    cluster.healthy();
    cluster.health_until(0, "serves");
    // A lost disk: the node comes back with nothing, and its replica of the shard of three is built anew.
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.data_dir(2)).expect("the folder is there");
    cluster.node(2);
    let rebuilt = cluster.healthy();
    assert_eq!(rebuilt["shards"][0]["voters"], serde_json::json!([1, 2, 3]));
    let life = rebuilt["shards"][0]["replicas"][1]["replica"].as_str().and_then(|number| number.parse::<u64>().ok());
    assert!(life.is_some_and(|life| life >> 32 != 0), "it is another life: {rebuilt:#}");
    // Two changes at the same time are both made, one after the other.
    let (four, five) = (cluster.new_address(4), cluster.new_address(5));
    let adding = [(4, four), (5, five)].map(|(id, address)| {
        let location = cluster.location.clone();
        std::thread::spawn(move || {
            let id = id.to_string();
            run(&["cluster", "add-node", "--id", &id, "--address", &address, "--cluster", &location], QUIET)
        })
    });
    for added in adding {
        let added = added.join().expect("it does not panic");
        assert_eq!(added.code, Some(0), "{added:?}");
    }
    let status = cluster.status_until("the nodes have seen the map", |status, _| {
        status["nodes"].as_array().is_some_and(|nodes| nodes.iter().take(3).all(|node| node["map_version"] == "3"))
    });
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(5));
    cluster.check("replace-node 2 4 --timeout 1s", 4, &["node 4 does not answer", "by themselves", "--watch"]);
    cluster.check("status", 1, &["shard 0: changing members"]);
    cluster.node(4);
    cluster.status_until("what was begun goes on by itself", |status, _| {
        status["shards"][0]["voters"] == serde_json::json!([1, 3, 4]) && troubles(status, 0) == "[]"
    });
    cluster.stop_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_with_a_leader_that_commits_nothing_does_not_serve() {
    let mut cluster = Operated::start(&[THREE, &[1]], None);
    cluster.healthy();
    // From then on node 2 answers its leader, and its disk takes nothing more.
    cluster.kill(2);
    cluster.node_with(2, "log::before_write=30*off->return(pause 600000)");
    cluster.healthy();
    cluster.check("transfer-leader 0 --to 1", 0, &[]);
    cluster.status_until("node 1 leads", |status, _| leader(status, 0) == 1);
    cluster.kill(3);
    let stalled = |status: &serde_json::Value, code: i32| code == 4 && troubles(status, 0).contains("does not commit");
    let status = cluster.status_until("nothing is committed", stalled);
    assert_eq!((leader(&status, 0), &status["shards"][0]["serves"]), (1, &serde_json::json!(false)), "{status:#}");
    assert_eq!(status["shards"][1]["serves"], serde_json::json!(true), "{status:#}");
    cluster.health_until(1, "serves some payments and not all: shard 0");
    cluster.node(3);
    cluster
        .status_until("two of three take entries", |status, code| code != 4 && !troubles(status, 0).contains("commit"));
    cluster.health_until(0, "serves");
    cluster.kill(2);
    cluster.stop_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_etcd_away_payments_go_on_and_the_status_works_with_a_copy_of_the_map() {
    let mut etcd = etcd::Etcd::start();
    let store = format!("etcd://{}/{}", etcd.address(), processes::CLUSTER);
    let mut cluster = Operated::start(&[THREE, THREE], Some(store));
    cluster.healthy();
    let payments = Payments::begin(&cluster, 13).await;
    payments.flow().await;
    let address = cluster.new_address(4);
    cluster.check(&format!("add-node --id 4 --address {address}"), 0, &[]);
    cluster.node(4);
    cluster.check("replace-node 2 4 --timeout 60s", 0, &["Done: 2 shards"]);
    cluster.check("remove-node 2", 0, &[]);
    cluster.stop(2);
    cluster.healthy();

    etcd.kill();
    payments.flow().await;
    let copy = cluster.data_dir(1);
    cluster.check("status", 3, &["does not answer", "--map-copy"]);
    let words = format!("status --map-copy {}", processes::text(&copy));
    cluster.check(&words, 1, &["the store of the map does not give it", "this is the copy in", "shard", "running"]);
    let led = leader(&cluster.copied_status(&copy), 0);
    let to = [1, 3, 4].into_iter().find(|node| *node != led).expect("another node");
    cluster.check(&format!("transfer-leader 0 --to {to} --map-copy {}", processes::text(&copy)), 0, &["node"]);
    cluster.check("remove-node 3", 3, &["does not answer"]);
    payments.flow().await;
    etcd.restart();
    cluster.healthy();
    payments.end(&cluster).await;
    cluster.stop_all();
}
