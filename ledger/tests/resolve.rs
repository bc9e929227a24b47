//! An operator resolves: what the decider knows is said and done, what it does not know is aborted, and the reason is kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crest_ledger::command::{Answer, Command, DecideRequest, PrepareRequest, ResolveRequest, Resolved};
use crest_ledger::limits::{
    DECIDE_WINDOW_NS, RECOVER_EVENTS_MAX, RESOLUTION_BY_BYTES_MAX, RESOLUTION_REASON_BYTES_MAX, RESOLUTIONS_MAX,
};
use crest_ledger::needs::Needs;
use crest_ledger::records::Sides;
use crest_ledger::resolutions::{Fate, Resolution};
use crest_ledger::tables::{Scalars, Tables};
use crest_ledger::txn::{Decided, Event, Outcome, ShardId, Step, TxnId, Vote};
use crest_ledger::wire::{LogBatch, Request, Response};
use crest_ledger::{Account, Timestamp, Transfer, TransferFlags};

const PAYER: ShardId = 0;
const PAYEE: ShardId = 1;
const START: Timestamp = 1_000_000_000_000;
const TRANSFER: u128 = 9;

/// Account 1 on the payer's shard, which decides, and account 2 on the payee's, which holds.
struct World {
    payer: Tables,
    payee: Tables,
}

/// What was done to the attempt before the operator came.
#[derive(Clone, Copy, Debug)]
enum Before {
    Prepared,
    Committed,
    CommittedAndAcknowledged,
    Aborted,
    /// Prepared; another attempt at the same transfer is committed and acknowledged.
    Overtaken,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { payer: Tables::new(PAYER, Scalars::default()), payee: Tables::new(PAYEE, Scalars::default()) };
        for (shard, id) in [(PAYER, 1), (PAYEE, 2)] {
            let account = Account { id, ledger: 1, code: 1, ..Account::default() };
            world.apply(shard, START, Command::Create(vec![Step::account(account)]));
        }
        world
    }

    fn at(before: Before) -> Self {
        let mut world = Self::new();
        match before {
            Before::Prepared => world.prepare(attempt(1)),
            Before::Committed | Before::CommittedAndAcknowledged => {
                world.prepare(attempt(1));
                let outcome = world.decide(attempt(1), START);
                if let Before::CommittedAndAcknowledged = before {
                    world.finish(attempt(1), outcome);
                }
            }
            Before::Aborted => {
                world.prepare(attempt(1));
                let clock = world.payee.now();
                world.apply(PAYER, START, Command::Recover(true, clock, vec![attempt(1)]));
            }
            Before::Overtaken => {
                world.prepare(attempt(2));
                let outcome = world.decide(attempt(2), START);
                world.finish(attempt(2), outcome);
            }
        }
        world
    }

    /// Applies a command as the shell does; nothing is in a store.
    fn apply(&mut self, shard: ShardId, at: Timestamp, command: Command) -> Answer {
        let tables = if shard == PAYER { &mut self.payer } else { &mut self.payee };
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

    fn prepare(&mut self, txn: TxnId) {
        let steps = vec![step(Sides::CREDIT)];
        let answer = self.apply(PAYEE, START, Command::Prepare(vec![PrepareRequest { txn, decider: PAYER, steps }]));
        assert!(matches!(&answer, Answer::Votes(votes) if matches!(votes[0], Vote::Held { .. })), "{answer:?}");
    }

    fn try_decide(&mut self, txn: TxnId, at: Timestamp) -> Decided {
        let clock = self.payee.now();
        let request = DecideRequest {
            txn,
            participants: vec![PAYEE],
            events: vec![(TRANSFER, 5)],
            steps: vec![step(Sides::DEBIT)],
            refusals: Vec::new(),
            prepared_at: clock,
            clock,
            commit_before: Timestamp::MAX,
        };
        let Answer::Decided(mut decided) = self.apply(PAYER, at, Command::Decide(vec![request])) else { panic!() };
        decided.remove(0)
    }

    fn decide(&mut self, txn: TxnId, at: Timestamp) -> Outcome {
        let decided = self.try_decide(txn, at);
        let Decided::Committed(commits) = decided else { panic!("{decided:?}") };
        Outcome::Committed(commits)
    }

    fn finish(&mut self, txn: TxnId, outcome: Outcome) {
        self.apply(PAYEE, START, Command::Finish(vec![(txn, outcome)]));
        self.apply(PAYER, START, Command::Acknowledge(PAYEE, vec![txn]));
    }

    fn resolve(&mut self, txn: TxnId, reason: &str) -> Resolved {
        let (asked_at, of_account) = (self.payee.now(), false);
        let request = ResolveRequest { txn, asked_at, of_account, reason: reason.into(), by: "ops".into() };
        let Answer::Resolved(resolved) = self.apply(PAYER, START, Command::Resolve(request)) else { panic!() };
        resolved
    }

    /// Posted debits of the payer and posted credits of the payee.
    fn posted(&self) -> (u128, u128) {
        (self.payer.account(1).unwrap().debits_posted, self.payee.account(2).unwrap().credits_posted)
    }
}

