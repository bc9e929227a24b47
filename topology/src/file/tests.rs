use super::*;
use crate::cluster::NodeId;
use crate::map::SlotMap;

const TWO: &str = "cluster = \"pay-1\"\nepoch = 3\n\
    [[shard]]\nid = 4\naddress = \"node-4:7101\"\nslots = [\"0-99\", \"101-16383\"]\n\
    [[shard]]\nid = 2\naddress = \"[::1]:7102\"\nslots = [\"100\"]\n";

#[test]
fn a_file_with_slots_is_read_as_written() {
    let cluster = Cluster::parse(TWO).unwrap();
    assert_eq!((cluster.name.as_str(), cluster.map.epoch()), ("pay-1", 3));
    assert_eq!(cluster.version, 1);
    let three = NodeEntry { id: 3, address: "[::1]:7102".into() };
    assert_eq!(cluster.nodes, [three, NodeEntry { id: 5, address: "node-4:7101".into() }]);
    let two = ShardEntry { id: 2, replicas: vec![3], founded: false };
    assert_eq!(cluster.shards, [two, ShardEntry { id: 4, replicas: vec![5], founded: false }]);
    assert!(cluster.map.owns(2, 100) && cluster.map.owns(4, 99) && cluster.map.owns(4, 101));
    assert_eq!(cluster.address_of(4), Some("node-4:7101"));
    assert_eq!(cluster.address_of(3), None);
}

/// Nodes that stand by themselves, not in order.
const NODES: &str = "cluster = \"pay-1\"\nversion = 12\nepoch = 3\n\
    [[node]]\nid = 20\naddress = \"node-20:7101\"\n[[node]]\nid = 3\naddress = \"node-3:7101\"\n\
    [[node]]\nid = 1048575\naddress = \"node-z:7101\"\n[[node]]\nid = 1\naddress = \"node-1:7101\"\n\
    [[shard]]\nid = 1\nreplicas = [20, 1, 3]\n[[shard]]\nid = 0\nreplicas = [20]\n";

#[test]
fn a_file_with_nodes_says_where_the_replicas_are() {
    let cluster = Cluster::parse(NODES).unwrap();
    assert_eq!((cluster.version, cluster.map.epoch()), (12, 3));
    assert_eq!(cluster.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 3, 20, 1_048_575]);
    assert_eq!(
        (cluster.replicas_of(0), cluster.replicas_of(1), cluster.replicas_of(2)),
        (&[20][..], &[1, 3, 20][..], &[][..])
    );
    assert_eq!(cluster.shards_on(20).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(cluster.shards_on(1_048_575).count(), 0);
    assert_eq!((cluster.address_of_node(3), cluster.address_of_node(4)), (Some("node-3:7101"), None));
    assert_eq!((cluster.address_of(1), cluster.address_of(2)), (Some("node-1:7101"), None));
}

#[test]
fn replicas_that_are_not_written_are_laid_out_in_turn() {
    #[track_caller]
    fn check(nodes: &[NodeId], shards: &[ShardId], expected: &[&[NodeId]]) {
        let nodes = nodes.iter().map(|id| format!("[[node]]\nid = {id}\naddress = \"n{id}:1\"\n"));
        let shards = shards.iter().map(|id| format!("[[shard]]\nid = {id}\n"));
        let text = format!("cluster = \"x\"\nepoch = 1\n{}{}", nodes.collect::<String>(), shards.collect::<String>());
        let cluster = Cluster::parse(&text).unwrap();
        assert_eq!(cluster.shards.iter().map(|shard| shard.replicas.as_slice()).collect::<Vec<_>>(), expected);
    }
    check(&[1], &[0, 1], &[&[1], &[1]]);
    check(&[1, 2], &[0, 1, 2], &[&[1], &[2], &[1]]);
    check(&[1, 2, 3], &[0, 1], &[&[1, 2, 3], &[1, 2, 3]]);
    check(&[1, 2, 3, 4], &[0, 1, 2, 3], &[&[1, 2, 3], &[2, 3, 4], &[1, 3, 4], &[1, 2, 4]]);
    // The order of the file does not matter, and numbers need not be without gaps.
    check(&[9, 2, 5, 7], &[30, 10, 20], &[&[2, 5, 7], &[5, 7, 9], &[2, 7, 9]]);
}

