//! The language of Crest: the messages and services of `crest/v1/ledger.proto` (public), `crest/internal/v1/shard.proto`
//! (between routers and nodes), `crest/internal/v1/peers.proto` (between nodes) and `crest/load/v1/agent.proto` (between the parts of a rehearsal), and the border at which messages become domain types.
//!
//! Reading order: the .proto files, then [`border`], then [`naming`].

/// The public API, generated from `crest/v1/ledger.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("crest.v1");
}

/// Between routers and nodes and between nodes, generated from `crest/internal/v1/`. It changes with every version.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod internal {
    tonic::include_proto!("crest.internal.v1");
}

/// Between the process that directs a rehearsal and its agents, generated from `crest/load/v1/agent.proto`. It changes with
/// every version.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod load {
    tonic::include_proto!("crest.load.v1");
}

pub mod border;
pub mod naming;

pub use border::FieldError;

/// The public API as an encoded `google.protobuf.FileDescriptorSet`, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/crest.v1.descriptors"));

/// Bytes of a gRPC message, encoded or decoded, on every public connection: 8,190 transfers with every field at its widest
/// are 1.5 MB, and 8,190 accounts 1.6 MB.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The metadata key of an error `UNAVAILABLE` that says, with any value, that nothing of the request was or will be applied. Whoever
/// does not look at it takes the outcome for unknown and sends again, which is right too.
pub const NOT_APPLIED: &str = "crest-not-applied";

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn reflection_describes_the_public_services_and_nothing_internal() {
        let text = String::from_utf8_lossy(FILE_DESCRIPTOR_SET);
        assert!(text.contains("crest/v1/ledger.proto") && text.contains("CreateTransfers") && text.contains("Audit"));
        assert!(!text.contains("crest.internal"));
    }

    #[test]
    fn a_full_batch_at_its_widest_fits_one_message() {
        let wide = Some(v1::Uint128 { high: u64::MAX, low: u64::MAX });
        let flags = v1::TransferFlags {
            linked: true,
            pending: true,
            post_pending_transfer: true,
            void_pending_transfer: true,
            balancing_debit: true,
            balancing_credit: true,
            closing_debit: true,
            closing_credit: true,
            imported: true,
        };
        let transfer = v1::Transfer {
            id: wide,
            debit_account_id: wide,
            credit_account_id: wide,
            amount: wide,
            pending_id: wide,
            user_data_128: wide,
            user_data_64: u64::MAX,
            user_data_32: u32::MAX,
            timeout: u32::MAX,
            ledger: u32::MAX,
            code: u32::MAX,
            flags: Some(flags),
            timestamp: u64::MAX,
        };
        let count = crest_ledger::limits::BATCH_EVENTS_MAX;
        let request = v1::CreateTransfersRequest { transfers: vec![transfer; count], independent: true };
        assert!(request.encoded_len() < MESSAGE_BYTES_MAX / 2, "{}", request.encoded_len());
    }
}