fn attempt(n: u64) -> TxnId {
    TxnId { first_id: TRANSFER, attempt: n }
}

fn step(sides: Sides) -> Step {
    let (id, flags) = (TRANSFER, TransferFlags(0));
    let t = Transfer {
        id,
        debit_account_id: 1,
        credit_account_id: 2,
        amount: 5,
        ledger: 1,
        code: 1,
        flags,
        ..Transfer::default()
    };
    Step { index: 0, sides, request_status: 0, amount_max: t.amount, event: Event::Transfer(t) }
}

/// Resolves attempt 1, tells the holder, and checks what came of it and of the money.
#[track_caller]
fn check(before: Before, fate: impl Fn(&World) -> Fate, posted: (u128, u128)) {
    let mut world = World::at(before);
    let expected = fate(&world);
    let resolved = world.resolve(attempt(1), "the router died");
    assert_eq!(resolved.resolution.fate, expected, "{before:?}");
    assert!(!resolved.repeated);
    let committed = matches!(expected, Fate::Committed(_));
    assert_eq!(matches!(resolved.outcome, Outcome::Committed(_)), committed, "{before:?}: the holder is told the same");
    world.finish(attempt(1), resolved.outcome);
    assert_eq!(world.posted(), posted, "{before:?}");
    assert!(world.payee.holds().is_empty() && world.payer.decisions().outbox_len() == 0, "{before:?}: nothing is left");
    let late = world.try_decide(attempt(1), START);
    assert!(!matches!(late, Decided::Committed(_)), "{before:?}: a late decide commits nothing: {late:?}");
    assert_eq!(world.posted(), posted, "{before:?}");
}

fn decided_at(world: &World) -> Timestamp {
    world.payer.id(TRANSFER).unwrap().timestamp
}

#[test]
fn a_resolve_says_and_does_what_the_decider_knows_and_aborts_what_it_does_not() {
    check(Before::Prepared, |_| Fate::Aborted, (0, 0));
    check(Before::Committed, |w| Fate::Committed(decided_at(w)), (5, 5));
    check(Before::CommittedAndAcknowledged, |w| Fate::Done(decided_at(w)), (5, 5));
    check(Before::Aborted, |_| Fate::AbortedBefore, (0, 0));
    check(Before::Overtaken, |w| Fate::Done(decided_at(w)), (5, 5));
}

#[test]
fn a_resolve_that_is_repeated_answers_what_is_on_record() {
    for before in [Before::Prepared, Before::Committed, Before::CommittedAndAcknowledged, Before::Aborted] {
        let mut world = World::at(before);
        let first = world.resolve(attempt(1), "the first reason");
        let again = world.resolve(attempt(1), "another reason");
        assert_eq!((again.resolution.clone(), again.repeated), (first.resolution.clone(), true), "{before:?}");
        assert_eq!(again.outcome, first.outcome, "{before:?}");
        world.finish(attempt(1), first.outcome);
        assert_eq!(world.resolve(attempt(1), "once more").resolution, first.resolution, "{before:?}: after the end");
        assert_eq!(world.payer.resolutions().len(), 1);
    }
}

