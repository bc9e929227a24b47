//! An embedded cluster as a subject: every call goes through its router, as a client's would.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crest::serve::{Embedded, EmbeddedConfig};
use crest_conformance::Subject;
use crest_ledger::limits::TIMESTAMP_MAX;
use crest_ledger::txn::EventResult;
use crest_ledger::{
    Account, AccountBalance, AccountFilter, AccountFlags, AccountStatus, Page, QueryFilter, Timestamp, Transfer,
    TransferFlags, TransferStatus,
};
use crest_node::ClockSource;
use crest_node::log::Options as LogOptions;
use crest_router::{Router, RouterError};
use tokio::runtime::Runtime;

/// Some day in 2026, ns.
const NOW: Timestamp = 1_790_000_000_000_000_000;
/// Of each of the many logs that these tests open; the usual 64 MiB would come to some forty gigabytes.
const LOG_BYTES: u64 = 1 << 20;
/// How long what is due may take, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

/// N shards and a router, whose time stands still until it is moved.
pub(crate) struct Cluster {
    runtime: Runtime,
    embedded: Option<Embedded>,
    router: Router,
    clock: Arc<AtomicU64>,
    /// The pending transfers that nobody has resolved.
    reserved: Vec<Transfer>,
    _data: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn open(shards: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(NOW));
        let config = EmbeddedConfig {
            shards,
            data_dir: data.path().to_owned(),
            clock: ClockSource::Manual(clock.clone()),
            log: LogOptions { segment_bytes: LOG_BYTES },
        };
        let _inside = runtime.enter();
        let embedded = Embedded::open(config).unwrap();
        let router = embedded.router();
        drop(_inside);
        Self { runtime, embedded: Some(embedded), router, clock, reserved: Vec::new(), _data: data }
    }

    /// What an audit of all shards finds wrong.
    pub(crate) fn audit(&self) -> Vec<String> {
        self.wait(self.router.audit()).findings.iter().map(ToString::to_string).collect()
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, RouterError>>) -> T {
        self.runtime.block_on(answer).unwrap()
    }

    /// Waits until what these transfers reserved is released, and reads show it: the pending balances of their accounts are
    /// those of the reservations that are left, and what was closed is open. (Only an open account can be closed.)
    fn await_release(&self, due: &[Transfer]) {
        let began = Instant::now();
        for t in due {
            let released = |a: &Account| {
                let debits = self.reserved.iter().filter(|r| r.debit_account_id == a.id).map(|r| r.amount);
                let credits = self.reserved.iter().filter(|r| r.credit_account_id == a.id).map(|r| r.amount);
                let closing = [TransferFlags::CLOSING_CREDIT, TransferFlags::CLOSING_DEBIT];
                let closed = t.flags.any(closing[usize::from(t.debit_account_id == a.id)]);
                a.debits_pending == debits.sum::<u128>()
                    && a.credits_pending == credits.sum::<u128>()
                    && !(closed && a.flags.any(AccountFlags::CLOSED))
            };
            loop {
                self.check_totals();
                let accounts = self.wait(self.router.lookup_accounts(&[t.debit_account_id, t.credit_account_id])).0;
                if accounts.iter().all(released) {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "{t:?} is due, but was not released: {accounts:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// At any instant, also while reservations expire, as much is reserved on the payers' side as on the payees'.
    fn check_totals(&self) {
        let accounts = self.wait(self.router.query_accounts(QueryFilter::default())).0;
        let sum = |of: fn(&Account) -> u128| accounts.iter().map(of).fold(0, u128::wrapping_add);
        assert_eq!(sum(|a| a.debits_pending), sum(|a| a.credits_pending), "an expiry was seen on one side only");
        assert_eq!(sum(|a| a.debits_posted), sum(|a| a.credits_posted), "a transfer was seen on one side only");
    }

    /// All rows of a list, page after page, up to its limit.
    fn pages<T, F>(&self, page: Page, time: impl Fn(&T) -> Timestamp, ask: impl Fn(Page) -> F) -> Vec<T>
    where
        F: Future<Output = Result<(Vec<T>, Option<Timestamp>), RouterError>>,
    {
        let limit = page.limit as usize;
        let (mut rows, mut page) = (Vec::new(), page);
        loop {
            let (more, next) = self.wait(ask(page));
            rows.extend(more);
            let Some(last) = next.filter(|_| rows.len() < limit) else { break };
            assert!(rows.iter().all(|row| if page.newest_first { time(row) >= last } else { time(row) <= last }));
            page.limit = u32::try_from(limit - rows.len()).unwrap();
            if page.newest_first {
                page.timestamp_max = last - 1;
            } else {
                page.timestamp_min = last + 1;
            }
        }
        assert!(rows.len() <= limit, "a list has {} rows, but the limit is {limit}", rows.len());
        rows
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = self.embedded.take().map(Embedded::stop);
        if !std::thread::panicking() {
            stopped.unwrap().unwrap();
        }
    }
}

impl Subject for Cluster {
    fn create_accounts(&mut self, events: &[Account]) -> Vec<AccountStatus> {
        let results = self.wait(self.router.create_accounts(events.to_vec()));
        results.iter().map(|r| r.account_status().unwrap_or_else(|| panic!("{r:?} is no status"))).collect()
    }

    fn create_transfers(&mut self, events: &[Transfer]) -> Vec<TransferStatus> {
        let results = self.wait(self.router.create_transfers(events.to_vec(), false));
        let created = || events.iter().zip(&results).filter(|(_, r)| r.status == EventResult::CREATED).map(|(t, _)| t);
        let pending: Vec<u128> = created().filter(|t| t.flags.any(TransferFlags::PENDING)).map(|t| t.id).collect();
        if !pending.is_empty() {
            let made = self.lookup_transfers(&pending);
            self.reserved.extend(made);
        }
        self.reserved.retain(|t| !created().any(|e| e.resolves() && e.pending_id == t.id));
        results.iter().map(|r| r.transfer_status().unwrap_or_else(|| panic!("{r:?} is no status"))).collect()
    }

    fn lookup_accounts(&mut self, ids: &[u128]) -> Vec<Account> {
        self.wait(self.router.lookup_accounts(ids)).0
    }

    fn lookup_transfers(&mut self, ids: &[u128]) -> Vec<Transfer> {
        self.wait(self.router.lookup_transfers(ids))
    }

    fn account_transfers(&mut self, filter: &AccountFilter) -> Vec<Transfer> {
        let ask = |page| self.router.account_transfers(AccountFilter { page, ..*filter });
        self.pages(filter.page, |t| t.timestamp, ask)
    }

    fn account_balances(&mut self, filter: &AccountFilter) -> Vec<AccountBalance> {
        let ask = |page| self.router.account_balances(AccountFilter { page, ..*filter });
        self.pages(filter.page, |b| b.timestamp, ask)
    }

    fn query_accounts(&mut self, filter: &QueryFilter) -> Vec<Account> {
        let ask = |page| self.router.query_accounts(QueryFilter { page, ..*filter });
        self.pages(filter.page, |a| a.timestamp, ask)
    }

    fn query_transfers(&mut self, filter: &QueryFilter) -> Vec<Transfer> {
        let ask = |page| self.router.query_transfers(QueryFilter { page, ..*filter });
        self.pages(filter.page, |t| t.timestamp, ask)
    }

    fn advance(&mut self, nanoseconds: u64) {
        let before = self.clock.load(Ordering::Relaxed);
        let now = before.saturating_add(nanoseconds).min(TIMESTAMP_MAX);
        self.clock.store(now, Ordering::Relaxed);
        let (due, left): (Vec<_>, Vec<_>) =
            self.reserved.drain(..).partition(|t| t.expires_at().is_some_and(|e| e <= now));
        self.reserved = left;
        self.await_release(&due);
    }

    fn now(&mut self) -> Timestamp {
        self.clock.load(Ordering::Relaxed)
    }
}
