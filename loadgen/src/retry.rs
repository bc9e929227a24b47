//! The one way to ask a ledger for something: again with the same ids while the outcome is unknown, for a bounded time.

use std::future::Future;
use std::time::{Duration, Instant};

use tonic::{Code, Status};

use crate::random::SplitMix64;

/// The first pause before a request is sent again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long to wait for answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one attempt; after it the outcome counts as unknown.
    pub(crate) attempt: Duration,
    /// From the first attempt on; after it no further attempt is begun.
    pub(crate) total: Duration,
}

/// What a gRPC error says about the request (the public API's rules), the least harmful first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Meaning {
    /// Nothing was applied and sending it again will not help.
    Refused,
    /// Nothing was applied because the router is busy: send it again later.
    Busy,
    /// Some of it may have been applied: send it again with the same ids.
    Unknown,
}

/// Pauses before attempts, each twice as long as the one before, up to a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Pauses {
    /// The next pause: between half of its length and all of it, so that clients that failed together do not come back
    /// together.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(0.5 + SplitMix64::unrepeatable().fraction() / 2.0);
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        pause
    }
}

/// What `code` means. Whatever is not known to be harmless counts as unknown: guessing would lose money.
pub(crate) fn meaning(code: Code) -> Meaning {
    match code {
        Code::ResourceExhausted => Meaning::Busy,
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::NotFound => Meaning::Refused,
        _ => Meaning::Unknown,
    }
}

/// An answer, and what it took.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    pub(crate) answer: T,
    /// Attempts whose outcome was unknown.
    pub(crate) unknown: u64,
    /// Attempts that the router was too busy for.
    pub(crate) busy: u64,
}

/// No answer.
#[derive(Debug)]
pub(crate) struct Unsettled {
    pub(crate) status: Status,
    /// Attempts whose outcome was unknown. When 0, nothing was applied.
    pub(crate) unknown: u64,
    /// Attempts that the router was too busy for.
    pub(crate) busy: u64,
}

impl std::fmt::Display for Unsettled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.status.code(), self.status.message())?;
        if self.unknown > 0 {
            write!(
                f,
                " (outcome unknown after {} attempts; run it again, nothing is paid twice)",
                self.unknown + self.busy
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Unsettled {}

/// Sends what `attempt` sends until it is answered, refused for good, or `patience` is over. Every call of `attempt` must
/// send the very same request.
///
/// # Errors
/// [`Unsettled`] with the last attempt's status.
pub(crate) async fn until_settled<T, F, A>(patience: Patience, mut attempt: F) -> Result<Settled<T>, Unsettled>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, Status>>,
{
    let begun = Instant::now();
    let (mut unknown, mut busy) = (0, 0);
    let mut pauses = Pauses::default();
    loop {
        let status = match tokio::time::timeout(patience.attempt, attempt()).await {
            Ok(Ok(answer)) => return Ok(Settled { answer, unknown, busy }),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", patience.attempt)),
        };
        match meaning(status.code()) {
            Meaning::Unknown => unknown += 1,
            Meaning::Busy => busy += 1,
            Meaning::Refused => return Err(Unsettled { status, unknown, busy }),
        }
        let pause = pauses.next();
        if begun.elapsed() + pause > patience.total {
            return Err(Unsettled { status, unknown, busy });
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Patience = Patience { attempt: Duration::from_secs(5), total: Duration::from_secs(5) };

    /// Answers with `codes` one after the other, then with a value.
    async fn through(codes: &[Code], patience: Patience) -> Result<Settled<u8>, Unsettled> {
        let mut codes = codes.iter();
        until_settled(patience, || {
            let code = codes.next().copied();
            async move { code.map_or(Ok(7), |c| Err(Status::new(c, "scripted"))) }
        })
        .await
    }

    #[tokio::test]
    async fn unknown_and_busy_are_tried_again_and_counted_apart() {
        let settled =
            through(&[Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded], QUICK).await.unwrap();
        assert_eq!((settled.answer, settled.unknown, settled.busy), (7, 2, 1));
    }

    #[tokio::test]
    async fn what_is_refused_for_good_is_not_tried_again() {
        let unsettled = through(&[Code::InvalidArgument], QUICK).await.unwrap_err();
        assert_eq!((unsettled.status.code(), unsettled.unknown), (Code::InvalidArgument, 0));
    }

    #[tokio::test]
    async fn patience_ends() {
        let none = Patience { total: Duration::ZERO, ..QUICK };
        let unsettled = through(&[Code::Unavailable, Code::Unavailable], none).await.unwrap_err();
        assert_eq!(unsettled.unknown, 1);
        assert!(unsettled.to_string().contains("nothing is paid twice"), "{unsettled}");
    }

    #[tokio::test]
    async fn an_attempt_without_an_answer_is_unknown() {
        let hasty = Patience { attempt: Duration::from_millis(1), total: Duration::ZERO };
        let never = || std::future::pending::<Result<(), Status>>();
        let unsettled = until_settled(hasty, never).await.unwrap_err();
        assert_eq!((unsettled.status.code(), unsettled.unknown), (Code::DeadlineExceeded, 1));
    }
}
