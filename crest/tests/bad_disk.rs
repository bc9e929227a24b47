//! A disk that is full, fails or has lost something: each is detected, named with its file, and refused. No answer ever has a
//! wrong balance, and nothing that was acknowledged is missing when the disk is mended.

mod processes;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crest_proto::border::{ids_to, number_from};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use processes::{ANY, Server, binary, borrowed, folder, refused, run_as, text, without_settings};
use requests::{Sender, transfer};

/// What the serving commands end with when they cannot go on.
const FAILED: i32 = 3;
/// More payments than any of these disks takes.
const PAYMENTS: u128 = 20_000;
/// Checkpoints all the time, and segments that begin soon.
const SMALL: &str = "value::segment_bytes=return(65536);value::checkpoint_records=return(100)";
/// The same, but the log is never cut behind a checkpoint.
const SMALL_SEGMENTS: &str = "value::segment_bytes=return(65536)";

fn dev(data: &Path) -> Vec<String> {
    ["dev", "--shards", "1", "--data-dir", text(data), "--listen", ANY].map(str::to_owned).to_vec()
}

fn start(data: &Path, failpoints: &str) -> Server {
    let mut server = Server::launch(&borrowed(&dev(data)), failpoints);
    assert!(server.ready().is_ok(), "{}", server.log());
    server
}

/// Pays 1 at a time until nobody answers any more. How many were acknowledged, and one more that is unknown.
async fn pays_until_it_fails(server: &Server) -> (u128, v1::Transfer) {
    let mut sender = Sender::with_accounts(server).await;
    for n in 1..PAYMENTS {
        let payment = transfer(n, 1_001, 1_002);
        match sender.sends(vec![payment]).await {
            Ok(statuses) => assert_eq!(statuses, [Status::Created]),
            Err(_) => return (n - 1, payment),
        }
    }
    panic!("{PAYMENTS} payments, and nothing failed: {}", server.log());
}

/// The shard's process has ended by itself, and says why.
#[track_caller]
fn has_stopped(server: &mut Server, what: &str, words: &[&str]) {
    let ended = server.ended();
    assert_eq!(ended.code(), Some(FAILED), "{what}: {ended}\n{}", server.log());
    let log = server.log();
    let last = log.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "{what}: expected '{word}' in the last line of:\n{log}");
    }
    assert!(!log.contains("panicked"), "{what}: {log}");
}

/// With the disk mended, everything that was acknowledged is there, and the unknown payment settles.
async fn has_them_all(data: &Path, what: &str, acknowledged: u128, unknown: v1::Transfer) {
    let server = start(data, SMALL_SEGMENTS);
    let mut sender = Sender::new(&server);
    let found = sender.paid_at(&server).await;
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{what}: {found} of {acknowledged}");
    let statuses = sender.settles(vec![unknown]).await;
    assert!(matches!(statuses[..], [Status::Created | Status::Exists]), "{what}: {statuses:?}");
    assert_eq!(sender.paid_at(&server).await, acknowledged + 1, "{what}");
    let audit = server.operations().audit(v1::AuditRequest {}).await.expect("an audit").into_inner();
    assert!(audit.holds, "{what}: {:#?}", audit.findings);
    server.stop();
}

#[tokio::test]
async fn a_failing_disk_stops_the_shard_and_nothing_is_tried_again() {
    const EIO: (&str, &str) = ("errno 5", "Input/output error");
    const FULL: (&str, &str) = ("errno 28", "No space left on device");
    let rows: [(&str, (&str, &str), &[&str]); 6] = [
        ("log::sync_fails", EIO, &["cannot sync", "/log/segment-", "see to the disk"]),
        ("log::write_fails", EIO, &["cannot write", "/log/segment-", "see to the disk"]),
        ("log::write_fails", FULL, &["cannot write", "/log/segment-", "see to the disk"]),
        ("log::fill_fails", FULL, &["cannot fill", "/log/spare.tmp", "see to the disk"]),
        ("checkpoint::write_fails", FULL, &["/checkpoint.sst", "see to the disk"]),
        ("checkpoint::ingest_fails", EIO, &["/checkpoint.sst", "see to the disk"]),
    ];
    for (point, (told, says), words) in rows {
        let data = folder();
        let what = format!("{point}, {says}");
        let filling = point == "log::fill_fails";
        let passes = if filling { 1 } else { 10 };
        let mut server = start(data.path(), &format!("{SMALL};{point}={passes}*off->return({told})"));
        let (acknowledged, unknown) = pays_until_it_fails(&server).await;
        has_stopped(&mut server, &what, &[&["shard 0 stopped", says][..], words].concat());
        // Once, but for a file that is made anew from its first byte: the thread that prepares it may not be the one that
        // needs it.
        let again = server.points().iter().filter(|name| *name == point).count();
        let most = if filling { 2 } else { 1 };
        assert!((1..=most).contains(&again), "{what}: it came to it {again} times");
        has_them_all(data.path(), &what, acknowledged, unknown).await;
    }
}

