//! Rehearsals beside real payments on one cluster: every metric and the status of the shards tell the two apart, through a kill
//! and a restart.

mod processes;
mod requests;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN as REHEARSAL;
use crest_proto::border::number_to;
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_topology::{SLOTS, SlotMap, SlotRange};
use processes::{ANY, Server, command, folder, free_addresses, text};
use requests::{account, transfer};

const SHARDS: u32 = 2;
/// Real accounts: two on the first shard, one on the second. Those of the rehearsal are 100 times these.
const HUNDRED: u128 = 100;

/// A server with metrics, and where those are.
fn serve(data: &std::path::Path) -> (Server, SocketAddr) {
    let metrics = free_addresses(1)[0];
    let (shards, at) = (SHARDS.to_string(), metrics.to_string());
    let mut command = command();
    command.args(["dev", "--shards", &shards, "--data-dir", text(data), "--listen", ANY, "--metrics", &at]);
    let mut server = Server::launch_as(command);
    server.ready().expect("it starts");
    (server, metrics)
}

/// What Prometheus would read: each line's value by its name with its labels.
fn scrape(metrics: SocketAddr) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(metrics).expect("metrics are served");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {metrics}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request can be sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("the page is text");
    let lines = page.lines().filter(|line| line.starts_with("crest_")).filter_map(|line| line.rsplit_once(' '));
    lines.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// The sum of all lines of this name that have all these labels.
fn sum(page: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let of =
        |line: &str| line.split_once('{').is_some_and(|(n, rest)| n == name && labels.iter().all(|l| rest.contains(l)));
    page.iter().filter(|(line, _)| of(line)).map(|(_, value)| value).sum()
}

