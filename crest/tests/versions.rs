//! Another version is refused by name, wherever it shows itself: between nodes, between routers and nodes, in a data folder.

mod processes;

use std::path::Path;

use crest_ledger::wire::{Query, Request};
use crest_node::peers::VERSION;
use crest_node::store::rocks::Rocks;
use crest_node::store::rows::{Rows as _, Storage as _};
use crest_node::store::{FORMAT_VERSION, keys};
use crest_proto::internal as wire;
use crest_proto::internal::peers_client::PeersClient;
use crest_proto::internal::shard_client::ShardClient;
use processes::{CLUSTER, ClusterFiles, borrowed, channel, refused};
use tokio_stream::iter;

/// The command could not run.
const FAILED: i32 = 3;

#[tokio::test]
async fn a_node_of_another_version_or_cluster_is_refused() {
    let files = ClusterFiles::new(1);
    let node = files.node(0);
    let peers = PeersClient::new(channel(node.address));
    let speaks = format!("speaks version {VERSION}");
    let newer = format!("the sender {}", VERSION + 1);
    let rows: [(u32, &str, &[&str]); 3] = [
        (VERSION + 1, CLUSTER, &[&speaks, &newer]),
        (0, CLUSTER, &[&speaks, "the sender 0"]),
        (VERSION, "other", &["belongs to the cluster \"test\"", "the sender to \"other\""]),
    ];
    for (version, cluster, words) in rows {
        let what = Some(wire::peer_question::What::Describe(wire::Describe {}));
        let question = wire::PeerQuestion { version, cluster: cluster.to_owned(), shard: 0, what };
        let asked = peers.clone().ask(question).await.map(|_| ());
        let hello = wire::PeerHello { version, cluster: cluster.to_owned(), node: 2 };
        let hello = wire::PeerMessage { what: Some(wire::peer_message::What::Hello(hello)) };
        let delivered = peers.clone().deliver(iter([hello])).await.map(|_| ());
        for (what, answer) in [("a question", asked), ("a stream", delivered)] {
            let error = answer.expect_err(what);
            assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{what}: {error:?}");
            words.iter().for_each(|word| assert!(error.message().contains(word), "{what}: no '{word}' in {error:?}"));
        }
    }
    let rude = wire::PeerMessage { what: Some(wire::peer_message::What::Raft(wire::RaftMessage::default())) };
    let error = peers.clone().deliver(iter([rude])).await.expect_err("no hello");
    assert!(error.message().contains("hello"), "{error:?}");
    node.stop();
}

#[tokio::test]
async fn a_router_of_another_version_is_refused() {
    let files = ClusterFiles::new(1);
    let node = files.node(0);
    let mut shard = ShardClient::new(channel(node.address));
    let mut body = Request::Query(Query::Status).pack();
    let good = body.clone();
    body[0] += 1;
    for (body, word) in [(body, "its version is not 1"), (good, "")] {
        let request = wire::ShardRequest { correlation: 7, epoch: 1, body: body.into(), ..Default::default() };
        let mut answers = shard.exchange(iter([request])).await.expect("a stream").into_inner();
        let answer = answers.message().await.expect("an answer").expect("one answer");
        assert_eq!((answer.correlation, answer.error_code == 0), (7, word.is_empty()), "{answer:?}");
        assert!(answer.error.contains(word), "{answer:?}");
    }
    node.stop();
}

/// Writes the version into a store, in the row that says whose it is.
fn set_store_version(replica: &Path, version: u32) {
    let store = Rocks::open(&replica.join("store"), replica).expect("nobody else has it open");
    let key = keys::meta("identity");
    let found = String::from_utf8(store.get(&key).expect("it can be read").expect("it is there")).expect("a text");
    let (_, rest) = found.split_once(' ').expect("the version comes first");
    store.put(&key, format!("format={version} {rest}").as_bytes()).expect("it can be written");
}

/// Writes the version in the head of a log segment, with a checksum that fits.
fn set_log_version(segment: &Path, version: u32) {
    let mut bytes = std::fs::read(segment).expect("it is there");
    bytes[12..16].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[12..4_096]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(segment, bytes).expect("it can be written");
}

#[test]
fn a_data_folder_of_another_version_is_refused_by_name() {
    let files = ClusterFiles::new(1);
    files.node(0).stop();
    let replica = files.replica_dir(0, 0);
    let refuse = |words: &[&str]| {
        let arguments = [files.node_arguments(0), vec!["--metrics".to_owned(), "off".to_owned()]].concat();
        refused(&borrowed(&arguments), FAILED, words);
    };
    // The node's folder.
    let claim = files.data_dir(0).join("node");
    let text = std::fs::read_to_string(&claim).expect("it is there");
    std::fs::write(&claim, text.replace("format=1", "format=2")).expect("it can be written");
    refuse(&["[format=2 cluster=test node=1]", "[format=1 cluster=test node=1]"]);
    std::fs::write(&claim, text).expect("it can be written");
    // A replica's store.
    set_store_version(&replica, FORMAT_VERSION + 1);
    refuse(&["cannot open shard 0", &format!("format={}", FORMAT_VERSION + 1), &format!("format={FORMAT_VERSION}")]);
    set_store_version(&replica, FORMAT_VERSION);
    // A replica's log.
    let segment = std::fs::read_dir(replica.join("log")).expect("a folder").map(|file| file.expect("a file").path());
    let segment = segment.filter(|path| path.display().to_string().contains("segment-")).min().expect("a segment");
    set_log_version(&segment, 9);
    refuse(&["cannot open shard 0", "segment-", "format 9"]);
    set_log_version(&segment, 1);
    files.node(0).stop();
}