/// Runs the binary such that no file of its may become larger than `kib`: writing beyond that fails, as on a full disk, with
/// an error and not with a signal.
fn with_small_files(kib: u32, arguments: &[String]) -> std::process::Command {
    let mut command = without_settings(std::process::Command::new("bash"));
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"")]).arg(binary()).args(arguments);
    command
}

#[tokio::test]
async fn a_disk_that_is_really_full_stops_the_shard_with_the_file_that_did_not_fit() {
    let large = "File too large";
    // At the start: the first segment does not fit.
    let data = folder();
    let arguments = [dev(data.path()), vec!["--metrics".to_owned(), "off".to_owned()]].concat();
    let ended = run_as(&mut with_small_files(1_024, &arguments), Duration::from_secs(60));
    assert_eq!((ended.code, &*ended.stdout), (Some(FAILED), ""), "{ended:?}");
    for word in ["shard 0", "cannot fill", "/log/spare.tmp", large, "see to the disk"] {
        assert!(ended.stderr.contains(word), "expected '{word}' in {}", ended.stderr);
    }
    // Later: an append does not fit any more.
    Server::dev(1, data.path()).stop();
    let mut server = Server::launch_as(with_small_files(256, &arguments));
    assert!(server.ready().is_ok(), "{}", server.log());
    let (acknowledged, unknown) = pays_until_it_fails(&server).await;
    assert!(acknowledged > 100, "256 KiB hold some payments");
    has_stopped(
        &mut server,
        "an append",
        &["shard 0 stopped", "cannot write", "/log/segment-", large, "see to the disk"],
    );
    has_them_all(data.path(), "an append", acknowledged, unknown).await;
    // And a checkpoint: an audit has one written, and its file does not fit.
    let data = folder();
    let arguments = [dev(data.path()), vec!["--metrics".to_owned(), "off".to_owned()]].concat();
    let mut command = with_small_files(64, &arguments);
    command.env("FAILPOINTS", SMALL_SEGMENTS);
    let mut server = Server::launch_as(command);
    assert!(server.ready().is_ok(), "{}", server.log());
    pays(&server, 4_000).await;
    let audit = server.operations().audit(v1::AuditRequest {}).await;
    assert!(audit.is_err(), "{audit:?}");
    has_stopped(&mut server, "a checkpoint", &["shard 0 stopped", "/checkpoint.sst", large, "see to the disk"]);
    has_them_all(data.path(), "a checkpoint", 4_000, transfer(4_001, 1_001, 1_002)).await;
}

/// Pays 1 so often.
async fn pays(server: &Server, times: u128) {
    let mut sender = Sender::with_accounts(server).await;
    let payments: Vec<v1::Transfer> = (1..=times).map(|n| transfer(n, 1_001, 1_002)).collect();
    for some in payments.chunks(20) {
        let statuses = sender.sends(some.to_vec()).await.expect("payments");
        assert!(statuses.iter().all(|status| *status == Status::Created));
    }
}

/// A ledger that was killed after so many payments.
async fn ledger(data: &Path, failpoints: &str, paid: u128) {
    let mut server = start(data, failpoints);
    pays(&server, paid).await;
    server.kill();
}

fn segments(data: &Path) -> Vec<PathBuf> {
    files(&data.join("shard-0/log"), |name| name.starts_with("segment-"))
}

