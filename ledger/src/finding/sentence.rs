//! Findings as sentences: each names the shard, then the account or the transfer, then the amounts.

use std::fmt;

use super::{Field, Finding, FindingKind};
use crate::clock::Timestamp;
use crate::records::IdState;

/// How numbers are written: an operator's screen has other habits than a log.
pub trait Words {
    /// An id of an account or a transfer.
    fn id(&self, id: u128) -> String;
    /// An amount in the ledger's smallest unit.
    fn amount(&self, amount: u128) -> String;
    /// An instant, ns.
    fn time(&self, at: Timestamp) -> String;
}

/// Every number as it is.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Words for Plain {
    fn id(&self, id: u128) -> String {
        id.to_string()
    }

    fn amount(&self, amount: u128) -> String {
        amount.to_string()
    }

    fn time(&self, at: Timestamp) -> String {
        format!("{at} ns")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(&Plain))
    }
}

/// The name of an [`IdState`] by its number.
fn state_name(n: u128) -> &'static str {
    match u8::try_from(n) {
        Ok(n) if n == IdState::Failed as u8 => "failed",
        Ok(n) if n == IdState::Done as u8 => "done",
        Ok(n) if n == IdState::Pending as u8 => "pending",
        Ok(n) if n == IdState::Posted as u8 => "posted",
        Ok(n) if n == IdState::Voided as u8 => "voided",
        Ok(n) if n == IdState::Expired as u8 => "expired",
        _ => "unknown",
    }
}

impl Finding {
    /// The finding for people, on one line.
    pub fn sentence(&self, words: &dyn Words) -> String {
        let shard = self.shard.map(|s| format!("shard {s}: ")).unwrap_or_default();
        format!("{shard}{}", Sentence { finding: self, words }.text())
    }
}

struct Sentence<'a> {
    finding: &'a Finding,
    words: &'a dyn Words,
}

