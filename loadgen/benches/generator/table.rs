//! The rows, each a rehearsal in a process of its own, several times; what is printed is the median of each figure.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use crest_loadgen::record::RunRecord;
use tempfile::TempDir;

/// How long the measured phase is, s.
const SECONDS: u32 = 5;
/// Clock ticks in the times of /proc (`USER_HZ`, the same on every Linux).
const TICKS_PER_SECOND: f64 = 100.0;
/// One that draws a plan which is not below the rates that are asked for: arrivals are independent.
const SEED: &str = "2";

/// A row: transfers planned a second, so many in a request, over streams or in calls.
struct Row {
    name: &'static str,
    rate: u32,
    batch: u32,
    stream: bool,
}

const ROWS: [Row; 8] = [
    Row { name: "batches of 100, streams", rate: 200_000, batch: 100, stream: true },
    Row { name: "batches of 100, streams", rate: 300_000, batch: 100, stream: true },
    Row { name: "batches of 100, streams", rate: 1_000_000, batch: 100, stream: true },
    Row { name: "single, streams", rate: 30_000, batch: 1, stream: true },
    Row { name: "single, streams", rate: 60_000, batch: 1, stream: true },
    Row { name: "single, streams", rate: 100_000, batch: 1, stream: true },
    Row { name: "single, calls", rate: 15_000, batch: 1, stream: false },
    Row { name: "single, calls", rate: 30_000, batch: 1, stream: false },
];

/// What one rehearsal came to.
struct Figures {
    /// As the seed has drawn it.
    planned: f64,
    achieved: f64,
    not_sent_percent: f64,
    late_percent: f64,
    /// p50, p99, p99.9 and the most, ms.
    lag: [f64; 4],
    own_cpu_us: f64,
    both_cpu_us: f64,
}

/// Runs every row `runs` times and prints the table.
pub(crate) fn print(runs: usize) -> anyhow::Result<()> {
    let server = Server::start()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| settings | planned/s | achieved/s | not sent | late | lag p50 ms | p99 | p99.9 | most | CPU-µs a transfer | with the server |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    for row in &ROWS {
        let mut all = Vec::new();
        for _ in 0..runs.max(1) {
            all.push(server.measure(row)?);
        }
        let median = |of: &dyn Fn(&Figures) -> f64| {
            let mut figures: Vec<f64> = all.iter().map(of).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let lag = |at: usize| median(&|f| f.lag[at]);
        writeln!(
            out,
            "| {} | {:.0} | {:.0} | {:.2} % | {:.2} % | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} | {:.2} |",
            row.name,
            median(&|f| f.planned),
            median(&|f| f.achieved),
            median(&|f| f.not_sent_percent),
            median(&|f| f.late_percent),
            lag(0),
            lag(1),
            lag(2),
            lag(3),
            median(&|f| f.own_cpu_us),
            median(&|f| f.both_cpu_us),
        )?;
        out.flush()?;
    }
    Ok(())
}

/// The server's process; it ends with this value.
struct Server {
    process: Child,
    url: String,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let mut process =
            Command::new(own).arg("serve").stdout(Stdio::piped()).spawn().context("starting the server")?;
        let out = process.stdout.take().context("the server's output")?;
        let mut url = String::new();
        BufReader::new(out).read_line(&mut url)?;
        Ok(Self { process, url: url.trim().to_owned(), folder: tempfile::tempdir()? })
    }

    fn measure(&self, row: &Row) -> anyhow::Result<Figures> {
        let Row { rate, batch, stream, .. } = row;
        let scenario = format!(
            "name = \"generator\"\ndescription = \"What the generator itself can do.\"\n\
             [mix]\npayment = 1\n\
             [requests]\nbatch = {batch}\nstream = {stream}\n\
             [[phase]]\nname = \"warm-up\"\nduration = \"1s\"\nrate = {rate}\nmeasured = false\n\
             [[phase]]\nname = \"measured\"\nduration = \"{SECONDS}s\"\nrate = {rate}\n"
        );
        let path = self.folder.path().join("generator.toml");
        std::fs::write(&path, scenario)?;
        let before = self.cpu_seconds()?;
        let mut load = Command::new(std::env::current_exe()?);
        load.arg("load").arg(&path).args(["--router", &self.url, "--seed", SEED, "--out"]).arg(self.folder.path());
        // That a ledger which keeps nothing has lost the money is true, and not the question here.
        let done = load.output().context("starting a rehearsal")?;
        let record = std::fs::read_to_string(self.folder.path().join("record.json"));
        let Ok(record) = record else { bail!("{}", String::from_utf8_lossy(&done.stderr)) };
        std::fs::remove_file(self.folder.path().join("record.json"))?;
        figures(&serde_json::from_str(&record)?, self.cpu_seconds()? - before)
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
        let ticks: Result<Vec<f64>, _> = after_name.split_ascii_whitespace().skip(11).take(2).map(str::parse).collect();
        Ok(ticks?.iter().sum::<f64>() / TICKS_PER_SECOND)
    }
}

fn figures(record: &RunRecord, server_cpu: f64) -> anyhow::Result<Figures> {
    let measured = record.phases.last().context("a rehearsal has phases")?;
    let own_cpu: f64 = record.generator.agents.iter().filter_map(|agent| agent.cpu_seconds).sum();
    let (planned, all) = (measured.totals.planned as f64, record.totals.done as f64);
    let lag = &record.lag.percentiles;
    Ok(Figures {
        planned: planned / f64::from(SECONDS),
        achieved: measured.totals.done as f64 / f64::from(SECONDS),
        not_sent_percent: measured.totals.not_sent as f64 / planned * 100.0,
        late_percent: record.generator.late_share * 100.0,
        lag: [lag.p50, lag.p99, lag.p99_9, lag.max].map(|us| us as f64 / 1_000.0),
        own_cpu_us: own_cpu * 1e6 / all,
        both_cpu_us: (own_cpu + server_cpu) * 1e6 / all,
    })
}
