//! Real processes in network namespaces, and cuts of which nobody is told: packets vanish, no connection is reset. After each
//! cut everything is as the clients know it, and the cluster becomes whole by itself.
//!
//! `CREST_CUT_MINUTES` goes on with random cuts for so long (`make cut-soak`).
//!
//! It takes root, and a kernel that makes namespaces, bridges and pairs of virtual cables; elsewhere the test says why it
//! is skipped. `CREST_SEED` repeats a run's choices.

mod outage;
mod kills;
mod network;
mod payments;
mod processes;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crest_conformance::random::Random;
use kills::{Cluster, ELECTED, Game, Tally, Who};
use network::{Net, Place, enter};
use outage::DirectReads;
use payments::Load;
use processes::Layout;

const LAYOUT: Layout = Layout::Replicated { nodes: 3, shards: 3 };
/// The shard whose leader is cut off.
const SHARD: u32 = 0;
/// How long a cut lasts at the least: longer than an election, and than TCP's first attempts to send again.
const CUT: Duration = Duration::from_secs(4);
/// How long a replica waits in the middle of a snapshot, and how long it may take until it does.
const HALF: &str = "snapshot::piece=1*off->1*return(pause 3000)";
const HALF_THERE: Duration = Duration::from_secs(30);

#[test]
fn cut_networks_lose_no_money_and_stop_payments_no_longer_than_an_election() {
    let net = match Net::new(LAYOUT.nodes()) {
        Ok(net) => net,
        Err(why) => return println!("skipped: there can be no network of namespaces here: {why}"),
    };
    // What this thread opens is in the hub, too.
    let played = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                enter(&net.name(Place::Hub));
                let runtime = net.runtime(Place::Hub);
                runtime.block_on(play(&net));
            })
            .join()
    });
    if let Err(panic) = played {
        std::panic::resume_unwind(panic);
    }
}

/// What is cut between the leader of the shard and the others.
type Cut = fn(&Net, usize, &[usize]);

/// Cuts after which the others have a majority: payments go on while they last.
const CUTS: [(&str, Cut); 4] = [
    ("the leader's cable is pulled", |net, leader, _| net.pull(leader)),
    ("the leader and the others are apart; routers reach all of them", |net, leader, others| {
        others.iter().for_each(|other| net.part(Place::Node(leader), Place::Node(*other)));
    }),
    ("the others do not hear the leader, which hears them", |net, leader, others| {
        others.iter().for_each(|other| net.cut(Place::Node(leader), Place::Node(*other)));
    }),
    ("the leader does not hear the others, which hear it", |net, leader, others| {
        others.iter().for_each(|other| net.cut(Place::Node(*other), Place::Node(leader)));
    }),
];

async fn play(net: &Net) {
    let random = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 % 1_000_000_000);
    let seed = std::env::var("CREST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(random);
    println!("repeat with: CREST_SEED={seed} cargo test -p crest --test netns -- --nocapture");
    let cluster = tokio::task::block_in_place(|| {
        Cluster::start_inside(LAYOUT, net.node_addresses(), &net.router_addresses(2), |n| net.name(Place::Node(n)))
    });
    let mut game = Game::on(cluster, seed, Arc::new(Tally::of_all_runs())).await;
    for (what, cut) in CUTS {
        let since = game.strike(what, async |cluster, load| cut_off(net, cluster, load, cut).await).await;
        let continued = game.continued(SHARD, since).expect("payments went on");
        println!("{what}: payments of its shard went on after {} ms", continued.as_millis());
        assert!(continued < ELECTED, "{what}: {continued:?}");
    }
    game.strike("nobody reaches anybody", async |cluster, load| all_apart(net, cluster, load).await).await;
    game.strike("a node is cut off while it is rebuilt", async |cluster, load| {
        cut_off_while_rebuilt(net, cluster, load).await;
    })
    .await;
    let minutes = std::env::var("CREST_CUT_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let (begun, mut random) = (Instant::now(), Random::new(seed));
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        let plan: Vec<Spell> = (0..1 + random.below(4)).map(|_| Spell::new(&mut random)).collect();
        let what = format!("{plan:?}");
        game.strike(&what, async |cluster, load| bad_weather(net, cluster, load, plan).await).await;
    }
    game.stop();
}

