//! The node that leads a shard is killed under load: payments go on with another leader, nothing that was acknowledged is
//! lost, and clients see delays, no errors.
//!
//! `make failover KILLS=50` measures it; the figures stand in docs/BENCHMARKS.md. `CREST_FAILOVER_KILLS` says how often,
//! `CREST_FAILOVER_BOUND_MS` how long payments may stand still (without it, no time is asserted: a machine that builds
//! beside it says nothing about Crest), and `CREST_FAILOVER_OUT` where `failover.json` and `failover.md` go.

mod outage;
mod kills;
mod payments;
mod processes;
mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crest_proto::border::{ids_to, number_from};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use kills::{Cluster, ELECTED, Who};
use outage::{DirectReads, Failover, Figures};
use processes::Layout;
use requests::{Sender, transfer};
use tokio::sync::watch;

fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The machine's mean load of the last minute; 0 where it is not told.
fn load() -> f64 {
    let told = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_costs_clients_nothing_but_a_delay() {
    let kills = number_of("CREST_FAILOVER_KILLS").unwrap_or(2);
    let bound = number_of("CREST_FAILOVER_BOUND_MS").map(Duration::from_millis);
    let mut loads = vec![load()];
    let mut failover = Failover::start(kills).await;
    for n in 1..=kills {
        let kill = failover.kill().await;
        println!("kill {n}: {kill:?}");
        loads.push(load());
    }
    for restart in failover.rolling_restart().await {
        println!("{restart:?}");
    }
    let mut figures: Figures = failover.check().await;
    figures.load = loads.iter().sum::<f64>() / loads.len() as f64;
    figures.processors = std::thread::available_parallelism().map_or(1, usize::from);
    let page = figures.markdown();
    println!("{page}");
    if let Some(out) = std::env::var_os("CREST_FAILOVER_OUT").map(std::path::PathBuf::from) {
        std::fs::create_dir_all(&out).expect("the folder can be made");
        let json = serde_json::to_string_pretty(&figures.json()).expect("it is JSON");
        std::fs::write(out.join("failover.json"), json).expect("it can be written");
        std::fs::write(out.join("failover.md"), page).expect("it can be written");
    }
    assert_eq!(figures.errors, Vec::<String>::new(), "clients are told to send again, and nothing else");
    for kill in &figures.kills {
        assert!(bound.is_none_or(|bound| kill.continued <= bound), "payments stood still for too long: {kill:?}");
    }
}

/// A leader is held still for so long: longer than the longest election.
const HELD: Duration = Duration::from_millis(2_500);
/// The payer and the payee of every payment.
const PAIR: (u128, u128) = (1_001, 1_002);

/// Pays 1 again and again until `stopped`, and counts what is acknowledged. After every few payments, the payee is read at the
/// timestamp of the last one, by replicas that only follow.
async fn pay_on(mut sender: Sender, acknowledged: Arc<AtomicU64>, stopped: watch::Receiver<bool>) -> Sender {
    while !*stopped.borrow() {
        let id = u128::from(acknowledged.load(Ordering::SeqCst)) + 1;
        let statuses = sender.settles(vec![transfer(id, PAIR.0, PAIR.1)]).await;
        assert!(matches!(statuses[..], [Status::Created | Status::Exists]), "{statuses:?}");
        acknowledged.fetch_add(1, Ordering::SeqCst);
        if id.is_multiple_of(50) {
            let request = v1::LookupTransfersRequest { ids: ids_to(&[id]), read: None };
            let Ok(found) = sender.ledger.lookup_transfers(request).await else { continue };
            let timestamp = found.into_inner().transfers.first().expect("it was acknowledged").timestamp;
            let read = Some(v1::ReadAt { timestamp, from_followers: true });
            let request = v1::LookupAccountsRequest { ids: ids_to(&[PAIR.1]), read };
            let Ok(found) = sender.ledger.lookup_accounts(request).await else { continue };
            let credits = number_from(found.into_inner().accounts[0].credits_posted);
            assert_eq!(credits, id, "at the timestamp of the payment, whoever answers");
        }
    }
    sender
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_held_still_answers_nothing_that_is_old() {
    let layout = Layout::Replicated { nodes: 3, shards: 1 };
    let mut cluster = tokio::task::block_in_place(|| Cluster::start_with(layout, 1, |_| String::new()));
    cluster.until_whole().await;
    let mut sender = Sender::new(cluster.process(Who::Router(0)));
    sender.opens(&[PAIR.0, PAIR.1]).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = watch::channel(false);
    let reads: Vec<DirectReads> =
        cluster.files.nodes.iter().map(|node| DirectReads::start(*node, PAIR.1, &acknowledged)).collect();
    let paying = tokio::spawn(pay_on(sender, acknowledged.clone(), stopped));
    let more = |count: u64| {
        let (paid, target) = (acknowledged.clone(), acknowledged.load(Ordering::SeqCst) + count);
        async move {
            let until = Instant::now() + ELECTED;
            while paid.load(Ordering::SeqCst) < target {
                assert!(Instant::now() < until, "payments do not go on");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    for _ in 0..2 {
        more(50).await;
        let leader = cluster.groups.leader(0, ELECTED).await;
        let before = reads[leader].answered();
        assert!(before > 0, "the leader answers reads");
        cluster.process(Who::Node(leader)).pause();
        let held = Instant::now();
        more(20).await;
        tokio::time::sleep_until((held + HELD).into()).await;
        cluster.process(Who::Node(leader)).resume();
        let next = cluster.groups.leader(0, ELECTED).await;
        assert_ne!(next, leader, "others have elected another one meanwhile");
        more(50).await;
        cluster.until_whole().await;
    }
    let _ = stop.send(true);
    let mut sender = paying.await.expect("the payer does not panic");
    let mut answered = Vec::new();
    for reads in reads {
        answered.push(reads.stop().await);
    }
    println!("reads that were answered, by node: {answered:?}");
    assert!(answered.iter().filter(|count| **count > 0).count() > 1, "at least two nodes have led: {answered:?}");
    let paid = sender.paid_at(cluster.process(Who::Router(0))).await;
    assert_eq!(
        paid,
        u128::from(acknowledged.load(Ordering::SeqCst)),
        "what was acknowledged is there, and nothing else"
    );
    let payments: Vec<v1::Transfer> = (1..=paid).map(|id| transfer(id, PAIR.0, PAIR.1)).collect();
    for some in payments.chunks(1_000) {
        let statuses = sender.settles(some.to_vec()).await;
        assert!(statuses.iter().all(|status| *status == Status::Exists), "each of them");
    }
    cluster.stop();
}
