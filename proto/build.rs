//! Turns the .proto files into Rust with `protox`, a protobuf compiler in Rust, so that no `protoc` has to be installed.

use prost::Message as _;
use std::path::PathBuf;

/// What clients see; also served by reflection.
const PUBLIC: &str = "crest/v1/ledger.proto";
/// What routers and nodes say to each other.
const INTERNAL: &str = "crest/internal/v1/shard.proto";
/// What nodes say to each other.
const PEERS: &str = "crest/internal/v1/peers.proto";
/// What the parts of a rehearsal say to each other.
const LOAD: &str = "crest/load/v1/agent.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is set by cargo")?);
    for file in [PUBLIC, INTERNAL, PEERS, LOAD] {
        println!("cargo::rerun-if-changed={file}");
    }

    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // Packed records of up to a mebibyte: taken out of the received buffer instead of copied.
        .bytes(".crest.internal.v1")
        .compile_fds(protox::compile([PUBLIC, INTERNAL, PEERS, LOAD], ["."])?)?;

    let mut public = protox::compile([PUBLIC], ["."])?;
    for file in &mut public.file {
        // Comments are for readers of the file; reflection has no use for them.
        file.source_code_info = None;
    }
    std::fs::write(out.join("crest.v1.descriptors"), public.encode_to_vec())?;
    Ok(())
}
