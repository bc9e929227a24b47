//! Expiry between two shards, verb by verb: what each of them knows at every point at which the other may be gone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest};
use crest_ledger::needs::Needs;
use crest_ledger::records::Sides;
use crest_ledger::tables::{Scalars, Tables};
use crest_ledger::txn::{Decided, Event, Outcome, ShardId, Step, TxnId, Vote};
use crest_ledger::{Account, Timestamp, Transfer, TransferFlags};

const PAYER: ShardId = 0;
const PAYEE: ShardId = 1;
const PENDING: u128 = 77;
const START: Timestamp = 1_000_000_000_000;
const EXPIRES: Timestamp = START + 10_000_000_000;

/// Both shards, and the pending transfer between them.
struct World {
    shards: [Tables; 2],
    pending: Transfer,
}

impl World {
    /// Account 1 on the payer's shard, account 2 on the payee's, and 5 reserved between them for about ten seconds.
    fn new() -> Self {
        let pending = Transfer {
            id: PENDING,
            debit_account_id: 1,
            credit_account_id: 2,
            amount: 5,
            timeout: 10,
            ledger: 1,
            code: 1,
            flags: TransferFlags(TransferFlags::PENDING),
            ..Transfer::default()
        };
        let shards = [PAYER, PAYEE].map(|shard| Tables::new(shard, Scalars::default()));
        let mut world = Self { shards, pending };
        for (shard, id) in [(PAYER, 1), (PAYEE, 2)] {
            let account = Account { id, ledger: 1, code: 1, ..Account::default() };
            world.apply(shard, START, Command::Create(vec![Step::account(account)]));
        }
        let txn = TxnId { first_id: PENDING, attempt: 1 };
        world.hold(txn, pending);
        let decided = world.decide(txn, Some(pending));
        let Decided::Committed(commits) = decided else { panic!("{decided:?}") };
        world.finish(txn, Outcome::Committed(commits));
        world
    }

    /// Applies a command as the shell does; nothing is in a store.
    fn apply(&mut self, shard: ShardId, at: Timestamp, command: Command) -> Answer {
        let tables = &mut self.shards[shard as usize];
        let mut needs = Needs::default();
        loop {
            needs.clear();
            command.needs(tables, &mut needs);
            needs.accounts.iter().for_each(|id| tables.load_account(*id, None));
            needs.ids.iter().for_each(|id| tables.load_id(*id, None));
            needs.transfers.iter().for_each(|at| tables.load_transfer(*at, None));
            if needs.is_empty() {
                return command.apply(tables, at);
            }
        }
    }

    fn step(transfer: Transfer, sides: Sides) -> Step {
        Step { index: 0, sides, request_status: 0, amount_max: transfer.amount, event: Event::Transfer(transfer) }
    }

    /// The payee's shard holds its side of `transfer`.
    fn hold(&mut self, txn: TxnId, transfer: Transfer) {
        let steps = vec![Self::step(transfer, Sides::CREDIT)];
        let vote = self.prepare(txn, START, steps);
        assert!(matches!(vote, Vote::Held { .. }), "{vote:?}");
    }

    fn prepare(&mut self, txn: TxnId, at: Timestamp, steps: Vec<Step>) -> Vote {
        let answer = self.apply(PAYEE, at, Command::Prepare(vec![PrepareRequest { txn, decider: PAYER, steps }]));
        let Answer::Votes(mut votes) = answer else { panic!("{answer:?}") };
        votes.remove(0)
    }

    /// The payer's shard decides on `transfer`, or on the expiry that `txn` is, at its present time.
    fn decide(&mut self, txn: TxnId, transfer: Option<Transfer>) -> Decided {
        let clock = self.shards[PAYEE as usize].now();
        let request = DecideRequest {
            txn,
            participants: vec![PAYEE],
            events: transfer.iter().map(|t| (t.id, self.pending.amount)).collect(),
            steps: transfer.into_iter().map(|t| Self::step(t, Sides::DEBIT)).collect(),
            refusals: Vec::new(),
            prepared_at: clock,
            clock,
            commit_before: Timestamp::MAX,
        };
        let answer = self.apply(PAYER, 0, Command::Decide(vec![request]));
        let Answer::Decided(mut decided) = answer else { panic!("{answer:?}") };
        decided.remove(0)
    }

    fn finish(&mut self, txn: TxnId, outcome: Outcome) {
        assert_eq!(self.apply(PAYEE, 0, Command::Finish(vec![(txn, outcome)])), Answer::Finished(vec![true]));
    }

    /// What is reserved on each side.
    fn reserved(&self) -> (u128, u128) {
        let account = |shard: ShardId, id| *self.shards[shard as usize].account(id).unwrap();
        (account(PAYER, 1).debits_pending, account(PAYEE, 2).credits_pending)
    }

    fn payee_is_settled(&self) -> bool {
        self.shards[PAYEE as usize].holds().is_empty()
    }
}

/// An attempt that begins at this instant.
fn expiry(at: Timestamp) -> TxnId {
    TxnId::expiry(PENDING, at)
}

