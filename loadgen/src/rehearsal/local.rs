//! A cluster of the rehearsal's own: processes of this very binary on this machine, on free ports of the loopback. Only
//! these can be killed and held still; they are gone when this is dropped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::random::SplitMix64;

/// Tells a process of this binary to end when whoever started it does, however that ends.
pub const ENDS_WITH_PARENT: &str = "CREST_ENDS_WITH_PARENT";

/// How long a process may take to be ready: after a kill it reads its log.
const READY: Duration = Duration::from_secs(120);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(30);
/// Ports that are tried: below those that Linux gives to outgoing connections (ip_local_port_range, from 32,768 on).
const PORT_MIN: u16 = 20_000;
const PORT_MAX: u16 = 32_700;
const PORT_TRIES_MAX: u32 = 20_000;
/// What of a process's log is shown when it does not start.
const LOG_SHOWN_BYTES: usize = 1_500;

/// A part of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The leader of this shard.
    Leader(u32),
    Router(u32),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leader(shard) => write!(f, "the leader of shard {shard}"),
            Self::Router(router) => write!(f, "router {router}"),
        }
    }
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Local {
    nodes: Vec<Process>,
    routers: Vec<Process>,
    /// Deleted with it, after the processes that write into it.
    temporary: Option<tempfile::TempDir>,
}

#[derive(Debug)]
struct Process {
    name: String,
    arguments: Vec<String>,
    child: Option<Child>,
    folder: PathBuf,
    /// How often it was started.
    starts: u32,
    address: SocketAddr,
}

