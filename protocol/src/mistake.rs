//! Mistakes that can be built in, to see that the checker finds them.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mistake {
    /// A decider that knows nothing of an attempt answers "released" without recording a tombstone.
    NoTombstone,
    /// The router has the decision taken without waiting for the votes.
    DecideWithoutPrepare,
    /// A prepare that comes after its attempt ended is taken as if it were the first: ids are not looked up.
    LatePrepareCounts,
    /// A decision leaves the outbox when the first participant has acknowledged it.
    OutboxForgottenAtFirstAcknowledgement,
    /// A decision leaves the outbox when somebody says that the finish is on its way.
    AcknowledgeBeforeFinish,
    /// A hold past its deadline is released without asking.
    ReleaseByGuess,
    /// A tombstone may be forgotten at any time.
    TombstoneForgottenEarly,
    /// A decide may commit however old its votes are.
    NoDecideWindow,
    /// A tombstone's time is the decider's own clock, whatever the asking shard's clock says.
    TombstoneIgnoresAskersClock,
    /// The router counts a vote however long after its prepare it comes.
    RouterWaitsForever,
    /// The decision is told before it is durable, and a crash loses it.
    AnswerBeforeDurable,
    /// A retry uses the attempt number of the first try.
    RetryReusesAttempt,
    /// The decider does not look up whether the id is there already.
    DeciderForgetsIds,
    /// A repeated prepare gives up the hold that it finds and starts anew. It was in the code once.
    RepeatedPrepareStartsAnew,
    /// A router that gives up releases the holds, whatever the decider answers. It was in the code once.
    GiveUpIgnoresAnswer,
    /// The decider looks up failed ids only for events that touch one of its accounts. It was in the code once.
    FailedIdsOnlyOfOwnSteps,
    /// The client hears of a failed id before the shards that will check a retry do, and the decider does not look.
    FailedIdsNotTold,
    /// A hold keeps nothing back for itself.
    HoldReservesNothing,
}
