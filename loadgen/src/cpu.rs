//! What this process has cost the machine.

/// Clock ticks a second in /proc: fixed for programs on Linux (USER_HZ), whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time of this process so far, user and system, s; none where there is no /proc.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name and may hold anything, blanks and brackets included; utime and stime are the
    // fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}
