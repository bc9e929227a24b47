//! The consensus: raft-rs over the shard's own log files, in groups of one, three or five voters.
//!
//! The library decides what is appended, what is sent, and when an entry is committed; its core does no I/O. Entries that
//! followers may need stay in memory ([`entries`]); [`crate::log`] makes them durable on a thread of its own. A group of one
//! voter is the same code with a majority of one.
//!
//! Elections are guarded by pre-vote (a replica that comes back from a partition disturbs nobody) and check-quorum (a leader
//! that hears no majority steps down). Reads are confirmed by a round of heartbeats ("read index", section 6.4 of Ongaro's thesis,
//! 2014), which needs no clocks. Members change by joint consensus (section 4.3).
//!
//! raft-rs brings `protobuf` 2 (see deny.toml for its advisory): those types are only passed in memory. What comes from a network
//! or a file is parsed by our own messages ([`messages`]) and checked before it becomes one of them.

mod entries;
pub(crate) mod members;
mod messages;
mod work;

use std::collections::VecDeque;

use crest_ledger::txn::ShardId;
use crest_proto::internal as wire;
use protobuf::RepeatedField;
use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType};
use raft::{Config, ProgressState, RawNode, SnapshotStatus, StateRole};

use crate::limits;
use crate::log::HardState as LogHardState;
use entries::Entries;
use members::Change;
pub use members::{Members, ReplicaId};
pub(crate) use work::{Committed, Follower, SnapshotMeta, Start, ToAppend, What, Work, successor};

/// The consensus library, driven by one thread.
pub(crate) struct Consensus {
    shard: ShardId,
    node: RawNode<Entries>,
    entries: Entries,
    /// Appends that are not durable yet.
    appending: usize,
    /// A ready without anything to append that came meanwhile.
    confirm_with_append: Option<u64>,
    /// Messages that may go out only when the ready of that number is durable.
    unsent: VecDeque<(u64, Vec<Message>)>,
    sizes: limits::Sizes,
    /// The states in the appends that are not durable yet, and the last one that is.
    states: VecDeque<(u64, LogHardState)>,
    durable: LogHardState,
    /// The last entry that changed the members, as far as is applied here.
    members_at: u64,
    random: u64,
    /// The role and term for which the election timeout was drawn, and that timeout in ticks.
    drawn: (StateRole, u64, usize),
}

