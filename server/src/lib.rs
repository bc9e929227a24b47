//! What stands around every gRPC service of Crest, so that no client can exhaust the process: bounds on connections, on the bytes
//! of requests and answers under way, and on the time that a half-open connection or an unread answer is kept.
//!
//! Reading order: [`limits`], then [`budget`] (bytes that are charged and given back), [`connection`] and [`accept`] (the
//! transport's side), [`method`] (what a method may cost), `scan` and `frames` (which count a message before it is decoded),
//! `request` and `answer` (the bodies of both directions), and [`guard`], which puts them together.

pub mod limits;
pub mod budget;
pub mod connection;
pub mod accept;
pub mod method;
mod scan;
mod frames;
pub mod request;
mod answer;
pub mod guard;
