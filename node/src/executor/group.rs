//! The executor's part in its group: messages of other replicas, leadership, members, snapshots.

use std::sync::Arc;

use crest_ledger::wire::health::PEER_TROUBLES_MAX;
use crest_ledger::wire::{PeerTrouble, PeerTroubleKind};
use crest_link::LinkError;
use crest_proto::internal as wire;
use crest_topology::NodeId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::members::{Step, next_step};
use super::peer_checks::ms;
use super::{Ended, Executor, Message};
use crate::checkpointer::CheckpointJob;
use crate::consensus::members::{Change, REPLICAS_MAX};
use crate::consensus::{ReplicaId, SnapshotMeta};
use crate::limits;
use crate::snapshot::{Fetch, Install};

/// What reaches the executor from other replicas and from operators, before any request.
pub(crate) enum Inbound {
    /// A message of another replica.
    Raft(wire::RaftMessage),
    /// The fetch of a snapshot has ended; with the message that offers it, when all its files are here.
    Fetched(Option<wire::RaftMessage>),
    /// How this replica is.
    Describe(oneshot::Sender<wire::ReplicaDescription>),
    /// A new replica wants to belong to the group.
    Join(ReplicaId, oneshot::Sender<Result<(), NotDone>>),
    /// The leader is to hand over: to the replica on that node, or to the best one.
    TransferLeader(Option<NodeId>, oneshot::Sender<Result<(), NotDone>>),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotDone {
    pub(crate) why: String,
    /// Who leads, when that one has to be asked.
    pub(crate) leader: Option<ReplicaId>,
}

/// Whether a message has its receiver begin to lead.
fn begins_to_lead(message: &wire::RaftMessage) -> bool {
    message.kind == wire::RaftMessageKind::TimeoutNow as i32
}

/// What the executor knows of its group from one turn to the next.
#[derive(Default)]
pub(super) struct Group {
    /// Whether this replica led when it was last looked.
    leads: bool,
    /// When it lost its office, while requests of that time still wait.
    deposed: Option<Instant>,
    leader: Option<ReplicaId>,
    /// What the last checkpoint is of.
    pub(super) checkpoint: SnapshotMeta,
    exporting: bool,
    /// When it may be tried again to make a snapshot's files, after that has failed.
    export_again: Option<Instant>,
    /// Whether a snapshot is being fetched.
    fetching: bool,
    /// When each follower that takes in a snapshot was first seen doing so.
    since: Vec<(ReplicaId, Instant)>,
    /// The snapshot that takes this replica's place.
    pub(super) install: Option<Install>,
}

impl Group {
    /// That of a replica with that last checkpoint.
    pub(super) fn at(checkpoint: SnapshotMeta) -> Self {
        Self { checkpoint, ..Self::default() }
    }
}

impl Executor {
    /// Takes in what others sent. Answers whether there was anything.
    pub(super) fn take_inbound(&mut self) -> Result<bool, String> {
        let mut any = false;
        while let Some(inbound) = self.state.inbound.take().or_else(|| self.inbox.try_recv().ok()) {
            any = true;
            match inbound {
                // Whoever hands over may not know yet that this node's clock must not be used.
                Inbound::Raft(message) if begins_to_lead(&message) && !self.clock.is_trusted() => {}
                Inbound::Raft(message) => match self.consensus.would_install(&message) {
                    Some(meta) => self.fetch(message, meta),
                    None => self.consensus.step(message)?,
                },
                Inbound::Fetched(message) => {
                    self.state.group.fetching = false;
                    message.map_or(Ok(()), |message| self.consensus.step(message))?;
                    // If raft takes it in, that comes before anything else: another fetch would take its place on the disk.
                    break;
                }
                Inbound::Describe(reply) => drop(reply.send(self.describe())),
                Inbound::Join(replica, reply) => drop(reply.send(self.join(replica))),
                Inbound::TransferLeader(to, reply) => drop(reply.send(self.hand_over(to))),
            }
        }
        Ok(any)
    }

    /// Has a snapshot fetched, one at a time: files that are about to be installed must not be overwritten by another's. Raft offers
    /// a snapshot again.
    fn fetch(&mut self, message: wire::RaftMessage, meta: SnapshotMeta) {
        let group = &mut self.state.group;
        group.fetching = group.fetching || self.fetches.try_send(Fetch { message, meta }).is_ok();
    }