/// A cluster whose file is as long as any: every node, address, replica and slot that there can be.
fn largest() -> String {
    let mut text = format!("cluster = \"{}\"\nversion = {max}\nepoch = {max}\n", "a".repeat(64), max = i64::MAX);
    for n in 0..NODES_MAX {
        let address = format!("{}{n:04}:65535", "a".repeat(249));
        text += &format!("[[node]]\nid = {}\naddress = \"{address}\"\n", 1_048_575 - n);
    }
    for shard in 0..SHARDS_MAX as usize {
        let replicas: Vec<usize> = (0..5).map(|n| 1_048_575 - n).collect();
        let slots: Vec<String> = (shard..SLOTS).step_by(SHARDS_MAX as usize).map(|slot| slot.to_string()).collect();
        text += &format!("[[shard]]\nid = {shard}\nreplicas = {replicas:?}\nslots = {slots:?}\n");
    }
    text
}

#[test]
fn a_file_without_slots_shares_them_evenly_at_its_own_epoch() {
    let text: String =
        TWO.lines().filter(|line| !line.starts_with("slots")).map(|line| line.to_owned() + "\n").collect();
    let map = Cluster::parse(&text).unwrap().map;
    assert_eq!(map.ranges(), SlotMap::even(&[2, 4]).unwrap().ranges());
    assert_eq!(map.epoch(), 3);
}

#[test]
fn what_is_written_is_read_back() {
    let spare = "[[shard]]\nid = 1023\naddress = \"spare:1\"\nslots = []\n";
    let singles: Vec<String> = (0..SLOTS / 2).map(|n| format!("\"{}\"", n * 2)).collect();
    let others: Vec<String> = (0..SLOTS / 2).map(|n| format!("\"{}\"", n * 2 + 1)).collect();
    let scattered = format!(
        "cluster = \"x\"\nepoch = {}\n[[shard]]\nid = 0\naddress = \"a:1\"\nslots = [{}]\n[[shard]]\nid = 1\naddress = \"b:1\"\nslots = [{}]\n",
        i64::MAX,
        singles.join(","),
        others.join(","),
    );
    for text in [TWO.to_owned(), NODES.to_owned(), format!("{TWO}{spare}"), scattered, largest()] {
        let cluster = Cluster::parse(&text).unwrap();
        assert_eq!(Cluster::parse(&cluster.to_toml()).unwrap(), cluster);
    }
}

#[test]
fn a_file_on_disk_is_loaded_and_a_missing_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    std::fs::write(&path, TWO).unwrap();
    assert_eq!(Cluster::load(&path).unwrap(), Cluster::parse(TWO).unwrap());
    let error = Cluster::load(dir.path().join("absent.toml")).unwrap_err().to_string();
    assert!(error.contains("absent.toml"), "{error}");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(Cluster::load(&path), Err(ClusterFileError::Read { .. })));
    std::fs::write(&path, "#".repeat(CLUSTER_FILE_BYTES_MAX + 1)).unwrap();
    assert!(matches!(Cluster::load(&path), Err(ClusterFileError::TooLong)));
}

/// Replaces `from` by `to` in a good file of the short form, and checks that the error has all of `parts`.
#[track_caller]
fn check(from: &str, to: &str, parts: &[&str]) {
    check_in(TWO, from, to, parts);
}

/// As [`check`], in the file `good`.
#[track_caller]
fn check_in(good: &str, from: &str, to: &str, parts: &[&str]) {
    assert!(good.contains(from), "the good file has {from:?}");
    let error = Cluster::parse(&good.replace(from, to)).expect_err(to).to_string();
    for part in parts {
        assert!(error.contains(part), "{error:?} names {part:?}");
    }
}

