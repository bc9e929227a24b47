//! What happened, as a number: two runs are the same when their traces are.

use std::fmt::Arguments;

/// Mixes everything that happens into 64 bits; prints it, too, when asked to.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        Self { hash: 0x9e37_79b9_7f4a_7c15, events: 0, print }
    }

    /// Notes that something happened at an instant (ns since the start), with its bytes.
    pub(crate) fn note(&mut self, at: u64, what: Arguments<'_>, bytes: &[u8]) {
        self.events += 1;
        self.mix(at);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
        if self.print {
            eprintln!("{:>10.3} ms  {what}", at as f64 / 1e6);
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(23) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }

    pub(crate) fn prints(&self) -> bool {
        self.print
    }

    /// The number, and how many events are in it.
    pub(crate) fn result(&self) -> (u64, u64) {
        (self.hash, self.events)
    }
}