/// Sums for real payments and for rehearsals.
fn both(page: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> (f64, f64) {
    let of = |traffic: &str| sum(page, name, &[labels, &[&format!("traffic=\"{traffic}\"")]].concat());
    (of("live"), of("rehearsal"))
}

struct Scene {
    server: Server,
    metrics: SocketAddr,
    /// Two accounts of the first shard, and one of the second.
    accounts: [u128; 3],
}

impl Scene {
    fn begin(data: &std::path::Path) -> Self {
        let (server, metrics) = serve(data);
        let map = SlotMap::even(&(0..SHARDS).collect::<Vec<_>>()).expect("a map");
        let home = |id: u128| (map.shard_of(id), map.shard_of(id * HUNDRED));
        let find =
            |after: u128, shard| (after + 1..HUNDRED).find(|id| home(*id) == (shard, shard)).expect("some account");
        let first = find(0, 0);
        Self { server, metrics, accounts: [first, find(first, 0), find(0, 1)] }
    }

    async fn accounts(&self) {
        let [a, b, c] = self.accounts;
        let mut ledger = self.server.ledger();
        let of = |id: u128, ledger| v1::Account { ledger, ..account(id) };
        let live = [a, b, c].map(|id| of(id, 1)).to_vec();
        let history = v1::AccountFlags { history: true, ..Default::default() };
        let rehearsal =
            [a, b, c].map(|id| v1::Account { flags: Some(history), ..of(id * HUNDRED, REHEARSAL) }).to_vec();
        for accounts in [live, rehearsal] {
            let answer = ledger.create_accounts(v1::CreateAccountsRequest { accounts }).await.expect("accounts");
            assert!(answer.into_inner().results.iter().all(|r| r.status() == v1::CreateAccountStatus::Created));
        }
    }

    /// Sends one request.
    async fn pay(&self, transfers: Vec<v1::Transfer>, expected: &[Status]) {
        let request = v1::CreateTransfersRequest { transfers, independent: false };
        let answer = self.server.ledger().create_transfers(request).await.expect("an answer").into_inner();
        assert_eq!(answer.results.iter().map(v1::CreateTransferResult::status).collect::<Vec<_>>(), expected);
    }

    /// A transfer of the rehearsal.
    fn rehearsed(&self, id: u128, debit: u128, credit: u128) -> v1::Transfer {
        v1::Transfer { ledger: REHEARSAL, ..transfer(id, debit * HUNDRED, credit * HUNDRED) }
    }
}

fn pending(t: v1::Transfer) -> v1::Transfer {
    v1::Transfer { flags: Some(v1::TransferFlags { pending: true, ..Default::default() }), ..t }
}

/// A post that says no more than it has to.
fn post(id: u128, pending_id: u128) -> v1::Transfer {
    let flags = v1::TransferFlags { post_pending_transfer: true, ..Default::default() };
    let all = number_to(u128::MAX);
    v1::Transfer {
        id: number_to(id),
        pending_id: number_to(pending_id),
        amount: all,
        flags: Some(flags),
        ..Default::default()
    }
}

#[tokio::test]
async fn metrics_tell_rehearsals_from_real_payments() {
    let data = folder();
    let scene = Scene::begin(data.path());
    let [a, b, c] = scene.accounts;
    scene.accounts().await;
    let created = Status::Created;
    // Real: two on one shard, one between two, and one that is refused.
    scene.pay(vec![transfer(1, a, b), transfer(2, b, a)], &[created, created]).await;
    scene.pay(vec![transfer(3, a, c)], &[created]).await;
    scene.pay(vec![transfer(4, a, a)], &[Status::AccountsMustBeDifferent]).await;
    // Of the rehearsal: one on one shard, two between two; a reservation on either, and their posts, which name no ledger.
    scene.pay(vec![scene.rehearsed(11, a, b)], &[created]).await;
    scene.pay(vec![scene.rehearsed(12, a, c), scene.rehearsed(13, c, b)], &[created, created]).await;
    scene.pay(vec![pending(scene.rehearsed(14, a, b)), pending(scene.rehearsed(15, a, c))], &[created, created]).await;
    scene.pay(vec![post(16, 14), post(17, 15)], &[created, created]).await;
    // A reservation and its post in one request.
    scene.pay(vec![pending(scene.rehearsed(18, a, b)), post(19, 18)], &[created, created]).await;
    // Of both: the request counts as real, its events as what they are.
    scene.pay(vec![transfer(5, a, b), scene.rehearsed(20, a, b)], &[created, created]).await;
    let page = scrape(scene.metrics);
    let requests = |method: &str| both(&page, "crest_router_requests_total", &[&format!("method=\"{method}\"")]);
    assert_eq!((requests("create_accounts"), requests("create_transfers")), ((1.0, 1.0), (4.0, 5.0)));
    let seconds = both(&page, "crest_router_request_seconds_count", &["method=\"create_transfers\""]);
    assert_eq!(seconds, (4.0, 5.0), "latencies too");
    assert_eq!(both(&page, "crest_router_requests_in_flight", &[]), (0.0, 0.0));
    assert_eq!(both(&page, "crest_router_cross_shard_attempts_total", &[]), (1.0, 4.0));
    let events = |labels: &[&str]| both(&page, "crest_events_total", labels);
    assert_eq!(events(&["kind=\"account\"", "result=\"created\""]), (3.0, 3.0));
    assert_eq!(events(&["kind=\"transfer\"", "result=\"created\"", "scope=\"local\""]), (3.0, 6.0));
    assert_eq!(events(&["kind=\"transfer\"", "result=\"created\"", "scope=\"cross_shard\""]), (1.0, 4.0));
    assert_eq!(events(&["result=\"accounts_must_be_different\""]), (1.0, 0.0));
    let commands = |command: &str| both(&page, "crest_command_events_total", &[&format!("command=\"{command}\"")]);
    assert_eq!((commands("create"), commands("prepare"), commands("decide")), ((7.0, 9.0), (1.0, 4.0), (1.0, 4.0)));
    assert!(sum(&page, "crest_commands_total", &["command=\"acknowledge\"", "traffic=\"unnamed\""]) > 0.0);
    let waits = both(&page, "crest_queue_wait_seconds_count", &[]);
    assert!(waits.0 >= 4.0 && waits.1 >= 5.0, "{waits:?}");
}

#[tokio::test]
async fn reads_count_as_what_they_find() {
    let data = folder();
    let scene = Scene::begin(data.path());
    let [a, b, c] = scene.accounts;
    scene.accounts().await;
    scene.pay(vec![transfer(1, a, b)], &[Status::Created]).await;
    scene.pay(vec![scene.rehearsed(11, a, c)], &[Status::Created]).await;
    let mut ledger = scene.server.ledger();
    let ids = |ids: &[u128]| ids.iter().map(|id| (*id).into()).collect::<Vec<v1::Uint128>>();
    for found in [vec![a], vec![a * HUNDRED], vec![a * HUNDRED, a], vec![9_999]] {
        ledger.lookup_accounts(v1::LookupAccountsRequest { ids: ids(&found), read: None }).await.expect("a look-up");
    }
    for found in [1, 11] {
        ledger
            .lookup_transfers(v1::LookupTransfersRequest { ids: ids(&[found]), read: None })
            .await
            .expect("a look-up");
    }
    for id in [a, a * HUNDRED] {
        let filter = Some(v1::AccountFilter { account_id: number_to(id), limit: 10, ..Default::default() });
        ledger.get_account_transfers(v1::GetAccountTransfersRequest { filter: filter.clone() }).await.expect("a list");
        ledger.get_account_balances(v1::GetAccountBalancesRequest { filter }).await.expect("a list");
    }
    for (rehearsals, user_data_64) in
        [(v1::Rehearsals::Both, 0), (v1::Rehearsals::Without, 0), (v1::Rehearsals::Only, 0), (v1::Rehearsals::Only, 5)]
    {
        let rehearsals = rehearsals.into();
        let filter = Some(v1::QueryFilter { limit: 10, rehearsals, user_data_64, ..Default::default() });
        ledger.query_accounts(v1::QueryAccountsRequest { filter: filter.clone() }).await.expect("a page");
        ledger.query_transfers(v1::QueryTransfersRequest { filter }).await.expect("a page");
    }
    let page = scrape(scene.metrics);
    for (method, expected) in [
        ("lookup_accounts", (3.0, 1.0)),
        ("lookup_transfers", (1.0, 1.0)),
        ("get_account_transfers", (1.0, 1.0)),
        ("get_account_balances", (1.0, 1.0)),
        ("query_accounts", (2.0, 2.0)),
        ("query_transfers", (2.0, 2.0)),
    ] {
        let method = format!("method=\"{method}\"");
        assert_eq!(both(&page, "crest_router_requests_total", &[&method, "code=\"Ok\""]), expected, "{method}");
        assert_eq!(both(&page, "crest_router_request_seconds_count", &[&method]), expected, "{method}");
    }
}

#[tokio::test]
async fn shards_tell_their_slots_and_count_rehearsals_through_a_kill() {
    let data = folder();
    let mut scene = Scene::begin(data.path());
    let [a, b, c] = scene.accounts;
    scene.accounts().await;
    scene.pay(vec![transfer(1, a, b), transfer(2, a, c)], &[Status::Created; 2]).await;
    scene
        .pay(
            vec![scene.rehearsed(11, a, c), scene.rehearsed(12, a, b), scene.rehearsed(13, b, a)],
            &[Status::Created; 3],
        )
        .await;
    for restarts in 0..3 {
        let status = scene.server.operations().status(v1::StatusRequest {}).await.expect("a status").into_inner();
        let ranges = status.shards.iter().flat_map(|s| {
            let range = |r: &v1::SlotRange| SlotRange { shard: s.shard, first: r.first as u16, last: r.last as u16 };
            s.slots.iter().map(range)
        });
        let ranges: Vec<SlotRange> = ranges.collect();
        let map = SlotMap::from_ranges(status.epoch, &[0, 1], &ranges).expect("every slot has one owner");
        assert_eq!(map, SlotMap::even(&[0, 1]).expect("a map"));
        assert_eq!(ranges.iter().map(|r| usize::from(r.last - r.first) + 1).sum::<usize>(), SLOTS);
        let counts: Vec<_> = status
            .shards
            .iter()
            .map(|s| (s.accounts, s.rehearsal_accounts, s.transfers, s.rehearsal_transfers))
            .collect();
        assert_eq!(counts, [(4, 2, 5, 3), (2, 1, 2, 1)], "after {restarts} restarts");
        // An audit writes a checkpoint, and the first restart is to play the log again.
        if restarts > 0 {
            let audit = scene.server.operations().audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
            assert!(audit.holds, "{:?}", audit.findings);
        }
        if restarts == 0 {
            scene.server.kill();
        } else {
            scene.server.stop();
        }
        (scene.server, scene.metrics) = serve(data.path());
    }
}
