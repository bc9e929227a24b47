//! Clusters of real processes that are backed up, and those that are restored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crest_ledger::{Account, AccountFlags};
use crest_proto::border;
use crest_proto::v1;
use serde_json::Value;

use super::processes::{ClusterFiles, Ended, Layout, Server, free_addresses, run, text};

/// How long a command may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A node for each shard, and a router.
pub(crate) struct Cluster {
    pub(crate) files: ClusterFiles,
    pub(crate) nodes: Vec<Server>,
    pub(crate) router: Server,
    pub(crate) front: SocketAddr,
}

impl Cluster {
    /// A new cluster.
    pub(crate) fn new(shards: usize) -> Self {
        Self::start(ClusterFiles::new(shards))
    }

    /// Starts what the files are of.
    pub(crate) fn start(files: ClusterFiles) -> Self {
        let nodes = (0..files.nodes.len()).map(|shard| files.node(shard)).collect();
        let front = free_addresses(1)[0];
        let router = files.router(front);
        Self { files, nodes, router, front }
    }

    /// A cluster of so many shards, each alone on a node, out of a backup.
    pub(crate) fn restored(from: &Path, at: u64, shards: usize) -> Self {
        Self::restored_as(from, at, Layout::Alone(shards))
    }

    /// A cluster out of a backup.
    pub(crate) fn restored_as(from: &Path, at: u64, layout: Layout) -> Self {
        let files = ClusterFiles::of(layout);
        for node in 1..=layout.nodes() {
            let ended = restore(&files, from, at, node);
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        Self::start(files)
    }

    /// Its router's address, as commands take it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.front)
    }

    /// Runs `crest backup`.
    pub(crate) fn try_backup(&self, to: &Path, more: &[&str]) -> Ended {
        let url = self.url();
        let arguments = [&["backup", "--json", "--router", &url, "--to", text(to)], more].concat();
        run(&arguments, PATIENCE)
    }

    /// Runs `crest backup`, which has to succeed; gives the instant, and what it said.
    #[track_caller]
    pub(crate) fn backup(&self, to: &Path) -> (u64, Value) {
        let ended = self.try_backup(to, &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said: Value = serde_json::from_str(&ended.stdout).expect("one document");
        let at = said["timestamp"].as_str().and_then(|at| at.parse().ok()).expect("an instant");
        (at, said)
    }

    /// The accounts as they were at an instant, by what the shards themselves say.
    pub(crate) async fn accounts_at(&self, at: u64, ids: &[u128]) -> BTreeMap<u128, Account> {
        let read = Some(v1::ReadAt { timestamp: at, from_followers: false });
        let request = v1::LookupAccountsRequest { ids: border::ids_to(ids), read };
        let answer = self.router.ledger().lookup_accounts(request).await.expect("a read of the past").into_inner();
        assert_eq!(answer.timestamp, at, "the instant of a backup is in the middle of no chain");
        let accounts = answer.accounts.into_iter().map(|a| border::account_from(a).expect("an account"));
        accounts.map(|account| (account.id, account)).collect()
    }

    /// The audit holds. Gives what it says.
    #[track_caller]
    pub(crate) fn audit(&self) -> Value {
        let audit = run(&["audit", "--json", "--router", &self.url()], PATIENCE);
        assert_eq!(audit.code, Some(0), "{audit:?}");
        serde_json::from_str(&audit.stdout).expect("one document")
    }

    pub(crate) async fn send(&self, transfers: Vec<v1::Transfer>) -> Vec<v1::CreateTransferResult> {
        let request = v1::CreateTransfersRequest { transfers, independent: false };
        self.router.ledger().create_transfers(request).await.expect("an answer").into_inner().results
    }

    /// Stops it.
    pub(crate) fn stop(self) {
        self.router.stop();
        self.nodes.into_iter().for_each(Server::stop);
    }
}

/// Runs `crest restore` for a node.
pub(crate) fn restore(files: &ClusterFiles, from: &Path, at: u64, node: usize) -> Ended {
    let (file, dir) = (files.path("cluster.toml"), files.data_dir(node - 1));
    let (at, node) = (at.to_string(), node.to_string());
    let arguments = ["restore", "--json", "--from", text(from), "--at", &at, "--cluster", text(&file)];
    run(&[&arguments[..], &["--node", &node, "--data-dir", text(&dir)]].concat(), PATIENCE)
}

/// Checks the backups of a folder.
pub(crate) fn verify(dir: &Path) -> Ended {
    run(&["backup", "verify", text(dir)], PATIENCE)
}

/// What an account is: balances, and whether it is closed.
pub(crate) fn state(account: &Account) -> ([u128; 4], bool) {
    let balances = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted];
    (balances, account.flags.any(AccountFlags::CLOSED))
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a file can be copied")),
        }
    }
}
