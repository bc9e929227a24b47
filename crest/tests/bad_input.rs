//! Whatever is wrong in a flag, a file, a folder or the way to a shard is refused with its place. For requests, see
//! `bad_requests.rs`; for damaged data and failing disks, `bad_disk.rs`.

mod processes;
mod requests;

use std::time::{Duration, Instant};

use crest_proto::border::ids_to;
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use crest_topology::SlotMap;
use processes::{ANY, CLUSTER, ClusterFiles, Server, folder, free_addresses, refused, status_until, text};
use requests::{Sender, still_serves, transfer};
use tonic::Code;

/// The command line contradicts itself: clap's exit code.
const USAGE: i32 = 2;
/// The command could not run.
const FAILED: i32 = 3;

#[test]
fn a_wrong_flag_is_named() {
    refused(&["dev", "--shards", "0"], USAGE, &["--shards", "0"]);
    refused(&["dev", "--shards", "1024"], USAGE, &["--shards", "1024"]);
    refused(&["dev", "--shards", "many"], USAGE, &["--shards", "many"]);
    refused(&["dev", "--colour", "red"], USAGE, &["--colour"]);
    refused(&["dev", "--listen", "7000"], USAGE, &["--listen", "7000"]);
    refused(&["dev", "--metrics", "somewhere"], USAGE, &["--metrics", "somewhere", "'off'"]);
    refused(&["node"], USAGE, &["--cluster", "--node", "--data-dir"]);
    refused(&["node", "--cluster", "x.toml", "--shard", "-1", "--data-dir", "x"], USAGE, &["-1"]);
    refused(&["router"], USAGE, &["--cluster"]);
    refused(&["ruoter"], USAGE, &["ruoter", "router"]);
    refused(&[], USAGE, &["dev", "node", "router"]);
}

#[test]
fn a_number_that_no_rehearsal_has_is_refused_with_its_bounds() {
    for scale in ["1e300", "inf", "nan", "-1", "0", "1e-300", "10001"] {
        let words = ["--scale", scale, "expected a number from 0.0001 to 10,000"];
        let scale = format!("--scale={scale}");
        refused(&["load", "run", "smoke", &scale], USAGE, &words[1..]);
        refused(&["load", "scenario", "check", "smoke", &scale], USAGE, &words);
    }
    for speed in ["1e300", "inf", "nan", "-1", "0", "1e-300"] {
        let speed_flag = format!("--speed={speed}");
        refused(&["load", "run", "replay", &speed_flag], USAGE, &["--speed", "expected a number from 0.001 to"]);
    }
    for time in ["1e300s", "99999999999999999999h", "-1s", "nan", "inf", "1e400"] {
        refused(&["load", "peak", &format!("--timeout={time}")], USAGE, &["--timeout"]);
        refused(&["load", "replay", "x.csv", &format!("--retry-for={time}")], USAGE, &["--retry-for"]);
    }
}

#[test]
fn a_wrong_cluster_file_is_named_with_the_place_in_it() {
    let files = ClusterFiles::new(2);
    let valid = files.toml();
    #[track_caller]
    fn check(files: &ClusterFiles, file: &str, words: &[&str]) {
        let path = files.path(file);
        let data = files.data_dir(0);
        let words = [&[text(&path)][..], words].concat();
        let node = ["node", "--cluster", text(&path), "--shard", "0", "--data-dir", text(&data), "--metrics", "off"];
        refused(&node, FAILED, &words);
        refused(&["router", "--cluster", text(&path), "--listen", ANY, "--metrics", "off"], FAILED, &words);
        assert!(!data.exists(), "nothing is made before the cluster file is right");
    }
    check(&files, "nowhere.toml", &["cannot read the cluster file", "No such file"]);
    files.write("syntax.toml", "cluster = \"test\"\nepoch = = 1\n");
    check(&files, "syntax.toml", &["line 2", "epoch = = 1"]);
    files.write("unknown.toml", &format!("colour = \"red\"\n{valid}"));
    check(&files, "unknown.toml", &["line 1", "colour"]);
    files.write("epoch.toml", &valid.replace("epoch = 1", "epoch = 0"));
    check(&files, "epoch.toml", &["epoch", "expected 1 or more"]);
    files.write("twice.toml", &valid.replace("id = 1", "id = 0"));
    check(&files, "twice.toml", &["shard[1].id", "shard[0]"]);
    files.write("address.toml", &valid.replacen("address = \"127.0.0.1:", "address = \"http://", 1));
    check(&files, "address.toml", &["shard[0].address", "host:port"]);
    files.write("empty.toml", "");
    check(&files, "empty.toml", &["cluster", "is missing"]);
}

