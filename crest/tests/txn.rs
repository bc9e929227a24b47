//! `crest txn` against real processes: a payment is in doubt, an operator looks at it, has it ended, or waits until it ends
//! by itself.
//!
//! `CREST_IN_DOUBT` is how many are in doubt at a time in the last of these tests.

mod processes;
mod requests;
#[path = "txn/hand.rs"]
mod hand;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crest_ledger::limits::HOLD_DEADLINE_NS;
use crest_ledger::txn::Decided;
use crest_proto::border::{ids_to, number_from};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use hand::{AMOUNT, Hand};
use processes::{ClusterFiles, Ended, Server, free_addresses, is_quiet, run, status_until, text};
use requests::{Sender, transfer};
use serde_json::Value;

/// How long a command may take: some wait 2 s for a shard that does not answer, twice.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what is in doubt may take to end by itself once everybody is back: 5 s, and some for the machine.
const QUIET: Duration = Duration::from_secs(10);

/// Nodes, a router, and somebody who does what another router did before it died.
struct Cluster {
    files: ClusterFiles,
    nodes: Vec<Server>,
    router: Server,
    hand: Hand,
}

impl Cluster {
    /// With an account on each shard.
    async fn start(shards: usize) -> Self {
        let files = ClusterFiles::new(shards);
        let nodes = (0..shards).map(|shard| files.node(shard)).collect();
        Self::with(files, nodes).await
    }

    /// Two shards, of which shard 1 looks for shard 0 where nobody is: it cannot end anything by itself.
    async fn divided() -> Self {
        let files = ClusterFiles::new(2);
        let nowhere = free_addresses(1)[0].to_string();
        let wrong = files.write("wrong.toml", &files.toml().replace(&files.nodes[0].to_string(), &nowhere));
        let data = files.data_dir(1);
        let arguments = ["node", "--cluster", text(&wrong), "--shard", "1", "--data-dir", text(&data)];
        let nodes = vec![files.node(0), Server::start(&arguments)];
        Self::with(files, nodes).await
    }

    async fn with(files: ClusterFiles, nodes: Vec<Server>) -> Self {
        let router = files.router(free_addresses(1)[0]);
        let hand = Hand::new(&files.nodes);
        Sender::new(&router).opens(hand.accounts()).await;
        Self { files, nodes, router, hand }
    }

    /// Runs `crest txn` or `crest status` to its end.
    fn crest(&self, words: &[&str]) -> Ended {
        run(&[words, &["--router", &format!("http://{}", self.router.address)]].concat(), PATIENCE)
    }

    /// The same with `--json`: the document, and the exit code.
    fn json(&self, words: &[&str]) -> (Value, Option<i32>) {
        let ended = self.crest(&[words, &["--json"]].concat());
        (serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}")), ended.code)
    }

    fn resolve(&self, attempt: &str, reason: &str) -> Ended {
        self.crest(&["txn", "resolve", attempt, "--reason", reason, "--by", "alice"])
    }

    async fn is_quiet(&self, what: &str) -> Duration {
        status_until(&mut self.router.operations(), QUIET, what, is_quiet).await
    }

    /// What the accounts have received, by shard.
    async fn credits(&self) -> Vec<u128> {
        let request = v1::LookupAccountsRequest { ids: ids_to(self.hand.accounts()), read: None };
        let found = self.router.ledger().lookup_accounts(request).await.expect("a lookup").into_inner();
        found.accounts.iter().map(|account| number_from(account.credits_posted)).collect()
    }

    async fn audit(&self) {
        let audit = self.router.operations().audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
        assert!(audit.holds, "{:#?}", audit.findings);
    }

    fn address(&self, shard: usize) -> SocketAddr {
        self.files.nodes[shard]
    }
}

/// What `crest txn` calls the attempt at a transfer.
fn name(id: u128) -> String {
    format!("{id}/{:016x}", hand::ATTEMPT)
}

