//! What a running cluster exports: the names, labels and values that Prometheus would see.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::processes::{ANY, ClusterFiles, Layout, Server, borrowed, command, free_addresses};
use crate::requests::Sender;

/// The values of each label.
pub(crate) type Labels = BTreeMap<String, BTreeSet<String>>;

/// What was exported, by the name of the sample: of a histogram, `…_bucket`, `…_sum` and `…_count`.
#[derive(Debug, Default)]
pub(crate) struct Exported(pub(crate) BTreeMap<String, Labels>);

impl Exported {
    /// Adds what one process tells, in Prometheus's text format.
    pub(crate) fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let name_end = line.find(['{', ' ']).expect("a sample has a value");
            let labels = self.0.entry(line[..name_end].to_owned()).or_default();
            let inner = line.find('{').and_then(|from| Some(&line[from + 1..line.rfind('}')?])).unwrap_or_default();
            for pair in inner.split("\",").filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once("=\"").expect("a label has a value");
                labels.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
}

/// Nodes and a router with their metrics on, which have been paid with.
pub(crate) struct Running {
    metrics: Vec<SocketAddr>,
    _servers: Vec<Server>,
    _files: ClusterFiles,
}

impl Running {
    /// Starts it, and pays: within shards and between them, once in vain.
    pub(crate) async fn start() -> Self {
        let files = ClusterFiles::of(Layout::Replicated { nodes: 3, shards: 2 });
        let metrics = free_addresses(4);
        let mut started: Vec<Vec<String>> = (0..3).map(|node| files.node_arguments(node)).collect();
        started.push(files.router_arguments(ANY.parse().expect("it is an address")));
        let mut servers: Vec<Server> = started
            .iter()
            .zip(&metrics)
            .map(|(arguments, metrics)| {
                let mut command = command();
                command.args(borrowed(arguments)).args(["--metrics", &metrics.to_string()]);
                Server::launch_as(command)
            })
            .collect();
        for server in &mut servers {
            server.ready().expect("it starts");
        }
        let mut sender = Sender::new(&servers[3]);
        let accounts: Vec<u128> = (1..=8).collect();
        sender.opens(&accounts).await;
        let pairs = accounts.windows(2).zip(100..);
        sender.settles(pairs.map(|(pair, id)| crate::requests::transfer(id, pair[0], pair[1])).collect()).await;
        sender.settles(vec![crate::requests::transfer(200, 1, 999)]).await;
        Self { metrics, _servers: servers, _files: files }
    }

    /// What all of them export now.
    pub(crate) fn exported(&self) -> Exported {
        let mut exported = Exported::default();
        for address in &self.metrics {
            exported.add(&scrape(*address));
        }
        exported
    }
}

/// Reads the metrics as Prometheus does. HTTP/1.0, so that the answer ends with the connection.
fn scrape(address: SocketAddr) -> String {
    let mut connection = TcpStream::connect(address).expect("it serves metrics");
    connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    write!(connection, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("it takes a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}
