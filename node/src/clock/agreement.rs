//! What a majority of clocks agrees on: Marzullo's algorithm (K. A. Marzullo, "Maintaining the Time in a Distributed System", 1984), as in
//! NTP (RFC 5905, section 11.2.1).

use crate::limits::CLOCK_TOLERANCE_NS;

/// How far a clock is from this process's, at the least and at the most, ns; positive when it is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// At the least.
    pub min: i64,
    /// At the most.
    pub max: i64,
}

impl Offsets {
    /// Of a clock that showed `reading` at some moment of the last `took` ns, when this process's shows `now`. Both may err by the
    /// tolerance.
    pub fn measured(reading: u64, now: u64, took: u64) -> Self {
        let least = i128::from(reading) - i128::from(now);
        let most = least + i128::from(took);
        let of = |ns: i128| i64::try_from(ns).unwrap_or(if ns > 0 { i64::MAX } else { i64::MIN });
        let tolerance = i128::from(CLOCK_TOLERANCE_NS);
        Self { min: of(least - tolerance), max: of(most + tolerance) }
    }

    /// Those of this process's own clock.
    fn own() -> Self {
        Self { min: -CLOCK_TOLERANCE_NS, max: CLOCK_TOLERANCE_NS }
    }

    /// Whether the clock may show the same as this process's, within the tolerance of both.
    pub(super) fn includes_zero(&self) -> bool {
        self.overlap(&Self::own())
    }

    fn overlap(&self, other: &Self) -> bool {
        self.min <= other.max && self.max >= other.min
    }

    /// The middle of the two.
    pub(super) fn middle(&self) -> i64 {
        self.min.midpoint(self.max)
    }
}

/// What a majority of the nodes' clocks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// A majority, this process's clock among it, agrees on a time within these offsets.
    Agrees(Offsets),
    /// A majority agrees on a time within these offsets, and this process's clock is not among it.
    Outside(Offsets),
    /// Fewer than a majority answered.
    TooFew,
    /// A majority answered, and no majority agrees.
    Disagree,
}

/// Finds the offsets that most of the clocks share: of this process, and of the others that answered, of `nodes` nodes in all.
pub fn agree(nodes: usize, others: &[Offsets]) -> Agreement {
    let majority = nodes / 2 + 1;
    let clocks: Vec<Offsets> = others.iter().copied().chain([Offsets::own()]).collect();
    // The most clocks overlap where one of them begins. Of several majorities, one that has this process's clock is as good as any.
    let best = clocks.iter().map(|clock| shared_at(&clocks, clock.min));
    let best = best.max_by_key(|(count, offsets)| (*count, offsets.overlap(&Offsets::own()), offsets.min));
    let Some((count, offsets)) = best.filter(|(count, _)| *count >= majority) else {
        return if clocks.len() < majority { Agreement::TooFew } else { Agreement::Disagree };
    };
    assert!(count * 2 > nodes && offsets.min <= offsets.max, "a majority shares some offset");
    let own = Offsets::own();
    if own.min <= offsets.max && own.max >= offsets.min {
        Agreement::Agrees(offsets)
    } else {
        Agreement::Outside(offsets)
    }
}

/// How many clocks include this offset, and what all of those share.
fn shared_at(clocks: &[Offsets], offset: i64) -> (usize, Offsets) {
    let including = clocks.iter().filter(|clock| (clock.min..=clock.max).contains(&offset));
    including.fold((0, Offsets { min: i64::MIN, max: i64::MAX }), |(count, shared), clock| {
        (count + 1, Offsets { min: shared.min.max(clock.min), max: shared.max.min(clock.max) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const HOUR: i64 = 3_600_000 * MS;

    /// A clock that is ahead by so many ns, whose answer took 2 ms.
    fn ahead(ns: i64) -> Offsets {
        let now = 1_700_000_000_000_000_000_u64;
        Offsets::measured(now.saturating_add_signed(ns), now + 2_000_000, 2_000_000)
    }

    #[track_caller]
    fn check(nodes: usize, others: &[i64], expected: &str) {
        let others: Vec<Offsets> = others.iter().map(|ns| ahead(*ns)).collect();
        let agreement = agree(nodes, &others);
        assert!(format!("{agreement:?}").starts_with(expected), "{agreement:?}, not {expected}");
    }

    #[test]
    fn a_majority_decides_whose_clock_is_right() {
        check(1, &[], "Agrees");
        check(2, &[3 * MS], "Agrees");
        check(2, &[HOUR], "Disagree");
        check(2, &[], "TooFew");
        check(3, &[3 * MS, -5 * MS], "Agrees");
        check(3, &[HOUR, -5 * MS], "Agrees");
        check(3, &[HOUR, HOUR + MS], "Outside");
        check(3, &[-HOUR, HOUR], "Disagree");
        check(3, &[MS], "Agrees");
        check(3, &[HOUR], "Disagree");
        check(3, &[], "TooFew");
        check(5, &[HOUR, HOUR], "Disagree");
        check(5, &[HOUR, HOUR, HOUR], "Outside");
        check(5, &[HOUR, HOUR, MS, 0], "Agrees");
        check(4, &[HOUR, HOUR, 0], "Disagree");
    }

    #[test]
    fn clocks_agree_up_to_twice_the_tolerance() {
        check(2, &[2 * CLOCK_TOLERANCE_NS - 3 * MS], "Agrees");
        check(2, &[2 * CLOCK_TOLERANCE_NS + 3 * MS], "Disagree");
        check(3, &[900 * MS, 1_800 * MS], "Agrees");
    }

    #[test]
    fn what_is_agreed_on_is_what_all_of_the_majority_may_show() {
        let Agreement::Agrees(shared) = agree(3, &[ahead(400 * MS), ahead(300 * MS)]) else { panic!("they agree") };
        assert_eq!(shared, Offsets { min: ahead(400 * MS).min, max: CLOCK_TOLERANCE_NS });
    }

    #[test]
    fn an_answer_that_took_long_says_little() {
        let slow = Offsets::measured(HOUR as u64, 2 * HOUR as u64, 2 * HOUR as u64);
        assert_eq!(slow, Offsets { min: -HOUR - CLOCK_TOLERANCE_NS, max: HOUR + CLOCK_TOLERANCE_NS });
        assert!(slow.includes_zero());
    }

    #[test]
    fn the_ends_of_all_times_are_no_end_of_the_process() {
        let far = [Offsets::measured(u64::MAX, 0, u64::MAX), Offsets::measured(0, u64::MAX, 0)];
        assert_eq!(agree(3, &far), Agreement::Disagree);
    }
}
