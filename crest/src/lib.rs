//! The parts of the binary `crest`: what serves ([`serve`]) and what people type ([`commands`]).

pub mod serve;
mod backup;
pub mod commands;
