//! Named points between the steps of the protocol, at which tests make a process die, wait, or believe that its disk fails.
//!
//! Each crate that has such points lists them in a file `points.rs`, with a sentence each. Without the feature `enabled`
//! every function here is empty and vanishes: a build for production cannot be told to die.
//!
//! With it, the environment variable `FAILPOINTS` says what happens where, in the words of the crate `fail`:
//! `name=action;name=action`, an action being `[times*]return(what)`, several of them joined by `->`. So
//! `30*off->return(abort)` lets a point be passed thirty times and dies then. What there is:
//!
//! | what | what happens |
//! |---|---|
//! | `abort` | the process dies at once (SIGABRT), as with `kill -9` |
//! | `pause 3000` | who came here waits for so many milliseconds; with [`Point::pass_async`] only that task |
//! | `say` | nothing but a line on standard error, as every other action writes one too |
//! | `errno 28` | [`Point::fails`] is that error of the operating system |
//! | a number | [`Point::value`] is that number |

use std::io;

#[cfg(feature = "enabled")]
mod enabled;

/// A place between two steps.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Its name, as in `FAILPOINTS`.
    pub name: &'static str,
    /// What has happened there and what has not.
    pub meaning: &'static str,
    /// When it is several points, one for each kind of what passes: their kinds.
    pub kinds: &'static [&'static str],
}

/// As long as it lives, the points do what they were told.
#[derive(Debug)]
#[must_use = "the points are disarmed when it is dropped"]
pub struct Armed {
    #[cfg(feature = "enabled")]
    _scenario: fail::FailScenario<'static>,
}

/// Reads `FAILPOINTS`, when the feature is on.
///
/// # Panics
/// When the feature is on and `FAILPOINTS` cannot be read as actions.
pub fn arm() -> Armed {
    Armed {
        #[cfg(feature = "enabled")]
        _scenario: enabled::arm(),
    }
}

/// Kinds of what passes, each once; nothing without the feature.
#[derive(Clone, Debug)]
pub struct Kinds(#[cfg(feature = "enabled")] std::collections::BTreeSet<&'static str>);

impl Kinds {
    /// Those that `kinds` gives, which is only asked when it matters.
    #[inline(always)]
    pub fn of<I: Iterator<Item = &'static str>>(_kinds: impl FnOnce() -> I) -> Self {
        Self(
            #[cfg(feature = "enabled")]
            enabled::kinds(_kinds),
        )
    }
}

impl Point {
    /// A point, as [`points!`] makes them.
    pub const fn new(name: &'static str, meaning: &'static str, kinds: &'static [&'static str]) -> Self {
        Self { name, meaning, kinds }
    }

    /// All names that it has: one, or one for each kind.
    pub fn names(&self) -> Vec<String> {
        match self.kinds {
            [] => vec![self.name.to_owned()],
            kinds => kinds.iter().map(|kind| format!("{}::{kind}", self.name)).collect(),
        }
    }

    /// A thread comes by.
    #[inline(always)]
    pub fn pass(&self) {
        #[cfg(feature = "enabled")]
        enabled::pass(self.name);
    }

    /// A thread comes by with things of these kinds.
    #[inline(always)]
    pub fn pass_each(&self, _kinds: &Kinds) {
        #[cfg(feature = "enabled")]
        enabled::pass_each(self.name, &_kinds.0);
    }

    /// A task comes by: a pause here holds up nobody else.
    #[inline(always)]
    pub async fn pass_async(&self) {
        #[cfg(feature = "enabled")]
        enabled::pass_async(self.name).await;
    }

    /// Whether the operating system fails here.
    ///
    /// # Errors
    /// The one that `errno` names.
    #[inline(always)]
    pub fn fails(&self) -> io::Result<()> {
        #[cfg(feature = "enabled")]
        return enabled::fails(self.name);
        #[cfg(not(feature = "enabled"))]
        Ok(())
    }

    /// A number in place of one that a production build has: a smaller file, an earlier checkpoint.
    #[inline(always)]
    pub fn value(&self) -> Option<u64> {
        #[cfg(feature = "enabled")]
        return enabled::value(self.name);
        #[cfg(not(feature = "enabled"))]
        None
    }
}

/// Makes constants of points, and a list `ALL` of them. The sentence that documents one is its meaning.
///
/// ```
/// mod points {
///     crest_failpoints::points! {
///         /// Nothing was sent.
///         BEFORE_SENDING = "example::before_sending";
///         /// It was written, and is not durable.
///         WRITTEN = "example::written" of &["letter", "parcel"];
///     }
/// }
/// points::BEFORE_SENDING.pass();
/// points::WRITTEN.pass_each(&crest_failpoints::Kinds::of(|| ["letter"].into_iter()));
/// let names: Vec<String> = points::ALL.iter().flat_map(|point| point.names()).collect();
/// assert_eq!(names, ["example::before_sending", "example::written::letter", "example::written::parcel"]);
/// ```
#[macro_export]
macro_rules! points {
    ($($(#[doc = $meaning:literal])+ $constant:ident = $name:literal $(of $kinds:expr)?;)+) => {
        $(
            $(#[doc = $meaning])+
            pub const $constant: $crate::Point = $crate::Point::new($name, concat!($($meaning),+), {
                const KINDS: &[&[&str]] = &[$($kinds)?];
                match KINDS { [kinds] => kinds, _ => &[] }
            });
        )+

        /// All of them, in the order in which a reader meets them.
        pub const ALL: &[$crate::Point] = &[$($constant),+];
    };
}
