//! What the random rounds of `crash.rs` might miss: every failpoint is really passed, a folder may be left half-made, and in
//! some situations that seldom arise by chance the protocol has one right end.

mod kills;
mod payments;
mod processes;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use crest_proto::border::{ids_to, number_from};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_topology::SlotMap;
use kills::{Cluster, QUIET, Who, at_points, names_of};
use payments::{Bank, Client, Load};
use processes::{ANY, Layout, Server, folder, is_quiet, status_until, text};
use requests::{Sender, still_serves, transfer};

/// How long payments may flow before every failpoint was passed.
const PASSED: Duration = Duration::from_secs(60);
/// How long payments may flow before a scene's processes have died where they had to.
const PLAYED: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn every_failpoint_is_passed_while_payments_flow_and_processes_die() {
    let mut names: BTreeMap<String, &str> = names_of(crest_node::points::ALL).collect();
    names.extend(names_of(crest_router::points::ALL));
    let first_start = crest_node::points::START_UNNAMED;
    names.insert(first_start.name.to_owned(), first_start.meaning);
    let told: Vec<String> = names.keys().map(|name| format!("{name}=1*return(say)")).collect();
    let told = at_points(told.iter().map(String::as_str));
    let mut random = Random::new(1);
    let bank = Arc::new(Bank::new(3, &mut random));
    let clients = (0..12).map(|_| Client::new(random.number(), bank.clone())).collect();
    let layout = Layout::Replicated { nodes: 3, shards: 3 };
    let mut cluster = tokio::task::block_in_place(|| Cluster::start_with(layout, 2, |_| told.clone()));
    cluster.until_whole().await;
    bank.open(&mut cluster.ways()[0]).await;
    let load = Load::start(clients, &cluster.ways());
    let begun = Instant::now();
    for turn in 0.. {
        load.answers(500).await;
        for name in cluster.processes().flat_map(Server::points) {
            names.remove(&name);
        }
        if names.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PASSED, "never passed: {names:#?}");
        // A router that dies leaves something to recovery, once its time has come.
        tokio::task::block_in_place(|| cluster.kill_and_arm(Who::Router(turn % 2), &told));
        if turn == 0 {
            // And a node that has lost its disk takes in snapshots.
            let data = cluster.files.data_dir(0);
            cluster.process(Who::Node(0)).kill();
            std::fs::remove_dir_all(data).expect("nobody is in it");
            tokio::task::block_in_place(|| cluster.kill_and_arm(Who::Node(0), &told));
        }
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
    load.stop().await;
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_left_half_made_is_made_whole() {
    let data = folder();
    let dev = ["dev", "--shards", "1", "--data-dir", text(data.path()), "--listen", ANY];
    // Each start comes a step further than the one before.
    let steps = [
        "start::unnamed",
        "start::store_read",
        "log::segment_unnamed",
        "start::read",
        "log::before_write",
        "log::written",
        "log::synced",
        "executor::durable::create",
    ];
    for step in steps {
        let mut server = Server::launch(&dev, &format!("{step}=return(abort)"));
        if server.ready().is_ok() {
            // Nobody answers, or the process has died already.
            let _ = Sender::new(&server).sends(vec![transfer(999_999, 1_001, 1_002)]).await;
        }
        server.ended();
        assert!(server.was_at(step), "{step}: {}", server.log());
    }
    let server = Server::dev(1, data.path());
    still_serves(&server).await;
    server.stop();
}

/// A situation: payments of 1 go from an account of shard 0, which decides, to one of shard 1, which holds.
struct Scene {
    what: &'static str,
    /// What the processes do at which points. Who dies is started again, without any.
    decider: &'static str,
    holder: &'static str,
    router: &'static str,
}

const DIES_WHEN_DECIDED: &str = "router::decided=2*off->return(abort)";
const NOT_TOLD_BY_THE_DECIDER: &str = "recovery::before_tell=1*return(pause 5000)";

const SCENES: &[Scene] = &[
    Scene {
        what: "nobody tells the holder, which has to ask and gets the decision",
        decider: NOT_TOLD_BY_THE_DECIDER,
        holder: "",
        router: DIES_WHEN_DECIDED,
    },
    Scene {
        what: "the router hangs before it has decided, until the holder has asked and been released",
        decider: "",
        holder: "",
        router: "router::before_decide=1*return(pause 4000)",
    },
    Scene {
        what: "the holder asks, is answered, and dies before it ends the hold",
        decider: NOT_TOLD_BY_THE_DECIDER,
        holder: "recovery::answered=return(abort)",
        router: DIES_WHEN_DECIDED,
    },
    Scene {
        what: "the holder asks, ends the hold, and dies between that and its acknowledgement",
        decider: NOT_TOLD_BY_THE_DECIDER,
        holder: "recovery::ended=return(abort)",
        router: DIES_WHEN_DECIDED,
    },
    Scene {
        what: "the router dies when it knows the decision, before anybody else does",
        decider: "",
        holder: "",
        router: DIES_WHEN_DECIDED,
    },
    Scene {
        what: "the holder is told, and dies before that is durable",
        decider: "",
        holder: "executor::appending::finish=1*off->return(abort)",
        router: "",
    },
    Scene {
        what: "the decider dies with its decision in the log, before it has applied it",
        decider: "executor::durable::decide=2*off->return(abort)",
        holder: "",
        router: "",
    },
    Scene {
        what: "the decider dies with its decision handed to the log, and not written",
        decider: "log::before_write=20*off->return(abort)",
        holder: "",
        router: "",
    },
    Scene {
        what: "the holder dies with its vote handed to the log, and not written",
        decider: "",
        holder: "log::before_write=20*off->return(abort)",
        router: "",
    },
    Scene {
        what: "everybody dies in the middle",
        decider: "executor::applied::decide=1*off->return(abort)",
        holder: "executor::applied::prepare=4*off->return(abort)",
        router: "router::decided=6*off->return(abort)",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_between_shards_has_one_right_end_in_every_scene() {
    // Some side by side: most of the time is waiting for deadlines.
    for some in SCENES.chunks(4) {
        let played: Vec<_> = some.iter().map(|scene| tokio::spawn(play(scene))).collect();
        for played in played {
            played.await.expect("the scene ends as it has to");
        }
    }
}

async fn play(scene: &'static Scene) {
    let failpoints = |who: Who| match who {
        Who::Node(0) => scene.decider.to_owned(),
        Who::Node(_) => scene.holder.to_owned(),
        Who::Router(_) => scene.router.to_owned(),
    };
    let mut deaths = [scene.decider, scene.holder, scene.router].iter().filter(|told| told.contains("abort")).count();
    let mut cluster = tokio::task::block_in_place(|| Cluster::start_with(Layout::Alone(2), 1, failpoints));
    let map = SlotMap::even(&[0, 1]).expect("a map");
    let on = |shard: u32| (1_u128..).find(|id| map.shard_of(*id) == shard).expect("a shard has accounts");
    let (from, to) = (on(0), on(1));
    let mut sender = Sender::new(cluster.process(Who::Router(0)));
    sender.opens(&[from, to]).await;
    let begun = Instant::now();
    let mut paid = 0;
    while paid < 3 || deaths > 0 {
        assert!(begun.elapsed() < PLAYED, "{}: {deaths} processes have not died after {paid} payments", scene.what);
        paid += 1;
        loop {
            deaths -= tokio::task::block_in_place(|| cluster.revive());
            match sender.sends(vec![transfer(1_000 + paid, from, to)]).await {
                Ok(statuses) => {
                    assert!(matches!(statuses[..], [Status::Created | Status::Exists]), "{}: {statuses:?}", scene.what);
                    break;
                }
                Err(error) => assert!(begun.elapsed() < PLAYED, "{}: {error}", scene.what),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut operations = cluster.operations();
    let took = status_until(&mut operations, QUIET, scene.what, is_quiet).await;
    println!("{}: {paid} payments, quiet after {:.1} s", scene.what, took.as_secs_f64());
    let request = v1::LookupAccountsRequest { ids: ids_to(&[from, to]), read: None };
    let accounts = sender.ledger.lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
    let posted = (number_from(accounts[0].debits_posted), number_from(accounts[1].credits_posted));
    assert_eq!(posted, (paid, paid), "{}: paid by the one, and got by the other", scene.what);
    let audit = operations.audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
    assert!(audit.holds, "{}: {:#?}", scene.what, audit.findings);
}
