//! Turns our part of etcd's API into Rust with `protox`, a protobuf compiler in Rust, so that no `protoc` has to be
//! installed.

const ETCD: &str = "proto/etcd.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={ETCD}");
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(false)
        .compile_fds(protox::compile([ETCD], ["proto"])?)?;
    Ok(())
}