#[test]
fn an_error_says_each_thing_once() {
    let files = ClusterFiles::new(1);
    let path = files.path("nowhere.toml");
    let ended = processes::run(&["router", "--cluster", text(&path), "--metrics", "off"], Duration::from_secs(30));
    assert_eq!(ended.stderr.matches("No such file").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_shard_that_the_cluster_does_not_have_is_refused() {
    let files = ClusterFiles::new(2);
    let (path, data) = (files.path("cluster.toml"), files.data_dir(7));
    let node = ["node", "--cluster", text(&path), "--shard", "7", "--data-dir", text(&data), "--metrics", "off"];
    refused(&node, FAILED, &["--shard 7", "shards 0, 1", text(&path)]);
}

#[tokio::test]
async fn a_data_folder_is_opened_once_and_only_as_what_it_is() {
    let data = folder();
    let path = text(data.path());
    let dev =
        |shards: &'static str| ["dev", "--shards", shards, "--data-dir", path, "--listen", ANY, "--metrics", "off"];
    let server = Server::dev(2, data.path());
    refused(&dev("2"), FAILED, &["shard-0", path, "in use by another process", "give another folder"]);
    still_serves(&server).await;
    server.stop();
    refused(&dev("3"), FAILED, &["shard-0", path, "shard=0 of 2", "shard=0 of 3", "give the right folder"]);
    refused(&dev("1"), FAILED, &["shard=0 of 2", "shard=0 of 1"]);

    let files = ClusterFiles::new(2);
    files.node(0).stop();
    let (file, data) = (files.path("cluster.toml"), files.data_dir(0));
    let node = ["node", "--cluster", text(&file), "--shard", "1", "--data-dir", text(&data), "--metrics", "off"];
    refused(&node, FAILED, &[text(&data), "cluster=test node=1", "cluster=test node=2"]);
    let other = files.write("other.toml", &files.toml().replace(CLUSTER, "other"));
    let node = ["node", "--cluster", text(&other), "--shard", "0", "--data-dir", text(&data), "--metrics", "off"];
    refused(&node, FAILED, &[text(&data), "cluster=test node=1", "cluster=other node=1"]);
    // A shard's folder that was put into another node's says itself whose it is.
    let moved = files.data_dir(1);
    std::fs::create_dir(&moved).expect("it can be made");
    std::fs::rename(files.replica_dir(0, 0), moved.join("shard-1")).expect("it can be moved");
    let node = ["node", "--cluster", text(&file), "--shard", "1", "--data-dir", text(&moved), "--metrics", "off"];
    refused(&node, FAILED, &[text(&moved), "node 1's, and this is node 2"]);
    std::fs::rename(moved.join("shard-1"), files.replica_dir(0, 0)).expect("it can be moved back");

    let file = files.write("file", "no folder");
    let dev = ["dev", "--data-dir", text(&file), "--listen", ANY, "--metrics", "off"];
    refused(&dev, FAILED, &[text(&file), "cannot make the data folder"]);
    files.node(0).stop();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind(ANY).expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let data = folder();
    let dev = ["dev", "--shards", "1", "--data-dir", text(data.path()), "--listen", &address, "--metrics", "off"];
    refused(&dev, FAILED, &[&address, "cannot listen on", "--listen"]);
    let dev = ["dev", "--shards", "1", "--data-dir", text(data.path()), "--listen", ANY, "--metrics", &address];
    refused(&dev, FAILED, &[&address, "cannot serve metrics on", "--metrics"]);
    let files = ClusterFiles::new(1);
    let file = files.path("cluster.toml");
    refused(
        &["router", "--cluster", text(&file), "--listen", &address, "--metrics", "off"],
        FAILED,
        &[&address, "cannot listen on"],
    );
    let data = files.data_dir(0);
    let node = ["node", "--cluster", text(&file), "--shard", "0", "--data-dir", text(&data), "--metrics", "off"];
    let taken = std::net::TcpListener::bind(files.nodes[0]).expect("it was free");
    refused(&node, FAILED, &[&files.nodes[0].to_string(), "cannot listen on"]);
    drop(taken);
    // What was refused left nothing behind that is in the way.
    files.node(0).stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_down_is_named_and_comes_back() {
    let files = ClusterFiles::new(2);
    let mut nodes = vec![files.node(0), files.node(1)];
    let router = files.router(free_addresses(1)[0]);
    let map = SlotMap::even(&[0, 1]).expect("a map");
    let on = |shard: u32| (1_u128..).filter(|id| map.shard_of(*id) == shard).take(2).collect::<Vec<_>>();
    let (here, there) = (on(0), on(1));
    let mut sender = Sender::new(&router);
    sender.opens(&[here.clone(), there.clone()].concat()).await;
    nodes.remove(1).kill();

    let crossing = transfer(100, here[0], there[0]);
    for (what, payment) in [("between shards", crossing), ("on it", transfer(101, there[0], there[1]))] {
        let begun = Instant::now();
        let error = sender.sends(vec![payment]).await.expect_err("shard 1 is down");
        assert!(matches!(error.code(), Code::Unavailable | Code::ResourceExhausted), "{what}: {error:?}");
        assert!(error.message().contains("shard 1"), "{what}: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{what}: {:?}", begun.elapsed());
    }
    let error = sender.ledger.lookup_accounts(v1::LookupAccountsRequest { ids: ids_to(&there), read: None }).await;
    assert!(error.is_err_and(|e| e.message().contains("shard 1")));
    let local = sender.sends(vec![transfer(102, here[0], here[1])]).await.expect("shard 0 is up");
    assert_eq!(local, [Status::Created], "who has nothing to do with the shard that is down goes on");
    let status = router.operations().status(v1::StatusRequest {}).await.expect("a status").into_inner();
    assert!(status.shards[0].reachable && status.shards[0].error.is_empty());
    assert!(!status.shards[1].reachable && status.shards[1].error.contains("shard 1"), "{status:?}");
    assert_eq!(status.shards[1].address, files.nodes[1].to_string());

    nodes.push(files.node(1));
    let up = |s: &v1::StatusResponse| s.shards.iter().all(|shard| shard.reachable);
    status_until(&mut router.operations(), Duration::from_secs(10), "the shard is found again", up).await;
    let again = sender.settles(vec![crossing]).await;
    assert!(matches!(again[..], [Status::Created | Status::Exists]), "{again:?}");
    assert_eq!(sender.sends(vec![transfer(103, there[0], here[1])]).await.expect("all are up"), [Status::Created]);
    status_until(&mut router.operations(), Duration::from_secs(10), "nothing is left", processes::is_quiet).await;
    let begun = Instant::now();
    nodes.into_iter().for_each(Server::stop);
    assert!(begun.elapsed() < Duration::from_secs(4), "the router's streams hold the nodes up: {:?}", begun.elapsed());
    router.stop();
}

#[tokio::test]
async fn a_router_that_takes_a_node_for_another_shard_says_so() {
    let files = ClusterFiles::new(2);
    let _node = files.node(0);
    let swapped = files.toml().replace("id = 0", "id = 9").replace("id = 1", "id = 0").replace("id = 9", "id = 1");
    let swapped = files.write("swapped.toml", &swapped);
    let newer = files.write("newer.toml", &files.toml().replace("epoch = 1", "epoch = 2"));
    for (file, word) in
        [(&swapped, "there is no running replica of shard 1 on this node"), (&newer, "epoch 1, the sender's of 2")]
    {
        let router = Server::start(&["router", "--cluster", text(file), "--listen", ANY]);
        let status = router.operations().status(v1::StatusRequest {}).await.expect("a status").into_inner();
        let errors: Vec<&str> = status.shards.iter().map(|shard| &*shard.error).collect();
        assert!(errors.iter().any(|error| error.contains(word)), "expected '{word}' in {errors:?}");
    }
}
