//! Real processes of the binary, for tests: started on free ports of 127.0.0.1 with folders of their own, killed when
//! dropped, and never waited for without end.

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(unused_imports, reason = "each test takes what it needs")]

mod files;
mod groups;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crest_proto::v1;
use crest_proto::v1::ledger_client::LedgerClient;
use crest_proto::v1::operations_client::OperationsClient;
use tonic::transport::{Channel, Endpoint};

pub(crate) use files::{ClusterFiles, Layout, free_addresses};
pub(crate) use groups::Groups;

/// How long a process may take to be ready. It writes its first log segments, while other tests share the disk.
const READY: Duration = Duration::from_secs(60);
/// How long a process that has to end may take: the server's own drain is 5 s.
const END: Duration = Duration::from_secs(30);
/// What a request may take: more than the 12 s after which a router reports an unknown outcome.
const REQUEST: Duration = Duration::from_secs(20);
/// Standard error that is kept for a failing test.
const STDERR_BYTES: usize = 16 << 10;
/// The name in every cluster file of these tests.
pub(crate) const CLUSTER: &str = "test";

/// A running server.
pub(crate) struct Server {
    child: Child,
    arguments: String,
    stderr: Arc<Mutex<Stderr>>,
    reader: Option<std::thread::JoinHandle<()>>,
    said: mpsc::Receiver<SocketAddr>,
    /// Where it listens, as it said itself when it was ready.
    pub(crate) address: SocketAddr,
}

/// What a server wrote to standard error.
#[derive(Default)]
struct Stderr {
    last: String,
    /// The failpoints that told of themselves, each with what it was told, in order.
    points: Vec<(String, String)>,
}

impl Server {
    /// Starts `crest` with these arguments, without metrics, and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it is not ready in time; with what it wrote to standard error.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut server = Self::launch(arguments, "");
        if let Err(ended) = server.ready() {
            panic!("crest {} is not ready: {ended:?}\n{}", server.arguments, server.log());
        }
        server
    }

    /// Starts `crest` with these arguments, without metrics, and with these failpoints; see `crest-failpoints`.
    pub(crate) fn launch(arguments: &[&str], failpoints: &str) -> Self {
        let mut command = command();
        command.args(arguments).args(["--metrics", "off"]).env("FAILPOINTS", failpoints);
        Self::launch_as(command)
    }

    /// As [`Server::launch`], in a network namespace with a name.
    pub(crate) fn launch_inside(namespace: &str, arguments: &[&str], failpoints: &str) -> Self {
        let mut command = without_settings(Command::new("ip"));
        command.args(["netns", "exec", namespace]).arg(binary()).args(arguments);
        command.args(["--metrics", "off"]).env("FAILPOINTS", failpoints);
        Self::launch_as(command)
    }

    /// Starts a command that serves, without waiting for it.
    pub(crate) fn launch_as(mut command: Command) -> Self {
        let mut child = spawn(&mut command);
        let stderr = Arc::new(Mutex::new(Stderr::default()));
        let reader = keep_last_lines(child.stderr.take().expect("standard error is a pipe"), stderr.clone());
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let (ready, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.rsplit_once("ready on ") {
                    let _ = ready.send(address.trim().parse::<SocketAddr>().expect("an address"));
                }
            }
        });
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let arguments = arguments.join(" ");
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, arguments, stderr, reader: Some(reader), said, address: unbound }
    }

    /// Waits until it says that it is ready; an error when it ended before, with how.
    ///
    /// # Panics
    /// When neither happens in time; with what it wrote to standard error.
    pub(crate) fn ready(&mut self) -> Result<(), ExitStatus> {
        match self.said.recv_timeout(READY) {
            Ok(address) => {
                self.address = address;
                Ok(())
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(error) => panic!("crest {} is not ready: {error}\n{}", self.arguments, self.log()),
        }
    }

    /// How it ended, when it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().expect("the process is ours")?;
        // Then all that it wrote is there to be read.
        self.reader.take().map(std::thread::JoinHandle::join);
        Some(ended)
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not in time.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child, END).unwrap_or_else(|| panic!("crest {} does not end\n{}", self.arguments, self.log()));
        self.has_ended().expect("it has ended")
    }

    /// Whether the failpoint `name` told of itself.
    pub(crate) fn was_at(&self, name: &str) -> bool {
        self.stderr.lock().expect("nobody panics with it").points.iter().any(|(point, _)| point == name)
    }

    /// The failpoints that told of themselves.
    pub(crate) fn points(&self) -> Vec<String> {
        self.stderr.lock().expect("nobody panics with it").points.iter().map(|(point, _)| point.clone()).collect()
    }

    /// A whole cluster in one process, on a free port.
    pub(crate) fn dev(shards: u32, data_dir: &Path) -> Self {
        Self::start(&["dev", "--shards", &shards.to_string(), "--data-dir", text(data_dir), "--listen", ANY])
    }

    /// What it wrote to standard error last.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().expect("nobody panics with it").last.clone()
    }

    /// `kill -9`: the process has no say in it. It is gone when this returns, and its ports are free.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not end with success in time.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = wait(&mut self.child, END).unwrap_or_else(|| panic!("crest {} does not stop", self.arguments));
        assert!(status.success(), "crest {} ended with {status}\n{}", self.arguments, self.log());
    }

    /// Holds it still (SIGSTOP): it is there, and says nothing.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on (SIGCONT), as if no time had passed.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("the command kill is there");
        assert!(sent.success(), "no process {pid} to send {signal} to");
    }

    /// A client of its ledger. It connects again by itself.
    pub(crate) fn ledger(&self) -> LedgerClient<Channel> {
        ledger_at(self.address)
    }

    /// A client of its operations.
    pub(crate) fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(channel(self.address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- crest {}, standard error at the end:\n{}", self.arguments, self.log());
        }
    }
}