fn files(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the folder is there").map(|entry| entry.expect("a name").path());
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted);
    let mut found: Vec<PathBuf> = entries.filter(name).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_damaged_log_is_refused_with_file_and_offset_and_left_as_it_is() {
    let data = folder();
    ledger(data.path(), SMALL_SEGMENTS, 1_600).await;
    let segments = segments(data.path());
    assert!(segments.len() > 3, "{segments:?}");
    let [first, second, .., last] = &segments[..] else { unreachable!() };
    let refuse = |words: &[&str]| {
        let arguments = [dev(data.path()), vec!["--metrics".to_owned(), "off".to_owned()]].concat();
        refused(&borrowed(&arguments), FAILED, &[&["cannot open shard 0"][..], words].concat());
    };
    let flips: [(&Path, usize, &[&str]); 5] = [
        (first, 20, &["is damaged at offset 0", "header", "restore"]),
        (second, 20, &["is damaged at offset 0", "header", "restore"]),
        (first, 4_096 + 70, &["is damaged at offset 4096", "the next segment was begun after it", "restore"]),
        (second, 20_000, &["is damaged at offset ", "the next segment was begun after it", "restore"]),
        (last, 4_096 + 70, &["is damaged at offset 4096", "valid ones follow", "restore"]),
    ];
    for (file, at, words) in flips {
        let whole = fs::read(file).expect("it is there");
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(file, &damaged).expect("it can be written");
        refuse(&[&[text(file)][..], words].concat());
        assert!(fs::read(file).is_ok_and(|now| now == damaged), "what is damaged is left for the operator");
        fs::write(file, &whole).expect("it can be written");
    }
    let aside = data.path().join("aside");
    for (file, words) in [
        (first, &["/log has entries ", "but the store stands at 0: a segment is missing", "restore"][..]),
        (second, &["has no segment 2, but files that tell of it", "put the missing file back"]),
        (last, &["has no segment ", "but files that tell of it", "put the missing file back"]),
    ] {
        fs::rename(file, &aside).expect("it can be moved");
        refuse(words);
        fs::rename(&aside, file).expect("it can be moved back");
    }
    for (bytes, problem) in [(100, "shorter than its header"), (8_192, "another size than when it was made")] {
        let whole = fs::read(second).expect("it is there");
        fs::write(second, &whole[..bytes]).expect("it can be written");
        refuse(&[text(second), problem, "restore"]);
        fs::write(second, &whole).expect("it can be written");
    }
    // The same bytes, whole again, are the same ledger again.
    let server = Server::dev(1, data.path());
    assert_eq!(Sender::new(&server).paid_at(&server).await, 1_600);
}

#[tokio::test]
async fn an_append_that_was_torn_is_dropped_and_nothing_before_it() {
    let data = folder();
    let mut server = start(data.path(), &format!("{SMALL_SEGMENTS};log::written=60*off->return(abort)"));
    let (acknowledged, unknown) = pays_until_it_fails(&server).await;
    server.ended();
    let [segment] = &segments(data.path())[..] else { panic!("one segment") };
    let mut bytes = fs::read(segment).expect("it is there");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    bytes[end - 50..].fill(0);
    fs::write(segment, bytes).expect("it can be written");
    let server = start(data.path(), SMALL_SEGMENTS);
    assert_eq!(Sender::new(&server).paid_at(&server).await, acknowledged);
    let log = server.log();
    assert!(log.contains("torn_bytes=") && !log.contains("torn_bytes=0"), "{log}");
    server.stop();
    has_them_all(data.path(), "a torn append", acknowledged, unknown).await;
}

/// The account's posted credits by a lookup, its payments by a list, and the audit: each right, or an error.
async fn what_it_says(server: &Server) -> Vec<Result<u128, String>> {
    let (mut ledger, mut operations) = (server.ledger(), server.operations());
    let request = v1::LookupAccountsRequest { ids: ids_to(&[1_001, 1_002]), read: None };
    let balance = ledger.lookup_accounts(request).await.map(|answer| {
        let accounts = answer.into_inner().accounts;
        accounts.get(1).map_or(0, |account| number_from(account.credits_posted))
    });
    let ids: Vec<u128> = (1..=PAID).collect();
    let request = v1::LookupTransfersRequest { ids: ids_to(&ids), read: None };
    let there = ledger.lookup_transfers(request).await.map(|answer| answer.into_inner().transfers.len() as u128);
    let filter =
        v1::AccountFilter { account_id: ids_to(&[1_002]).first().copied(), limit: 8_000, ..Default::default() };
    let request = v1::GetAccountTransfersRequest { filter: Some(filter) };
    let listed = ledger.get_account_transfers(request).await.map(|page| page.into_inner().transfers.len() as u128);
    let audit = operations.audit(v1::AuditRequest {}).await.map(|answer| {
        let audit = answer.into_inner();
        if audit.holds { u128::from(audit.transfers) } else { 0 }
    });
    [balance, there, listed, audit].map(|answer| answer.map_err(|status| status.message().to_owned())).to_vec()
}

const PAID: u128 = 300;