impl Sentence<'_> {
    fn text(&self) -> String {
        use FindingKind::*;
        match self.finding.kind {
            StoreDamaged | RowUnreadable | TablesDiffer | CountDiffers | PairDiffers | TotalsDiffer => self.of_tables(),
            HalfMissing | HalvesDiffer | TransferTwice | RecordMisplaced | AccountMissing | LedgerDiffers => {
                self.of_record()
            }
            ResolvesNothing | ResolvesDifferently | ReleasedTwice | TimeoutMissing | TimeoutWithoutPending => {
                self.of_pending()
            }
            IdMissing | IdWithoutRecord | IdOfOther | StateDiffers => self.of_id(),
            RecordDiffers | Overflows | LimitExceeded | HistoryMissing | HistoryWithoutRecord | HistoryKind
            | SnapshotDiffers => self.of_history(),
            BalanceDiffers | ClosedDiffers | AccountMisplaced | AccountTimeDiffers => self.of_account(),
        }
    }

    fn of_tables(&self) -> String {
        let f = self.finding;
        let (stored, expected, by) = (self.stored(), self.expected(), self.difference());
        match f.kind {
            FindingKind::StoreDamaged => format!("cannot be read, and was not audited: {}", f.detail),
            FindingKind::RowUnreadable => format!("{} does not read back", f.detail),
            FindingKind::CountDiffers => format!("counts {stored} {}, and has {expected}", f.field.name()),
            FindingKind::TotalsDiffer => {
                let done = if f.field == Field::DebitsPending { "is pending as debits" } else { "was debited" };
                let back = if f.field == Field::DebitsPending { "as credits" } else { "credited" };
                format!("ledger {}: {stored} {done}, but {expected} {back}: {by}", f.ledger)
            }
            FindingKind::PairDiffers => format!(
                "of its {stored} transfers to shard {}, that one has {expected}, or they differ; not all were looked at one by \
                 one",
                f.other_shard.unwrap_or_default()
            ),
            _ => format!("{} do not fit each other, and no single row of them shows why", f.detail),
        }
    }

    fn of_record(&self) -> String {
        let f = self.finding;
        let (transfer, account) = (self.transfer(), self.words.id(f.account_id));
        let other = f.other_shard.unwrap_or_default();
        match f.kind {
            FindingKind::HalfMissing => {
                format!("{transfer} is recorded here, but missing on shard {other}, where account {account} lives")
            }
            FindingKind::HalvesDiffer => format!(
                "{transfer} has another {} here than on shard {other}: {} here, {} there{}",
                f.field.name(),
                self.stored(),
                self.expected(),
                match f.difference().filter(|_| f.field.is_money()) {
                    Some((more, by)) => {
                        format!(", {} {} here", self.words.amount(by), if more { "more" } else { "less" })
                    }
                    None => String::new(),
                }
            ),
            FindingKind::TransferTwice => {
                format!("{transfer} is recorded a second time, at {}", self.words.time(f.other_timestamp))
            }
            FindingKind::RecordMisplaced if f.other_shard.is_none() => {
                format!("{transfer} is not recorded for account {account}, which belongs here")
            }
            FindingKind::RecordMisplaced => {
                format!("{transfer} is recorded for account {account}, which belongs to shard {other}")
            }
            FindingKind::AccountMissing => format!("{transfer} touches account {account}, which is not there"),
            _ => format!(
                "{transfer} is of ledger {}, but account {account} is of ledger {}",
                self.stored(),
                self.expected()
            ),
        }
    }

    fn of_pending(&self) -> String {
        let f = self.finding;
        let (transfer, other) = (self.transfer(), self.words.id(f.other_transfer_id));
        match f.kind {
            FindingKind::ResolvesNothing => format!("{transfer} resolves transfer {other}, {}", f.detail),
            FindingKind::ResolvesDifferently => format!(
                "{transfer} has {} {}, but transfer {other}, which it resolves, has {}",
                f.field.name(),
                self.stored(),
                self.expected()
            ),
            FindingKind::ReleasedTwice => format!(
                "{transfer} takes {} from {} of account {}, where only {} is reserved",
                self.stored(),
                f.field.name(),
                self.words.id(f.account_id),
                self.expected()
            ),
            FindingKind::TimeoutMissing => format!(
                "{transfer} is pending and expires at {}, but is not in the table of timeouts",
                self.words.time(f.other_timestamp)
            ),
            _ => format!(
                "the table of timeouts has transfer {} at {}, but no such reservation is pending",
                self.words.id(f.transfer_id),
                self.words.time(f.other_timestamp)
            ),
        }
    }

    fn of_id(&self) -> String {
        let f = self.finding;
        let id = self.words.id(f.transfer_id);
        let state = |n: Option<u128>| n.map_or("not known", state_name);
        match f.kind {
            FindingKind::IdMissing => format!("{} is recorded, but not in the table of ids", self.transfer()),
            FindingKind::IdWithoutRecord => {
                format!(
                    "the table of ids has transfer {id} at {}, but no record is there",
                    self.words.time(f.timestamp)
                )
            }
            FindingKind::IdOfOther => format!(
                "the table of ids has transfer {id} at {}, but the record there is of transfer {}",
                self.words.time(f.timestamp),
                self.words.id(f.other_transfer_id)
            ),
            _ => format!(
                "{} is {} in the table of ids, but {} by the records",
                self.transfer(),
                state(f.stored),
                state(f.expected)
            ),
        }
    }

    fn of_history(&self) -> String {
        let f = self.finding;
        let (transfer, account) = (self.transfer(), self.words.id(f.account_id));
        let (field, stored, expected) = (f.field.name(), self.stored(), self.expected());
        match f.kind {
            FindingKind::RecordDiffers => format!(
                "{transfer} moved {field} of account {account} by {expected}, as its balance snapshots before and after \
                 it say, but by {stored}, as its record says: {}",
                self.difference()
            ),
            FindingKind::Overflows => format!("{transfer} takes {field} of account {account} above 128 bits"),
            FindingKind::LimitExceeded => format!(
                "{transfer} brought the {field} of account {account} to {stored}, above its limit of {expected}: {}",
                self.difference()
            ),
            FindingKind::HistoryMissing => format!("the history of account {account} lacks {transfer}"),
            FindingKind::HistoryWithoutRecord => format!(
                "the history of account {account} has a transfer{} at {}, but no record there touches the account",
                if f.transfer_id == 0 { String::new() } else { format!(" {}", self.words.id(f.transfer_id)) },
                self.words.time(f.timestamp)
            ),
            FindingKind::HistoryKind => format!("the history of account {account} {} {transfer}", f.detail),
            _ => format!(
                "the balance snapshot of account {account} after {transfer} has {field} {stored}, but {expected} follows \
                 from its transfers: {}",
                self.difference()
            ),
        }
    }

    fn of_account(&self) -> String {
        let f = self.finding;
        let account = self.words.id(f.account_id);
        match f.kind {
            FindingKind::BalanceDiffers => {
                let (field, stored, expected) = (f.field.name(), self.stored(), self.expected());
                let by = self.difference();
                format!(
                    "account {account}: {field} is {stored}, but its transfers come to {expected}: {by}{}",
                    self.why()
                )
            }
            FindingKind::ClosedDiffers => format!("account {account} {}", f.detail),
            FindingKind::AccountMisplaced => {
                let detail = if f.detail.is_empty() { String::new() } else { format!(", {}", f.detail) };
                format!("has account {account}, which belongs to shard {}{detail}", f.other_shard.unwrap_or_default())
            }
            _ => format!("account {account}, created at {}, {}", self.words.time(f.timestamp), f.detail),
        }
    }

    /// `transfer 7 at 12:00 (100 from account 1 to account 2)`
    fn transfer(&self) -> String {
        let f = self.finding;
        let id = if f.transfer_id == 0 {
            "a transfer".to_owned()
        } else {
            format!("transfer {}", self.words.id(f.transfer_id))
        };
        let accounts = if f.debit_account_id == 0 && f.credit_account_id == 0 {
            String::new()
        } else {
            let (from, to) = (self.words.id(f.debit_account_id), self.words.id(f.credit_account_id));
            format!(" ({} from account {from} to account {to})", self.words.amount(f.amount))
        };
        format!("{id} at {}{accounts}", self.words.time(f.timestamp))
    }

    fn stored(&self) -> String {
        self.number(self.finding.stored)
    }

    fn expected(&self) -> String {
        self.number(self.finding.expected)
    }

    fn number(&self, n: Option<u128>) -> String {
        match n {
            None => "nothing".to_owned(),
            Some(n) if self.finding.field.is_money() && self.is_below_zero(n) => {
                format!("-{}", self.words.amount(n.wrapping_neg()))
            }
            Some(n) if self.finding.field.is_money() => self.words.amount(n),
            Some(n)
                if matches!(self.finding.field, Field::DebitAccountId | Field::CreditAccountId | Field::PendingId) =>
            {
                self.words.id(n)
            }
            Some(n) => n.to_string(),
        }
    }

    /// What damaged records come to may be below zero, and what a transfer moved always may: it is then near 2^128. No
    /// balance is that far from what it should be.
    fn is_below_zero(&self, n: u128) -> bool {
        let f = self.finding;
        let far = f.stored.max(f.expected).unwrap_or(0) - f.stored.min(f.expected).unwrap_or(0) > u128::MAX >> 1;
        n > u128::MAX >> 1 && (far || f.kind == FindingKind::RecordDiffers)
    }

    fn difference(&self) -> String {
        match self.finding.difference() {
            Some((true, by)) => format!("{} too much", self.words.amount(by)),
            Some((false, by)) => format!("{} too little", self.words.amount(by)),
            None => "missing".to_owned(),
        }
    }

    /// What may be the cause of a balance that differs.
    fn why(&self) -> String {
        let f = self.finding;
        let mut text = String::new();
        if f.other_account_id != 0 {
            let cause = |(id, at): &(u128, Timestamp)| format!("{} at {}", self.words.id(*id), self.words.time(*at));
            let causes: Vec<String> = f.causes.iter().map(cause).collect();
            text = format!("; account {} differs by the same amount", self.words.id(f.other_account_id));
            if !causes.is_empty() {
                text = format!("{text}; transfers between the two: {}", causes.join(", "));
            }
        }
        if !f.detail.is_empty() {
            text = format!("{text}; {}", f.detail);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_names_what_the_finding_names() {
        for kind in FindingKind::ALL {
            let finding = Finding {
                shard: Some(3),
                account_id: 1001,
                transfer_id: 77,
                timestamp: 5,
                debit_account_id: 1001,
                credit_account_id: 1002,
                amount: 12,
                detail: "so".to_owned(),
                ..Finding::new(*kind).differs(Field::Amount, 105, 100)
            };
            let text = finding.to_string();
            assert!(text.starts_with("shard 3: "), "{text}");
            let named = text.contains("1001") || text.contains("77") || text.contains("105") || text.contains("so");
            assert!(named && !text.contains('\n') && !text.contains("  "), "{kind:?}: {text}");
        }
    }

    #[test]
    fn what_is_below_zero_is_told_so() {
        let minus = |n: u128| n.wrapping_neg();
        let finding = Finding::new(FindingKind::BalanceDiffers).account(8).differs(Field::DebitsPending, 3, minus(4));
        assert_eq!(finding.to_string(), "account 8: debits_pending is 3, but its transfers come to -4: 7 too much");
        let large =
            Finding::new(FindingKind::BalanceDiffers).account(8).differs(Field::DebitsPosted, minus(3), minus(4));
        assert!(large.to_string().contains(&format!("come to {}: 1 too much", minus(4))), "{large}");
    }

    #[test]
    fn a_balance_that_differs_is_told_with_the_difference_and_what_may_be_its_cause() {
        let finding = Finding {
            shard: Some(2),
            other_account_id: 9,
            causes: vec![(77, 5)],
            ..Finding::new(FindingKind::BalanceDiffers).account(8).differs(Field::DebitsPosted, 500, 505)
        };
        let expected = "shard 2: account 8: debits_posted is 500, but its transfers come to 505: 5 too little; account 9 \
                        differs by the same amount; transfers between the two: 77 at 5 ns";
        assert_eq!(finding.to_string(), expected);
    }
}
