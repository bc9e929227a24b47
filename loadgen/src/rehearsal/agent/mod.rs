//! Several machines that send as one. The one that directs gives every agent the scenario and its number; each works out its
//! own lanes from that, sends, and tells every request that has ended, so that the histograms of all are one, exactly.

mod messages;
mod service;
mod remote;

pub(crate) use remote::{AGENTS_MAX, Remote};
pub use service::AgentArgs;
pub(crate) use service::serve;
#[cfg(test)]
pub(crate) use service::serve_on;