    /// Sends messages to other replicas; what can't be sent is lost, and raft sends it again.
    pub(super) fn send(&self, messages: Vec<wire::RaftMessage>) {
        messages.into_iter().for_each(|message| self.peers.send(message));
    }

    pub(super) fn not_leader(&self) -> LinkError {
        LinkError::NotLeader { shard: self.shard, leader: self.consensus.leader().map(ReplicaId::node) }
    }

    /// Notices when this replica has become the leader, or is not any more.
    pub(super) fn notice_leader(&mut self) {
        let leader = self.consensus.leader();
        if leader != self.state.group.leader {
            self.state.group.leader = leader;
            // One for each leader, not another one for the time without.
            self.metrics.leader_changes.increment(u64::from(leader.is_some()));
            let leader = leader.map_or("nobody".to_owned(), |l| l.to_string());
            tracing::info!(shard = self.shard, term = self.consensus.term(), leader, "who leads the shard");
        }
        let leads = self.consensus.is_leader();
        if leads == self.state.group.leads {
            return;
        }
        self.state.group.leads = leads;
        self.state.proposed_at = 0;
        self.state.rounds.restart();
        if leads {
            self.state.group.deposed = None;
            return;
        }
        self.state.group.deposed = Some(Instant::now());
        let parked = std::mem::take(&mut self.state.parked);
        for read in parked {
            let _ = read.reply.send(Err(self.not_leader()));
        }
    }

    /// What a replica that does not lead does with requests: it sends them on their way.
    pub(super) fn refuse_requests(&mut self) -> Ended {
        while let Some(message) = self.state.left_over.take().or_else(|| self.queue.try_recv().ok()) {
            match message {
                Message::Request { request, reply, any_replica, .. } => {
                    self.refuse_or_read(request, reply, any_replica);
                }
                // Only a leader has something to recover or to expire, and asks other shards.
                Message::Overdue(..) | Message::Expiring(_) | Message::LeadsAt(_) | Message::PeerChecked(..) => {}
                Message::Stop => self.state.stopping = true,
            }
        }
        if self.consensus.is_leader() {
            return Ok(());
        }
        let patient = self.state.group.deposed.is_some_and(|since| since.elapsed() < limits::DEPOSED_PATIENCE);
        if !patient && !self.state.proposals.is_empty() {
            self.give_up_proposals("the shard has another leader now");
        }
        Ok(())
    }

    fn refuse_or_read(&mut self, request: crest_ledger::wire::Request, reply: super::Reply, any_replica: bool) {
        match request {
            crest_ledger::wire::Request::Query(query) if any_replica && query.instant() != 0 => {
                self.park_as_follower(query, reply);
            }
            // What needs no entry is answered whatever the clock shows: operators look at why nothing else is.
            crest_ledger::wire::Request::Query(query)
                if self.consensus.is_leader() && !self.state.stopping && query.instant() == 0 =>
            {
                self.park(query, reply);
            }
            _ if self.consensus.is_leader() => drop(reply.send(Err(self.not_taken()))),
            _ => drop(reply.send(Err(self.not_leader()))),
        }
    }

    /// Answers requests of which this replica will not know what became.
    pub(super) fn give_up_proposals(&mut self, why: &str) {
        for proposal in self.state.proposals.drain(..) {
            for (_, reply) in proposal.replies {
                let _ = reply.send(Err(LinkError::Unknown { shard: self.shard, why: why.to_owned() }));
            }
        }
    }

    /// Answers requests whose entry has lost its place to another leader's: nothing of them will ever be applied.
    pub(super) fn drop_overtaken(&mut self, index: u64, term: u64) {
        let overtaken = |p: &super::Proposal| p.index < index || (p.index == index && p.term != term);
        while self.state.proposals.front().is_some_and(overtaken) {
            for (_, reply) in self.state.proposals.pop_front().into_iter().flat_map(|p| p.replies) {
                let _ = reply.send(Err(self.not_leader()));
            }
        }
    }

    /// Puts a change of the members into effect.
    pub(super) fn apply_changes(&mut self, index: u64, changes: &[Change]) {
        self.consensus.apply_changes(index, changes);
        let members = self.consensus.members();
        tracing::info!(shard = self.shard, voters = ?members.voters, learners = ?members.learners,
            outgoing = ?members.voters_outgoing, "the members of the shard's group");
    }

