//! Two-phase commit between two shards, verb by verb: messages that come late, twice, out of order or to the wrong place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest};
use crest_ledger::limits::DECIDE_WINDOW_NS;
use crest_ledger::needs::Needs;
use crest_ledger::records::Sides;
use crest_ledger::tables::{Scalars, Tables};
use crest_ledger::txn::{Commit, Decided, Event, EventResult, Outcome, ShardId, Step, TxnId, Vote};
use crest_ledger::{Account, AccountFlags, Timestamp, Transfer, TransferFlags, TransferStatus};

const PAYER: ShardId = 0;
const PAYEE: ShardId = 1;
const START: Timestamp = 1_000_000_000_000;

/// Accounts 1 and 3 on the payer's shard, account 2 on the payee's.
struct World([Tables; 2]);

impl World {
    fn new(payee_flags: u16) -> Self {
        let mut world = Self([PAYER, PAYEE].map(|shard| Tables::new(shard, Scalars::default())));
        for (shard, id, flags) in [(PAYER, 1, 0), (PAYER, 3, 0), (PAYEE, 2, payee_flags)] {
            let flags = AccountFlags(flags);
            let account = Account { id, ledger: 1, code: 1, flags, ..Account::default() };
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

    fn prepare(&mut self, txn: TxnId, t: Transfer) -> Vote {
        let request = PrepareRequest { txn, decider: PAYER, steps: vec![step(t, Sides::CREDIT)] };
        let Answer::Votes(mut votes) = self.apply(PAYEE, START, Command::Prepare(vec![request])) else { panic!() };
        votes.remove(0)
    }

    fn decide(&mut self, txn: TxnId, t: Transfer, at: Timestamp) -> Decided {
        let clock = self.0[PAYEE as usize].now();
        let request = DecideRequest {
            txn,
            participants: vec![PAYEE],
            events: vec![(t.id, t.amount)],
            steps: vec![step(t, Sides::DEBIT)],
            refusals: Vec::new(),
            prepared_at: clock,
            clock,
            commit_before: Timestamp::MAX,
        };
        let Answer::Decided(mut decided) = self.apply(PAYER, at, Command::Decide(vec![request])) else { panic!() };
        decided.remove(0)
    }

    fn finish(&mut self, txn: TxnId, outcome: Outcome) {
        self.apply(PAYEE, START, Command::Finish(vec![(txn, outcome)]));
    }

    fn recover(&mut self, txn: TxnId) -> Outcome {
        let asked_at = self.0[PAYEE as usize].now();
        let answer = self.apply(PAYER, START, Command::Recover(true, asked_at, vec![txn]));
        let Answer::Outcomes(mut outcomes) = answer else { panic!() };
        outcomes.remove(0).unwrap()
    }

    fn create(&mut self, shard: ShardId, t: Transfer) -> EventResult {
        let answer = self.apply(shard, START, Command::Create(vec![step(t, Sides::BOTH)]));
        let Answer::Results(results) = answer else { panic!() };
        results[0]
    }

    /// Posted debits of the payer and posted credits of the payee.
    fn posted(&self) -> (u128, u128) {
        let account = |shard: ShardId, id| *self.0[shard as usize].account(id).unwrap();
        (account(PAYER, 1).debits_posted, account(PAYEE, 2).credits_posted)
    }
}

fn pay(id: u128, flags: u16) -> Transfer {
    Transfer {
        id,
        debit_account_id: 1,
        credit_account_id: 2,
        amount: 5,
        ledger: 1,
        code: 1,
        flags: TransferFlags(flags),
        ..Transfer::default()
    }
}

fn step(t: Transfer, sides: Sides) -> Step {
    Step { index: 0, sides, request_status: 0, amount_max: t.amount, event: Event::Transfer(t) }
}

fn attempt(n: u64) -> TxnId {
    TxnId { first_id: 9, attempt: n }
}

fn committed(decided: Decided) -> Outcome {
    let Decided::Committed(commits) = decided else { panic!("{decided:?}") };
    Outcome::Committed(commits)
}

#[test]
fn every_message_may_come_twice_and_money_moves_once() {
    let (mut world, t) = (World::new(0), pay(9, 0));
    assert!(matches!(world.prepare(attempt(1), t), Vote::Held { .. }));
    assert!(matches!(world.prepare(attempt(1), t), Vote::Held { .. }));
    let outcome = committed(world.decide(attempt(1), t, START));
    assert_eq!(committed(world.decide(attempt(1), t, START)), outcome, "the decision is remembered");
    world.finish(attempt(1), outcome.clone());
    world.finish(attempt(1), outcome);
    assert_eq!(world.posted(), (5, 5));
    assert!(world.0[PAYEE as usize].holds().is_empty());
}

#[test]
fn a_decide_that_comes_after_its_holder_asked_commits_nothing() {
    let (mut world, t) = (World::new(0), pay(9, 0));
    world.prepare(attempt(1), t);
    let outcome = world.recover(attempt(1));
    assert_eq!(outcome, Outcome::Released { burned_id: 0 });
    world.finish(attempt(1), outcome);
    assert_eq!(world.decide(attempt(1), t, START), Decided::Aborted);
    assert_eq!(world.posted(), (0, 0));
}

#[test]
fn a_retry_after_a_release_succeeds_once() {
    let (mut world, t) = (World::new(0), pay(9, 0));
    world.prepare(attempt(1), t);
    let released = world.recover(attempt(1));
    world.finish(attempt(1), released);
    assert!(matches!(world.prepare(attempt(2), t), Vote::Held { .. }));
    let outcome = committed(world.decide(attempt(2), t, START));
    world.finish(attempt(2), outcome);
    assert_eq!(world.posted(), (5, 5));
    let Vote::Refused(refusal) = world.prepare(attempt(3), t) else { panic!() };
    assert_eq!(refusal.status, TransferStatus::Exists as u8);
}

#[test]
fn a_decide_past_the_window_commits_nothing_whatever_is_remembered() {
    let (mut world, t) = (World::new(0), pay(9, 0));
    world.prepare(attempt(1), t);
    assert_eq!(world.decide(attempt(1), t, START + 2 * DECIDE_WINDOW_NS), Decided::Aborted);
    assert_eq!(world.posted(), (0, 0));
}

#[test]
fn a_retry_while_the_first_attempt_is_in_doubt_waits() {
    let (mut world, t) = (World::new(0), pay(9, 0));
    world.prepare(attempt(1), t);
    assert_eq!(world.prepare(attempt(2), t), Vote::Blocked);
}

#[test]
fn money_that_is_on_its_way_makes_a_debit_wait_instead_of_refusing_it() {
    let (mut world, t) = (World::new(AccountFlags::DEBITS_MUST_NOT_EXCEED_CREDITS), pay(9, 0));
    world.apply(
        PAYEE,
        START,
        Command::Create(vec![Step::account(Account { id: 4, ledger: 1, code: 1, ..Account::default() })]),
    );
    let spend = Transfer { id: 10, debit_account_id: 2, credit_account_id: 4, ..pay(10, 0) };
    world.prepare(attempt(1), t);
    let outcome = committed(world.decide(attempt(1), t, START));
    // The client has its answer; the payee's shard has not heard yet.
    assert!(world.create(PAYEE, spend).is_blocked());
    world.finish(attempt(1), outcome);
    assert_eq!(world.create(PAYEE, spend).status, EventResult::CREATED);
}

#[test]
fn a_post_that_is_sent_to_a_shard_with_half_of_its_accounts_waits() {
    let (mut world, t) = (World::new(0), pay(9, TransferFlags::PENDING));
    world.prepare(attempt(1), t);
    let outcome = committed(world.decide(attempt(1), t, START));
    world.finish(attempt(1), outcome);
    let post = Transfer { id: 11, pending_id: 9, amount: u128::MAX, ..Transfer::default() };
    let post = Transfer { flags: TransferFlags(TransferFlags::POST_PENDING), ..post };
    for shard in [PAYER, PAYEE] {
        assert!(world.create(shard, post).is_blocked(), "shard {shard} has one of the two accounts");
    }
    assert_eq!(world.posted(), (0, 0));
}

#[test]
fn an_outcome_with_too_few_events_is_not_taken() {
    let (mut world, t) = (World::new(0), pay(9, 0));
    world.prepare(attempt(1), t);
    let command = Command::Finish(vec![(attempt(1), Outcome::Committed(Vec::new()))]);
    assert_eq!(world.apply(PAYEE, START, command), Answer::Finished(vec![false]));
    assert_eq!(world.0[PAYEE as usize].holds().len(), 1, "the hold still waits for the right one");
}

/// A chain of a balancing payment and another one, as the payee's shard is asked for it: once for the first, then for both.
fn growing_chain() -> [Vec<Step>; 2] {
    let chained = Transfer { flags: TransferFlags(TransferFlags::LINKED), ..pay(100, 0) };
    let first = Step { index: 0, ..step(chained, Sides::CREDIT) };
    let second = Step { index: 1, ..step(pay(101, 0), Sides::CREDIT) };
    [vec![first], vec![first, second]]
}

#[test]
fn a_prepare_that_was_overtaken_does_not_shrink_the_hold() {
    let mut world = World::new(0);
    let [short, long] = growing_chain();
    let prepare = |world: &mut World, steps: &Vec<Step>| {
        let request = PrepareRequest { txn: attempt(1), decider: PAYER, steps: steps.clone() };
        world.apply(PAYEE, START, Command::Prepare(vec![request]))
    };
    for steps in [&short, &long, &short, &long] {
        let Answer::Votes(votes) = prepare(&mut world, steps) else { panic!() };
        assert!(matches!(&votes[0], Vote::Held { amounts, .. } if amounts.len() == steps.len()), "{votes:?}");
    }
    let commit = |n| crest_ledger::txn::Commit { timestamp: START + n, amount: 5 };
    let now = world.0[PAYEE as usize].now();
    world.finish(attempt(1), Outcome::Committed(vec![commit(now), commit(now + 1_024)]));
    assert_eq!(world.0[PAYEE as usize].account(2).unwrap().credits_posted, 10);
}

#[test]
fn the_end_of_a_hold_that_grew_after_a_checkpoint_is_written_to_the_store() {
    let mut world = World::new(0);
    let [short, long] = growing_chain();
    for (checkpoint, steps) in [(false, short), (true, long)] {
        if checkpoint {
            let (layer, _) = world.0[PAYEE as usize].freeze();
            assert!(layer.holds[&attempt(1)].is_some(), "the store has the hold as it was");
            world.0[PAYEE as usize].load_account(2, layer.accounts.get(&2).copied());
        }
        let request = PrepareRequest { txn: attempt(1), decider: PAYER, steps };
        world.apply(PAYEE, START, Command::Prepare(vec![request]));
    }
    world.finish(attempt(1), Outcome::Released { burned_id: 0 });
    assert_eq!(world.0[PAYEE as usize].freeze().0.holds.get(&attempt(1)), Some(&None));
}

#[test]
fn a_post_that_comes_late_finds_its_place_in_a_history_where_reservations_came_and_went() {
    let mut world = World::new(AccountFlags::HISTORY);
    let t = pay(100, 0);
    assert!(matches!(world.prepare(attempt(1), t), Vote::Held { .. }));
    let Decided::Committed(commits) = world.decide(attempt(1), t, START) else { panic!() };
    // Between the decision and its arrival: a reservation, and its end, on the payee's account.
    let other = Account { id: 4, ledger: 1, code: 1, ..Account::default() };
    world.apply(PAYEE, START, Command::Create(vec![Step::account(other)]));
    let reserve = Transfer { id: 200, debit_account_id: 4, ..pay(200, TransferFlags::PENDING) };
    let void = Transfer { id: 201, pending_id: 200, amount: 0, ..pay(201, TransferFlags::VOID_PENDING) };
    let void = Transfer { debit_account_id: 4, ledger: 0, code: 0, ..void };
    for event in [reserve, void] {
        assert_eq!(world.create(PAYEE, event).transfer_status(), Some(TransferStatus::Created));
    }
    world.0[PAYEE as usize].load_history_after(2, commits[0].timestamp);
    world.finish(attempt(1), Outcome::Committed(commits));
    assert_eq!(world.posted(), (5, 5));
}

#[test]
fn what_balances_an_account_has_it_to_itself_until_it_ends() {
    let mut world = World::new(0);
    let balancing = Transfer { debit_account_id: 3, credit_account_id: 2, ..pay(100, TransferFlags::BALANCING_DEBIT) };
    let request = PrepareRequest { txn: attempt(1), decider: PAYEE, steps: vec![step(balancing, Sides::DEBIT)] };
    world.apply(PAYER, START, Command::Prepare(vec![request]));
    let other = Transfer { debit_account_id: 3, credit_account_id: 1, ..pay(101, 0) };
    assert!(world.create(PAYER, other).is_blocked(), "it would change what the account has");
    world.apply(PAYER, START, Command::Finish(vec![(attempt(1), Outcome::Released { burned_id: 0 })]));
    assert_eq!(world.create(PAYER, other).transfer_status(), Some(TransferStatus::Created));
}

#[test]
fn an_id_that_succeeded_or_still_may_is_not_burned() {
    let mut world = World::new(0);
    let burn = |world: &mut World, id| world.apply(PAYEE, START, Command::Burn(vec![id]));
    let t = pay(100, 0);
    assert!(matches!(world.prepare(attempt(1), t), Vote::Held { .. }));
    assert_eq!(burn(&mut world, 100), Answer::Finished(vec![false]), "it may still succeed");
    let Decided::Committed(commits) = world.decide(attempt(1), t, START) else { panic!() };
    world.finish(attempt(1), Outcome::Committed(commits));
    assert_eq!(burn(&mut world, 100), Answer::Finished(vec![false]), "it has succeeded");
    assert_eq!(burn(&mut world, 101), Answer::Finished(vec![true]));
}

#[test]
fn whoever_has_a_part_of_a_chain_knows_when_all_of_it_happened() {
    let (mut world, t) = (World::new(0), pay(9, TransferFlags::LINKED));
    world.prepare(attempt(1), t);
    let Outcome::Committed(mut commits) = committed(world.decide(attempt(1), t, START)) else { panic!() };
    // The chain's other event is between accounts of the payer's shard.
    let last = commits[0].timestamp + 1_024;
    commits.push(Commit { timestamp: last, amount: 1 });
    world.finish(attempt(1), Outcome::Committed(commits));
    assert!(world.0[PAYEE as usize].now() >= last, "a read at this shard's time has the whole chain");
}
