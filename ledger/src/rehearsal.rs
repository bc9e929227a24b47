//! Rehearsals: ledger numbers that are kept for them, so that nothing on a live cluster can be taken for real money.
//!
//! A ledger number cannot be left: no transfer joins accounts of two, and every record carries its own. So a reserved range of
//! them is a tag that nobody can forget to set and nothing can lose, without a field of its own anywhere.

/// The first ledger number of rehearsals; every one from here to `u32::MAX` is one too. The top sixteenth of all of them: far
/// from the currency codes and small numbers that real ledgers have, and room for 268,435,456 rehearsals side by side.
pub const REHEARSAL_LEDGER_MIN: u32 = 0xF000_0000;

/// Whether this is a ledger number of rehearsals. 0, which a post or void may have in a request, is none.
pub const fn is_rehearsal(ledger: u32) -> bool {
    ledger >= REHEARSAL_LEDGER_MIN
}

/// Whose a piece of work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Of a rehearsal.
    Rehearsal,
    /// Real, or not known to be a rehearsal's.
    #[default]
    Live,
}

impl Traffic {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Rehearsal, Self::Live];

    /// That of what happens on a ledger number.
    pub const fn of(ledger: u32) -> Self {
        if is_rehearsal(ledger) { Self::Rehearsal } else { Self::Live }
    }

    /// That of several things together: live when any of them is. Ledger number 0 (of a post or void that names none) is as
    /// the others; where nothing names one, it is live.
    pub fn of_all(ledgers: impl IntoIterator<Item = u32>) -> Self {
        Self::named(ledgers).unwrap_or_default()
    }

    /// As [`Traffic::of_all`]; `None` where nothing names a ledger number.
    pub fn named(ledgers: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut named = None;
        for ledger in ledgers.into_iter().filter(|ledger| *ledger != 0) {
            if !is_rehearsal(ledger) {
                return Some(Self::Live);
            }
            named = Some(Self::Rehearsal);
        }
        named
    }

    /// The value of the label `traffic` of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// Which of both a query wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rehearsals {
    /// Real ones and those of rehearsals.
    #[default]
    Both,
    /// Real ones.
    Without,
    /// Those of rehearsals.
    Only,
}

impl Rehearsals {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Both, Self::Without, Self::Only];

    /// Whether what is on this ledger number is wanted.
    pub const fn admit(self, ledger: u32) -> bool {
        match self {
            Self::Both => true,
            Self::Without => !is_rehearsal(ledger),
            Self::Only => is_rehearsal(ledger),
        }
    }

    /// Its number in messages.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The inverse of [`Rehearsals::number`].
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_sixteenth_of_the_ledger_numbers_is_for_rehearsals() {
        let cases =
            [(0, false), (1, false), (7_014, false), (0xEFFF_FFFF, false), (0xF000_0000, true), (u32::MAX, true)];
        for (ledger, rehearsal) in cases {
            assert_eq!(is_rehearsal(ledger), rehearsal, "{ledger}");
            assert_eq!(Traffic::of(ledger) == Traffic::Rehearsal, rehearsal, "{ledger}");
            let admitted = Rehearsals::ALL.map(|wanted| wanted.admit(ledger));
            assert_eq!(admitted, [true, !rehearsal, rehearsal], "{ledger}");
        }
        assert_eq!(REHEARSAL_LEDGER_MIN, 4_026_531_840, "the number that the documentation names");
    }

    #[test]
    fn several_are_live_when_any_is_and_what_names_no_ledger_is_as_the_others() {
        let (live, rehearsal) = (1, REHEARSAL_LEDGER_MIN);
        let cases: [(&[u32], Traffic); 7] = [
            (&[], Traffic::Live),
            (&[0, 0], Traffic::Live),
            (&[rehearsal], Traffic::Rehearsal),
            (&[0, rehearsal, 0, u32::MAX], Traffic::Rehearsal),
            (&[rehearsal, live], Traffic::Live),
            (&[live, 0], Traffic::Live),
            (&[rehearsal, 0, live], Traffic::Live),
        ];
        for (ledgers, expected) in cases {
            assert_eq!(Traffic::of_all(ledgers.iter().copied()), expected, "{ledgers:?}");
        }
    }

    #[test]
    fn a_choice_is_read_as_its_number_says() {
        for wanted in Rehearsals::ALL {
            assert_eq!(Rehearsals::from_number(wanted.number()), Some(wanted));
        }
        assert_eq!(Rehearsals::from_number(3), None);
    }
}
