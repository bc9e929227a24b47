//! An audit as messages.

use crest_ledger::Traffic;
use crest_ledger::wire::audit::LedgerSums;
use crest_proto::v1::watch_audit_response::Update;
use crest_proto::{border, v1};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::audit::Audit;
use crate::audit::progress::{Progress, Stage};
use crate::calls::Call;
use crate::error::RouterError;
use crate::limits;
use crate::router::Router;

type Updates = mpsc::Sender<Result<v1::WatchAuditResponse, Status>>;

/// The answer to `Audit`.
pub(crate) fn audit(audited: Result<Audit, RouterError>) -> Result<v1::AuditResponse, Status> {
    audited.map(audit_to).map_err(not_audited)
}

/// Audits, and sends on the way how far it is. A client that goes away ends it.
pub(crate) fn stream(router: Router, call: Call) -> ReceiverStream<Result<v1::WatchAuditResponse, Status>> {
    let (updates, stream) = mpsc::channel(limits::AUDIT_UPDATES_MAX);
    tokio::spawn(async move {
        let ended = tokio::select! {
            biased;
            ended = watch_audit(&router, &updates) => ended,
            () = updates.closed() => return,
        };
        let update = call.end(async { Ok((audit(ended)?, Traffic::Live)) }).await;
        let _ = updates.send(update.map(|r| update_to(Update::Response(r.into_inner())))).await;
    });
    ReceiverStream::new(stream)
}

/// A client that does not read what comes misses some of the progress, and none of the sums: the audit waits for it with those.
async fn watch_audit(router: &Router, updates: &Updates) -> Result<Audit, RouterError> {
    let (tell, mut seen) = watch::channel(Progress::default());
    let (more, mut sums) = mpsc::channel(1);
    let ended = {
        let mut audit = std::pin::pin!(router.audit_watched(Some(&tell), Some(&more)));
        loop {
            tokio::select! {
                biased;
                ended = &mut audit => break ended,
                Some(sums) = sums.recv() => send_totals(updates, &sums).await,
                _ = seen.changed() => {
                    let progress = progress_to(*seen.borrow_and_update());
                    let _ = updates.try_send(Ok(update_to(Update::Progress(progress))));
                }
            }
        }
    };
    while let Ok(sums) = sums.try_recv() {
        send_totals(updates, &sums).await;
    }
    ended
}

/// A client that has gone away is noticed by whoever waits for the end.
async fn send_totals(updates: &Updates, sums: &[LedgerSums]) {
    let totals = v1::AuditTotals { totals: sums.iter().map(totals_to).collect() };
    let _ = updates.send(Ok(update_to(Update::Totals(totals)))).await;
}

fn update_to(update: Update) -> v1::WatchAuditResponse {
    v1::WatchAuditResponse { update: Some(update) }
}

/// The sums of one ledger number.
pub(crate) fn totals_to((ledger, [dp, dpo, cp, cpo], accounts): &LedgerSums) -> v1::LedgerTotals {
    v1::LedgerTotals {
        ledger: *ledger,
        debits_pending: border::number_to(*dp),
        credits_pending: border::number_to(*cp),
        debits_posted: border::number_to(*dpo),
        credits_posted: border::number_to(*cpo),
        accounts: *accounts,
    }
}

fn audit_to(audit: Audit) -> v1::AuditResponse {
    v1::AuditResponse {
        holds: audit.findings.is_empty(),
        timestamp: audit.at,
        accounts: audit.accounts,
        transfers: audit.transfers,
        cross_shard_transfers: audit.cross_shard,
        totals: audit.totals.iter().map(totals_to).collect(),
        totals_left_out: audit.totals_left_out,
        findings: audit.findings.iter().map(border::finding_to).collect(),
        findings_left_out: audit.left_out,
        rows: audit.rows,
    }
}

fn progress_to(progress: Progress) -> v1::AuditProgress {
    let stage = match progress.stage {
        Stage::Waiting => v1::AuditStage::Waiting,
        Stage::Reading => v1::AuditStage::Reading,
        Stage::Naming => v1::AuditStage::Naming,
        Stage::Pairing => v1::AuditStage::Pairing,
    };
    let Progress { shards, shards_done, rows, rows_expected, .. } = progress;
    v1::AuditProgress { stage: stage.into(), shards, shards_done, rows, rows_expected }
}

/// An audit changes nothing: there is nothing that could be unknown, and it may be tried again.
fn not_audited(e: RouterError) -> Status {
    match e {
        RouterError::Invalid(why) => Status::invalid_argument(why),
        RouterError::Refused(why) => Status::resource_exhausted(format!("{why}; nothing is proved, audit again later")),
        RouterError::Outage(why) | RouterError::Unknown(why) => {
            Status::unavailable(format!("{why}; nothing is proved, audit again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crest_ledger::finding::{CAUSES_MAX, Field, Finding, FindingKind};
    use crest_ledger::wire::audit::{DETAIL_BYTES_MAX, FINDINGS_MAX, TOTALS_MAX};
    use prost::Message;

    #[test]
    fn the_longest_messages_of_an_audit_are_far_below_what_a_client_takes() {
        let sums = (u32::MAX, [u128::MAX; 4], u64::MAX);
        let id = u128::MAX;
        let finding = Finding {
            shard: Some(u32::MAX),
            other_shard: Some(u32::MAX),
            ledger: u32::MAX,
            account_id: id,
            transfer_id: id,
            timestamp: u64::MAX,
            debit_account_id: id,
            credit_account_id: id,
            amount: id,
            other_transfer_id: id,
            other_timestamp: u64::MAX,
            other_account_id: id,
            causes: vec![(id, u64::MAX); CAUSES_MAX],
            detail: "x".repeat(DETAIL_BYTES_MAX),
            ..Finding::new(FindingKind::BalanceDiffers).differs(Field::RehearsalTransfers, u128::MAX, u128::MAX)
        };
        let findings = vec![finding; FINDINGS_MAX];
        let longest = Audit { totals: vec![sums; TOTALS_MAX], findings, left_out: u64::MAX, ..Audit::default() };
        for update in [
            Update::Response(audit_to(longest)),
            Update::Totals(v1::AuditTotals { totals: vec![totals_to(&sums); TOTALS_MAX] }),
        ] {
            let bytes = update_to(update).encoded_len();
            assert!(bytes < limits::MESSAGE_BYTES_MAX / 4, "{bytes} bytes");
        }
    }
}
