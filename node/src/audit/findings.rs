//! What was found on one shard, within bounds.

use std::collections::BTreeMap;

use crest_ledger::finding::{Finding, FindingKind};
use crest_ledger::txn::ShardId;
use crest_ledger::wire::audit::{FINDINGS_MAX, FINDINGS_OF_KIND_MAX};

/// Findings of one shard: of each kind some, of the others how many.
pub(super) struct Findings {
    shard: ShardId,
    list: Vec<Finding>,
    kinds: BTreeMap<FindingKind, usize>,
    left_out: u64,
}

impl Findings {
    pub(super) fn new(shard: ShardId) -> Self {
        Self { shard, list: Vec::new(), kinds: BTreeMap::new(), left_out: 0 }
    }

    /// Adds one, or counts it when there are enough of its kind.
    pub(super) fn push(&mut self, finding: Finding) {
        let of_kind = self.kinds.entry(finding.kind).or_default();
        if *of_kind >= FINDINGS_OF_KIND_MAX {
            self.left_out += 1;
            return;
        }
        *of_kind += 1;
        self.list.push(Finding { shard: Some(self.shard), ..finding });
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those of a kind, to be completed.
    pub(super) fn of_kind(&mut self, kind: FindingKind) -> impl Iterator<Item = &mut Finding> {
        self.list.iter_mut().filter(move |finding| finding.kind == kind)
    }

    /// All of them, the most telling kinds first, and how many more there are.
    pub(super) fn take(self) -> (Vec<Finding>, u64) {
        let (mut list, mut left_out) = (self.list, self.left_out);
        list.sort_by_key(|finding| finding.kind);
        left_out += list.len().saturating_sub(FINDINGS_MAX) as u64;
        list.truncate(FINDINGS_MAX);
        (list, left_out)
    }
}
