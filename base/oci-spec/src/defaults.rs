//! What a container gets when nobody says otherwise: docker's defaults, as data.
//!
//! The capabilities, the paths and the system calls are those that docker's users rely on
//! (moby's `daemon/pkg/oci` and the `moby/profiles` repository are the reference for the
//! facts); how they are enforced is other crates' business.

mod calls;
mod filesystem;
mod seccomp;

use crate::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxDeviceCgroup, LinuxDeviceType};

pub use filesystem::{masked_paths, mounts, readonly_paths};
pub use seccomp::seccomp;

/// The 14 capabilities of a container's root.
pub const CAPABILITIES: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// [`CAPABILITIES`] as a set.
pub fn capabilities() -> Capabilities {
    CAPABILITIES.into_iter().collect()
}

/// The capability sets of a process that runs as root with `set`: bounding, permitted and
/// effective. Inheritable and ambient stay empty (CVE-2022-24769).
pub fn capability_sets(set: &Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(set.clone())).set_permitted(Some(set.clone())).set_effective(Some(set.clone()));
    sets
}

/// The device rules: nothing but the harmless ones that the runtime adds itself.
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow: bool, kind: LinuxDeviceType, number: Option<(i64, i64)>| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow).set_typ(Some(kind)).set_access(Some("rwm".to_owned()));
        rule.set_major(number.map(|number| number.0)).set_minor(number.map(|number| number.1));
        rule
    };
    let mut rules = vec![rule(false, LinuxDeviceType::A, None)];
    // zero, null, urandom, random, tty, console
    for number in [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)] {
        rules.push(rule(true, LinuxDeviceType::C, Some(number)));
    }
    // FUSE: not even when a node for it exists.
    rules.push(rule(false, LinuxDeviceType::C, Some((10, 229))));
    rules
}

/// The one rule of a privileged container: every device.
pub fn privileged_device_rules() -> Vec<LinuxDeviceCgroup> {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true).set_typ(Some(LinuxDeviceType::A)).set_access(Some("rwm".to_owned()));
    vec![rule]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn se_02_root_keeps_what_common_servers_need_and_no_more() {
        let set = capabilities();
        assert_eq!(set.len(), 14);
        for kept in [Capability::Chown, Capability::NetBindService, Capability::Kill] {
            assert!(set.contains(&kept), "{kept}");
        }
        for dropped in
            [Capability::SysAdmin, Capability::NetAdmin, Capability::SysModule, Capability::SysPtrace]
        {
            assert!(!set.contains(&dropped), "{dropped}");
        }
        assert_eq!(capability_sets(&set).inheritable(), &None);
    }

    #[test]
    fn devices_are_denied_first() {
        assert!(!device_rules()[0].allow());
        assert!(privileged_device_rules()[0].allow());
    }
}