/// Any free port.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// A client of the ledger at `address`. It connects when it is used, and again after every failure.
pub(crate) fn ledger_at(address: SocketAddr) -> LedgerClient<Channel> {
    LedgerClient::new(channel(address)).max_decoding_message_size(crest_proto::MESSAGE_BYTES_MAX)
}

/// The way to a server, opened when it is used.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URL");
    endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(2)).timeout(REQUEST).connect_lazy()
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `crest` with these arguments to its end.
///
/// # Panics
/// When it does not end in time: a server that was to be refused has started.
pub(crate) fn run(arguments: &[&str], patience: Duration) -> Ended {
    run_as(command().args(arguments), patience)
}

/// As [`run`], for a command that was made with [`command`].
pub(crate) fn run_as(command: &mut Command, patience: Duration) -> Ended {
    let mut child = spawn(command);
    let stdout = read_all(child.stdout.take().expect("standard output is a pipe"));
    let stderr = read_all(child.stderr.take().expect("standard error is a pipe"));
    let Some(status) = wait(&mut child, patience) else {
        let _ = child.kill();
        let _ = child.wait();
        let (stdout, stderr) = (stdout.join(), stderr.join());
        panic!("{command:?} has not ended within {patience:?}: {stdout:?} {stderr:?}");
    };
    let text = |reader: std::thread::JoinHandle<String>| reader.join().expect("reading does not panic");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs `crest` with arguments that it has to refuse: its exit code is `code`, nothing is on standard output, standard
/// error holds all of `words`, and nothing panics.
#[track_caller]
pub(crate) fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let ended = run(arguments, END);
    assert_eq!(ended.code, Some(code), "crest {}: {ended:?}", arguments.join(" "));
    assert_eq!(ended.stdout, "", "crest {}", arguments.join(" "));
    for word in words {
        assert!(ended.stderr.contains(word), "crest {}: expected '{word}' in: {}", arguments.join(" "), ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "crest {}: {}", arguments.join(" "), ended.stderr);
}

/// The binary: `CREST_BINARY`, or the one that was built with the test.
pub(crate) fn binary() -> std::ffi::OsString {
    std::env::var_os("CREST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_crest").into())
}

/// A command that runs the binary, without what a developer has set for a server of their own.
pub(crate) fn command() -> Command {
    without_settings(Command::new(binary()))
}

/// Takes out of a command what a developer has set for a server of their own: it must not reach the ones of the test.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for name in
        ["CREST_CLUSTER", "CREST_LISTEN", "CREST_METRICS", "CREST_ROUTER", "CREST_SCALE", "RUST_LOG", "FAILPOINTS"]
    {
        command.env_remove(name);
    }
    command
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary was built with the test")
}

fn read_all(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn keep_last_lines(from: impl Read + Send + 'static, stderr: Arc<Mutex<Stderr>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut stderr = stderr.lock().expect("nobody panics with it");
            if let Some((point, told)) = line.strip_prefix("failpoint ").and_then(|said| said.split_once(": ")) {
                stderr.points.push((point.to_owned(), told.to_owned()));
            }
            let kept = &mut stderr.last;
            kept.push_str(&line);
            kept.push('\n');
            if kept.len() > 2 * STDERR_BYTES {
                let cut = kept.len() - STDERR_BYTES;
                let cut = kept[cut..].find('\n').map_or(kept.len(), |end| cut + end + 1);
                kept.drain(..cut);
            }
        }
    })
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait().expect("the process is ours") {
            Some(status) => return Some(status),
            None if Instant::now() > until => return None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A folder of the test's own, deleted with it.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("crest-test-").tempdir().expect("a temporary folder can be made")
}

/// A path of a temporary folder, as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have readable names")
}

/// Arguments as [`Server::launch`] takes them.
pub(crate) fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Asks for the shards' status until `done` says so.
///
/// # Panics
/// When that takes longer than `patience`; with the last status.
pub(crate) async fn status_until(
    operations: &mut OperationsClient<Channel>,
    patience: Duration,
    what: &str,
    done: impl Fn(&v1::StatusResponse) -> bool,
) -> Duration {
    let begun = Instant::now();
    loop {
        let status = operations.status(v1::StatusRequest {}).await.map(tonic::Response::into_inner);
        if status.as_ref().is_ok_and(&done) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}; the last status: {status:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether every shard answers and nothing is in doubt between them.
pub(crate) fn is_quiet(status: &v1::StatusResponse) -> bool {
    !status.shards.is_empty() && status.shards.iter().all(|s| s.reachable && s.holds == 0 && s.outbox == 0)
}

/// The file or folder `name` next to the checkout, when it is there.
pub(crate) fn beside_the_workspace(name: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    Some(workspace.parent()?.join(name)).filter(|path| path.exists())
}
