//! Where is the money? Every number of the audit, in words.

use super::super::figures::{self, count};
use super::super::markup::Markup;
use super::parts::{Cell, Sign, findings, section, table};
use crate::record::{AuditRecord, RunRecord};

/// The section.
pub(super) fn money(m: &mut Markup, record: &RunRecord) {
    let side = [
        "After the run an auditor reads back what the ledger holds, and compares it with what the ledger had answered: payment \
         by payment, account by account.",
        "A payment that was acknowledged must be there exactly once. One that was refused must not be there at all.",
    ];
    section(m, "Where is the money?", &side, |m| match &record.audit {
        None => {
            let text = "The run did not come to the audit, so nothing is known about the money. That is no sign that any is \
                        missing; it is no proof that none is.";
            m.leaf("p", &[], text);
        }
        Some(audit) => {
            table(m, &["Question", "#Checked", "Answer"], rows(audit));
            findings(m, "What is wrong", "bad", &audit.wrong);
            findings(m, "What could not be decided", "unsure", &audit.undecided);
            m.leaf("p", &[("class", &"quiet")], &reading(audit, record));
        }
    });
}

fn rows(audit: &AuditRecord) -> Vec<Vec<Cell>> {
    let row = |question: &str, number: u64, sign: Sign, answer: String| {
        vec![question.into(), count(number).into(), Cell::signed(sign, answer)]
    };
    let lost = audit.acknowledged.saturating_sub(audit.acknowledged_found);
    let mut rows = vec![row(
        "Is every acknowledged payment in the ledger, exactly once and as it was sent?",
        audit.acknowledged,
        Sign::of(lost == 0),
        if lost == 0 { "all found".to_owned() } else { format!("{} not found once", count(lost)) },
    )];
    rows.push(row(
        "Is any payment there that was refused, skipped or never sent?",
        audit.refused,
        Sign::of(audit.refused_found == 0),
        if audit.refused_found == 0 { "none".to_owned() } else { format!("{} are there", count(audit.refused_found)) },
    ));
    rows.push(row(
        "Outcomes that were unknown at the end: sent again with the same ids, what became of them?",
        audit.unknown,
        if audit.unknown_left == 0 { Sign::Good } else { Sign::Unsure },
        unknown(audit),
    ));
    rows.push(row(
        "Are the four balances of every account what the payments make them?",
        audit.accounts,
        Sign::of(audit.accounts_wrong == 0),
        if audit.accounts_wrong == 0 {
            format!("all {} balances equal", count(audit.accounts.saturating_mul(4)))
        } else {
            format!("{} differ", figures::counted(audit.accounts_wrong, "account", "accounts"))
        },
    ));
    rows.push(row(
        "Did two answers to the same payment contradict each other?",
        audit.acknowledged.saturating_add(audit.refused),
        Sign::of(audit.contradictions == 0),
        if audit.contradictions == 0 { "no".to_owned() } else { format!("{} did", count(audit.contradictions)) },
    ));
    rows.push(row(
        "Does the ledger's own audit of all shards hold: every balance the sum of its transfers, both halves of every transfer \
         between shards there and the same?",
        audit.ledger_audit_transfers,
        Sign::of(audit.ledger_audit_holds),
        if audit.ledger_audit_holds { "it holds".to_owned() } else { "it does not hold".to_owned() },
    ));
    rows.push(row(
        "Did somebody else pay on this ledger number during the run?",
        audit.rows,
        if audit.foreign == 0 { Sign::Good } else { Sign::Unsure },
        if audit.foreign == 0 {
            "nobody".to_owned()
        } else {
            figures::counted(audit.foreign, "transfer is not ours", "transfers are not ours")
        },
    ));
    rows
}

fn unknown(audit: &AuditRecord) -> String {
    if audit.unknown == 0 {
        return "there were none".to_owned();
    }
    let parts = [
        (audit.unknown_were_made, "had been made"),
        (audit.unknown_made_now, "made only now"),
        (audit.unknown_refused, "refused"),
        (audit.unknown_left, "unknown still"),
    ];
    let said =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{} {what}", count(*number)));
    said.collect::<Vec<_>>().join(", ")
}

/// How it was read.
fn reading(audit: &AuditRecord, record: &RunRecord) -> String {
    let pending = if audit.amount.is_empty() {
        String::new()
    } else {
        let amount = figures::digits(&audit.amount);
        format!(
            "The acknowledged payments moved {amount} of the smallest unit (reservations that were not captured are left out). "
        )
    };
    let instant = figures::date(audit.ledger_audit_timestamp / 1_000_000);
    format!(
        "{pending}The auditor read {} rows of ledger number {} in {}. The ledger's own audit counts the transfers of everybody \
         since the ledger began, at one instant over all shards ({instant}).",
        count(audit.rows),
        record.ledger,
        figures::seconds(audit.seconds)
    )
}
