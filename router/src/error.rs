//! Why a request got no answer.

use crest_link::LinkError;
use tonic::Status;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterError {
    /// The request is not one that the ledger can work on. Nothing was applied; the same request never will be.
    Invalid(String),
    /// Nothing of the request was or will be applied.
    Refused(String),
    /// Some of it may have been applied; the same request again settles it.
    Unknown(String),
}

impl From<LinkError> for RouterError {
    fn from(e: LinkError) -> Self {
        match e {
            LinkError::Refused { .. } | LinkError::NotLeader { .. } | LinkError::Unreachable { .. } => {
                Self::Refused(e.to_string())
            }
            LinkError::Unknown { .. } => Self::Unknown(e.to_string()),
        }
    }
}

impl RouterError {
    /// The same, once something of the request has been sent to some shard.
    pub(crate) fn after_sending(self) -> Self {
        match self {
            Self::Invalid(why) | Self::Refused(why) | Self::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl From<RouterError> for Status {
    fn from(e: RouterError) -> Self {
        match e {
            RouterError::Invalid(why) => Self::invalid_argument(why),
            RouterError::Refused(why) => Self::resource_exhausted(format!("{why}; nothing was applied, try again")),
            RouterError::Unknown(why) => Self::unavailable(format!(
                "{why}; the outcome is unknown: send the same request with the same ids again, and it settles"
            )),
        }
    }
}
