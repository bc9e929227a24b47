//! Network namespaces: a place for each node, and a hub for routers and clients, joined by a bridge. Cables can be pulled, and
//! packets from one place to another can vanish, so that nobody is told: no reset, no error, silence.
//!
//! Everything is in namespaces of its own; nothing is changed where the rest of the machine lives. Their names tell the process
//! that made them, so that a later run removes what one that was killed has left.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What all names of namespaces begin with.
const PREFIX: &str = "crest-test-";
/// Where namespaces with a name are.
const NAMED: &str = "/var/run/netns";
const NODE_PORT: u16 = 7_101;
const ROUTER_PORT: u16 = 7_000;
/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";

/// Somewhere in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where routers and clients are.
    Hub,
    /// Where this node is, from 0.
    Node(usize),
}

/// A network, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Net {
    prefix: String,
    nodes: usize,
}

impl Net {
    /// Makes a network with places for so many nodes.
    ///
    /// # Errors
    /// When this machine does not permit it, or lacks what it takes; with what it said.
    pub(crate) fn new(nodes: usize) -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        remove_what_is_left();
        let net =
            Self { prefix: format!("{PREFIX}{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)), nodes };
        let hub = net.name(Place::Hub);
        ip(&["netns", "add", &hub])?;
        inside(&hub, &["link", "set", "lo", "up"])?;
        inside(&hub, &["link", "add", "name", "bridge", "type", "bridge", "forward_delay", "0"])?;
        inside(&hub, &["address", "add", &format!("{}/24", ip_of(Place::Hub)), "dev", "bridge"])?;
        inside(&hub, &["link", "set", "bridge", "up"])?;
        for node in 0..nodes {
            let (name, cable) = (net.name(Place::Node(node)), cable(node));
            ip(&["netns", "add", &name])?;
            inside(&name, &["link", "set", "lo", "up"])?;
            inside(&hub, &["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            inside(&hub, &["link", "set", &cable, "master", "bridge", "up"])?;
            inside(&name, &["address", "add", &format!("{}/24", ip_of(Place::Node(node))), "dev", "eth0"])?;
            inside(&name, &["link", "set", "eth0", "up"])?;
        }
        Ok(net)
    }

    /// The name of a place's namespace.
    pub(crate) fn name(&self, place: Place) -> String {
        match place {
            Place::Hub => format!("{}-hub", self.prefix),
            Place::Node(node) => format!("{}-node{node}", self.prefix),
        }
    }

    /// Where the nodes listen.
    pub(crate) fn node_addresses(&self) -> Vec<SocketAddr> {
        (0..self.nodes).map(|node| SocketAddr::from((ip_of(Place::Node(node)), NODE_PORT))).collect()
    }

    /// Where routers listen, in the hub.
    pub(crate) fn router_addresses(&self, routers: u16) -> Vec<SocketAddr> {
        (0..routers).map(|router| SocketAddr::from((ip_of(Place::Hub), ROUTER_PORT + router))).collect()
    }

    /// Threads that are in a place: what they connect to, they reach from there.
    pub(crate) fn runtime(&self, place: Place) -> tokio::runtime::Runtime {
        let name = self.name(place);
        let enter = move || enter(&name);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().on_thread_start(enter).build().expect("threads can be started")
    }

    /// Pulls the cable of a node: nothing comes to it, and nothing from it.
    pub(crate) fn pull(&self, node: usize) {
        self.at_the_hub(&["link", "set", &cable(node), "down"]);
    }

    /// Puts the cable of a node back.
    pub(crate) fn plug(&self, node: usize) {
        self.at_the_hub(&["link", "set", &cable(node), "up"]);
    }

    /// Lets all packets from one place to another vanish. Those of the other direction arrive.
    pub(crate) fn cut(&self, from: Place, to: Place) {
        let address = ip_of(to).to_string();
        self.at(from, &["neighbour", "replace", &address, "lladdr", NOBODY, "dev", device(from), "nud", "permanent"]);
    }

    /// Lets no packet through between two places.
    pub(crate) fn part(&self, one: Place, other: Place) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Mends everything.
    pub(crate) fn mend(&self) {
        for node in 0..self.nodes {
            self.plug(node);
        }
        for place in std::iter::once(Place::Hub).chain((0..self.nodes).map(Place::Node)) {
            self.at(place, &["neighbour", "flush", "dev", device(place), "nud", "permanent"]);
        }
    }

    fn at_the_hub(&self, arguments: &[&str]) {
        self.at(Place::Hub, arguments);
    }

    fn at(&self, place: Place, arguments: &[&str]) {
        inside(&self.name(place), arguments)
            .unwrap_or_else(|why| panic!("{place:?}: ip {}: {why}", arguments.join(" ")));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for place in std::iter::once(Place::Hub).chain((0..self.nodes).map(Place::Node)) {
            remove(&self.name(place));
        }
    }
}

/// Moves the calling thread into a namespace.
///
/// # Panics
/// When there is none of that name, or it is not permitted.
pub(crate) fn enter(name: &str) {
    let namespace = std::fs::File::open(format!("{NAMED}/{name}")).expect("the namespace is there");
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("it may be entered");
}

fn ip_of(place: Place) -> Ipv4Addr {
    match place {
        Place::Hub => Ipv4Addr::new(10, 77, 0, 254),
        Place::Node(node) => Ipv4Addr::new(10, 77, 0, node as u8 + 1),
    }
}

fn device(place: Place) -> &'static str {
    match place {
        Place::Hub => "bridge",
        Place::Node(_) => "eth0",
    }
}

/// The end of a node's cable at the hub.
fn cable(node: usize) -> String {
    format!("cable{node}")
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let ended = Command::new("ip").args(arguments).output().map_err(|e| format!("the command ip: {e}"))?;
    match ended.status.success() {
        true => Ok(String::from_utf8_lossy(&ended.stdout).into_owned()),
        false => Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&ended.stderr).trim())),
    }
}

fn inside(name: &str, arguments: &[&str]) -> Result<String, String> {
    ip(&[&["-n", name], arguments].concat())
}

/// Removes a namespace, and ends what still runs in it.
fn remove(name: &str) {
    for pid in ip(&["netns", "pids", name]).unwrap_or_default().split_whitespace() {
        let _ = Command::new("kill").args(["-9", pid]).status();
    }
    let _ = ip(&["netns", "delete", name]);
}

/// Removes the namespaces of processes of this test that are not there any more.
fn remove_what_is_left() {
    let names = ip(&["netns", "list"]).unwrap_or_default();
    for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            remove(name);
        }
    }
}
