//! Attempts that meet, and messages that come twice: what a shard has promised or has refused for good stays so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest};
use crest_ledger::needs::Needs;
use crest_ledger::records::Sides;
use crest_ledger::tables::{Scalars, Tables};
use crest_ledger::txn::{Decided, Event, Outcome, Refusal, ShardId, Step, TxnId, Vote};
use crest_ledger::{Account, AccountFlags, Timestamp, Transfer, TransferFlags, TransferStatus};

const A: ShardId = 0;
const B: ShardId = 1;
const START: Timestamp = 1_000_000_000_000;

/// Account 1 on shard A; on shard B account 2, which must not owe, and account 3.
struct World([Tables; 2]);

impl World {
    fn new() -> Self {
        let mut world = Self([A, B].map(|shard| Tables::new(shard, Scalars::default())));
        for (shard, id, flags) in [(A, 1, 0), (B, 2, AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS), (B, 3, 0)] {
            let account = Account { id, ledger: 1, code: 1, flags: AccountFlags(flags), ..Account::default() };
            world.apply(shard, START, Command::Create(vec![Step::account(account)]));
        }
        world
    }

    /// Applies a command as the shell does; nothing is in a store.
    fn apply(&mut self, shard: ShardId, at: Timestamp, command: Command) -> Answer {
        let tables = &mut self.0[shard as usize];
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

    fn prepare(&mut self, txn: TxnId, decider: ShardId, at: Timestamp, steps: Vec<Step>) -> Vote {
        let shard = 1 - decider;
        let command = Command::Prepare(vec![PrepareRequest { txn, decider, steps }]);
        let Answer::Votes(mut votes) = self.apply(shard, at, command) else { panic!() };
        votes.remove(0)
    }

    /// Shard A decides on a chain whose first event is the only one of its own.
    fn decide(&mut self, txn: TxnId, chain: &[Transfer], refusals: Vec<Refusal>) -> Decided {
        let clock = if refusals.is_empty() { self.0[B as usize].now() } else { 0 };
        let request = DecideRequest {
            txn,
            participants: if refusals.is_empty() { vec![B] } else { Vec::new() },
            events: chain.iter().map(|t| (t.id, t.amount)).collect(),
            steps: vec![step(0, chain[0], Sides::DEBIT)],
            refusals,
            prepared_at: clock,
            clock,
            commit_before: Timestamp::MAX,
        };
        let Answer::Decided(mut decided) = self.apply(A, START, Command::Decide(vec![request])) else { panic!() };
        decided.remove(0)
    }

    fn finish(&mut self, txn: TxnId, outcome: Outcome) {
        self.apply(B, START, Command::Finish(vec![(txn, outcome)]));
    }

    fn create(&mut self, shard: ShardId, t: Transfer) -> Option<TransferStatus> {
        let answer = self.apply(shard, START, Command::Create(vec![Step::local(t)]));
        let Answer::Results(results) = answer else { panic!() };
        results[0].transfer_status()
    }

    fn account(&self, shard: ShardId, id: u128) -> Account {
        *self.0[shard as usize].account(id).unwrap()
    }
}

fn pay(id: u128, from: u128, to: u128, amount: u128) -> Transfer {
    Transfer { id, debit_account_id: from, credit_account_id: to, amount, ledger: 1, code: 1, ..Transfer::default() }
}

fn step(index: u16, t: Transfer, sides: Sides) -> Step {
    Step { index, sides, request_status: 0, amount_max: t.amount, event: Event::Transfer(t) }
}

fn attempt(n: u64) -> TxnId {
    TxnId { first_id: 10, attempt: n }
}

/// 1 pays 5 to account 2, which pays `amount` on to account 3 on its own shard.
fn chain(amount: u128) -> [Transfer; 2] {
    let first = Transfer { flags: TransferFlags(TransferFlags::LINKED), ..pay(10, 1, 2, 5) };
    [first, pay(11, 2, 3, amount)]
}

fn steps_on_b(chain: &[Transfer; 2]) -> Vec<Step> {
    vec![step(0, chain[0], Sides::CREDIT), step(1, chain[1], Sides::BOTH)]
}

#[test]
fn an_id_that_failed_for_good_stays_failed_when_another_attempt_was_prepared_before_its_shard_heard() {
    let (mut world, chain) = (World::new(), chain(6));
    let Vote::Refused(refusal) = world.prepare(attempt(1), A, START, steps_on_b(&chain)) else { panic!() };
    assert_eq!(refusal.status, TransferStatus::ExceedsCredits as u8);
    assert_eq!(world.create(B, pay(20, 3, 2, 1)), Some(TransferStatus::Created), "now account 2 could pay 6");
    assert!(matches!(world.prepare(attempt(2), A, START, steps_on_b(&chain)), Vote::Held { .. }));
    let Decided::Refused { burned_id, .. } = world.decide(attempt(1), &chain, vec![refusal]) else { panic!() };
    assert_eq!(burned_id, 11);
    world.finish(attempt(1), Outcome::Released { burned_id });
    // The first attempt's client has its answer, and may have paid in another way.
    let Decided::Refused { refusal, burned_id } = world.decide(attempt(2), &chain, Vec::new()) else { panic!() };
    assert_eq!((refusal.index, refusal.status), (1, TransferStatus::IdAlreadyFailed as u8));
    world.finish(attempt(2), Outcome::Released { burned_id });
    assert_eq!(world.account(A, 1).debits_posted, 0);
    assert_eq!(world.account(B, 3).credits_posted, 0);
}

#[test]
fn a_failed_id_is_told_again_when_the_router_that_heard_of_it_dies_before_it_tells_anybody() {
    let (mut world, chain) = (World::new(), chain(6));
    let Vote::Refused(refusal) = world.prepare(attempt(1), A, START, steps_on_b(&chain)) else { panic!() };
    let Decided::Refused { burned_id, .. } = world.decide(attempt(1), &chain, vec![refusal]) else { panic!() };
    assert_eq!(burned_id, 11, "nobody tells the other shard");
    let Vote::Refused(refusal) = world.prepare(attempt(2), A, START, steps_on_b(&chain)) else { panic!() };
    let Decided::Refused { burned_id, .. } = world.decide(attempt(2), &chain, vec![refusal]) else { panic!() };
    world.finish(attempt(2), Outcome::Released { burned_id });
    // The second attempt's client was told that the id has failed already.
    assert_eq!(world.create(B, pay(20, 3, 2, 1)), Some(TransferStatus::Created), "now account 2 could pay 6");
    assert_eq!(world.create(B, chain[1]), Some(TransferStatus::IdAlreadyFailed));
}

#[test]
fn a_repeated_prepare_leaves_the_hold_as_old_as_it_is() {
    let (mut world, t) = (World::new(), pay(10, 1, 2, 5));
    let steps = || vec![step(0, t, Sides::CREDIT)];
    world.prepare(attempt(1), A, START, steps());
    let before = world.0[B as usize].holds().get(&attempt(1)).unwrap().clone();
    let Decided::Committed(commits) = world.decide(attempt(1), &[t], Vec::new()) else { panic!() };
    world.prepare(attempt(1), A, START + 1_000_000, steps());
    let after = world.0[B as usize].holds().get(&attempt(1)).unwrap().clone();
    assert_eq!(after, before);
    assert!(after.prepared_at < commits[0].timestamp, "a reader between the two waits for this hold");
}

#[test]
fn a_shorter_prepare_that_comes_again_takes_no_step_out_of_the_hold() {
    let (mut world, chain) = (World::new(), chain(5));
    let (one, two) = (steps_on_b(&chain)[..1].to_vec(), steps_on_b(&chain));
    world.prepare(attempt(1), A, START, one.clone());
    world.prepare(attempt(1), A, START, two);
    let Vote::Held { amounts, .. } = world.prepare(attempt(1), A, START, one) else { panic!() };
    assert_eq!(amounts, [5], "it answers what was asked");
    let Decided::Committed(commits) = world.decide(attempt(1), &chain, Vec::new()) else { panic!() };
    world.finish(attempt(1), Outcome::Committed(commits));
    assert_eq!(world.account(B, 2).credits_posted, 5);
    assert_eq!(world.account(B, 3).credits_posted, 5);
}

#[test]
fn a_repeated_prepare_that_would_be_blocked_now_keeps_its_promise() {
    let mut world = World::new();
    assert_eq!(world.create(B, pay(20, 3, 2, 4)), Some(TransferStatus::Created));
    let all = Transfer { flags: TransferFlags(TransferFlags::BALANCING_DEBIT), ..pay(10, 2, 1, u128::MAX) };
    let prepare = |world: &mut World| world.prepare(attempt(1), A, START, vec![step(0, all, Sides::DEBIT)]);
    let Vote::Held { amounts, .. } = prepare(&mut world) else { panic!() };
    assert_eq!(amounts, [4]);
    let other = TxnId { first_id: 30, attempt: 3 };
    world.prepare(other, A, START, vec![step(0, pay(30, 1, 2, 1), Sides::CREDIT)]);
    assert!(matches!(prepare(&mut world), Vote::Held { .. }), "a balancing transfer would have to wait for the other");
    world.finish(attempt(1), Outcome::Committed(vec![crest_ledger::txn::Commit { timestamp: START, amount: 4 }]));
    assert_eq!(world.account(B, 2).debits_posted, 4);
}

#[test]
fn a_repeated_prepare_of_a_post_says_again_until_when_it_may_be_decided() {
    let mut world = World::new();
    let flags = TransferFlags(TransferFlags::PENDING);
    let pending = Transfer { timeout: 7, flags, ..pay(40, 3, 1, 2) };
    let other = TxnId { first_id: 40, attempt: 4 };
    world.prepare(other, A, START, vec![step(0, pending, Sides::DEBIT)]);
    world.finish(other, Outcome::Committed(vec![crest_ledger::txn::Commit { timestamp: START + 1_024, amount: 2 }]));
    let flags = TransferFlags(TransferFlags::POST_PENDING);
    let post = Transfer { id: 10, pending_id: 40, amount: u128::MAX, flags, ..Transfer::default() };
    let bound = |vote: Vote| match vote {
        Vote::Held { commit_before, .. } => commit_before,
        other => panic!("{other:?}"),
    };
    let mut prepare = || bound(world.prepare(attempt(1), A, START, vec![step(0, post, Sides::DEBIT)]));
    let first = prepare();
    assert_eq!(first, START + 1_024 + 7_000_000_000);
    assert_eq!(prepare(), first);
}

#[test]
fn what_is_reserved_and_posted_in_one_attempt_may_be_decided_at_any_time() {
    let mut world = World::new();
    let flags = TransferFlags(TransferFlags::PENDING | TransferFlags::LINKED);
    let pending = Transfer { timeout: 1, flags, ..pay(11, 3, 1, 2) };
    let flags = TransferFlags(TransferFlags::POST_PENDING);
    let post = Transfer { id: 12, pending_id: 11, amount: u128::MAX, flags, ..Transfer::default() };
    // Between its first event, which is the decider's, and these two the chain goes from shard to shard.
    let steps = vec![step(1, pending, Sides::DEBIT), step(2, post, Sides::DEBIT)];
    let Vote::Held { commit_before, .. } = world.prepare(attempt(1), A, START, steps) else { panic!() };
    assert_eq!(commit_before, Timestamp::MAX, "the decider's clock may be more than the timeout ahead");
}