#[test]
fn every_refusal_names_the_field_and_what_was_expected() {
    let long = format!("\"{}\"", "a".repeat(65));
    check("cluster = \"pay-1\"\n", "", &["cluster: is missing", "cluster = "]);
    check("\"pay-1\"", "\"\"", &["cluster: ", "1 to 64"]);
    check("\"pay-1\"", &long, &["cluster: ", "1 to 64"]);
    check("\"pay-1\"", "\"Pay\"", &["cluster: \"Pay\"", "a-z"]);
    check("\"pay-1\"", "\"ünited\"", &["cluster: \"ünited\"", "a-z"]);
    check("epoch = 3\n", "", &["epoch: is missing", "epoch = 1"]);
    check("epoch = 3", "epoch = 0", &["epoch: 0: expected 1 or more"]);
    check("epoch = 3", "epoch = -1", &["epoch: -1: expected 1 or more"]);
    check("epoch = 3", "version = 0\nepoch = 3", &["version: 0: expected 1 or more"]);
    check("id = 2\n", "", &["shard[1].id: is missing", "id = 0"]);
    check("id = 2\n", "id = 1024\n", &["shard[1].id: 1024", "0 to 1023"]);
    check("id = 2\n", "id = -1\n", &["shard[1].id: -1", "0 to 1023"]);
    check("id = 2\n", "id = 4294967296\n", &["shard[1].id: 4294967296", "0 to 1023"]);
    check("id = 2\n", "id = 4\n", &["shard[1].id: 4 is also the id of shard[0]", "its own number"]);
    check("address = \"[::1]:7102\"\n", "", &["shard[1].address: is missing", "127.0.0.1:7101"]);
    check("[::1]:7102", "NODE-4:7101", &["shard[1].address: ", "also the address of shard[0]"]);
    check(&TWO[TWO.find("[[shard]]").unwrap()..], "", &["shard: is missing", "[[shard]]"]);
}

#[test]
fn every_refusal_of_a_node_names_the_field_and_what_was_expected() {
    #[track_caller]
    fn check(from: &str, to: &str, parts: &[&str]) {
        check_in(NODES, from, to, parts);
    }
    check("id = 3\n", "", &["node[1].id: is missing", "id = 1"]);
    check("id = 3\n", "id = 0\n", &["node[1].id: 0: expected a number from 1 to 1048575"]);
    check("id = 3\n", "id = 1048576\n", &["node[1].id: 1048576: expected"]);
    check("id = 3\n", "id = -3\n", &["node[1].id: -3: expected"]);
    check("id = 3\n", "id = 20\n", &["node[1].id: 20 is also the id of node[0]", "its own number"]);
    check("address = \"node-3:7101\"\n", "", &["node[1].address: is missing", "127.0.0.1:7101"]);
    check("node-3:7101", "node-3", &["node[1].address: \"node-3\"", "host:port"]);
    check("node-3:7101", "NODE-20:7101", &["node[1].address: ", "also the address of node[0]"]);
    check("[20]", "[]", &["shard[1].replicas: 0 nodes: expected 1, 3 or 5"]);
    check("[20]", "[20, 1]", &["shard[1].replicas: 2 nodes: expected 1, 3 or 5"]);
    check("[20, 1, 3]", "[20, 1, 3, 1048575]", &["shard[0].replicas: 4 nodes: "]);
    check("[20, 1, 3]", "[20, 1, 20]", &["shard[0].replicas[2]: 20 is named twice"]);
    check("[20, 1, 3]", "[20, 1, 7]", &["shard[0].replicas[2]: 7: there is no such node", "id = 7"]);
    check("[20, 1, 3]", "[20, 1, -1]", &["shard[0].replicas[2]: -1: there is no such node"]);
    check("replicas = [20]\n", "", &["shard[1].replicas: is missing, but shard[0] has it", "for no shard"]);
    check("[[node]]\nid = 3\n", "[[node]]\nid = 3\nslots = []\n", &["line 9: ", "unknown field `slots`"]);
    let too_many: String = (0..=NODES_MAX).map(|n| format!("[[node]]\nid = {n}\naddress = \"n:{n}\"\n")).collect();
    check(
        "[[shard]]\nid = 1\n",
        &format!("{too_many}[[shard]]\nid = 1\n"),
        &["node: 1029 nodes: expected at most 1024"],
    );
}

