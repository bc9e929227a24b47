//! Backups of real clusters, tested by restoring them: onto as many shards and onto others, while payments flow, after
//! interruptions, and with damaged files.
//!
//! `CREST_SEED` repeats a run's choices.

#[path = "backup/cluster.rs"]
mod cluster;
#[path = "backup/load.rs"]
mod load;
mod payments;
mod processes;
#[path = "backup/special.rs"]
mod special;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Cluster, copy, restore, state, verify};
use crest_conformance::random::Random;
use crest_proto::border::{number_from, number_to};
use crest_proto::v1;
use load::{all, end_what_is_pending, look_up, same, send_again, up_to};
use payments::{Bank, Client, Load, settle};
use processes::{ClusterFiles, Layout, Server, command, folder, is_quiet, refused, run, status_until, text};
use special::{again, first, imported, on, open, play, read_all, second, until_expired};

/// Clients at work at a time.
const CLIENTS: usize = 16;
/// How long what is under way may take to end.
const QUIET: Duration = Duration::from_secs(10);
/// Between two looks at what a command has done.
const LOOK: Duration = Duration::from_millis(10);

fn seed(test: &str) -> u64 {
    let from_clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64 % 1_000_000_000);
    let seed = std::env::var("CREST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(from_clock);
    println!("repeat with: CREST_SEED={seed} cargo test -p crest --test backup {test} -- --nocapture");
    seed
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_under_load_are_restored_onto_other_numbers_of_shards_and_replicas() {
    let mut random = Random::new(seed("backups_under_load_are_restored_onto_other_numbers_of_shards_and_replicas"));
    let bank = Arc::new(Bank::new(4, &mut random));
    let original = Cluster::new(4);
    let ways = [original.router.ledger()];
    bank.open(&mut original.router.ledger()).await;
    let clients = (0..CLIENTS).map(|_| Client::new(random.number(), bank.clone())).collect();
    let load = Load::start(clients, &ways);
    load.answers(1_500).await;
    let dir = folder();
    let mut taken = Vec::new();
    for n in 0..3 {
        let begun = Instant::now();
        let (at, said) = original.backup(dir.path());
        assert_eq!(said["since"].is_null(), n == 0, "incremental after the first: {said:#}");
        println!("{said:#}");
        taken.push((at, begun));
        load.answers(500).await;
    }
    let clients = settle(load.stop().await, &ways).await;
    status_until(&mut original.router.operations(), QUIET, "what is under way ends", is_quiet).await;
    let ids = bank.accounts();
    let sent = all(&clients);
    let everything = look_up(&original, &sent).await;
    let mut truth = Vec::new();
    for (at, _) in &taken {
        truth.push(
            original.accounts_at(*at, &ids).await.iter().map(|(id, a)| (*id, state(a))).collect::<BTreeMap<_, _>>(),
        );
    }
    original.audit();
    original.stop();
    let verified = verify(dir.path());
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let layouts = [
        (0, Layout::Alone(3)),
        (1, Layout::Alone(4)),
        (2, Layout::Alone(1)),
        (2, Layout::Replicated { nodes: 3, shards: 2 }),
    ];
    for (n, layout) in layouts {
        let (at, begun) = taken[n];
        let restored = Cluster::restored_as(dir.path(), at, layout);
        let found = restored.accounts_at(at, &ids).await;
        same(&found.iter().map(|(id, a)| (*id, state(a))).collect(), &truth[n], "balances at the instant");
        restored.audit();
        let there = look_up(&restored, &sent).await;
        let expected = up_to(&everything, at);
        same(&there.clone().into_iter().collect(), &expected.into_iter().collect(), "transfers up to the instant");
        let [done, failed] = send_again(&restored, &sent, begun).await;
        let ended = end_what_is_pending(&restored, &bank, &there).await;
        println!("{} transfers on {layout:?}; {done} retried, {failed} failed ids, {ended} pending", there.len());
        assert!(done > 300 && failed > 20 && ended > 5, "the test tries too little");
        let clients = (0..4).map(|_| Client::new(random.number(), bank.clone())).collect();
        let load = Load::start(clients, &[restored.router.ledger()]);
        load.answers(300).await;
        settle(load.stop().await, &[restored.router.ledger()]).await;
        restored.audit();
        restored.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_everything_comes_back_as_it_was_also_what_was_dated_back() {
    let original = Cluster::new(special::SHARDS);
    open(&original).await;
    play(&original, &first()).await;
    until_expired(&original).await;
    let dir = folder();
    let (one, _) = original.backup(dir.path());
    let after_one = read_all(&original).await;
    play(&original, &second()).await;
    let (two, _) = original.backup(dir.path());
    let (nothing_new, said) = original.backup(dir.path());
    assert_eq!((&said["new_accounts"], &said["records"]), (&"0".into(), &"0".into()), "{said:#}");
    let after_two = read_all(&original).await;
    let requests = [first(), second()].concat();
    let answers = again(&original, &requests).await;
    for (at, expected, shards) in [
        (one, &after_one, 4),
        (one, &after_one, 1),
        (two, &after_two, 4),
        (nothing_new, &after_two, 3),
        (two, &after_two, 1),
    ] {
        let restored = Cluster::restored(dir.path(), at, shards);
        restored.audit();
        let found = read_all(&restored).await;
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected, "at {at} on {shards} shards");
        }
        assert_eq!(found.len(), expected.len(), "at {at} on {shards} shards");
        match at == one {
            // What came later is not there yet: it happens again, as it did. But to one shard with all transfers, what is
            // dated back comes too late.
            true => play(&restored, &second()[if shards == 1 { 2 } else { 0 }..]).await,
            false => assert_eq!(again(&restored, &requests).await, answers, "on {shards} shards"),
        }
        restored.audit();
        // Backups of what it does not have are of another past, and of another map they are of no use to it.
        let other = restored.try_backup(dir.path(), &[]);
        let goes_on = at != one && shards == 4;
        assert_eq!(other.code, Some(i32::from(!goes_on)), "{other:?}");
        restored.stop();
    }
    original.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_map_would_mix_up_is_refused_and_the_same_map_takes_it() {
    let original = Cluster::new(special::SHARDS);
    open(&original).await;
    let account = |n: u64, id: u128| v1::Account {
        id: number_to(id),
        ledger: 1,
        code: 1,
        flags: Some(v1::AccountFlags { imported: true, ..Default::default() }),
        timestamp: special::LONG_AGO + n,
        ..Default::default()
    };
    special::create(&original, vec![account(5, on(2, 2)), account(6, on(3, 2))]).await;
    let none = v1::TransferFlags::default();
    for (id, accounts) in [(1, [on(2, 0), on(2, 2)]), (2, [on(3, 0), on(3, 2)])] {
        let results = original.send(vec![imported(id, accounts[0], accounts[1], 100, none)]).await;
        assert_eq!(results[0].status(), v1::CreateTransferStatus::Created);
    }
    let dir = folder();
    let (times, _) = original.backup(dir.path());
    for shard in [0, 1] {
        let transfer = v1::Transfer { flags: None, timestamp: 0, ..imported(77, on(shard, 0), on(shard, 0), 0, none) };
        let (debit, credit) = (number_to(on(shard, 0)), number_to(on(shard, if shard == 0 { 2 } else { 1 })));
        let transfer = v1::Transfer { debit_account_id: credit, credit_account_id: debit, ..transfer };
        let transfer = match shard {
            0 => transfer,
            // The other account of that shard is one that may not be paid more than it has.
            _ => v1::Transfer { debit_account_id: credit, credit_account_id: debit, ..transfer },
        };
        let results = original.send(vec![transfer]).await;
        assert_eq!(results[0].status(), v1::CreateTransferStatus::Created);
    }
    let (ids, _) = original.backup(dir.path());
    let before = read_all(&original).await;
    original.stop();
    for (at, words) in [(times, "were imported with one time"), (ids, "the id 77 was used for two transfers")] {
        let files = ClusterFiles::new(1);
        let ended = restore(&files, dir.path(), at, 1);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert!(
            !files.replica_dir(0, 0).exists() && !files.data_dir(0).join("restoring").exists(),
            "nothing is left of it"
        );
    }
    let restored = Cluster::restored(dir.path(), ids, special::SHARDS);
    restored.audit();
    assert_eq!(read_all(&restored).await, before);
    restored.stop();
}

/// The files of a backup, by the end of their names.
fn find(dir: &Path, at: u64, ending: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir.join(at.to_string())).expect("the backup is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    paths.into_iter().find(|path| text(path).ends_with(ending)).expect("there is such a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_missing_or_another_s_is_refused_by_name() {
    let original = Cluster::new(special::SHARDS);
    open(&original).await;
    play(&original, &first()).await;
    let good = folder();
    let (one, _) = original.backup(good.path());
    play(&original, &second()).await;
    let (two, _) = original.backup(good.path());

    let check = |what: &str, words: &[&str], change: &dyn Fn(&Path)| {
        let bad = folder();
        copy(good.path(), bad.path());
        change(bad.path());
        let files = ClusterFiles::new(special::SHARDS);
        for ended in [restore(&files, bad.path(), two, 1), verify(bad.path())] {
            assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
            for word in words {
                assert!(ended.stderr.contains(word), "{what}: expected '{word}' in {ended:?}");
            }
        }
        assert!(!files.replica_dir(0, 0).exists(), "{what}: nothing is restored");
    };
    let flip = |path: PathBuf, at: usize| {
        let mut bytes = std::fs::read(&path).expect("the file is there");
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("it can be written");
    };
    check("a flipped bit", &["shard-0-transfers.crest", "is damaged at or behind byte"], &|dir| {
        flip(find(dir, one, "shard-0-transfers.crest"), 100);
    });
    check("a cut file", &["shard-1-accounts.crest", "cut short"], &|dir| {
        let path = find(dir, two, "shard-1-accounts.crest");
        let bytes = std::fs::read(&path).expect("the file is there");
        std::fs::write(&path, &bytes[..bytes.len() - 5]).expect("it can be written");
    });
    check("a missing file", &["shard-0-failed-ids.crest: is missing"], &|dir| {
        std::fs::remove_file(find(dir, one, "shard-0-failed-ids.crest")).expect("it is there");
    });
    check("a file of another instant", &["another shard, kind or instant"], &|dir| {
        let name = "shard-0-transfers.crest";
        std::fs::copy(find(dir, one, name), find(dir, two, name)).expect("it can be copied");
    });
    check("a missing parent", &[&format!("{one}/manifest.json: is missing")], &|dir| {
        std::fs::remove_dir_all(dir.join(one.to_string())).expect("it is there");
    });
    check("a changed manifest", &["manifest.json: is damaged: its checksum is wrong"], &|dir| {
        let path = find(dir, two, "manifest.json");
        let changed = std::fs::read_to_string(&path).expect("it is there").replace("\"test\"", "\"best\"");
        std::fs::write(path, changed).expect("it can be written");
    });

    let (dir, files) = (text(good.path()), ClusterFiles::new(1));
    let (cluster, data) = (files.path("cluster.toml"), files.path(""));
    let restoring = |more: &[&'static str]| {
        [&["restore", "--from", dir, "--cluster", text(&cluster), "--data-dir", text(&data)], more].concat()
    };
    refused(&restoring(&["--node", "1", "--at", "7"]), 2, &["--at 7", &one.to_string(), &two.to_string()]);
    refused(&restoring(&["--node", "2"]), 2, &["--node 2", "has no shard there"]);
    refused(&["backup"], 2, &["--to"]);
    std::fs::create_dir(files.path("shard-0")).expect("it can be made");
    files.write("shard-0/LOCK", "");
    refused(&restoring(&["--node", "1"]), 1, &["shard-0 is not empty"]);

    // Another cluster of that name, and one of another name.
    let other = Cluster::new(special::SHARDS);
    open(&other).await;
    let ended = other.try_backup(good.path(), &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("is not the one of the backup before"), "{ended:?}");
    other.stop();
    let data = folder();
    let dev = Server::dev(special::SHARDS as u32, data.path());
    let url = format!("http://{}", dev.address);
    let ended = run(&["backup", "--to", dir, "--router", &url, "--full"], cluster::PATIENCE);
    assert_eq!(ended.code, Some(0), "with --full a folder takes whatever there is: {ended:?}");
    dev.stop();
    let ended = original.try_backup(good.path(), &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cluster embedded"), "{ended:?}");
    original.stop();
}

/// Transfers enough that a slow backup takes some seconds.
async fn fill(cluster: &Cluster, first: u128, count: u128) {
    let transfer = |n: u128| v1::Transfer {
        id: number_to(first + n),
        debit_account_id: number_to(on((n % 4) as u32, 0)),
        credit_account_id: number_to(on(((n + 1 + n / 4 % 2) % 4) as u32, 0)),
        amount: number_to(1),
        ledger: 1,
        code: 1,
        ..Default::default()
    };
    let all: Vec<v1::Transfer> = (0..count).map(transfer).collect();
    for part in all.chunks(8_000) {
        let request = v1::CreateTransfersRequest { transfers: part.to_vec(), independent: true };
        let results = cluster.router.ledger().create_transfers(request).await.expect("transfers").into_inner().results;
        assert!(results.iter().all(|r| r.status() == v1::CreateTransferStatus::Created), "{:?}", results[0]);
    }
}

/// Starts a slow backup, and waits until it writes.
async fn slow(cluster: &Cluster, to: &Path) -> Server {
    // What an interrupted one left has to be gone.
    let partial = to.join("partial");
    std::fs::create_dir_all(&partial).expect("a folder can be made");
    std::fs::write(partial.join("left"), "behind").expect("it can be written");
    let mut command = command();
    command.args(["backup", "--rate-mib", "2", "--router", &cluster.url(), "--to", text(to)]);
    let mut server = Server::launch_as(command);
    let begun = Instant::now();
    let writes = || {
        let entries = std::fs::read_dir(&partial).ok().filter(|_| !partial.join("left").exists())?;
        Some(entries.flatten().any(|entry| entry.metadata().is_ok_and(|meta| meta.len() > 0)))
    };
    while writes() != Some(true) {
        assert!(begun.elapsed() < 4 * QUIET, "it does not write: {}", server.log());
        assert!(server.has_ended().is_none(), "it was not slow: {}", server.log());
        tokio::time::sleep(LOOK).await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_interrupted_leaves_the_earlier_ones_and_is_taken_up_again() {
    let mut original = Cluster::new(special::SHARDS);
    let account = |shard: u32| v1::Account { id: number_to(on(shard, 0)), ledger: 1, code: 1, ..Default::default() };
    special::create(&original, (0..4).map(account).collect()).await;
    fill(&original, 1_000, 8_000).await;
    let dir = folder();
    let (one, _) = original.backup(dir.path());
    fill(&original, 100_000, 64_000).await;
    let complete = || {
        let ended = run(&["backup", "verify", "--json", text(dir.path())], cluster::PATIENCE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one document");
        said["backups"].as_array().expect("a list").len()
    };

    // The command.
    let mut backup = slow(&original, dir.path()).await;
    let busy = original.try_backup(dir.path(), &[]);
    assert_eq!(busy.code, Some(1), "{busy:?}");
    assert!(busy.stderr.contains("another backup is being written here"), "{busy:?}");
    backup.kill();
    assert_eq!(complete(), 1, "what was interrupted is no backup");

    // The router.
    let mut backup = slow(&original, dir.path()).await;
    original.router.kill();
    assert_eq!(backup.ended().code(), Some(3), "{}", backup.log());
    original.router = original.files.router(original.front);
    assert_eq!(complete(), 1);

    // A node, for a while: the backup waits for it, and goes on. So do payments between the others.
    let mut backup = slow(&original, dir.path()).await;
    original.nodes[1].kill();
    original.nodes[1] = original.files.node(1);
    fill(&original, 200_000, 800).await;
    assert!(backup.ended().success(), "{}", backup.log());
    assert_eq!(complete(), 2);
    assert!(original.router.log().contains("a backup begins again with this shard"), "{}", original.router.log());

    let (three, said) = original.backup(dir.path());
    assert_eq!(said["records"], "800", "{said:#}");
    let ids: Vec<u128> = (0..4).map(|shard| on(shard, 0)).collect();
    let request = v1::LookupAccountsRequest { ids: crest_proto::border::ids_to(&ids), read: None };
    let accounts = original.router.ledger().lookup_accounts(request).await.expect("a lookup").into_inner().accounts;
    let posted = accounts.iter().map(|a| number_from(a.debits_posted)).sum::<u128>();
    assert_eq!(posted, 72_800);
    original.stop();
    for (at, expected) in [(one, 8_000), (three, 72_800)] {
        let restored = Cluster::restored(dir.path(), at, 2);
        let audit = restored.audit();
        assert_eq!(audit["transfers"], expected.to_string(), "{audit:#}");
        restored.stop();
    }
}