impl Consensus {
    /// Starts from what the log files hold.
    ///
    /// # Errors
    /// When the log and the store do not fit together, or raft-rs refuses its configuration.
    pub(crate) fn new(start: Start) -> anyhow::Result<Self> {
        let Start { shard, replica, hard_state, entries, applied, applied_term, members, seed, sizes } = start;
        let first = entries.first().map_or(applied + 1, |e| e.index);
        let last = entries.last().map_or(applied, |e| e.index);
        anyhow::ensure!(
            first <= applied + 1 && last >= applied,
            "the log has entries {first} to {last}, but the store stands at {applied}: \
             one of the two is from another time; restore this shard from a replica or a backup"
        );
        if let Some(entry) = entries.iter().find(|e| e.index == applied) {
            anyhow::ensure!(
                entry.term == applied_term,
                "entry {applied} of the log is of term {}, but the store says {applied_term}: \
                 one of the two is from another time; restore this shard from a replica or a backup",
                entry.term
            );
        }
        let commit = hard_state.commit.clamp(applied, last);
        let mut state = HardState::default();
        (state.term, state.vote, state.commit) = (hard_state.term.max(applied_term), hard_state.vote, commit);
        let damaged = |what| anyhow::anyhow!("the log of shard {shard}: {what}");
        let entries = entries.into_iter().filter(|e| e.index > applied).map(|e| messages::from_log(e).map_err(damaged));
        let entries = entries.collect::<anyhow::Result<Vec<Entry>>>()?;
        let alone = members.voters == [replica.number()] && !members.is_joint();
        let entries =
            Entries::new(state, members.to_raft(), (applied, applied_term), entries, sizes.raft_message_entries);
        let config = Config {
            id: replica.number(),
            election_tick: limits::ELECTION_TICKS,
            heartbeat_tick: limits::HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: limits::RAFT_MESSAGE_BYTES,
            max_inflight_msgs: limits::RAFT_MESSAGES_IN_FLIGHT,
            max_committed_size_per_ready: u64::MAX,
            pre_vote: true,
            check_quorum: true,
            // raft-rs 0.7 puts entries into any message with none that waits for the same follower, also when they do not
            // follow from its index: after a lost message, a follower would take them for later ones.
            batch_append: false,
            // The next append or heartbeat tells it.
            skip_bcast_commit: true,
            ..Config::default()
        };
        config.validate()?;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, entries.clone(), &logger)?;
        let mut consensus = Self {
            shard,
            node,
            entries,
            appending: 0,
            confirm_with_append: None,
            unsent: VecDeque::new(),
            sizes,
            states: VecDeque::new(),
            durable: LogHardState { commit: hard_state.commit.max(applied), ..hard_state },
            members_at: 0,
            random: seed,
            drawn: (StateRole::Follower, u64::MAX, 0),
        };
        if alone {
            // Nobody else could be the leader: there is nothing to wait for.
            consensus.node.campaign()?;
        }
        consensus.draw_timeout();
        Ok(consensus)
    }

    /// Chooses a new election timeout whenever raft has: the replica's slot in this term, which no other voter has.
    fn draw_timeout(&mut self) {
        let raft = &mut self.node.raft;
        if (self.drawn.0, self.drawn.1) != (raft.state, raft.term) {
            let members = &self.entries.0.borrow().members;
            let mut voters = [&members.voters[..], &members.voters_outgoing[..]].concat();
            voters.sort_unstable();
            voters.dedup();
            let rank = voters.iter().position(|voter| *voter == raft.id).unwrap_or(voters.len());
            self.random = splitmix64(self.random);
            self.drawn = (raft.state, raft.term, election_timeout(voters.len(), rank, raft.term, self.random));
        }
        if raft.randomized_election_timeout() != self.drawn.2 {
            raft.set_randomized_election_timeout(self.drawn.2);
        }
    }

    /// Whether this replica leads.
    pub(crate) fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Whether this replica may propose: it leads, and is not handing over.
    pub(crate) fn may_propose(&self) -> bool {
        self.is_leader() && self.node.raft.lead_transferee.is_none()
    }

    /// Who leads, as far as is known.
    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        ReplicaId::from_number(self.node.raft.leader_id)
    }

    /// This replica.
    pub(crate) fn replica(&self) -> ReplicaId {
        ReplicaId::from_number(self.node.raft.id).expect("it was made from one")
    }

    /// The last entry that was proposed or is in the log.
    pub(crate) fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// The last entry that a majority is known to have.
    pub(crate) fn commit_index(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// The current term.
    pub(crate) fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Who belongs to the group, as far as is applied here.
    pub(crate) fn members(&self) -> Members {
        Members::from_raft(&self.entries.0.borrow().members)
    }

    /// Whether the members are what a crash would leave: what made them so is known to be committed on the disk.
    pub(crate) fn members_are_settled(&self) -> bool {
        self.members_at <= self.durable.commit
    }

    /// Whether nobody else belongs to the group.
    pub(crate) fn is_alone(&self) -> bool {
        let members = &self.entries.0.borrow().members;
        members.voters.len() == 1 && members.learners.is_empty() && members.voters_outgoing.is_empty()
    }

    /// How far the others are. Only a leader knows.
    pub(crate) fn followers(&self) -> Vec<Follower> {
        if !self.is_leader() {
            return Vec::new();
        }
        let raft = &self.node.raft;
        let of = |(id, progress): (&u64, &raft::Progress)| {
            let replica = ReplicaId::from_number(*id).filter(|_| *id != raft.id)?;
            let takes_snapshot = progress.state == ProgressState::Snapshot;
            Some(Follower { replica, matched: progress.matched, active: progress.recent_active, takes_snapshot })
        };
        let mut followers: Vec<Follower> = raft.prs().iter().filter_map(of).collect();
        followers.sort_unstable_by_key(|f| f.replica);
        followers
    }

    /// Proposes an entry and returns its index.
    ///
    /// # Errors
    /// When this replica does not lead, or hands over.
    pub(crate) fn propose(&mut self, data: Vec<u8>) -> raft::Result<u64> {
        self.node.propose(Vec::new(), data)?;
        Ok(self.last_index())
    }

    /// Proposes a change of the members, unless one is under way.
    pub(crate) fn propose_changes(&mut self, changes: &[Change]) -> bool {
        let raft = &self.node.raft;
        if !self.may_propose() || raft.has_pending_conf() || self.members().is_joint() {
            return false;
        }
        let mut entry = Entry::default();
        if messages::fill_changes(&mut entry, changes).is_err() {
            return false;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(RepeatedField::from_vec(vec![entry]));
        self.node.raft.step(message).is_ok()
    }

    /// Puts a committed change of the members into effect.
    pub(crate) fn apply_changes(&mut self, index: u64, changes: &[Change]) {
        self.members_at = index;
        if changes.iter().any(|change| matches!(change, Change::Learner(_) | Change::Voter(_))) {
            // Who the founders are stands in no entry. So whoever joins has to begin with a snapshot, and is never offered the
            // log from its first entry: with all entries and without the founders it would believe to be alone.
            self.entries.forget(1, 1, u64::MAX);
        }
        match self.node.apply_conf_change(&members::to_raft(changes)) {
            Ok(members) => self.set_members(members),
            // Every replica refuses the same change, since all of them apply the same ones.
            Err(why) => tracing::warn!(shard = self.shard, %why, "a change of the members has no effect"),
        }
        let (leads, raft) = (self.is_leader(), &mut self.node.raft);
        if leads && !raft.prs().conf().voters().contains(raft.id) {
            // Whoever proposed it led then, and another one leads now, which it removes. raft-rs leaves the rest to its caller.
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
            self.draw_timeout();
        }
    }

    fn set_members(&mut self, members: ConfState) {
        self.entries.0.borrow_mut().members = members;
    }

    /// Begins to hand over to another voter. It is done when this replica does not lead any more; after an election timeout
    /// it is given up.
    pub(crate) fn transfer_leader(&mut self, to: ReplicaId) {
        self.node.transfer_leader(to.number());
    }

    /// Asks the others whether this replica still leads: [`Work::confirmed`] names the round when a majority has said so. A
    /// leader that has not committed an entry of its own term can't know yet, and has to ask again.
    pub(crate) fn confirm_reads(&mut self, round: u64) -> bool {
        if !self.is_leader() || !self.node.raft.commit_to_current_term() {
            return false;
        }
        self.node.read_index(round.to_le_bytes().to_vec());
        true
    }

    /// Lets raft's time pass. A follower that may not campaign waits right before it would; it votes for others all the same.
    pub(crate) fn tick(&mut self, may_campaign: bool) {
        let raft = &self.node.raft;
        let campaigns = !self.is_leader() && raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        if campaigns && !may_campaign {
            return;
        }
        self.node.tick();
        self.draw_timeout();
    }

    /// Takes in another replica's message.
    ///
    /// # Errors
    /// When this replica cannot go on: another one knows of entries that this one had acknowledged and does not have.
    pub(crate) fn step(&mut self, message: wire::RaftMessage) -> Result<(), String> {
        let kind = message.kind;
        if let Some(why) = messages::term_refusal(self.term(), message.term) {
            let (term, own) = (message.term, self.term());
            tracing::warn!(shard = self.shard, kind, term, own, why, "a message of another replica is dropped");
            return Ok(());
        }
        let message = match messages::from_wire(message, self.sizes.raft_message_entries) {
            Ok(message) if message.to == self.node.raft.id => message,
            // To an earlier life of this replica.
            Ok(_) => return Ok(()),
            Err(why) => {
                tracing::warn!(shard = self.shard, kind, why, "a message of another replica is dropped");
                return Ok(());
            }
        };
        if message.msg_type == MessageType::MsgHeartbeat
            && message.term >= self.term()
            && message.commit > self.last_index()
        {
            return Err(format!(
                "the leader knows that this replica had entry {}, but its log ends at {}: its disk has lost what was \
                 acknowledged. Delete this shard's folder on this node, and start again: it is rebuilt from the others",
                message.commit,
                self.last_index()
            ));
        }
        if let Err(why) = self.node.step(message) {
            tracing::debug!(shard = self.shard, kind, %why, "raft takes no notice of a message");
        }
        self.draw_timeout();
        Ok(())
    }

    /// What a snapshot message is of, when taking it in would replace what is here.
    pub(crate) fn would_install(&self, message: &wire::RaftMessage) -> Option<SnapshotMeta> {
        let snapshot = message.snapshot.clone().filter(|_| message.kind == wire::RaftMessageKind::Snapshot as i32)?;
        let meta = SnapshotMeta::from_wire(snapshot).ok()?;
        let useful = message.to == self.node.raft.id
            && message.term >= self.term()
            && meta.index > self.commit_index()
            && meta.members.contains(self.node.raft.id)
            && self.entries.term_of(meta.index) != Some(meta.term);
        useful.then_some(meta)
    }

    /// Whether a follower needs a snapshot and there is none that helps.
    pub(crate) fn wants_snapshot(&mut self) -> bool {
        let (leads, mut inner) = (self.is_leader(), self.entries.0.borrow_mut());
        let members = Members::from_raft(&inner.members);
        inner.snapshot_wishes.retain(|follower| leads && members.contains(*follower));
        // What is offered already is taken with the next heartbeat.
        let offered = |follower: &u64| {
            let snapshot = inner.snapshot.as_ref();
            snapshot.is_some_and(|s| s.index >= inner.before.0 && s.members.contains(*follower))
        };
        inner.snapshot_wishes.iter().any(|follower| !offered(follower))
    }

    /// Whether a snapshot of that position would help those who need one: the entries after it are there, and it knows of them.
    pub(crate) fn would_help(&self, snapshot: &SnapshotMeta) -> bool {
        let inner = self.entries.0.borrow();
        snapshot.index > 0
            && snapshot.index >= inner.before.0
            && inner.snapshot_wishes.iter().all(|follower| snapshot.members.contains(*follower))
    }

    /// Says which snapshot followers can have from now on.
    pub(crate) fn set_snapshot(&mut self, snapshot: Option<SnapshotMeta>) {
        self.entries.0.borrow_mut().snapshot = snapshot;
    }

    /// Says that a follower has stopped to take in its snapshot, so that it is looked at anew what it needs.
    pub(crate) fn snapshot_failed(&mut self, follower: ReplicaId) {
        self.node.report_snapshot(follower.number(), SnapshotStatus::Failure);
    }

    /// What raft wants done.
    pub(crate) fn ready(&mut self) -> Option<Work> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        let mut work = Work { committed: Vec::new(), ..Work::default() };
        work.committed = ready.take_committed_entries().into_iter().map(committed).collect();
        let entries = ready.take_entries();
        // Other replicas act on a change of the members, as by going away: no crash may take it back here.
        let changes = work.committed.iter().any(|entry| matches!(entry.what, What::Changes(_)));
        let sync = ready.must_sync() || changes;
        if let Some(hs) = ready.hs() {
            self.entries.0.borrow_mut().hard_state = hs.clone();
        }
        if let Some(read) = ready.take_read_states().into_iter().max_by_key(|r| round_of(&r.request_ctx)) {
            work.confirmed = Some((round_of(&read.request_ctx), read.index));
        }
        let hard_state = to_log_state(&self.entries.0.borrow().hard_state);
        if !ready.snapshot().is_empty() {
            let meta = SnapshotMeta::from_raft(ready.snapshot());
            // Whoever owns this replica opens it again, from the snapshot.
            work.install = Some((meta, hard_state));
            return Some(work);
        }
        self.entries.append(&entries);
        let number = ready.number();
        work.send = self.to_wire(ready.take_messages());
        let (at_once, later) = self.split(ready.take_persisted_messages());
        work.send.extend(self.to_wire(at_once));
        self.node.advance_append_async(ready);
        if !later.is_empty() {
            self.unsent.push_back((number, later));
        }
        if sync {
            let entries = entries.iter().map(messages::to_log).collect();
            self.states.push_back((number, hard_state));
            work.append = Some(ToAppend { number, entries, hard_state: Some(hard_state) });
            self.appending += 1;
        } else if self.appending == 0 {
            // A change of the commit position alone is not worth an fsync: replay finds it again.
            let sent = self.on_durable(number);
            work.send.extend(sent);
        } else {
            // To confirm it now would confirm the append in front of it, which is still being written.
            self.confirm_with_append = Some(number);
        }
        Some(work)
    }

    /// Sets apart what need not wait for the disk: that a follower has heard the leader of a term which it will not forget promises
    /// nothing else. A disk that stalls must not make a leader believe that its followers are gone.
    fn split(&self, messages: Vec<Message>) -> (Vec<Message>, Vec<Message>) {
        let may = |m: &Message| m.msg_type == MessageType::MsgHeartbeatResponse && m.term <= self.durable.term;
        messages.into_iter().partition(may)
    }

    fn on_durable(&mut self, number: u64) -> Vec<wire::RaftMessage> {
        self.node.on_persist_ready(number);
        let mut messages = Vec::new();
        while self.unsent.front().is_some_and(|(n, _)| *n <= number) {
            messages.extend(self.unsent.pop_front().into_iter().flat_map(|(_, m)| m));
        }
        self.to_wire(messages)
    }

    fn to_wire(&self, messages: Vec<Message>) -> Vec<wire::RaftMessage> {
        messages
            .into_iter()
            .flat_map(|message| messages::to_wire(self.shard, message, self.sizes.raft_message_entries))
            .collect()
    }

    /// Tells raft that an append is durable. Answers what may be sent now.
    pub(crate) fn on_appended(&mut self, number: u64) -> Vec<wire::RaftMessage> {
        self.appending -= 1;
        while self.states.front().is_some_and(|(n, _)| *n <= number) {
            self.durable = self.states.pop_front().map_or(self.durable, |(_, state)| state);
        }
        let later = if self.appending == 0 { self.confirm_with_append.take() } else { None };
        self.on_durable(later.map_or(number, |l| l.max(number)))
    }

    /// Tells raft that entries up to `index` are applied. Those that followers may need are kept: what came after
    /// `checkpoint`, and what fits the bounds of [`limits`].
    pub(crate) fn on_applied(&mut self, index: u64, checkpoint: u64) {
        self.node.advance_apply_to(index);
        if self.is_alone() {
            return self.entries.forget(index, index, 0);
        }
        // From the wish on: what comes while the snapshot is made has to be there, too.
        let sending = self.is_leader()
            && (!self.entries.0.borrow().snapshot_wishes.is_empty()
                || self.node.raft.prs().iter().any(|(_, progress)| progress.state == ProgressState::Snapshot));
        let bytes_max = if sending { self.sizes.raft_memory_bytes_max } else { self.sizes.raft_memory_bytes };
        // Half of it is kept from before the checkpoint, for those that are only a little behind.
        self.entries.forget(index.min(checkpoint), 0, bytes_max / 2);
        self.entries.forget(index, 0, bytes_max);
    }
}

