//! Ctrl-C and the other signals that end a process. While requests leave, the first one ends that, and everything is proven
//! nevertheless; a second one, or one at any other time, gives the rehearsal up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What was asked for by signals.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts {
    count: watch::Receiver<u32>,
    /// So many do not give it up.
    forgiven: Arc<AtomicU32>,
}

impl Interrupts {
    /// Listens from now on; these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (mut hangup, mut quit) = (signal(SignalKind::hangup())?, signal(SignalKind::quit())?);
        let (counter, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                    _ = quit.recv() => {}
                    () = counter.closed() => return,
                }
                counter.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count, forgiven: Arc::default() })
    }

    /// Those that a test sends, instead of signals.
    #[cfg(test)]
    pub(crate) fn counted(count: watch::Receiver<u32>) -> Self {
        Self { count, forgiven: Arc::default() }
    }

    /// Requests leave from now on: one signal ends that, and gives nothing up.
    pub(crate) fn sending_begins(&self) {
        self.forgiven.store(1, Ordering::Relaxed);
    }

    /// No more requests leave: signals from now on give it up.
    pub(crate) fn sending_ends(&self) {
        self.forgiven.store(*self.count.borrow(), Ordering::Relaxed);
    }

    /// Whether somebody wants the sending to end.
    pub(crate) fn stop_requested(&self) -> bool {
        *self.count.borrow() > 0
    }

    /// Waits until somebody gives up.
    pub(crate) async fn give_up(&self) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count > self.forgiven.load(Ordering::Relaxed)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