#[test]
fn the_two_forms_do_not_mix() {
    let address = "replicas = [20]\naddress = \"a:1\"\n";
    check_in(NODES, "replicas = [20]\n", address, &["shard[1].address: stands beside [[node]]", "`replicas`"]);
    check_in(NODES, "replicas = [20]\n", "address = \"a:1\"\n", &["shard[1].address: stands beside [[node]]"]);
    check("id = 2\n", "id = 2\nreplicas = [3]\n", &["shard[1].replicas: names nodes", "no [[node]]"]);
    check(
        "[[shard]]\nid = 4",
        "[[node]]\nid = 5\naddress = \"a:1\"\n[[shard]]\nid = 4",
        &["shard[0].address: stands beside"],
    );
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for bad in
        ["", "node", "node:", ":7101", "node:0", "node:65536", "node:+1", "::1:7101", "[node]:1", "a b:1", "a/b:1"]
    {
        check("[::1]:7102", bad, &["shard[1].address: ", "expected"]);
    }
    check("[::1]:7102", "http://node:1", &["shard[1].address: ", "scheme"]);
    check("[::1]:7102", &format!("{}:1", "a".repeat(260)), &["shard[1].address: ", "253"]);
    for good in ["10.0.0.1:1", "a.b-c_d:65535", "[fe80::1]:7101"] {
        Cluster::parse(&TWO.replace("[::1]:7102", good)).unwrap();
    }
}

#[test]
fn slots_have_exactly_one_owner() {
    for bad in ["", "-", "5-", "-5", "a", "5-4", "16384", "0-16384", "0-99999", "+1", " 1", "1-2-3"] {
        check("[\"100\"]", &format!("[\"{bad}\"]"), &["shard[1].slots[0]: ", "first-last", "16383"]);
    }
    check("[\"100\"]", "[\"99-100\"]", &["shard[1].slots[0]: slot 99 is already in shard[0].slots[0]"]);
    check("[\"100\"]", "[\"100\", \"100\"]", &["shard[1].slots[1]: slot 100 is already in shard[1].slots[0]"]);
    check("[\"100\"]", "[]", &["shard: nobody owns slots 100-100", "add \"100-100\""]);
    check("101-16383", "101-16000", &["nobody owns slots 16001-16383"]);
    check("slots = [\"100\"]\n", "", &["shard[1].slots: is missing", "shard[0] has it", "[] for none"]);
}

#[test]
fn what_is_not_the_language_is_refused_with_its_line() {
    check("epoch = 3", "epoch 3", &["line 2: `epoch 3`"]);
    check("epoch = 3", "epoch = \"3\"", &["line 2: ", "expected i64"]);
    check("epoch = 3", "epoch = 3\nepoch = 4", &["line 3: ", "duplicate key"]);
    check("epoch = 3", "epoch = 3\nepochs = 4", &["line 3: ", "unknown field `epochs`", "`epoch`"]);
    check("id = 2", "id = 2\ncolour = 3", &["line 9: ", "unknown field `colour`", "`address`"]);
    check("id = 2", "id = 2\nreplicas = 3", &["line 9: ", "expected a sequence"]);
    check("id = 2", "id = 2.5", &["line 8: ", "id = 2.5"]);
    check("[\"100\"]", "\"100\"", &["line 10: ", "expected a sequence"]);
    check("[\"100\"]", "[100]", &["line 10: ", "expected a string"]);
}
