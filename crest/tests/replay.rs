//! `crest load replay` against real servers of 1, 4 and 7 shards: every row is paid once, however often the file is sent,
//! and every balance is what this test computes from the file by itself.

mod processes;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crest_ledger::limits::BATCH_EVENTS_MAX;
use crest_proto::border::{ids_to, number_from};
use crest_proto::naming::name_id;
use crest_proto::v1;
use processes::{Server, beside_the_workspace, folder, is_quiet, run, status_until, text};

/// One shard has only local payments; 7 do not divide the slots evenly.
const SHARDS: [u32; 3] = [1, 4, 7];
/// How long one run of the command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an account has paid and received, in cents.
type Sums = BTreeMap<u128, (u128, u128)>;

/// Adds what a file moves. It is read here by other means than in the load generator.
fn add_file(path: &Path, sums: &mut Sums) -> u64 {
    let file = std::fs::File::open(path).expect("the file is there");
    let reader: Box<dyn Read> = match path.extension().is_some_and(|end| end == "gz") {
        true => Box::new(flate2::read::MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut rows = 0;
    for row in csv::Reader::from_reader(reader).deserialize::<BTreeMap<String, String>>() {
        let row = row.expect("a row");
        let (whole, cents) = row["amount"].split_once('.').expect("amounts have two decimals");
        assert_eq!(cents.len(), 2, "{row:?}");
        let amount: u128 = format!("{whole}{cents}").parse().expect("a number");
        sums.entry(name_id(&row["debit_account"])).or_default().0 += amount;
        sums.entry(name_id(&row["credit_account"])).or_default().1 += amount;
        rows += 1;
    }
    rows
}

/// What the ledger says of these accounts.
async fn balances(server: &Server, sums: &Sums) -> BTreeMap<u128, v1::Account> {
    let ids: Vec<u128> = sums.keys().copied().collect();
    let mut found = BTreeMap::new();
    for part in ids.chunks(BATCH_EVENTS_MAX) {
        let request = v1::LookupAccountsRequest { ids: ids_to(part), read: None };
        let answer = server.ledger().lookup_accounts(request).await.expect("a lookup").into_inner();
        found.extend(answer.accounts.into_iter().map(|a| (number_from(a.id), a)));
    }
    found
}

/// Runs the command and gives its exit code and its report.
fn replay(server: &Server, file: &Path, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let router = server.address.to_string();
    let arguments = [&["load", "replay", text(file), "--router", &router, "--json"], more].concat();
    let ended = run(&arguments, PATIENCE);
    let report = serde_json::from_str(&ended.stdout);
    (ended.code, report.unwrap_or_else(|e| panic!("no report ({e}): {ended:?}")))
}

/// Pays the files twice on a ledger of `shards` shards.
async fn check(shards: u32, files: &[PathBuf], more: &[&str]) {
    let data = folder();
    let server = Server::dev(shards, data.path());
    let mut sums = Sums::new();
    let mut total = 0;
    let mut before = BTreeMap::new();
    for turn in ["first", "second"] {
        for file in files {
            let rows = if turn == "first" { add_file(file, &mut sums) } else { add_file(file, &mut Sums::new()) };
            total += if turn == "first" { rows } else { 0 };
            let (code, report) = replay(&server, file, more);
            let what = format!("{} on {shards} shards, {turn} time: {report:#}", file.display());
            assert_eq!(code, Some(0), "{what}");
            let (created, exists) = if turn == "first" { (rows, 0) } else { (0, rows) };
            assert_eq!((&report["created"], &report["exists"]), (&created.into(), &exists.into()), "{what}");
            assert_eq!(report["rows"], rows, "{what}");
            assert_eq!((&report["wrong"], &report["differences"]), (&0.into(), &serde_json::json!([])), "{what}");
        }
        let found = balances(&server, &sums).await;
        let moved = |a: &v1::Account| (number_from(a.debits_posted), number_from(a.credits_posted));
        let got: Sums = found.iter().map(|(id, account)| (*id, moved(account))).collect();
        assert!(got == sums, "{shards} shards, {turn} time: the balances are not the files' sums");
        assert!(turn == "first" || found == before, "{shards} shards: the second time something changed");
        before = found;
    }
    let audit = server.operations().audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
    assert!(audit.holds, "{:#?}", audit.findings);
    assert_eq!((audit.transfers, audit.accounts), (total, sums.len() as u64), "{shards} shards");
    assert_eq!(shards == 1, audit.cross_shard_transfers == 0, "{shards} shards: {audit:?}");
    status_until(&mut server.operations(), Duration::from_secs(10), "nothing is left in doubt", is_quiet).await;
    server.stop();
}

/// A file of payments around a circle, with some between neighbours.
fn rows(count: u64) -> String {
    let mut text = String::from("id,date,debit_account,credit_account,amount,kind\n");
    for n in 0..count {
        let (from, to) = (n * 7 % 23, (n * 7 + 1 + n % 5) % 23);
        let (year, day) = (1_993 + n % 6, 1 + n % 28);
        let kind = ["rent", "household", "loan"][n as usize % 3];
        text += &format!("{n},{year}-02-{day:02},person:{from},person:{to},{}.{:02},{kind}\n", n * n % 9_000, n % 100);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_paid_once_however_often_it_is_sent() {
    let files = folder();
    let plain = files.path().join("payments.csv");
    std::fs::write(&plain, rows(500)).expect("it can be written");
    let zipped = files.path().join("more-payments.csv.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(rows(300).as_bytes()).expect("it can be written");
    std::fs::write(&zipped, gzip.finish().expect("it can be written")).expect("it can be written");
    for shards in SHARDS {
        // Small requests, several under way: batches and order must not matter.
        check(shards, &[plain.clone(), zipped.clone()], &["--batch", "37", "--in-flight", "4"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_row_is_named_and_the_others_are_paid() {
    let files = folder();
    let (right, wrong) = (files.path().join("right.csv"), files.path().join("wrong.csv"));
    std::fs::write(&right, rows(10)).expect("it can be written");
    let text = rows(10) + "10,1999-01-01,person:1,person:2,12.345,rent\n11,1999-01-01,person:1,person:1,1.00,rent\n";
    std::fs::write(&wrong, text).expect("it can be written");
    let data = folder();
    let server = Server::dev(4, data.path());
    for done in ["created", "exists"] {
        let (code, report) = replay(&server, &wrong, &[]);
        assert_eq!(code, Some(4), "{report:#}");
        assert_eq!((&report[done], &report["wrong"]), (&10.into(), &2.into()), "{report:#}");
        let lines: Vec<_> =
            report["left_out"].as_array().into_iter().flatten().map(|row| row["line"].as_u64()).collect();
        assert_eq!(lines, [Some(12), Some(13)], "{report:#}");
        let mut sums = Sums::new();
        add_file(&right, &mut sums);
        let found = balances(&server, &sums).await;
        let got: Sums =
            found.iter().map(|(id, a)| (*id, (number_from(a.debits_posted), number_from(a.credits_posted)))).collect();
        assert_eq!(got, sums);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_payments_of_a_bank_balance_to_the_cent() {
    let Some(data) = beside_the_workspace("shared/data") else {
        println!("skipped: ../shared/data is not beside the checkout");
        return;
    };
    let files = [("berka-transactions.csv.gz", 30_000), ("berka-standing-orders.csv.gz", 6_471)];
    for (name, rows) in files {
        assert_eq!(add_file(&data.join(name), &mut Sums::new()), rows, "{name}");
    }
    for shards in SHARDS {
        check(shards, &files.map(|(name, _)| data.join(name)), &[]).await;
    }
}
