//! Why a request got no answer.

use crest_link::LinkError;
use tonic::Status;
use tonic::metadata::MetadataValue;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterError {
    /// The request is not one that the ledger can work on. Nothing was applied; the same request never will be.
    Invalid(String),
    /// For want of room: this router or a shard has more to do than it can. Nothing of the request was or will be applied.
    Refused(String),
    /// An outage: a shard is not reached, has no leader, or cannot take part. Nothing of the request was or will be applied.
    Outage(String),
    /// Some of it may have been applied; the same request again settles it.
    Unknown(String),
}

impl From<LinkError> for RouterError {
    fn from(e: LinkError) -> Self {
        match e {
            LinkError::Refused { .. } => Self::Refused(e.to_string()),
            LinkError::NotLeader { .. } | LinkError::Unreachable { .. } | LinkError::CannotTakePart { .. } => {
                Self::Outage(e.to_string())
            }
            LinkError::Unknown { .. } => Self::Unknown(e.to_string()),
        }
    }
}

impl RouterError {
    /// The same, once something of the request has been sent to some shard.
    pub(crate) fn after_sending(self) -> Self {
        match self {
            Self::Invalid(why) | Self::Refused(why) | Self::Outage(why) | Self::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl From<RouterError> for Status {
    fn from(e: RouterError) -> Self {
        match e {
            RouterError::Invalid(why) => Self::invalid_argument(why),
            RouterError::Refused(why) => Self::resource_exhausted(format!("{why}; nothing was applied, try again")),
            RouterError::Outage(why) => {
                let mut status = Self::unavailable(format!("{why}; nothing was applied, try again"));
                status.metadata_mut().insert(crest_proto::NOT_APPLIED, MetadataValue::from_static("1"));
                status
            }
            RouterError::Unknown(why) => Self::unavailable(format!(
                "{why}; the outcome is unknown: send the same request with the same ids again, and it settles"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn an_outage_is_never_called_busy_and_names_its_shard() {
        let why = || "x".to_owned();
        for (error, code, text) in [
            (LinkError::Refused { shard: 3, why: why() }, Code::ResourceExhausted, "shard 3 takes no more requests"),
            (LinkError::Unreachable { shard: 3, why: why() }, Code::Unavailable, "shard 3 can't be reached"),
            (LinkError::NotLeader { shard: 3, leader: None }, Code::Unavailable, "shard 3: no leader is known"),
            (LinkError::CannotTakePart { shard: 3, why: why() }, Code::Unavailable, "shard 3 cannot take part: x"),
            (LinkError::Unknown { shard: 3, why: why() }, Code::Unavailable, "no answer from shard 3"),
        ] {
            let (nothing_applied, status) =
                (!matches!(error, LinkError::Unknown { .. }), Status::from(RouterError::from(error)));
            assert_eq!(status.code(), code, "{status:?}");
            assert!(status.message().contains(text), "{status:?}");
            assert_eq!(status.message().contains("nothing was applied"), nothing_applied, "{status:?}");
            let marked = status.metadata().contains_key(crest_proto::NOT_APPLIED);
            assert_eq!(marked, nothing_applied && code == Code::Unavailable, "{status:?}");
        }
    }
}
