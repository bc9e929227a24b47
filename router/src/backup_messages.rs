//! A backup as messages.

use std::collections::BTreeMap;

use crest_ledger::Traffic;
use crest_ledger::txn::ShardId;
use crest_ledger::wire::backup::{BackupEnd, BackupMark, BackupSince};
use crest_proto::border::{number_from, number_to};
use crest_proto::v1;
use crest_proto::v1::backup_response::Update;
use crest_topology::SlotRange;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::audit_messages::totals_to;
use crate::backup::BackupEvent;
use crate::calls::Call;
use crate::error::RouterError;
use crate::limits;
use crate::router::Router;

/// What a request says of the backup before.
pub(crate) fn since_from(request: &v1::BackupRequest) -> Result<Option<BTreeMap<ShardId, BackupSince>>, Status> {
    if request.since == 0 {
        return match request.marks.is_empty() {
            true => Ok(None),
            false => Err(Status::invalid_argument("marks: expected none where since is 0")),
        };
    }
    let mark = |mark: &Option<v1::BackupMark>| {
        let mark = mark.unwrap_or_default();
        BackupMark { at: mark.timestamp, print: number_from(mark.print) }
    };
    let of = |marks: &v1::BackupMarks| {
        let since = BackupSince { at: request.since, account: mark(&marks.account), transfer: mark(&marks.transfer) };
        (marks.shard, since)
    };
    Ok(Some(request.marks.iter().map(of).collect()))
}

/// Backs up, and sends what is told as it comes. A client that goes away ends it.
pub(crate) fn stream(
    router: Router,
    since: Option<BTreeMap<ShardId, BackupSince>>,
    call: Call,
) -> ReceiverStream<Result<v1::BackupResponse, Status>> {
    let (updates, stream) = mpsc::channel(limits::BACKUP_PAGES_MAX);
    tokio::spawn(async move {
        let (listener, mut events) = mpsc::channel(1);
        let told = async {
            while let Some(event) = events.recv().await {
                if updates.send(Ok(v1::BackupResponse { update: Some(update(event)) })).await.is_err() {
                    return;
                }
            }
        };
        let backup = async {
            let ended = router.backup(since, &listener).await;
            drop(listener);
            ended
        };
        let both = async { tokio::join!(backup, told).0 };
        let ended = tokio::select! {
            biased;
            ended = both => ended,
            () = updates.closed() => return,
        };
        let ended = call.end(async { Ok((ended.map_err(not_backed_up)?, Traffic::Live)) }).await;
        if let Err(status) = ended {
            let _ = updates.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

fn update(event: BackupEvent) -> Update {
    match event {
        BackupEvent::Begun { at, epoch, shards, slots } => {
            let shard = |shard| v1::BackupShard { shard, slots: slots_of(shard, &slots) };
            let shards = shards.into_iter().map(shard).collect();
            Update::Begun(v1::BackupBegun { timestamp: at, epoch, shards })
        }
        BackupEvent::ShardBegun(shard, cluster) => Update::ShardBegun(v1::BackupShardBegun { shard, cluster }),
        BackupEvent::Page(shard, kind, rows, body, read) => {
            Update::Page(v1::BackupPage { shard, kind: kind as u32, rows, body, read })
        }
        BackupEvent::Changes(shard, changes) => {
            Update::Changes(v1::BackupChanges { shard, changes: changes.iter().map(totals_to).collect() })
        }
        BackupEvent::ShardEnd(shard, end) => Update::ShardEnd(end_to(shard, &end)),
    }
}

fn slots_of(shard: ShardId, slots: &[SlotRange]) -> Vec<v1::SlotRange> {
    let own = slots.iter().filter(|range| range.shard == shard);
    own.map(|range| v1::SlotRange { first: range.first.into(), last: range.last.into() }).collect()
}

fn end_to(shard: ShardId, end: &BackupEnd) -> v1::BackupShardEnd {
    let halves = end.halves.iter().map(|(payer_here, peer, count, sum)| v1::BackupHalves {
        payer_here: *payer_here == 1,
        peer: *peer,
        count: *count,
        sum: number_to(*sum),
    });
    let mark = |mark: BackupMark| Some(v1::BackupMark { timestamp: mark.at, print: number_to(mark.print) });
    v1::BackupShardEnd {
        shard,
        accounts: end.accounts,
        transfers: end.transfers,
        new_accounts: end.new_accounts,
        new_transfers: end.new_transfers,
        changes: end.changes.iter().map(totals_to).collect(),
        ledgers: end.ledgers,
        halves: halves.collect(),
        marks: Some(v1::BackupMarks { shard, account: mark(end.account), transfer: mark(end.transfer) }),
    }
}

/// A backup changes nothing in the ledger: it may be tried again.
fn not_backed_up(e: RouterError) -> Status {
    match e {
        RouterError::Invalid(why) => Status::failed_precondition(why),
        RouterError::Refused(why) => Status::resource_exhausted(format!("{why}; back up again later")),
        RouterError::Outage(why) | RouterError::Unknown(why) => Status::unavailable(format!("{why}; back up again")),
    }
}
