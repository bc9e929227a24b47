//! The two-phase commit of docs/PROTOCOL.md as a model, for a checker to explore every order in which things can happen.
//!
//! It is an independent statement of the protocol: it shares no code with the ledger, only the names of its verbs. What the
//! model leaves out, and why that is sound, stands in docs/PROTOCOL.md.
//!
//! ```text
//! cargo test -p crest-protocol                          the sizes of every build, and each seeded mistake
//! cargo run -p crest-protocol --example explore -- --help
//! ```
//!
//! In reading order: `names` of the parts · `world` what a run is about · `scenarios` the worlds that are checked · `mistake`
//! what can be built in wrong · `network` the messages · `shard` a shard's state and its checks · `verbs` what it does when a
//! message comes · `router` · `recovery` what shards do by themselves · `state` all of it at one moment · `model` every next
//! step · `properties` what must hold · `check` running it.

pub mod names;
pub mod world;
pub mod scenarios;
pub mod mistake;
pub mod network;
pub mod shard;
mod verbs;
pub mod router;
mod recovery;
pub mod state;
pub mod model;
pub mod properties;
pub mod check;
