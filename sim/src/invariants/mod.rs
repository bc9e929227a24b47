//! What has to hold after every run, one invariant a file. The first six are those of docs/SEMANTICS.md, section 9; those from
//! `one_leader_a_term` on are those of replicated shards, and the last one is of clocks.

mod totals_agree;
mod balances_are_sums;
mod halves_are_paired;
mod limits_hold;
mod ids_succeed_once;
mod one_owner;
mod nothing_is_left_in_doubt;
mod chains_are_whole;
mod refusals_are_right;
mod reads_are_of_one_instant;
mod cause_precedes_effect;
mod one_leader_a_term;
mod committed_entries_stay;
mod replicas_agree;
mod time_is_true;
pub(crate) mod groups_are_as_placed;

use crate::ending::Kept;
use crate::history::History;
use crate::record::Record;
use crate::replay::replay;
use crate::truth::Truth;

/// Violations of one invariant that are shown.
const SHOWN: usize = 3;

/// How far the shards' times can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// They follow the wall clocks, which are right within the skew.
    Followed,
    /// Processes compared their clocks, up to this virtual time, ns.
    Compared {
        /// The end.
        until: u64,
    },
    /// Some shard's time was carried away before clocks could be compared.
    Misled,
}

/// Checks them all. What does not hold, each with the invariant's name.
pub(crate) fn check(truth: &Truth, history: &History, record: &Record, kept: &[Kept], times: Times) -> Vec<String> {
    let (transfers, reads) = (history.transfers(), history.reads());
    let time = match times {
        Times::Compared { until } => time_is_true::check(truth, &transfers, until),
        Times::Followed | Times::Misled => Vec::new(),
    };
    // Shards refuse what one that was misled has told a router, until their times are aligned.
    let cause = if times == Times::Misled { Vec::new() } else { cause_precedes_effect::check(&transfers) };
    let mut probes = refusals_are_right::probes(&transfers);
    probes.extend(reads_are_of_one_instant::probes(&transfers, &reads));
    let (last, unplayable) = replay(truth, probes, times == Times::Misled);
    let found = [
        ("one leader a term", record.look(one_leader_a_term::check)),
        ("committed entries stay", record.look(|shards| committed_entries_stay::check(shards, kept))),
        ("replicas agree", replicas_agree::check(kept)),
        ("limits hold, and every record can be played in its order", unplayable),
        ("totals agree", totals_agree::check(truth)),
        ("balances are sums", balances_are_sums::check(truth, &last)),
        ("halves are paired", halves_are_paired::check(truth)),
        ("limits hold", limits_hold::check(truth)),
        ("ids succeed once", ids_succeed_once::check(truth, &transfers, &history.accounts())),
        ("one owner", one_owner::check(truth)),
        ("nothing is left in doubt", nothing_is_left_in_doubt::check(truth)),
        ("cause precedes effect", cause),
        ("chains are whole", chains_are_whole::check(truth, &transfers)),
        ("time is true", time),
        ("reads are of one instant", reads_are_of_one_instant::check(truth, &last, &transfers, &reads)),
    ];
    let named = |(name, wrong): (&str, Vec<String>)| {
        wrong.into_iter().take(SHOWN).map(|what| format!("{name}: {what}")).collect::<Vec<_>>()
    };
    found.into_iter().flat_map(named).collect()
}
