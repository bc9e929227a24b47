//! A small ledger on three shards, whose accounts, transfers and times are known.

use std::time::Duration;

use crest_ledger::Transfer;
use crest_proto::border::{ids_to, number_to, transfer_from};
use crest_proto::v1;
use crest_topology::SlotMap;

use super::PATIENCE;
use crate::processes::{ClusterFiles, Ended, Server, free_addresses, is_quiet, run, status_until};

/// Shards of the ledger, a process each.
pub(crate) const SHARDS: usize = 3;
/// Account 1 has a history, 3 cannot pay what it does not have; 1 and 2 are on shard 0, 3 on shard 1, 4 on shard 2.
const ACCOUNTS: usize = 4;
/// Transfers of 1 from account 2 to account 1, so that shard 0 has more than one block of them.
const MANY: u128 = 3_000;

/// A ledger whose shards are changed by hand while their processes are stopped.
pub(crate) struct Fixture {
    pub(crate) files: ClusterFiles,
    nodes: Vec<Option<Server>>,
    router: Server,
    pub(crate) accounts: [u128; ACCOUNTS],
    /// 71: 100 from 1 to 3. 72: 40 from 3 to 4. 73: 7 from 1 to 2. 74: 5 from 1 to 2, pending, with a timeout. 75: 11 from
    /// 4 to 1.
    transfers: Vec<Transfer>,
}

impl Fixture {
    /// Starts the processes, and makes the ledger.
    pub(crate) async fn new() -> Self {
        let files = ClusterFiles::new(SHARDS);
        let nodes: Vec<_> = (0..SHARDS).map(|shard| Some(files.node(shard))).collect();
        let router = files.router(free_addresses(1)[0]);
        let accounts = accounts();
        let transfers = fill(&router, accounts).await;
        Self { files, nodes, router, accounts, transfers }
    }

    /// A transfer of the fixture.
    pub(crate) fn transfer(&self, id: u128) -> Transfer {
        *self.transfers.iter().find(|t| t.id == id).expect("a transfer of the fixture")
    }

    /// Runs the real `crest audit`.
    pub(crate) fn audit(&self, more: &[&str]) -> Ended {
        let router = format!("http://{}", self.router.address);
        run(&[&["audit", "--router", &router], more].concat(), PATIENCE)
    }

    /// Ends the process of a shard, calls `change`, and starts it again.
    pub(crate) fn while_stopped<T>(&mut self, shard: usize, change: impl FnOnce(&Self) -> T) -> T {
        self.nodes[shard].take().expect("it runs").stop();
        let changed = change(self);
        self.nodes[shard] = Some(self.files.node(shard));
        changed
    }

    /// A text with accounts and times in the place of what stands for them.
    pub(crate) fn fill(&self, text: &str) -> String {
        let time =
            |at: u64| humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + Duration::from_nanos(at)).to_string();
        let mut text = text.to_owned();
        for (n, account) in self.accounts.iter().enumerate() {
            text = text.replace(&format!("{{{}}}", n + 1), &account.to_string());
        }
        for t in &self.transfers {
            text = text.replace(&format!("{{t{}}}", t.id), &time(t.timestamp));
            text = text.replace(&format!("{{n{}}}", t.id), &t.timestamp.to_string());
            text = text.replace(&format!("{{t{}+1}}", t.id), &time(t.timestamp + 1));
            text = text.replace(&format!("{{t{}+3600s}}", t.id), &time(t.timestamp + 3_600_000_000_000));
        }
        text
    }
}

fn accounts() -> [u128; ACCOUNTS] {
    let map = SlotMap::even(&[0, 1, 2]).expect("three shards make a map");
    let on = |shard: u32, nth: usize| (1_001u128..).filter(|id| map.shard_of(*id) == shard).nth(nth);
    [on(0, 0), on(0, 1), on(1, 0), on(2, 0)].map(|id| id.expect("every shard has ids"))
}

async fn fill(router: &Server, accounts: [u128; ACCOUNTS]) -> Vec<Transfer> {
    let [one, two, three, four] = accounts;
    let mut ledger = router.ledger();
    let flags = |id: u128| v1::AccountFlags {
        history: id == one,
        debits_must_not_exceed_credits: id == three,
        ..Default::default()
    };
    let account =
        |id: u128| v1::Account { id: number_to(id), ledger: 1, code: 1, flags: Some(flags(id)), ..Default::default() };
    let request = v1::CreateAccountsRequest { accounts: accounts.map(account).to_vec() };
    ledger.create_accounts(request).await.expect("accounts");
    let pay = |id: u128, from: u128, to: u128, amount: u128| v1::Transfer {
        id: number_to(id),
        debit_account_id: number_to(from),
        credit_account_id: number_to(to),
        amount: number_to(amount),
        ledger: 1,
        code: 1,
        ..Default::default()
    };
    let pending = Some(v1::TransferFlags { pending: true, ..Default::default() });
    let mut transfers = vec![
        pay(71, one, three, 100),
        pay(72, three, four, 40),
        pay(73, one, two, 7),
        v1::Transfer { flags: pending, timeout: 3_600, ..pay(74, one, two, 5) },
        pay(75, four, one, 11),
    ];
    transfers.extend((0..MANY).map(|n| pay(1_000 + n, two, one, 1)));
    let request = v1::CreateTransfersRequest { transfers, independent: false };
    let results = ledger.create_transfers(request).await.expect("transfers").into_inner().results;
    assert!(results.iter().all(|r| r.status() == v1::CreateTransferStatus::Created));
    status_until(&mut router.operations(), PATIENCE, "nothing is left in doubt", is_quiet).await;
    let request = v1::LookupTransfersRequest { ids: ids_to(&[71, 72, 73, 74, 75]), read: None };
    let found = ledger.lookup_transfers(request).await.expect("a lookup").into_inner().transfers;
    found.into_iter().map(|t| transfer_from(t).expect("a transfer")).collect()
}