#[test]
fn the_payees_shard_holds_until_it_is_told_so_no_reader_sees_one_side_only() {
    let mut world = World::new();
    let txn = expiry(EXPIRES + 1_000_000);
    let vote = world.prepare(txn, EXPIRES + 1_000_000, Vec::new());
    let Vote::Held { clock, .. } = vote else { panic!("{vote:?}") };
    let Decided::Expired(at) = world.decide(txn, None) else { panic!("it is due") };
    assert!(at > clock, "the hold is older than the release: a read at that instant waits for it");
    assert!(!world.payee_is_settled());
    assert_eq!(world.reserved(), (0, 5));
    world.finish(txn, Outcome::Expired(at));
    assert_eq!(world.reserved(), (0, 0));
    assert!(world.payee_is_settled());
    world.finish(txn, Outcome::Expired(at));
    assert_eq!(world.reserved(), (0, 0), "a repeated finish changes nothing");
}

#[test]
fn nothing_is_released_before_its_time() {
    let mut world = World::new();
    let txn = expiry(START);
    assert!(matches!(world.prepare(txn, START, Vec::new()), Vote::Held { .. }));
    assert_eq!(world.decide(txn, None), Decided::Aborted);
    world.finish(txn, Outcome::Released { burned_id: 0 });
    assert_eq!(world.reserved(), (5, 5));
}

#[test]
fn an_expiry_that_comes_after_a_void_releases_nothing_twice() {
    let mut world = World::new();
    let late = expiry(EXPIRES + 1_000_000);
    let void = Transfer {
        id: 78,
        pending_id: PENDING,
        flags: TransferFlags(TransferFlags::VOID_PENDING),
        ..Transfer::default()
    };
    let txn = TxnId { first_id: 78, attempt: 1 };
    world.hold(txn, void);
    let Decided::Committed(commits) = world.decide(txn, Some(void)) else { panic!("it is still pending") };
    assert!(matches!(world.prepare(late, EXPIRES + 1_000_000, Vec::new()), Vote::Held { .. }));
    assert_eq!(world.decide(late, None), Decided::Aborted);
    world.finish(late, Outcome::Released { burned_id: 0 });
    world.finish(txn, Outcome::Committed(commits));
    assert_eq!(world.reserved(), (0, 0));
    let again = world.prepare(expiry(EXPIRES + 2_000_000), EXPIRES + 2_000_000, Vec::new());
    assert!(matches!(again, Vote::Refused(_)), "{again:?}");
}

#[test]
fn an_attempt_that_recovery_gave_up_never_expires_anything_but_the_next_one_does() {
    let mut world = World::new();
    let (first, second) = (expiry(EXPIRES + 1_000_000), expiry(EXPIRES + 2_000_000));
    world.prepare(first, EXPIRES + 1_000_000, Vec::new());
    let released = Outcome::Released { burned_id: 0 };
    let told = world.apply(PAYER, EXPIRES + 1_000_000, Command::Recover(true, 0, vec![first]));
    assert_eq!(told, Answer::Outcomes(vec![Some(released.clone())]));
    world.finish(first, released);
    assert_eq!(world.decide(first, None), Decided::Aborted, "a late decide");
    assert_eq!(world.reserved(), (5, 5));
    world.prepare(second, EXPIRES + 2_000_000, Vec::new());
    let Decided::Expired(at) = world.decide(second, None) else { panic!("it is due") };
    let told = world.apply(PAYER, EXPIRES + 2_000_000, Command::Recover(true, 0, vec![second]));
    assert_eq!(
        told,
        Answer::Outcomes(vec![Some(Outcome::Expired(at))]),
        "the payer's shard remembers until it is told"
    );
    world.finish(second, Outcome::Expired(at));
    assert_eq!(world.reserved(), (0, 0));
}

#[test]
fn an_import_waits_where_an_open_hold_may_be_recorded_at_its_instant() {
    let mut world = World::new();
    let other = Account { id: 3, ledger: 1, code: 1, ..Account::default() };
    world.apply(PAYEE, 0, Command::Create(vec![Step::account(other)]));
    let txn = expiry(EXPIRES + 1_000_000);
    world.prepare(txn, EXPIRES + 1_000_000, Vec::new());
    let Decided::Expired(at) = world.decide(txn, None) else { panic!("it is due") };
    let import = |timestamp| Transfer {
        id: 90,
        debit_account_id: 2,
        credit_account_id: 3,
        amount: 1,
        ledger: 1,
        code: 1,
        flags: TransferFlags(TransferFlags::IMPORTED),
        timestamp,
        ..Transfer::default()
    };
    let create = |world: &mut World, timestamp| {
        let steps = vec![Step::local(import(timestamp))];
        let answer = world.apply(PAYEE, EXPIRES + 20_000_000_000, Command::Create(steps));
        let Answer::Results(results) = answer else { panic!("{answer:?}") };
        results[0]
    };
    assert!(create(&mut world, at).is_blocked());
    world.finish(txn, Outcome::Expired(at));
    let status = create(&mut world, at).transfer_status().unwrap();
    assert_eq!(status.name(), "imported_event_timestamp_must_not_regress");
}
