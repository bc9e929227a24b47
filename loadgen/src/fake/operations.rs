//! What operators ask.

use std::collections::HashMap;

use crest_proto::border::number_to;
use crest_proto::v1;
use crest_proto::v1::operations_server::Operations;
use crest_proto::v1::watch_audit_response::Update;
use crest_topology::SlotMap;
use tonic::{Request, Response, Status};

use super::service::Answer;
use super::{Fake, State};

/// Shards that it claims to have.
const SHARDS: u32 = 4;

fn finding(text: &str) -> v1::AuditFinding {
    v1::AuditFinding { text: text.to_owned(), ..Default::default() }
}

impl State {
    fn audit(&mut self) -> v1::AuditResponse {
        let mut totals: HashMap<u32, (u128, u128, u64)> = HashMap::new();
        for account in self.accounts.values() {
            let total = totals.entry(account.ledger).or_default();
            total.0 += account.debits_posted;
            total.1 += account.credits_posted;
            total.2 += 1;
        }
        let totals = totals.into_iter().map(|(ledger, (debits, credits, accounts))| v1::LedgerTotals {
            ledger,
            debits_posted: number_to(debits),
            credits_posted: number_to(credits),
            accounts,
            ..Default::default()
        });
        v1::AuditResponse {
            holds: self.findings.is_empty(),
            totals: totals.collect(),
            totals_left_out: 0,
            accounts: self.accounts.len() as u64,
            transfers: self.transfers.len() as u64,
            cross_shard_transfers: 0,
            findings: self.findings.iter().map(|text| finding(text)).collect(),
            findings_left_out: 0,
            rows: 0,
            timestamp: self.now(),
        }
    }
}

#[tonic::async_trait]
impl Operations for Fake {
    async fn audit(&self, _: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        Ok(Response::new(self.state().audit()))
    }

    type WatchAuditStream = tokio_stream::Iter<<Vec<Result<v1::WatchAuditResponse, Status>> as IntoIterator>::IntoIter>;

    async fn watch_audit(&self, _: Request<v1::AuditRequest>) -> Answer<Self::WatchAuditStream> {
        let progress = Update::Progress(v1::AuditProgress { rows: 1, rows_expected: 2, ..Default::default() });
        let updates = [progress, Update::Response(self.state().audit())];
        let updates = updates.map(|update| Ok(v1::WatchAuditResponse { update: Some(update) }));
        Ok(Response::new(tokio_stream::iter(updates.into_iter().collect::<Vec<_>>())))
    }

    type BackupStream = tokio_stream::Empty<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Answer<Self::BackupStream> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let transfers = self.state().transfers.len() as u64;
        let map = SlotMap::even(&(0..SHARDS).collect::<Vec<_>>()).map_err(|e| Status::internal(e.to_string()))?;
        let shard = |shard| {
            let own = map.ranges().into_iter().filter(|range| range.shard == shard);
            let slots = own.map(|range| v1::SlotRange { first: range.first.into(), last: range.last.into() }).collect();
            v1::ShardStatus { shard, reachable: true, transfers, slots, ..Default::default() }
        };
        Ok(Response::new(v1::StatusResponse { epoch: map.epoch(), shards: (0..SHARDS).map(shard).collect() }))
    }

    async fn list_in_doubt(&self, _: Request<v1::ListInDoubtRequest>) -> Answer<v1::ListInDoubtResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn align_shard_times(&self, _: Request<v1::AlignShardTimesRequest>) -> Answer<v1::AlignShardTimesResponse> {
        Err(Status::unimplemented("the times of no shards"))
    }

    async fn resolve(&self, _: Request<v1::ResolveRequest>) -> Answer<v1::ResolveResponse> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn list_resolutions(&self, _: Request<v1::ListResolutionsRequest>) -> Answer<v1::ListResolutionsResponse> {
        Err(Status::unimplemented("not in the fake"))
    }
}
