//! What docker gives a container by default: the yardstick of the security section.

use inspect::CapSet;
use oci_spec::defaults;

/// The defaults that a container is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Capabilities.
    pub capabilities: CapSet,
}

impl Baseline {
    /// Docker's.
    pub fn docker() -> Self {
        let names: Vec<String> = defaults::CAPABILITIES.iter().map(ToString::to_string).collect();
        Self { capabilities: CapSet::of(names.iter().map(String::as_str)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_gives_fourteen() {
        // The mask that docker's containers have in /proc/PID/status.
        assert_eq!(Baseline::docker().capabilities, CapSet(0xa804_25fb));
    }
}
