//! Regular expressions.

use regex::{Regex, RegexBuilder};

/// Compiles an expression of RE2.
pub(crate) fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(SIZE_MAX).build()
}

/// The largest compiled expression, in bytes.
const SIZE_MAX: usize = 1 << 20;