    fn join(&mut self, replica: ReplicaId) -> Result<(), NotDone> {
        let refuse = |why: &str, leader| Err(NotDone { why: why.to_owned(), leader });
        if !self.consensus.is_leader() {
            return refuse("this replica does not lead", self.consensus.leader());
        }
        let members = self.consensus.members();
        if members.contains(replica.number()) {
            return Ok(());
        }
        if !self.placement.borrow().contains(&replica.node()) {
            return refuse("the map, as the leader knows it, places no replica of this shard on that node", None);
        }
        // An earlier life of a learner on that node will never speak again.
        let earlier = members.learners.iter().copied().filter(|learner| *learner as NodeId == replica.node());
        let earlier: Vec<u64> = earlier.collect();
        if members.is_full_without(&earlier) {
            let why = format!("the group has {REPLICAS_MAX} replicas already, as many as there may be");
            return refuse(&why, None);
        }
        let earlier = earlier.into_iter().map(Change::Remove);
        let changes: Vec<Change> = earlier.chain([Change::Learner(replica.number())]).collect();
        if self.consensus.propose_changes(&changes) {
            tracing::info!(shard = self.shard, %replica, "a new replica joins as a learner");
            Ok(())
        } else {
            refuse("another change of the members is under way", None)
        }
    }

    fn hand_over(&mut self, to: Option<NodeId>) -> Result<(), NotDone> {
        let refuse = |why: String, leader| Err(NotDone { why, leader });
        if !self.consensus.is_leader() {
            return refuse("this replica does not lead".to_owned(), self.consensus.leader());
        }
        if to == Some(self.consensus.replica().node()) {
            return Ok(());
        }
        let nodes = to.map(|node| vec![node]);
        match self.successor(nodes.as_deref()) {
            Some(replica) => {
                self.consensus.transfer_leader(replica);
                Ok(())
            }
            None => refuse(
                "no voter there is up to date, answers, and has a clock that agrees with this node's".to_owned(),
                None,
            ),
        }
    }

    /// Tells the leader that its snapshot is installed here, as an answer to an append: it goes on behind it at once.
    pub(crate) fn tell_installed(&self, install: &Install) {
        if install.leader == 0 {
            return;
        }
        self.peers.send(wire::RaftMessage {
            shard: self.shard,
            kind: wire::RaftMessageKind::AppendResponse.into(),
            to: install.leader,
            from: self.consensus.replica().number(),
            term: install.hard_state.term,
            index: install.index,
            commit: install.index,
            ..wire::RaftMessage::default()
        });
    }

    /// Brings the group to what the map wants, one step at a time. Only the leader does.
    pub(super) fn reconcile(&mut self) {
        if !self.consensus.may_propose() || !self.clock.is_trusted() {
            return;
        }
        let wanted = self.placement.borrow().clone();
        let (members, followers) = (self.consensus.members(), self.consensus.followers());
        let step = next_step(&wanted, &members, &followers, self.consensus.replica(), self.consensus.last_index());
        match step {
            Step::Nothing => {}
            Step::HandOver => {
                if let Some(to) = self.successor(Some(&wanted)) {
                    self.consensus.transfer_leader(to);
                }
            }
            Step::Change(changes) => {
                if self.consensus.propose_changes(&changes) {
                    tracing::info!(shard = self.shard, ?changes, "changing the members of the shard's group");
                }
            }
        }
    }

    /// Sees to snapshots: makes one when a follower needs it, and lets go of one that nobody wants any more.
    pub(super) fn look_after_snapshots(&mut self) -> Ended {
        let wanted = self.consensus.wants_snapshot();
        let group = &mut self.state.group;
        let may = group.export_again.is_none_or(|again| Instant::now() >= again);
        if wanted && may && !group.exporting && !self.state.checkpointing {
            // The last checkpoint does, as long as the log goes on from there: under load there is always a later entry.
            if !self.consensus.would_help(&group.checkpoint) {
                return if self.applied > 0 { self.maybe_checkpoint(true) } else { Ok(()) };
            }
            group.exporting = true;
            let job = CheckpointJob::Export(group.checkpoint.clone());
            return self.checkpoints.send(job).map_err(|_| "the checkpoint thread ended".to_owned());
        }
        let taking: Vec<ReplicaId> =
            self.consensus.followers().iter().filter(|f| f.takes_snapshot).map(|f| f.replica).collect();
        group.since.retain(|(replica, _)| taking.contains(replica));
        for replica in taking {
            let known = group.since.iter().find(|(r, _)| *r == replica).map(|(_, since)| *since);
            let since = known.unwrap_or_else(|| {
                group.since.push((replica, Instant::now()));
                Instant::now()
            });
            let last = self.exports.last_asked(replica).map_or(since, |asked| asked.max(since));
            if last.elapsed() > limits::SNAPSHOT_PATIENCE {
                group.since.retain(|(r, _)| *r != replica);
                self.consensus.snapshot_failed(replica);
            }
        }
        if self.exports.drop_idle() {
            self.consensus.set_snapshot(None);
        }
        Ok(())
    }