/// Starts a ledger on a store that may be damaged. Whatever it says has to be right; and when it stops or refuses, or
/// answers with an error, that names the store. Answers whether anything was noticed.
async fn check_store(data: &Path, what: &str, names: &str) -> bool {
    let mut server = Server::launch(&borrowed(&dev(data)), "");
    if let Err(ended) = server.ready() {
        assert_eq!(ended.code(), Some(FAILED), "{what}: {}", server.log());
        let log = server.log();
        assert!(log.contains(names) && log.contains("cannot open shard 0"), "{what}: no '{names}' in {log}");
        return true;
    }
    let mut noticed = false;
    for answer in what_it_says(&server).await {
        match answer {
            Ok(found) => assert_eq!(found, PAID, "{what}"),
            Err(_) => noticed = true,
        }
    }
    if noticed {
        has_stopped(&mut server, what, &["shard 0 stopped", names]);
    }
    server.kill();
    noticed
}

/// The files of a folder and what is in them.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(dir, |_| true).into_iter().map(|path| (path.clone(), fs::read(path).expect("it is there"))).collect()
}

fn restore(dir: &Path, whole: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(dir).expect("nobody is in it");
    fs::create_dir(dir).expect("it can be made");
    whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("it can be written"));
}

#[tokio::test]
async fn a_damaged_store_gives_no_wrong_answer_and_is_named() {
    let data = folder();
    ledger(data.path(), SMALL, PAID).await;
    start(data.path(), SMALL).stop();
    let shard = data.path().join("shard-0");
    let (store, log) = (shard.join("store"), shard.join("log"));
    let (whole_store, whole_log) = (contents(&store), contents(&log));
    let tables: Vec<_> = whole_store.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "sst")).collect();
    assert!(!tables.is_empty());
    let mut noticed = 0;
    for (path, bytes) in &tables {
        for part in 0..8 {
            let at = bytes.len() * part / 8 + bytes.len() / 16;
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            fs::write(path, damaged).expect("it can be written");
            let what = format!("{} at {at} of {}", path.display(), bytes.len());
            noticed += u32::from(check_store(data.path(), &what, text(&store)).await);
            restore(&store, &whole_store);
            restore(&log, &whole_log);
        }
    }
    assert!(noticed > 4, "only {noticed} flipped bits were noticed");
    assert!(!check_store(data.path(), "the whole store", "").await);
}

#[tokio::test]
async fn a_store_without_its_table_of_contents_is_refused() {
    let data = folder();
    ledger(data.path(), SMALL, PAID).await;
    start(data.path(), SMALL).stop();
    let shard = data.path().join("shard-0");
    let (store, log) = (shard.join("store"), shard.join("log"));
    let (whole_store, whole_log) = (contents(&store), contents(&log));
    let find = |prefix: &str| files(&store, |name| name.starts_with(prefix)).pop().expect("it is there");
    let (current, manifest) = (find("CURRENT"), find("MANIFEST"));
    let table = files(&store, |name| name.ends_with(".sst")).pop().expect("a checkpoint was written");
    let size = |path: &Path| fs::read(path).expect("it is there").len();
    let cut = |path: &Path, bytes: usize| {
        let whole = fs::read(path).expect("it is there");
        fs::write(path, &whole[..bytes]).expect("it can be written");
    };
    let rows: [(&str, &dyn Fn()); 9] = [
        ("CURRENT is missing", &|| fs::remove_file(&current).expect("it can be removed")),
        ("CURRENT is empty", &|| cut(&current, 0)),
        ("CURRENT names nothing", &|| fs::write(&current, "MANIFEST-999999\n").expect("it can be written")),
        ("MANIFEST is missing", &|| fs::remove_file(&manifest).expect("it can be removed")),
        ("MANIFEST is empty", &|| cut(&manifest, 0)),
        ("MANIFEST is cut in half", &|| cut(&manifest, size(&manifest) / 2)),
        ("MANIFEST lacks its last byte", &|| cut(&manifest, size(&manifest) - 1)),
        ("a table is missing", &|| fs::remove_file(&table).expect("it can be removed")),
        ("a table is cut in half", &|| cut(&table, size(&table) / 2)),
    ];
    for (what, damage) in rows {
        damage();
        let noticed = check_store(data.path(), what, text(&shard)).await;
        println!("{what}: {}", if noticed { "refused" } else { "made whole from the log" });
        restore(&store, &whole_store);
        restore(&log, &whole_log);
    }
    assert!(!check_store(data.path(), "the whole store", "").await);
}
