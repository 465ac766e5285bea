//! Sets of completion indexes, as a job's status writes them: `1,3-5,7`.

use std::collections::BTreeSet;
use std::fmt;

/// A set of indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(BTreeSet<i64>);

impl Indexes {
    /// Reads what a status or a rule says; what is not below the number of completions is left out.
    pub(super) fn parse(text: &str, completions: i64) -> Self {
        let mut all = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else {
                return Self::default();
            };
            all.extend(first.max(0)..=last.min(completions - 1));
        }
        Self(all)
    }

    pub(super) fn has(&self, index: i64) -> bool {
        self.0.contains(&index)
    }

    pub(super) fn add(&mut self, index: i64) {
        self.0.insert(index);
    }

    pub(super) fn count(&self) -> i64 {
        self.0.len() as i64
    }

    /// How many of these are in another set.
    pub(super) fn shared(&self, other: &Self) -> i64 {
        self.0.intersection(&other.0).count() as i64
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = all.next() {
            let mut last = first;
            while let Some(next) = all.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, shown, count) in
            [("", "", 0), ("1,3-5,7", "1,3-5,7", 5), ("0-1", "0,1", 2), ("8-20", "8,9", 2), ("x", "", 0)]
        {
            let found = Indexes::parse(text, 10);
            assert_eq!((found.to_string().as_str(), found.count()), (shown, count), "{text}");
        }
        let mut some = Indexes::parse("0,2", 10);
        some.add(1);
        assert_eq!(some.to_string(), "0-2");
        assert_eq!(some.shared(&Indexes::parse("2-4", 10)), 1);
    }
}