#[test]
fn a_resolved_transfer_may_be_tried_again_and_moves_once() {
    let mut world = World::at(Before::Prepared);
    let resolved = world.resolve(attempt(1), "the router died");
    world.finish(attempt(1), resolved.outcome);
    world.prepare(attempt(2));
    let outcome = world.decide(attempt(2), START);
    world.finish(attempt(2), outcome);
    assert_eq!(world.posted(), (5, 5));
}

#[test]
fn a_resolve_buries_for_longer_than_a_decide_may_be_late() {
    let mut world = World::at(Before::Prepared);
    // The holder's clock is far ahead of the decider's: the tombstone has to outlive what was prepared then.
    let ahead = world.payee.now() + 3 * DECIDE_WINDOW_NS;
    world.payee.observe(ahead);
    world.prepare(attempt(1));
    let prepared_at = world.payee.now();
    world.resolve(attempt(1), "clocks differ");
    let other = TxnId { first_id: 77, attempt: 1 };
    let soon = prepared_at + DECIDE_WINDOW_NS / 2;
    world.apply(PAYER, soon, Command::Recover(true, soon, vec![other]));
    assert!(world.payer.decisions().tombstone(&attempt(1)).is_some(), "it is still remembered");
}

#[test]
fn an_id_that_failed_is_not_taken_for_done() {
    let mut world = World::at(Before::Prepared);
    world.apply(PAYER, START, Command::Burn(vec![TRANSFER]));
    assert_eq!(world.resolve(attempt(1), "refused").resolution.fate, Fate::Aborted);
}

#[test]
fn an_account_and_a_transfer_with_one_number_are_told_apart() {
    let mut world = World::new();
    let account = Account { id: TRANSFER, ledger: 1, code: 1, ..Account::default() };
    world.apply(PAYER, START, Command::Create(vec![Step::account(account)]));
    let made = world.payer.account(TRANSFER).unwrap().timestamp;
    let mut resolve = |attempt, of_account| {
        let txn = TxnId { first_id: TRANSFER, attempt };
        let request = ResolveRequest { txn, asked_at: START, of_account, reason: "x".into(), by: "y".into() };
        let Answer::Resolved(resolved) = world.apply(PAYER, START, Command::Resolve(request)) else { panic!() };
        resolved.resolution.fate
    };
    assert_eq!(resolve(1, true), Fate::Done(made));
    assert_eq!(resolve(2, false), Fate::Aborted);
}

#[test]
fn only_the_newest_resolutions_are_kept_and_the_store_forgets_the_others() {
    let mut world = World::new();
    let stored = world.resolve(attempt(0), "the oldest").resolution;
    let (layer, _) = world.payer.freeze();
    assert_eq!(layer.resolutions[&attempt(0)], Some(stored));
    for n in 1..=RESOLUTIONS_MAX as u64 {
        world.resolve(attempt(n), "one of many");
    }
    let kept = world.payer.resolutions();
    assert_eq!((kept.len(), kept.get(&attempt(0))), (RESOLUTIONS_MAX, None));
    let newest: Vec<u64> = kept.newest_first().take(2).map(|(txn, _)| txn.attempt).collect();
    assert_eq!(newest, [RESOLUTIONS_MAX as u64, RESOLUTIONS_MAX as u64 - 1]);
    let (layer, _) = world.payer.freeze();
    assert_eq!(layer.resolutions[&attempt(0)], None, "the next checkpoint takes it out of the store");
    assert_eq!(layer.resolutions.len(), RESOLUTIONS_MAX + 1);
}

#[test]
fn a_recovering_holder_is_told_no_more_than_a_message_holds_and_nothing_wrong() {
    let mut tables = Tables::new(PAYER, Scalars::default());
    let chain = |events: usize| {
        let commit = crest_ledger::txn::Commit { timestamp: 7, amount: 1 };
        let outcome = Outcome::Committed(vec![commit; events]);
        crest_ledger::decisions::Decision { decided_at: 7, waiting_for: vec![PAYEE], outcome }
    };
    for n in 0..4 {
        tables.record_decision(attempt(n), chain(RECOVER_EVENTS_MAX / 2));
    }
    let asked = vec![attempt(0), attempt(1), attempt(2), attempt(99), attempt(3)];
    let Answer::Outcomes(told) = Command::Recover(true, START, asked).apply(&mut tables, START) else { panic!() };
    let kinds: Vec<Option<bool>> =
        told.iter().map(|o| o.as_ref().map(|o| matches!(o, Outcome::Committed(_)))).collect();
    assert_eq!(kinds, [Some(true), Some(true), None, Some(false), None], "the third and the last are asked for again");
    let Answer::Outcomes(told) = Command::Recover(true, START, vec![attempt(2), attempt(3)]).apply(&mut tables, START)
    else {
        panic!()
    };
    assert!(told.iter().all(Option::is_some));
    tables.record_decision(attempt(5), chain(RECOVER_EVENTS_MAX + 1));
    let Answer::Outcomes(told) = Command::Recover(true, START, vec![attempt(5)]).apply(&mut tables, START) else {
        panic!()
    };
    assert!(told[0].is_some(), "one that is too long by itself is told alone");
}

