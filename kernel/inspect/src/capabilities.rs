//! Capability sets: `capabilities(7)`.

use serde::{Serialize, Serializer};

/// A set of capabilities as `/proc/PID/status` prints it, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSet(pub u64);

/// The five sets of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CapSets {
    /// Kept across `execve` of a file that also has them inheritable.
    pub inheritable: CapSet,
    /// What the thread may make effective.
    pub permitted: CapSet,
    /// What the kernel checks.
    pub effective: CapSet,
    /// The ceiling of what `execve` can give.
    pub bounding: CapSet,
    /// Given to ordinary programs by `execve`.
    pub ambient: CapSet,
}

impl CapSet {
    /// The set with these names (`CAP_CHOWN` or `CHOWN`); unknown ones are left out.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bit = |name: &str| {
            let bare = name.strip_prefix("CAP_").unwrap_or(name);
            NAMES.iter().position(|known| *known == bare)
        };
        Self(names.into_iter().filter_map(bit).fold(0, |set, bit| set | 1 << bit))
    }

    /// Does it hold `name` (`CAP_CHOWN` or `CHOWN`)?
    pub fn has(self, name: &str) -> bool {
        let one = Self::of([name]);
        one.0 != 0 && self.0 & one.0 != 0
    }

    /// The names without `CAP_`, in the kernel's order; bits that this version does
    /// not know are shown by number.
    pub fn names(self) -> Vec<String> {
        (0..64usize)
            .filter(|bit| self.0 >> bit & 1 == 1)
            .map(|bit| NAMES.get(bit).map_or_else(|| format!("{bit}"), |name| (*name).to_owned()))
            .collect()
    }

    /// What is in `self` and not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many it holds.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Does it hold none?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Serialize for CapSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

pub use sys::capability::NAMES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_bits() {
        assert_eq!(CapSet(0b1).names(), ["CHOWN"]);
        assert_eq!(CapSet(1 << 21 | 1 << 40).names(), ["SYS_ADMIN", "CHECKPOINT_RESTORE"]);
        assert_eq!(CapSet(1 << 63).names(), ["63"]);
        assert!(CapSet(0).names().is_empty());
    }

    #[test]
    fn takes_names_with_and_without_prefix() {
        let set = CapSet::of(["CAP_KILL", "CHOWN", "NO_SUCH"]);
        assert_eq!(set, CapSet(1 << 5 | 1));
        assert!(set.has("KILL") && set.has("CAP_CHOWN") && !set.has("SYS_ADMIN") && !set.has("NO_SUCH"));
    }

    #[test]
    fn subtracts() {
        assert_eq!(CapSet(0b111).without(CapSet(0b010)), CapSet(0b101));
    }
}
