//! A value together with the place where it was read.

use serde::Serialize;

/// A value and where it comes from: a path (`/proc/42/status`) or a system call
/// (`uname(2)`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sourced<T> {
    /// What was read.
    pub value: T,
    /// The file or the system call.
    pub source: String,
}

impl<T> Sourced<T> {
    /// `value`, read from `source`.
    pub fn new(value: T, source: impl Into<String>) -> Self {
        Self { value, source: source.into() }
    }

    /// The same source with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: change(self.value), source: self.source }
    }
}
