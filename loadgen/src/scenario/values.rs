//! The values of a scenario, each with its bounds.

/// A share, 0.0 to 1.0.
pub type Share = f64;
