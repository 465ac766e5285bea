//! The features that are tried.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sys::{Namespace, NamespaceSet};

use super::trial::{Trial, in_child};
use super::{Tried, filesystems, network, process};

/// Something that a kernel can do, or not, or not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is what its name says; what it is good for is told where it is judged")]
pub enum Feature {
    MountNamespace,
    PidNamespace,
    NetworkNamespace,
    UtsNamespace,
    IpcNamespace,
    CgroupNamespace,
    UserNamespace,
    TimeNamespace,
    UserNamespaceUnprivileged,
    MountApi,
    Overlay,
    OverlayVolatile,
    OverlayUserxattr,
    OverlayInUserNamespace,
    IdmappedMounts,
    ProjectQuota,
    FsVerity,
    Fuse,
    Nftables,
    Conntrack,
    Bridge,
    Veth,
    Macvlan,
    Ipvlan,
    Vxlan,
    Wireguard,
    Ipvs,
    Tun,
    Ipv6,
    Seccomp,
    SeccompNotify,
    Pidfd,
    DevicePrograms,
    IoUring,
    Kvm,
    Entropy,
}

impl Feature {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 36] = [
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::UtsNamespace,
        Self::IpcNamespace,
        Self::CgroupNamespace,
        Self::UserNamespace,
        Self::TimeNamespace,
        Self::UserNamespaceUnprivileged,
        Self::MountApi,
        Self::Overlay,
        Self::OverlayVolatile,
        Self::OverlayUserxattr,
        Self::OverlayInUserNamespace,
        Self::IdmappedMounts,
        Self::ProjectQuota,
        Self::FsVerity,
        Self::Fuse,
        Self::Nftables,
        Self::Conntrack,
        Self::Bridge,
        Self::Veth,
        Self::Macvlan,
        Self::Ipvlan,
        Self::Vxlan,
        Self::Wireguard,
        Self::Ipvs,
        Self::Tun,
        Self::Ipv6,
        Self::Seccomp,
        Self::SeccompNotify,
        Self::Pidfd,
        Self::DevicePrograms,
        Self::IoUring,
        Self::Kvm,
        Self::Entropy,
    ];
}

/// Tries every feature; those of file systems below `place`.
pub(super) fn try_all(place: &Path) -> Vec<Tried> {
    Feature::ALL.into_iter().map(|feature| Tried { feature, trial: attempt(feature, place) }).collect()
}

fn attempt(feature: Feature, place: &Path) -> Trial {
    let alone = NamespaceSet::EMPTY;
    let network = alone.with(Namespace::Net);
    let nothing = || Ok(String::new());
    match feature {
        Feature::MountNamespace => in_child(alone.with(Namespace::Mount), nothing),
        Feature::PidNamespace => in_child(alone.with(Namespace::Pid), nothing),
        Feature::NetworkNamespace => in_child(network, nothing),
        Feature::UtsNamespace => in_child(alone.with(Namespace::Uts), nothing),
        Feature::IpcNamespace => in_child(alone.with(Namespace::Ipc), nothing),
        Feature::CgroupNamespace => in_child(alone.with(Namespace::Cgroup), nothing),
        Feature::UserNamespace => in_child(alone.with(Namespace::User), nothing),
        // Not for the process itself: for its children.
        Feature::TimeNamespace => in_child(alone, process::time_namespace),
        Feature::UserNamespaceUnprivileged => in_child(alone, process::unprivileged_user_namespace),
        Feature::MountApi => in_child(alone.with(Namespace::Mount), filesystems::mount_api),
        Feature::Overlay => in_child(alone, || filesystems::overlay(place, &[])),
        Feature::OverlayVolatile => in_child(alone, || filesystems::overlay(place, &["volatile"])),
        Feature::OverlayUserxattr => in_child(alone, || filesystems::overlay(place, &["userxattr"])),
        Feature::OverlayInUserNamespace => {
            let own = alone.with(Namespace::User).with(Namespace::Mount);
            let (uid, gid) = (sys::user::effective_uid(), sys::user::effective_gid());
            in_child(own, || filesystems::overlay_in_user_namespace(place, uid, gid))
        }
        Feature::IdmappedMounts => in_child(alone, || filesystems::idmapped(place)),
        Feature::ProjectQuota => in_child(alone, || filesystems::project_quota(place)),
        Feature::FsVerity => in_child(alone, || filesystems::verity(place)),
        Feature::Fuse => in_child(alone, || process::opens("/dev/fuse")),
        Feature::Nftables => in_child(network, network::nftables),
        Feature::Conntrack => in_child(network, network::conntrack),
        Feature::Bridge => in_child(network, || network::plain("bridge")),
        Feature::Veth => in_child(network, || network::plain("veth")),
        Feature::Macvlan => in_child(network, || network::on_a_parent("macvlan")),
        Feature::Ipvlan => in_child(network, || network::on_a_parent("ipvlan")),
        Feature::Vxlan => in_child(network, network::vxlan),
        Feature::Wireguard => in_child(network, || network::plain("wireguard")),
        Feature::Ipvs => in_child(network, network::ipvs),
        Feature::Tun => in_child(alone, || process::opens("/dev/net/tun")),
        Feature::Ipv6 => in_child(network, network::ipv6),
        Feature::Seccomp => in_child(alone, process::seccomp),
        Feature::SeccompNotify => in_child(alone, process::seccomp_notify),
        Feature::Pidfd => in_child(alone, process::pidfd),
        Feature::DevicePrograms => in_child(alone, process::device_program),
        Feature::IoUring => in_child(alone, || sys::features::io_uring().map(|()| String::new())),
        Feature::Kvm => in_child(alone, process::kvm),
        Feature::Entropy => in_child(alone, process::entropy),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_feature_is_there_once() {
        let distinct: BTreeSet<Feature> = Feature::ALL.into_iter().collect();
        assert_eq!(distinct.len(), Feature::ALL.len());
    }
}