fn numbers(shards: &Value) -> Vec<u64> {
    shards.as_array().expect("a list").iter().filter_map(|at| at["shard"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_decider_is_away_is_listed_cannot_be_resolved_and_ends_when_it_is_back() {
    let cluster = Cluster::start(2).await;
    assert_eq!(cluster.crest(&["txn", "list", "--in-doubt"]).code, Some(0));
    assert_eq!(cluster.crest(&["status"]).code, Some(0));
    cluster.nodes[0].pause();
    cluster.hand.prepare(42..43, 0, 1).await;

    let (list, _) = cluster.json(&["txn", "list", "--in-doubt"]);
    let row = &list["attempts"][0];
    assert_eq!((row["attempt"].as_str(), row["state"].as_str()), (Some(&*name(42)), Some("unknown")), "{list:#}");
    let [payer, payee] = [0, 1].map(|shard| cluster.hand.account(shard).to_string());
    let event = &row["events"][0];
    assert_eq!((event["kind"].as_str(), event["amount"].as_str()), (Some("payment"), Some(&*AMOUNT.to_string())));
    assert_eq!(event["debit_account_id"], payer.as_str());
    assert_eq!(event["credit_account_id"], payee.as_str());
    assert_eq!((numbers(&row["holders"]), numbers(&row["waits_for"])), (vec![1], vec![0]));
    let waited_for = &row["waits_for"][0];
    assert_eq!(waited_for["address"], cluster.address(0).to_string().as_str());
    assert_eq!((&waited_for["answers"], &list["shards"][1]["answers"]), (&false.into(), &true.into()));

    let refused = cluster.resolve(&name(42), "the payer's shard hangs");
    let words = format!("only shard 0 at {} can say what became of {}", cluster.address(0), name(42));
    assert!(refused.stderr.contains(&words) && refused.stderr.contains("nothing was changed"), "{refused:?}");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(3), ""));
    assert_eq!(cluster.hand.status(1).await.holds, 1, "nothing was changed");
    let unknown = cluster.resolve(&name(43), "there is none");
    assert!(unknown.stderr.contains("these do not answer and may know it: shard 0"), "{unknown:?}");
    assert_eq!(unknown.code, Some(3), "the shard that does not answer may know it");
    assert_eq!(cluster.crest(&["status"]).code, Some(1));

    // The longer it lasts the louder: after 5 s the exit code says so.
    let begun = Instant::now();
    let ended = loop {
        let ended = cluster.crest(&["txn", "list", "--in-doubt", "--older-than", "3s"]);
        if ended.code == Some(4) {
            break ended;
        }
        assert_eq!(ended.code, Some(3), "until then the answer is not complete: {ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{ended:?}");
    };
    assert!(
        ended.stdout.contains("(does not answer)") && ended.stderr.contains("in doubt for more than 5 s: 1"),
        "{ended:?}"
    );
    assert_eq!(cluster.crest(&["txn", "list", "--older-than", "1h"]).code, Some(3), "it is not that old");

    cluster.nodes[0].resume();
    cluster.is_quiet("it ends by itself").await;
    assert_eq!(cluster.crest(&["txn", "list", "--in-doubt"]).stdout.trim(), "nothing is in doubt");
    assert_eq!(cluster.credits().await, [0, 0], "it was undecided, so it was aborted");
    cluster.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolve_aborts_what_is_undecided_and_its_reason_outlives_crashes() {
    let mut cluster = Cluster::divided().await;
    cluster.hand.prepare(42..43, 0, 1).await;
    let clock = cluster.hand.status(1).await.clock;
    let (list, _) = cluster.json(&["txn", "list", "--in-doubt"]);
    let row = &list["attempts"][0];
    assert_eq!((row["state"].as_str(), numbers(&row["waits_for"])), (Some("prepared"), vec![0]), "{list:#}");

    for (attempt, reason, code, word) in [
        ("42", "why", 2, "such as 42/00c3d5f0a1b2c3d4"),
        ("42/00c3", "why", 2, "such as 42/00c3d5f0a1b2c3d4"),
        (&name(42), "", 2, "reason: expected 1 to 500 bytes"),
        (&name(42), &"x".repeat(501), 2, "reason: expected 1 to 500 bytes"),
        (&name(42), "a\nb", 2, "printable"),
        (&name(43), "why", 1, "no shard knows the attempt 43/"),
    ] {
        let ended = cluster.resolve(attempt, reason);
        assert!(ended.code == Some(code) && ended.stderr.contains(word), "{attempt} {reason}: {ended:?}");
    }
    assert_eq!(cluster.hand.status(1).await.holds, 1, "nothing of that changed anything");

    let resolved = cluster.resolve(&name(42), "router 2 died; ticket 1234");
    assert!(resolved.stdout.contains("aborted now"), "{resolved:?}");
    let told = format!("shard 1 at {} has ended its side", cluster.address(1));
    assert!(resolved.stdout.contains(&told) && resolved.code == Some(0), "{resolved:?}");
    assert_eq!(cluster.hand.status(1).await.holds, 0);
    let late = cluster.hand.decide(42..43, 0, 1, clock).await;
    assert_eq!(late, [Decided::Aborted], "the router that was thought dead");

    let again = cluster.resolve(&name(42), "another reason");
    assert!(again.code == Some(0) && again.stdout.contains("aborted now"), "the same answer: {again:?}");
    assert!(again.stdout.contains("resolved before, by alice at") && again.stdout.contains("ticket 1234"), "{again:?}");

    // The client may try again, with the same id.
    let [payer, payee] = [0, 1].map(|shard| cluster.hand.account(shard));
    let statuses = Sender::new(&cluster.router).settles(vec![transfer(42, payer, payee)]).await;
    assert_eq!((statuses, cluster.credits().await), (vec![Status::Created], vec![0, 1]));

    let kept = |cluster: &Cluster| {
        let (list, code) = cluster.json(&["txn", "list", "--resolved"]);
        let kept = list["resolutions"].as_array().expect("a list").clone();
        assert_eq!((kept.len(), code), (1, Some(0)), "{list:#}");
        kept[0].clone()
    };
    let first = kept(&cluster);
    assert_eq!((first["attempt"].as_str(), first["by"].as_str()), (Some(&*name(42)), Some("alice")));
    assert_eq!(
        (first["reason"].as_str(), first["fate"].as_str()),
        (Some("router 2 died; ticket 1234"), Some("aborted"))
    );
    cluster.nodes[0].kill();
    cluster.nodes[0] = cluster.files.node(0);
    assert_eq!(kept(&cluster), first, "it was in the log");
    cluster.nodes.remove(0).stop();
    cluster.nodes.insert(0, cluster.files.node(0));
    assert_eq!(kept(&cluster), first, "it was in the last checkpoint");
    cluster.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_stays_committed_and_who_is_away_hears_of_it_later() {
    let cluster = Cluster::start(2).await;
    cluster.hand.prepare(42..43, 0, 1).await;
    let clock = cluster.hand.status(1).await.clock;
    cluster.nodes[1].pause();
    let decided = cluster.hand.decide(42..43, 0, 1, clock).await;
    assert!(matches!(&decided[..], [Decided::Committed(_)]), "{decided:?}");

    let (list, _) = cluster.json(&["txn", "list", "--in-doubt"]);
    let row = &list["attempts"][0];
    assert_eq!((row["attempt"].as_str(), row["state"].as_str()), (Some(&*name(42)), Some("committed")), "{list:#}");
    assert_eq!((numbers(&row["waits_for"]), &row["waits_for"][0]["answers"]), (vec![1], &false.into()));
    let payee = cluster.hand.account(1).to_string();
    assert_eq!(row["events"][0]["credit_account_id"], payee.as_str(), "as the decider has recorded it");

    let (resolved, code) =
        cluster.json(&["txn", "resolve", &name(42), "--reason", "the payee's shard hangs", "--by", "bob"]);
    assert_eq!((resolved["fate"].as_str(), code), (Some("committed"), Some(0)), "{resolved:#}");
    assert_eq!((numbers(&resolved["finished"]), numbers(&resolved["waits_for"])), (vec![], vec![1]));

    cluster.nodes[1].resume();
    cluster.is_quiet("the payee's shard hears of it").await;
    assert_eq!(cluster.credits().await, [0, AMOUNT]);
    let again = cluster.resolve(&name(42), "once more");
    assert!(again.stdout.contains(": committed at") && again.code == Some(0), "it is on record: {again:?}");
    cluster.audit().await;
}

/// How a decider goes away and comes back.
#[derive(Clone, Copy, Debug)]
enum Away {
    Killed,
    Paused,
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_in_doubt_end_within_five_seconds_of_their_deciders_return() {
    let count = std::env::var("CREST_IN_DOUBT").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000_u128);
    let mut cluster = Cluster::start(3).await;
    // Shard 2 stays away all the time, and what it decides stays in doubt.
    cluster.hand.prepare(1..11, 2, 1).await;
    cluster.nodes[2].pause();
    for (round, away) in [Away::Killed, Away::Paused].into_iter().enumerate() {
        let first = 1_000_000 * (round as u128 + 1);
        cluster.hand.prepare(first..first + count, 0, 1).await;
        let clock = cluster.hand.status(1).await.clock;
        // Half of them are committed, and nobody tells the holder: it is away while the decider does.
        cluster.nodes[1].pause();
        let decided = cluster.hand.decide(first..first + count / 2, 0, 1, clock).await;
        assert!(decided.iter().all(|d| matches!(d, Decided::Committed(_))), "{:?}", decided[0]);
        match away {
            Away::Killed => cluster.nodes[0].kill(),
            Away::Paused => cluster.nodes[0].pause(),
        }
        cluster.nodes[1].resume();
        let overdue = |s: &crest_ledger::wire::ShardStatus| s.in_doubt as u128 == count + 10;
        cluster.hand.until(1, QUIET * 2, "all holds are past their deadline", overdue).await;
        tokio::time::sleep(Duration::from_nanos(HOLD_DEADLINE_NS)).await;
        match away {
            Away::Killed => cluster.nodes[0] = cluster.files.node(0),
            Away::Paused => cluster.nodes[0].resume(),
        }
        let begun = Instant::now();
        cluster.hand.until(1, QUIET, "what shard 0 decides ends", |s| s.holds == 10).await;
        let held = begun.elapsed();
        cluster.hand.until(0, QUIET, "shard 0 has told everybody", |s| s.outbox == 0).await;
        println!(
            "{away:?}: {count} attempts, {} of them committed: no hold left after {:.2} s, no decision after {:.2} s",
            count / 2,
            held.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        assert!(begun.elapsed() < QUIET);
    }
    cluster.nodes[2].resume();
    cluster.is_quiet("what shard 2 decides ends too").await;
    assert_eq!(cluster.credits().await, [0, 2 * (count / 2) * AMOUNT, 0], "what was committed, once");
    cluster.audit().await;
}