impl Local {
    /// Starts shards and routers, and waits until all are ready. Data and logs go to `folder`, or else to a temporary one.
    ///
    /// # Errors
    /// When a process does not start; with the end of its log.
    pub(crate) async fn start(shards: u32, routers: u32, folder: Option<&Path>) -> anyhow::Result<Self> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("crest-rehearsal-").tempdir().context("making a folder")?),
        };
        let folder = folder.or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new(".")).to_owned();
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let ports = free_addresses((shards + routers) as usize).context("looking for free ports")?;
        let (of_nodes, of_routers) = ports.split_at(shards as usize);
        let file = folder.join("cluster.toml");
        std::fs::write(&file, cluster_file(of_nodes)).with_context(|| format!("writing {}", file.display()))?;
        let file = file.display().to_string();
        let process = |name: String, address: SocketAddr, mut arguments: Vec<String>| {
            arguments.extend(["--cluster".into(), file.clone(), "--metrics".into(), "off".into()]);
            Process { name, arguments, child: None, folder: folder.clone(), starts: 0, address }
        };
        let node = |(shard, &address): (usize, &SocketAddr)| {
            let name = format!("shard-{shard}");
            let data = folder.join(&name).display().to_string();
            let arguments = ["node", "--shard", &shard.to_string(), "--data-dir", &data].map(str::to_owned);
            process(name, address, arguments.into())
        };
        let router = |(number, &address): (usize, &SocketAddr)| {
            let arguments = ["router", "--listen", &address.to_string()].map(str::to_owned);
            process(format!("router-{number}"), address, arguments.into())
        };
        let mut local = Self {
            nodes: of_nodes.iter().enumerate().map(node).collect(),
            routers: of_routers.iter().enumerate().map(router).collect(),
            temporary,
        };
        for process in local.nodes.iter_mut().chain(&mut local.routers) {
            process.start()?;
        }
        for process in local.nodes.iter_mut().chain(&mut local.routers) {
            process.until_ready().await?;
        }
        Ok(local)
    }

    /// Where its routers listen.
    pub(crate) fn routers(&self) -> Vec<String> {
        self.routers.iter().map(|router| format!("http://{}", router.address)).collect()
    }

    fn part(&mut self, part: Part) -> anyhow::Result<&mut Process> {
        let process = match part {
            Part::Leader(shard) => self.nodes.get_mut(shard as usize),
            Part::Router(router) => self.routers.get_mut(router as usize),
        };
        process.with_context(|| format!("there is no such part: {part}"))
    }

    /// `kill -9`: it has no say in it.
    ///
    /// # Errors
    /// When there is no such part, or it is not running.
    pub(crate) fn kill(&mut self, part: Part) -> anyhow::Result<()> {
        let process = self.part(part)?;
        let mut child = process.child.take().with_context(|| format!("{part} is not running"))?;
        child.kill().and_then(|()| child.wait()).with_context(|| format!("killing {part}"))?;
        Ok(())
    }

    /// Starts it again, without waiting.
    ///
    /// # Errors
    /// When there is no such part, or it can't be started.
    pub(crate) fn start_again(&mut self, part: Part) -> anyhow::Result<()> {
        self.part(part)?.start()
    }

    /// Whether it has said that it is ready.
    ///
    /// # Errors
    /// When it has ended instead.
    pub(crate) fn is_ready(&mut self, part: Part) -> anyhow::Result<bool> {
        self.part(part)?.is_ready()
    }

    /// Holds it still (SIGSTOP), or lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When there is no such part, or it is not running.
    pub(crate) fn hold(&mut self, part: Part, still: bool) -> anyhow::Result<()> {
        let signal = if still { Signal::STOP } else { Signal::CONT };
        let process = self.part(part)?;
        process.signal(signal).with_context(|| format!("sending a signal to {part}"))
    }

    /// Keeps data and logs when it is over; gives their folder when it would have been deleted.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        self.temporary.take().map(tempfile::TempDir::keep)
    }

    /// Asks all processes to end, routers first, and waits for them.
    pub(crate) async fn stop(mut self) {
        for processes in [&mut self.routers, &mut self.nodes] {
            for process in processes.iter_mut() {
                // One that stands still would not hear of it.
                let _ = process.signal(Signal::CONT);
                let _ = process.signal(Signal::TERM);
            }
            let begun = Instant::now();
            while processes.iter_mut().any(Process::runs) && begun.elapsed() < END {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

impl Process {
    fn log(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{}.{kind}", self.name, self.starts))
    }

    fn start(&mut self) -> anyhow::Result<()> {
        if self.runs() {
            bail!("{} is running already", self.name);
        }
        self.starts += 1;
        let program = std::env::current_exe().context("finding this program")?;
        let open = |kind: &str| {
            let path = self.log(kind);
            File::create(&path).with_context(|| format!("making {}", path.display()))
        };
        let child = Command::new(program)
            .args(&self.arguments)
            .env(ENDS_WITH_PARENT, "1")
            .stdin(Stdio::null())
            .stdout(open("out")?)
            .stderr(open("log")?)
            // Ctrl-C on the terminal is for the rehearsal, which then stops its cluster itself.
            .process_group(0)
            .spawn();
        self.child = Some(child.with_context(|| format!("starting {}", self.name))?);
        Ok(())
    }

    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn is_ready(&mut self) -> anyhow::Result<bool> {
        let said = std::fs::read_to_string(self.log("out")).unwrap_or_default();
        if said.contains("ready on ") {
            return Ok(true);
        }
        if !self.runs() {
            let log = std::fs::read(self.log("log")).unwrap_or_default();
            let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN_BYTES)..]).into_owned();
            bail!("{} has ended: {}", self.name, end.trim());
        }
        Ok(false)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.is_ready()? {
            if begun.elapsed() > READY {
                bail!("{} is not ready after {READY:?}", self.name);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        // The number of one that has ended may be another process's by now.
        if !self.runs() {
            bail!("it is not running");
        }
        let child = self.child.as_ref().context("it is not running")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("it has no process id")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Addresses of the loopback that nobody uses at this moment, with ports that the system gives to no connection by itself: a
/// part that is killed finds its own again.
fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let mut rng = SplitMix64::unrepeatable();
    // All are held until the last one is found, so that they differ.
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES_MAX {
        if held.len() == count {
            break;
        }
        let port = PORT_MIN + rng.below(u64::from(PORT_MAX - PORT_MIN)) as u16;
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    if held.len() < count {
        bail!("{} of {count} ports are free from {PORT_MIN} to {PORT_MAX}", held.len());
    }
    Ok(held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
}

fn cluster_file(nodes: &[SocketAddr]) -> String {
    let shard = |(id, address): (usize, &SocketAddr)| format!("[[shard]]\nid = {id}\naddress = \"{address}\"\n");
    let shards: String = nodes.iter().enumerate().map(shard).collect();
    format!("cluster = \"rehearsal\"\nepoch = 1\n{shards}")
}