#[test]
fn the_bytes_of_a_resolve_never_change_since_they_are_in_logs() {
    let request =
        ResolveRequest { txn: attempt(3), asked_at: 4, of_account: true, reason: "why".into(), by: "me".into() };
    let batch = LogBatch { at: 5, real_time: None, commands: vec![Command::Resolve(request)] };
    let hex: String = batch.pack().iter().map(|b| format!("{b:02x}")).collect();
    let expected = [
        "01",
        "0500000000000000",
        "01000000",
        "09",
        "09000000000000000000000000000000",
        "0300000000000000",
        "0400000000000000",
        "01",
        "03000000776879",
        "020000006d65",
    ];
    assert_eq!(hex, expected.concat());
    assert_eq!(LogBatch::unpack(&batch.pack()), Ok(batch));
}

#[test]
fn texts_that_are_too_long_are_not_read() {
    let request = |reason: usize, by: usize| {
        let (reason, by) = ("r".repeat(reason), "b".repeat(by));
        let request = ResolveRequest { txn: attempt(1), asked_at: 0, of_account: false, reason, by };
        Request::commands(vec![Command::Resolve(request)])
    };
    let longest = request(RESOLUTION_REASON_BYTES_MAX, RESOLUTION_BY_BYTES_MAX);
    assert_eq!(Request::unpack(&longest.pack()), Ok(longest));
    for long in [request(RESOLUTION_REASON_BYTES_MAX + 1, 1), request(1, RESOLUTION_BY_BYTES_MAX + 1)] {
        assert!(Request::unpack(&long.pack()).is_err());
    }
}

#[test]
fn what_a_shard_tells_of_attempts_survives_the_wire_and_is_refused_when_cut_short() {
    use crest_ledger::wire::in_doubt::{InDoubtPage, Knowledge, Known, ShownDecision, ShownEvent, ShownHold};
    use crest_ledger::wire::{QueryAnswer, ShardStatus};
    let resolution = Resolution { at: 1, fate: Fate::Done(2), reason: "why".into(), by: "me".into() };
    let event = |index, event| ShownEvent { index, amount: u128::MAX, event };
    let knowledge = Knowledge {
        hold: Some(ShownHold { decider: 3, since: 4, events: 5 }),
        decision: Some(ShownDecision { since: 6, expired: Some(7), events: 8, waiting_for: vec![9, 10] }),
        aborted: Some(11),
        resolution: Some(resolution.clone()),
        events: vec![event(0, Event::Transfer(Transfer::default())), event(1, Event::Account(Account::default()))],
    };
    let known = Known { now: 12, clock: 13, attempts: vec![knowledge, Knowledge::default()], ages: vec![5, 0] };
    let status = ShardStatus { outbox_age_ms_max: 1, in_doubt: 2, in_doubt_age_ms_max: 3, ..ShardStatus::default() };
    let answers = [
        QueryAnswer::InDoubt(InDoubtPage { attempts: vec![(1, attempt(2))], more: true }),
        QueryAnswer::Attempts(known),
        QueryAnswer::Resolutions(vec![(attempt(1), resolution)]),
        QueryAnswer::Status(status),
    ];
    for answer in answers {
        let response = Response::Query(answer);
        let bytes = response.pack();
        assert_eq!(Response::unpack(&bytes), Ok(response));
        for cut in 0..bytes.len() {
            assert!(Response::unpack(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
        }
    }
}