/// The election timeout of the voter number `rank` of `voters`, in ticks. Each has a slot of its own, and the slots change hands with the
/// term, so that nobody always campaigns last; where in its slot it campaigns is random, but at least a heartbeat before the next one begins.
fn election_timeout(voters: usize, rank: usize, term: u64, random: u64) -> usize {
    // raft-rs takes no timeout of two election timeouts or more.
    let longest = 2 * limits::ELECTION_TICKS - 1;
    let first = limits::ELECTION_TICKS + limits::ELECTION_MARGIN_TICKS;
    let voters = voters.max(1);
    let width = limits::ELECTION_SLOT_TICKS.min((longest - first) / voters).max(1);
    let slot = (rank + (term % voters as u64) as usize) % voters;
    let within = random as usize % width.saturating_sub(limits::HEARTBEAT_TICKS - 1).max(1);
    (first + slot * width + within).min(longest)
}

/// The next number of a repeatable sequence (splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn round_of(context: &[u8]) -> u64 {
    context.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn to_log_state(hs: &HardState) -> LogHardState {
    LogHardState { term: hs.term, vote: hs.vote, commit: hs.commit }
}

fn committed(entry: Entry) -> Committed {
    let what = match messages::changes_of(&entry) {
        Some(changes) => What::Changes(changes),
        None => What::Commands(entry.data.to_vec()),
    };
    Committed { index: entry.index, term: entry.term, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_voters_campaign_within_a_heartbeat_of_each_other() {
        for (voters, apart) in [(1, 0), (2, 3), (3, 3), (5, 2), (6, 2)] {
            for term in 0..20 {
                let mut random = term;
                let timeouts: Vec<usize> = (0..voters)
                    .map(|rank| {
                        random = splitmix64(random);
                        election_timeout(voters, rank, term, random)
                    })
                    .collect();
                for (n, one) in timeouts.iter().enumerate() {
                    // Nobody is a candidate before everybody has stopped believing in the leader, and raft-rs takes the timeout.
                    assert!(
                        (limits::ELECTION_TICKS + limits::HEARTBEAT_TICKS..2 * limits::ELECTION_TICKS).contains(one)
                    );
                    let others = timeouts[n + 1..].iter();
                    assert!(others.clone().all(|other| one.abs_diff(*other) >= apart), "{voters} voters: {timeouts:?}");
                }
            }
        }
    }

    #[test]
    fn every_voter_is_the_first_to_campaign_in_some_term() {
        let first = |term| (0..3).min_by_key(|rank| election_timeout(3, *rank, term, 0)).unwrap();
        let firsts: std::collections::BTreeSet<usize> = (7..10).map(first).collect();
        assert_eq!(firsts.len(), 3);
    }
}
