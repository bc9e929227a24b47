//! Waking up in time. Tokio's own timers count whole milliseconds; a rehearsal that measures single ones needs better, so
//! this is the kernel's timer behind a file descriptor (timerfd_create(2)), exact to some 0.06 ms.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The shortest sleep: what is due within one leaves together.
const SLEEP_MIN: Duration = Duration::from_micros(50);

/// An alarm clock of the runtime that it was made in.
#[derive(Debug)]
pub(crate) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// A new one.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC);
        let timer = timer.context("making a timer")?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor may change; an OwnedFd's can't"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE);
        Ok(Self(timer.context("waiting for a timer")?))
    }

    /// Waits for `time`. May be dropped at any time.
    ///
    /// # Errors
    /// When the kernel's timer fails.
    pub(crate) async fn sleep(&self, time: Duration) -> std::io::Result<()> {
        let time = time.max(SLEEP_MIN);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // Setting it also takes back an expiry of before that nobody has read.
        timerfd_settime(
            self.0.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        )?;
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0u8; 8])?));
            match read {
                Ok(read) => return read.map(drop),
                // Readiness was left over from before it was set.
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_never_wakes_too_early_also_after_a_sleep_that_was_dropped() {
        let alarm = Alarm::new().unwrap();
        for ms in [1, 3, 7] {
            let dropped =
                tokio::time::timeout(Duration::from_millis(2), alarm.sleep(Duration::from_micros(2_200))).await;
            let begun = Instant::now();
            alarm.sleep(Duration::from_millis(ms)).await.unwrap();
            assert!(begun.elapsed() >= Duration::from_millis(ms), "{:?} after {dropped:?}", begun.elapsed());
        }
    }
}