/// Some time with some cuts.
#[derive(Debug)]
struct Spell {
    /// Packets from the one to the other vanish.
    cuts: Vec<(Place, Place)>,
    lasts: Duration,
    /// A node that is killed while it lasts, and started again before it is over.
    killed: Option<usize>,
}

impl Spell {
    fn new(random: &mut Random) -> Self {
        let nodes = LAYOUT.nodes() as u64;
        let place = |at: u64| if at == nodes { Place::Hub } else { Place::Node(at as usize) };
        let mut cuts = Vec::new();
        for _ in 0..random.below(4) {
            let (from, to) = (random.below(nodes + 1), random.below(nodes + 1));
            if from != to {
                cuts.push((place(from), place(to)));
                if random.chance(50) {
                    cuts.push((place(to), place(from)));
                }
            }
        }
        let killed = Some(random.below(nodes) as usize).filter(|_| random.chance(30));
        Self { cuts, lasts: Duration::from_millis(100 + random.below(4_000)), killed }
    }
}

/// One spell after the other; each takes the place of the one before.
async fn bad_weather(net: &Net, cluster: &mut Cluster, load: &Load, plan: Vec<Spell>) {
    load.answers(300).await;
    for spell in plan {
        let over = Instant::now() + spell.lasts;
        net.mend();
        spell.cuts.iter().for_each(|(from, to)| net.cut(*from, *to));
        if let Some(node) = spell.killed {
            tokio::task::block_in_place(|| cluster.kill(Who::Node(node)));
        }
        tokio::time::sleep_until(over.into()).await;
    }
    net.mend();
    load.answers(300).await;
    cluster.until_whole().await;
}

/// Cuts the leader of the shard off for a while. Answers when that began.
async fn cut_off(net: &Net, cluster: &mut Cluster, load: &Load, cut: Cut) -> Instant {
    load.answers(300).await;
    let leader = cluster.groups.leader(SHARD, ELECTED).await;
    let others: Vec<usize> = (0..LAYOUT.nodes()).filter(|node| *node != leader).collect();
    let since = Instant::now();
    cut(net, leader, &others);
    // A client next to the old leader reaches it whatever is cut: it must not be answered.
    let beside = net.runtime(Place::Node(leader));
    let reads = {
        let _there = beside.enter();
        DirectReads::start(net.node_addresses()[leader], 1, &Arc::new(AtomicU64::new(0)))
    };
    load.answers(1_000).await;
    tokio::time::sleep_until((since + CUT).into()).await;
    let next = cluster.groups.leader(SHARD, ELECTED).await;
    assert_ne!(next, leader, "the others have a leader of their own");
    assert_eq!(reads.answered(), 0, "no majority has confirmed a read of the old leader");
    net.mend();
    reads.stop().await;
    beside.shutdown_background();
    cluster.until_whole().await;
    since
}

/// No node reaches another one: payments wait, and go on when the network is mended.
async fn all_apart(net: &Net, cluster: &mut Cluster, load: &Load) {
    load.answers(300).await;
    for node in 0..LAYOUT.nodes() {
        (0..node).for_each(|other| net.part(Place::Node(node), Place::Node(other)));
    }
    tokio::time::sleep(CUT).await;
    // Whatever is answered now was on its way before: each client waits for one request.
    let answered = load.answered();
    tokio::time::sleep(CUT).await;
    assert_eq!(load.answered(), answered, "nobody has a majority");
    net.mend();
    load.answers(300).await;
    cluster.until_whole().await;
}

/// A node has lost its disk, and its cable is pulled while it takes in snapshots.
async fn cut_off_while_rebuilt(net: &Net, cluster: &mut Cluster, load: &Load) {
    load.answers(300).await;
    let (node, data) = (1, cluster.files.data_dir(1));
    cluster.process(Who::Node(node)).kill();
    std::fs::remove_dir_all(data).expect("nobody is in it");
    tokio::task::block_in_place(|| cluster.kill_and_arm(Who::Node(node), HALF));
    let until = Instant::now() + HALF_THERE;
    while !cluster.process(Who::Node(node)).was_at("snapshot::piece") {
        assert!(Instant::now() < until, "no snapshot is taken in: {}", cluster.process(Who::Node(node)).log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    net.pull(node);
    load.answers(300).await;
    tokio::time::sleep(CUT).await;
    net.mend();
    cluster.until_whole().await;
    load.answers(300).await;
}
