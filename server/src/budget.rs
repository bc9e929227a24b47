//! Bytes that the process may spend on something, and what is spent just now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge};

/// So many bytes, for the process as a whole, and a share of them for each connection. Cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    name: &'static str,
    max: usize,
    share_max: usize,
    used: AtomicUsize,
    used_gauge: Gauge,
    refusals: Counter,
}

/// There is no room: the words of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full(pub String);

impl Budget {
    /// A budget of `max` bytes, of which one connection gets at most `share_max`. The metrics name it.
    pub fn new(name: &'static str, max: usize, share_max: usize) -> Self {
        assert!(0 < share_max && share_max <= max, "a connection's share is a part of the whole");
        metrics::gauge!("crest_server_bytes_max", "budget" => name).set(max as f64);
        let used_gauge = metrics::gauge!("crest_server_bytes", "budget" => name);
        used_gauge.set(0.0);
        let refusals = metrics::counter!("crest_server_refusals_total", "budget" => name);
        refusals.increment(0);
        Self(Arc::new(Inner { name, max, share_max, used: AtomicUsize::new(0), used_gauge, refusals }))
    }

    /// Bytes that are spent now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn full(&self, whose: &str, max: usize) -> Full {
        self.0.refusals.increment(1);
        Full(format!(
            "{whose} has requests and answers of {} under way that take up its {} MiB of memory",
            self.0.name,
            max >> 20
        ))
    }
}

/// What one connection spends of a budget.
#[derive(Clone)]
pub struct Share {
    budget: Budget,
    used: Arc<AtomicUsize>,
}

impl Share {
    /// The share of a new connection.
    pub fn of(budget: &Budget) -> Self {
        Self { budget: budget.clone(), used: Arc::new(AtomicUsize::new(0)) }
    }

    /// Whether it is a share of this budget.
    pub(crate) fn is_of(&self, budget: &Budget) -> bool {
        self.budget.is(budget)
    }

    /// The most that it may spend.
    pub(crate) fn bytes_max(&self) -> usize {
        self.budget.0.share_max
    }

    /// Spends nothing so far.
    pub(crate) fn nothing(&self) -> Charge {
        Charge { share: self.clone(), bytes: 0 }
    }

    /// Spends `bytes`, until the charge is dropped.
    ///
    /// # Errors
    /// When the connection or the process has no room for them.
    pub fn charge(&self, bytes: usize) -> Result<Charge, Full> {
        let mut charge = self.nothing();
        charge.grow_to(bytes)?;
        Ok(charge)
    }
}

/// Bytes that are spent until this is dropped.
pub struct Charge {
    share: Share,
    bytes: usize,
}

impl Charge {
    /// How many.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Spends as many as `bytes` from now on, if these are not more than it does already.
    ///
    /// # Errors
    /// When there is no room for the difference; then nothing changes.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let inner = &self.share.budget.0;
        if !take(&self.share.used, more, inner.share_max) {
            return Err(self.share.budget.full("this connection", inner.share_max));
        }
        if !take(&inner.used, more, inner.max) {
            give(&self.share.used, more);
            return Err(self.share.budget.full("this server", inner.max));
        }
        inner.used_gauge.increment(more as f64);
        self.bytes = bytes;
        Ok(())
    }

    /// Spends no more than `bytes` from now on.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less == 0 {
            return;
        }
        let inner = &self.share.budget.0;
        give(&self.share.used, less);
        give(&inner.used, less);
        inner.used_gauge.decrement(less as f64);
        self.bytes -= less;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charge").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

fn take(used: &AtomicUsize, more: usize, max: usize) -> bool {
    let sum = |used: usize| used.checked_add(more).filter(|sum| *sum <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
}

fn give(used: &AtomicUsize, less: usize) {
    let before = used.fetch_sub(less, Ordering::Relaxed);
    assert!(before >= less, "no more bytes are given back than were taken");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_gets_its_share_and_all_together_the_whole() {
        let budget = Budget::new("tests", 10 << 20, 4 << 20);
        let (one, two, three) = (Share::of(&budget), Share::of(&budget), Share::of(&budget));
        let first = one.charge(4 << 20).unwrap();
        let full = one.charge(1).unwrap_err();
        assert_eq!(
            full.0,
            "this connection has requests and answers of tests under way that take up its 4 MiB of memory"
        );
        let _second = two.charge(4 << 20).unwrap();
        let full = three.charge((2 << 20) + 1).unwrap_err();
        assert_eq!(full.0, "this server has requests and answers of tests under way that take up its 10 MiB of memory");
        // What was refused was not taken from the connection's share either.
        let third = three.charge(2 << 20).unwrap();
        assert_eq!(budget.used(), 10 << 20);
        drop((first, third));
        assert_eq!(budget.used(), 4 << 20);
        assert!(one.charge(4 << 20).is_ok());
    }

    #[test]
    fn a_charge_grows_and_shrinks_and_is_given_back_whole() {
        let budget = Budget::new("tests", 100, 100);
        let mut charge = Share::of(&budget).charge(10).unwrap();
        charge.grow_to(90).unwrap();
        charge.grow_to(20).unwrap();
        assert_eq!((charge.bytes(), budget.used()), (90, 90));
        assert!(charge.grow_to(101).is_err());
        assert_eq!((charge.bytes(), budget.used()), (90, 90));
        charge.shrink_to(30);
        charge.shrink_to(40);
        assert_eq!((charge.bytes(), budget.used()), (30, 30));
        drop(charge);
        assert_eq!(budget.used(), 0);
    }
}
