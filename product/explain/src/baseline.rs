//! What docker gives a container by default: the yardstick of the security section.

use inspect::CapSet;

/// The defaults that a container is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Capabilities.
    pub capabilities: CapSet,
}

impl Baseline {
    /// Docker's.
    pub fn docker() -> Self {
        Self { capabilities: CapSet::of(CAPABILITIES) }
    }
}

/// Docker's fourteen.
const CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
