//! After the run: does the ledger hold what it acknowledged, nothing that it refused, and are all balances what they have to
//! be? Every transfer of the run is looked at, none is sampled.
//!
//! [`settle`] finds out what became of unknown outcomes and releases what is still reserved, [`rows`] reads every transfer that
//! the ledger holds and compares it with the plan, [`compare`] goes through the books and the balances.

mod settle;
mod rows;
mod compare;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crest_proto::v1;

use super::asking::{Asking, Balances};
use super::course::Lanes;
use super::driver::LaneEnd;
use super::ids::{Place, RunId};
use super::plan::Plan;
use crate::record::AuditRecord;

/// Sentences of one kind.
const SENTENCES_MAX: usize = 100;

/// What the auditor needs.
pub(crate) struct Auditor<'a> {
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) lanes: &'a Lanes,
    pub(crate) asking: &'a Asking,
    /// By lane.
    pub(crate) ends: Vec<LaneEnd>,
    /// Before the run, in the plan's order, and the instant that they are of.
    pub(crate) before: Vec<Balances>,
    pub(crate) since: u64,
    /// Told what it does.
    pub(crate) progress: &'a mut (dyn FnMut(String) + Send),
}

/// What the auditor has done and found so far.
#[derive(Default)]
struct Found {
    openings: u64,
    /// Sum over what is in no chain; see [`super::driver::fingerprint`].
    fingerprint: u64,
    /// Acknowledged transfers that are there, but not as they were sent.
    differing: u64,
    /// Reservations that the auditor has released, by their place in the plan, and those of them that were met.
    released: HashSet<Place>,
    released_met: HashSet<Place>,
    /// Reservations of which nobody knows whether they were released.
    maybe_released: HashSet<Place>,
}

impl Auditor<'_> {
    /// Does all of it. What goes wrong with it is said in the record, beside what was found until then: a ledger that does not
    /// answer any more takes nothing back.
    pub(crate) async fn audit(mut self) -> AuditRecord {
        let begun = Instant::now();
        let mut record = AuditRecord::default();
        let mut found = Found::default();
        for end in &self.ends {
            record.contradictions += end.contradictions_count;
            end.contradictions.iter().for_each(|text| say(&mut record.wrong, || text.clone()));
        }
        if let Err(error) = self.prove(&mut found, &mut record).await {
            record.undecided.insert(0, format!("the proof could not be finished: {error:#}"));
        }
        self.judge(&mut record);
        record.seconds = begun.elapsed().as_secs_f64();
        record
    }

    async fn prove(&mut self, found: &mut Found, record: &mut AuditRecord) -> anyhow::Result<()> {
        self.settle(record).await;
        self.release(found, record).await;
        self.ask_ledger(record).await?;
        self.read_all(found, record).await?;
        (self.progress)("comparing what was acknowledged with what is there".to_owned());
        let changes = self.compare(found, record);
        (self.progress)(format!("comparing the balances of {} accounts", self.before.len()));
        self.compare_balances(&changes, found, record).await
    }

    /// Has the ledger audit itself.
    async fn ask_ledger(&mut self, record: &mut AuditRecord) -> anyhow::Result<()> {
        (self.progress)("the ledger audits itself".to_owned());
        let progress = &mut self.progress;
        let answer: v1::AuditResponse = self
            .asking
            .audit(|percent| {
                if let Some(percent) = percent {
                    progress(format!("the ledger audits itself: {percent} %"));
                }
            })
            .await?;
        record.ledger_audit_holds = answer.holds;
        record.ledger_audit_timestamp = answer.timestamp;
        record.ledger_audit_transfers = answer.transfers;
        if !answer.holds {
            say(&mut record.wrong, || "the ledger's own audit does not hold".to_owned());
            answer.findings.iter().for_each(|finding| say(&mut record.wrong, || finding.text.clone()));
        }
        Ok(())
    }

    /// What explains the rest comes first.
    fn judge(&self, record: &mut AuditRecord) {
        if record.unknown_left > 0 {
            record.undecided.insert(0, format!("{} outcomes are unknown still", record.unknown_left));
        }
        if record.foreign > 0 {
            let (foreign, ledger) = (record.foreign, self.plan.ledger);
            let text = format!(
                "{foreign} transfers on ledger {ledger} are not of this run: somebody else uses this ledger number"
            );
            record.undecided.insert(0, text);
        }
        record.undecided.truncate(SENTENCES_MAX);
    }

    /// Under which name the auditor itself sends: another than the run's, so that its ids are none of the plan.
    fn own_name(&self) -> RunId {
        self.plan.run.of_its_auditor()
    }
}

/// Adds a sentence, unless there are enough.
fn say(list: &mut Vec<String>, sentence: impl FnOnce() -> String) {
    if list.len() < SENTENCES_MAX {
        list.push(sentence());
    }
}
