//! What befalls one process.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use super::cluster::{Launcher, SIGABRT, Who};
use super::{Befalls, Tally};
use crate::processes::Server;

/// How long a process may take to come to the point that it is armed with; after that it was not reached.
const REACHED: Duration = Duration::from_secs(4);
/// What the serving commands end with when a shard has failed.
const FAILED: i32 = 3;

/// What happens to a process.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// It is killed, and started again after a while.
    Kill { down: Duration },
    /// It is killed, and killed again while it starts.
    KillAsItStarts { after: Duration },
    /// It is held still for so long, and goes on.
    Pause { time: Duration },
    /// It is held still, and killed where it stands.
    PauseAndKill { time: Duration },
    /// It is asked to end, and started again.
    Restart,
    /// It is killed, and started such that it dies when it has passed a point so many times.
    DieAt { point: String, passes: u64 },
    /// The same, but somebody waits there.
    WaitAt { point: String, passes: u64, time: Duration },
    /// The same, but the operating system fails there: it has to end by itself.
    FailAt { point: String, passes: u64, errno: i32 },
}

impl Act {
    /// The point that it is about.
    pub(crate) fn point(&self) -> Option<&str> {
        match self {
            Self::DieAt { point, .. } | Self::WaitAt { point, .. } | Self::FailAt { point, .. } => Some(point),
            _ => None,
        }
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kill { down } => write!(f, "killed, down for {} ms", down.as_millis()),
            Self::KillAsItStarts { after } => write!(f, "killed, and again {} ms into its start", after.as_millis()),
            Self::Pause { time } => write!(f, "paused for {} ms", time.as_millis()),
            Self::PauseAndKill { time } => write!(f, "paused for {} ms and killed", time.as_millis()),
            Self::Restart => write!(f, "restarted"),
            Self::DieAt { point, passes } => write!(f, "dies at {point} after {passes} passes"),
            Self::WaitAt { point, passes, time } => {
                write!(f, "waits {} ms at {point} after {passes} passes", time.as_millis())
            }
            Self::FailAt { point, passes, errno } => write!(f, "errno {errno} at {point} after {passes} passes"),
        }
    }
}

impl Befalls {
    /// Has it happen, and gives back the process, running again.
    ///
    /// # Panics
    /// When the process does not take it as it has to.
    pub(super) fn play(self, mut server: Server, launcher: &Launcher, tally: &Tally) -> Server {
        std::thread::sleep(self.begins);
        let kind = self.who.kind();
        match self.act {
            Act::Kill { down } => {
                kill(&mut server, tally, &format!("SIGKILL of a {kind}"));
                std::thread::sleep(down);
                launcher.start()
            }
            Act::KillAsItStarts { after } => {
                kill(&mut server, tally, &format!("SIGKILL of a {kind}"));
                let mut again = launcher.launch("");
                std::thread::sleep(after);
                kill(&mut again, tally, &format!("SIGKILL of a {kind} that starts"));
                launcher.start()
            }
            Act::Pause { time } => {
                tally.note(&format!("SIGSTOP of a {kind}, longer than the hold deadline"));
                server.pause();
                std::thread::sleep(time);
                server.resume();
                server
            }
            Act::PauseAndKill { time } => {
                tally.note(&format!("SIGSTOP of a {kind}, then SIGKILL"));
                server.pause();
                std::thread::sleep(time);
                kill(&mut server, tally, &format!("SIGKILL of a {kind}"));
                launcher.start()
            }
            Act::Restart => {
                tally.note(&format!("SIGTERM of a {kind}"));
                server.stop();
                launcher.start()
            }
            Act::DieAt { point, passes } => {
                let told = format!("{point}={passes}*off->return(abort)");
                let (armed, ended) = arm(server, launcher, tally, self.who, &told, &point);
                let Some(ended) = ended else { return armed };
                assert_eq!(ended.signal(), Some(SIGABRT), "{}: {point}: {}", self.who, armed.log());
                tally.kill(&format!("death of a {kind} at a failpoint"));
                tally.point(&point);
                launcher.start()
            }
            Act::WaitAt { point, passes, time } => {
                let told = format!("{point}={passes}*off->1*return(pause {})", time.as_millis());
                let (armed, ended) = arm(server, launcher, tally, self.who, &told, &point);
                assert!(ended.is_none(), "{}: {point}: it ended with {ended:?}: {}", self.who, armed.log());
                if armed.was_at(&point) {
                    tally.note(&format!("wait of a {kind} at a failpoint, longer than the hold deadline"));
                    tally.point(&point);
                    std::thread::sleep(time);
                }
                armed
            }
            Act::FailAt { point, passes, errno } => {
                let told = format!("{point}={passes}*off->return(errno {errno})");
                let (armed, ended) = arm(server, launcher, tally, self.who, &told, &point);
                let Some(ended) = ended else { return armed };
                assert_eq!(ended.code(), Some(FAILED), "{}: {point}: {}", self.who, armed.log());
                let words = std::io::Error::from_raw_os_error(errno).to_string();
                assert!(armed.log().contains(&words), "{}: {point}: no '{words}' in {}", self.who, armed.log());
                tally.note(&format!("stop of a {kind} whose disk failed"));
                tally.point(&point);
                launcher.start()
            }
        }
    }
}

fn kill(server: &mut Server, tally: &Tally, what: &str) {
    server.kill();
    tally.kill(what);
}

/// Kills a process and starts it with a failpoint. Gives it back when it was reached, with how it ended if it did; when it
/// is not reached in time, the process runs on with it.
fn arm(
    mut server: Server,
    launcher: &Launcher,
    tally: &Tally,
    who: Who,
    told: &str,
    point: &str,
) -> (Server, Option<std::process::ExitStatus>) {
    kill(&mut server, tally, &format!("SIGKILL of a {}", who.kind()));
    let mut armed = launcher.launch(told);
    if let Err(ended) = armed.ready() {
        assert!(armed.was_at(point), "{who} ended with {ended} before {point}:\n{}", armed.log());
        return (armed, Some(ended));
    }
    let until = Instant::now() + REACHED;
    while Instant::now() < until {
        if let Some(ended) = armed.has_ended() {
            assert!(armed.was_at(point), "{who} ended with {ended} before {point}:\n{}", armed.log());
            return (armed, Some(ended));
        }
        if told.contains("pause") && armed.was_at(point) {
            return (armed, None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tally.missed(point);
    // It must not die later, when nobody looks.
    kill(&mut armed, tally, &format!("SIGKILL of a {}", who.kind()));
    (launcher.start(), None)
}
