//! What Linux says of a process.

use std::path::PathBuf;
use std::time::Duration;

/// Bytes.
pub(crate) const MIB: u64 = 1 << 20;
/// Ticks a second in `/proc/PID/stat`: the same on every Linux (`getconf CLK_TCK`).
const TICKS: u64 = 100;

/// A process.
pub(crate) struct Process(PathBuf);

impl Process {
    /// The one with this number.
    pub(crate) fn of(pid: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{pid}")))
    }

    /// Bytes of memory that it has now.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it ever had.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(self.0.join("status")).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says it");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// The time that processors have worked for it.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(self.0.join("stat")).expect("the process is there");
        let (_, fields) = stat.rsplit_once(')').expect("its name is in parentheses");
        // `utime` and `stime` are the 14th and 15th field, and the name is the second.
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1_000 / TICKS)
    }
}