    /// A snapshot's files could not be made: that is the follower's loss, and no reason to stop.
    pub(super) fn not_exported(&mut self, why: &str) {
        tracing::warn!(shard = self.shard, why, "no snapshot can be offered to a follower; it is tried again");
        self.state.group.export_again = Some(Instant::now() + limits::SNAPSHOT_PATIENCE);
        self.state.group.exporting = false;
    }

    /// A snapshot's files are there.
    pub(super) fn exported(&mut self, meta: SnapshotMeta, files: Arc<dyn crate::snapshot::Export>) {
        self.state.group.exporting = false;
        self.metrics.snapshots_sent.increment(1);
        self.exports.set(meta.index, files);
        self.consensus.set_snapshot(Some(meta));
    }

    pub(super) fn measure_group(&mut self) {
        let wanted = self.placement.borrow().len();
        self.metrics.group(&self.consensus, self.applied, wanted);
    }

    pub(crate) fn describe(&self) -> wire::ReplicaDescription {
        let replica = self.consensus.replica();
        let members = self.consensus.members();
        let untouched = self.consensus.term() == 0 && self.consensus.last_index() == 0 && !members.voters.is_empty();
        let state = if untouched { wire::ReplicaState::Founded } else { wire::ReplicaState::Running };
        let (leads, machine_time) = (self.consensus.is_leader(), self.clock.now());
        let followers = self.consensus.followers().into_iter().map(|f| wire::FollowerProgress {
            replica: f.replica.number(),
            matched: f.matched,
            active: f.active,
            takes_snapshot: f.takes_snapshot,
            standstill_ms: Some(ms(self.state.progress.standstill(f.replica))),
        });
        wire::ReplicaDescription {
            state: state.into(),
            node: replica.node(),
            shard: self.shard,
            replica: replica.number(),
            is_leader: self.consensus.is_leader(),
            leader: self.consensus.leader().map_or(0, ReplicaId::number),
            term: self.consensus.term(),
            last_index: self.consensus.last_index(),
            commit_index: self.consensus.commit_index(),
            applied_index: self.applied,
            checkpoint_index: self.state.checkpoint_index,
            members: Some(members.to_wire()),
            followers: followers.collect(),
            failure: String::new(),
            epoch: self.map.epoch(),
            map_version: 0,
            build: String::new(),
            clock: self.tables.now(),
            members_settled: self.consensus.members_are_settled(),
            process_clock: self.clock.now(),
            clock_problem: self.clock.problem().unwrap_or_default(),
            last_committed_ms_ago: leads.then(|| ms(self.state.progress.committed_ago())),
            commit_stalled_ms: leads.then(|| ms(self.state.progress.stalled(self.consensus.is_alone()))),
            shard_time_ahead_ms: leads.then(|| self.tables.now().saturating_sub(machine_time) / 1_000_000),
            peer_troubles: self.peer_troubles().into_iter().take(PEER_TROUBLES_MAX).map(peer_trouble).collect(),
        }
    }
}

fn peer_trouble(trouble: PeerTrouble) -> wire::PeerTrouble {
    let kind = match trouble.kind {
        PeerTroubleKind::RefusedByPeer => wire::PeerTroubleKind::RefusedByPeer,
        PeerTroubleKind::RefusesPeer => wire::PeerTroubleKind::RefusesPeer,
        PeerTroubleKind::NoAnswer => wire::PeerTroubleKind::NoAnswer,
    };
    wire::PeerTrouble { shard: trouble.shard, kind: kind.into(), ms: trouble.ms }
}
