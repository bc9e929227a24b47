//! The named points between the router's steps, at which tests make it die or wait: see `crest-failpoints`.

crest_failpoints::points! {
    /// A transfer between shards is planned; no shard knows of it.
    BEFORE_PREPARE = "router::before_prepare";
    /// Every participant has voted; the decider knows nothing yet.
    PREPARED = "router::prepared";
    /// One event of a chain with balancing transfers is reserved on its shards, the next one is not.
    STEP_PREPARED = "router::step_prepared";
    /// The decides are ready to be sent.
    BEFORE_DECIDE = "router::before_decide";
    /// It is decided; neither the client nor a participant knows.
    DECIDED = "router::decided";
    /// An attempt is to be given up, and its decider does not know.
    BEFORE_ABORT = "router::before_abort";
    /// The decider has buried an attempt; its holds are open.
    ABORTED = "router::aborted";
    /// Participants have to know a failed id before the client does, and do not yet.
    BEFORE_TELLING_FIRST = "router::before_telling_first";
    /// A post of an unknown transfer failed; its id is not remembered as failed yet.
    BEFORE_BURN = "router::before_burn";
    /// Everything is done but answering the client.
    BEFORE_ANSWER = "router::before_answer";
    /// Participants are about to be told what was decided, after the client was answered.
    BEFORE_FINISH = "router::before_finish";
    /// Participants have ended their holds; the deciders do not know.
    FINISHED = "router::finished";
    /// Deciders are about to be told that participants have finished.
    BEFORE_ACKNOWLEDGE = "router::before_acknowledge";
}
