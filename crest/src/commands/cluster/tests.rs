//! The commands over a file, which is as good a store as any; `crest/tests/cluster_map.rs` plays them over etcd.

use super::execute;
use crate::commands::{Command, outcome};
use clap::Parser;
use crest_topology::Cluster;
use serde_json::Value;
use std::path::Path;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Runs `crest cluster` with these words: what it printed, what it said of an error, and its exit code.
async fn crest(words: &[&str]) -> (String, String, u8) {
    let cli = Cli::try_parse_from(["crest", "cluster"].iter().chain(words)).map_err(|error| error.to_string());
    let Command::Cluster(args) = cli.unwrap().command else { panic!("{words:?} is another command") };
    let (out, error, code) = outcome::render(&execute(&args).await, args.json());
    (out, error.unwrap_or_default(), code)
}

const FILE: &str = "cluster = \"demo\"\nepoch = 2\n[[node]]\nid = 1\naddress = \"a:1\"\n[[node]]\nid = 2\naddress = \"b:1\"\n\
    [[shard]]\nid = 0\nreplicas = [2]\n[[shard]]\nid = 5\nreplicas = [1]\n";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_first_map_is_put_there_once_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (file, store, other) =
        (dir.path().join("file.toml"), dir.path().join("store.toml"), dir.path().join("other.toml"));
    std::fs::write(&file, FILE).unwrap();
    std::fs::write(&other, FILE.replace("b:1", "c:1")).unwrap();
    let (out, error, code) = crest(&["show", "--cluster", text(&store)]).await;
    assert_eq!((out.as_str(), code), ("", 1), "{error}");
    assert!(error.contains("store.toml") && error.contains("No such file"), "{error}");

    let (out, _, code) = crest(&["init", text(&file), "--cluster", text(&store)]).await;
    assert_eq!(code, 0);
    assert!(out.contains("cluster demo now: version 1, epoch 2, nodes: 2, shards: 2"), "{out}");
    let (out, _, code) = crest(&["init", text(&file), "--cluster", text(&store), "--json"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((json["outcome"].as_str(), code), (Some("exists"), 0), "saying it again does no harm");
    let (_, error, code) = crest(&["init", text(&other), "--cluster", text(&store)]).await;
    assert_eq!(code, 1);
    assert!(error.contains("has version 1 of the map of cluster demo already"), "{error}");

    let (out, _, code) = crest(&["show", "--cluster", text(&store)]).await;
    assert_eq!((Cluster::parse(&out).unwrap(), code), (Cluster::parse(FILE).unwrap(), 0));
    let (out, _, _) = crest(&["show", "--cluster", text(&store), "--json"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["cluster"], &json["version"], &json["epoch"]), (&"demo".into(), &"1".into(), &"2".into()));
    assert_eq!(json["nodes"][1], serde_json::json!({ "node": 2, "address": "b:1", "shards": [0] }));
    let slots = serde_json::json!([{ "first": 8_192, "last": 16_383 }]);
    assert_eq!(json["shards"][1], serde_json::json!({ "shard": 5, "replicas": [1], "slots": slots, "founded": false }));
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.toml"), dir.path().join("bad.toml"));
    std::fs::write(&good, FILE).unwrap();
    std::fs::write(&bad, FILE.replace("id = 5", "id = 0")).unwrap();
    let nowhere = dir.path().join("nowhere.toml");
    // Nobody listens on port 1, and the name is checked before anybody is asked.
    for (words, code, part) in [
        (["init", text(&nowhere), "--cluster", "etcd://127.0.0.1:1/demo"], 2, "nowhere.toml: No such file"),
        (["init", text(&bad), "--cluster", "etcd://127.0.0.1:1/demo"], 2, "bad.toml: cluster file, shard[1].id"),
        (["init", text(&good), "--cluster", "etcd://127.0.0.1:1/demo"], 3, "127.0.0.1:1"),
        (["init", text(&good), "--cluster", text(&bad)], 1, "shard[1].id"),
        (["show", "--cluster", text(&bad), "--json"], 1, "shard[1].id"),
        (["show", "--cluster", "etcd://127.0.0.1:1/demo", "--json"], 3, "does not answer"),
    ] {
        let (_, error, found) = crest(&words).await;
        assert_eq!(found, code, "{words:?}: {error}");
        assert!(error.contains(part), "{words:?}: {error:?} names {part:?}");
    }
    let refused = Cli::try_parse_from(["crest", "cluster", "show", "--cluster", "http://a:1/x"]).err().unwrap();
    assert!(refused.to_string().contains("etcd://host:port"), "{refused}");
}
