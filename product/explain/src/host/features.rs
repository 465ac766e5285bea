//! What each feature is good for, and what to do without it.

use inspect::host::{Feature, HostFacts, Trial, Tried};

use super::{Finding, Group, Level};

pub(super) fn finding(tried: &Tried, facts: &HostFacts) -> Finding {
    let words = words(tried.feature);
    let base = |level, value: String, consequence: &str, fix: Option<String>| Finding {
        id: id(tried.feature),
        group: words.group,
        level,
        value,
        consequence: consequence.to_owned(),
        fix,
    };
    match &tried.trial {
        Trial::Works { note } if note.is_empty() => base(Level::Ok, "works".to_owned(), words.good, None),
        Trial::Works { note } => base(Level::Ok, format!("works: {note}"), words.good, None),
        Trial::Fails { why } => {
            let fix = fix(tried.feature, facts, words.fix);
            base(words.level, format!("fails: {why}"), words.bad, Some(fix).filter(|fix| !fix.is_empty()))
        }
    }
}

/// The name for programs, as the facts have it: `mount-namespace`.
pub(super) fn id(feature: Feature) -> String {
    let mut id = String::new();
    for c in format!("{feature:?}").chars() {
        if c.is_ascii_uppercase() && !id.is_empty() {
            id.push('-');
        }
        id.push(c.to_ascii_lowercase());
    }
    id
}

/// A lacking capability explains most of what fails, so it is what is to be mended.
fn fix(feature: Feature, facts: &HostFacts, usual: &str) -> String {
    let lacks = |name: &str| facts.missing_capabilities.iter().any(|missing| missing == name);
    let needs = match feature {
        Feature::Bridge
        | Feature::Veth
        | Feature::Macvlan
        | Feature::Ipvlan
        | Feature::Vxlan
        | Feature::Wireguard
        | Feature::Nftables
        | Feature::Conntrack
        | Feature::Ipvs
        | Feature::Ipv6
        | Feature::UserNamespaceUnprivileged
        | Feature::Kvm
        | Feature::Fuse
        | Feature::Tun
        | Feature::Entropy
        | Feature::Pidfd => None,
        _ => Some("CAP_SYS_ADMIN"),
    };
    match needs.filter(|name| lacks(name)) {
        Some(name) => format!("run as root, or give {name}; then: {usual}"),
        None => usual.to_owned(),
    }
}

struct Words {
    group: Group,
    /// How bad it is to be without.
    level: Level,
    good: &'static str,
    bad: &'static str,
    fix: &'static str,
}

fn words(feature: Feature) -> Words {
    match feature {
        Feature::MountNamespace
        | Feature::PidNamespace
        | Feature::NetworkNamespace
        | Feature::UtsNamespace
        | Feature::IpcNamespace
        | Feature::CgroupNamespace
        | Feature::UserNamespace
        | Feature::TimeNamespace
        | Feature::UserNamespaceUnprivileged => namespaces(feature),
        Feature::MountApi
        | Feature::Overlay
        | Feature::OverlayVolatile
        | Feature::OverlayUserxattr
        | Feature::OverlayInUserNamespace
        | Feature::IdmappedMounts
        | Feature::ProjectQuota
        | Feature::FsVerity
        | Feature::Fuse => file_systems(feature),
        Feature::Nftables
        | Feature::Conntrack
        | Feature::Bridge
        | Feature::Veth
        | Feature::Macvlan
        | Feature::Ipvlan
        | Feature::Vxlan
        | Feature::Wireguard
        | Feature::Ipvs
        | Feature::Tun
        | Feature::Ipv6 => network(feature),
        Feature::Seccomp
        | Feature::SeccompNotify
        | Feature::Pidfd
        | Feature::DevicePrograms
        | Feature::IoUring
        | Feature::Kvm
        | Feature::Entropy => processes(feature),
    }
}

fn namespaces(feature: Feature) -> Words {
    let (level, good, bad, fix) = match feature {
        Feature::MountNamespace => (
            Level::Error,
            "A container has mounts of its own.",
            "Without mounts of their own containers cannot have a file system: none can run.",
            "run as root on a kernel with CONFIG_NAMESPACES",
        ),
        Feature::PidNamespace => (
            Level::Error,
            "A container sees its own processes only, and its first one is PID 1.",
            "Containers cannot have processes of their own: none can run.",
            "run as root on a kernel with CONFIG_PID_NS",
        ),
        Feature::NetworkNamespace => (
            Level::Warning,
            "A container has interfaces, addresses and ports of its own.",
            "Only `--network host` works: containers cannot have a network of their own.",
            "run as root on a kernel with CONFIG_NET_NS",
        ),
        Feature::UtsNamespace => (
            Level::Error,
            "A container has a host name of its own.",
            "Containers cannot have a host name of their own: none can run.",
            "run as root on a kernel with CONFIG_UTS_NS",
        ),
        Feature::IpcNamespace => (
            Level::Error,
            "A container's shared memory and queues are its own.",
            "Containers cannot have shared memory of their own: none can run.",
            "run as root on a kernel with CONFIG_IPC_NS",
        ),
        Feature::CgroupNamespace => (
            Level::Warning,
            "A container sees its own control group as the root.",
            "`--cgroupns private` does not work: containers see where they are in the host's groups.",
            "use `--cgroupns host`, or a kernel with CONFIG_CGROUPS since Linux 4.6",
        ),
        Feature::UserNamespace => (
            Level::Warning,
            "Root of a container can be an ordinary user of the host.",
            "Ids cannot be mapped: no rootless containers and no `--userns`.",
            "raise user.max_user_namespaces, or use a kernel with CONFIG_USER_NS",
        ),
        Feature::TimeNamespace => (
            Level::Note,
            "A container can be given an uptime of its own.",
            "Containers share the host's uptime, as they do by default.",
            "use a kernel with CONFIG_TIME_NS if a container needs an uptime of its own",
        ),
        _ => (
            Level::Warning,
            "An ordinary user can make the namespaces of a container.",
            "No rootless containers: an ordinary user may not make a user namespace. Root's containers are not touched.",
            "set kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or raise user.max_user_namespaces",
        ),
    };
    Words { group: Group::Namespaces, level, good, bad, fix }
}

fn file_systems(feature: Feature) -> Words {
    let (level, good, bad, fix) = match feature {
        Feature::MountApi => (
            Level::Error,
            "Mounts are made apart and put in place whole, by descriptors.",
            "Root file systems cannot be put together: no container can run.",
            "use Linux 5.12 or newer, as root",
        ),
        Feature::Overlay => (
            Level::Error,
            "Containers share an image's layers and write to a layer of their own.",
            "Images' layers cannot be stacked on the data root's file system: no container can run.",
            "load the module `overlay`, or put the data root on ext4, xfs or btrfs with --root",
        ),
        Feature::OverlayVolatile => (
            Level::Note,
            "A container's own layer need not be written out when it ends.",
            "Unmounting a container's layer waits for the disk.",
            "use Linux 5.10 or newer",
        ),
        Feature::OverlayUserxattr => (
            Level::Note,
            "Overlays can be kept without root's attributes.",
            "Rootless containers cannot use overlayfs.",
            "use Linux 5.11 or newer",
        ),
        Feature::OverlayInUserNamespace => (
            Level::Warning,
            "Rootless containers share layers, too.",
            "Rootless containers cannot stack layers with overlayfs.",
            "use Linux 5.11 or newer; raise user.max_user_namespaces",
        ),
        Feature::IdmappedMounts => (
            Level::Note,
            "One copy of a layer serves containers with different id maps.",
            "With mapped ids (`--userns`, pods with hostUsers: false) layers cannot be shared on this file system.",
            "put the data root on ext4, xfs or btrfs, on Linux 5.12 or newer",
        ),
        Feature::ProjectQuota => (
            Level::Note,
            "Files can be counted to a project, as `--storage-opt size` needs.",
            "`--storage-opt size` cannot limit a container's layer.",
            "put the data root on xfs mounted with pquota, or on ext4 made with `-O quota,project`, mounted with prjquota",
        ),
        Feature::FsVerity => (
            Level::Note,
            "Files can be sealed by their digest.",
            "Blobs are verified when they are read, not by the kernel.",
            "make the data root's ext4 with `-O verity`, or use btrfs",
        ),
        _ => (
            Level::Note,
            "Containers can be given file systems that a program serves.",
            "`--device /dev/fuse` does not work.",
            "load the module `fuse`",
        ),
    };
    Words { group: Group::FileSystems, level, good, bad, fix }
}

fn network(feature: Feature) -> Words {
    let (level, good, bad, fix) = match feature {
        Feature::Nftables => (
            Level::Warning,
            "Ports can be published and containers reach the world.",
            "No masquerading and no published ports: only `--network host`, `none` and `container:` work.",
            "load the module `nf_tables` (CONFIG_NF_TABLES, CONFIG_NFT_NAT)",
        ),
        Feature::Conntrack => (
            Level::Warning,
            "Answers find their way back to containers.",
            "Addresses cannot be translated: no published ports and no way out of a bridge.",
            "load the module `nf_conntrack`",
        ),
        Feature::Bridge => (
            Level::Warning,
            "Containers on one network reach each other.",
            "No bridge networks: only `--network host`, `none` and `container:` work.",
            "load the module `bridge`",
        ),
        Feature::Veth => (
            Level::Warning,
            "A container can be connected by a cable of its own.",
            "No bridge networks: only `--network host`, `none` and `container:` work.",
            "load the module `veth`",
        ),
        Feature::Macvlan => (
            Level::Note,
            "Containers can have addresses on the host's own network.",
            "`network create -d macvlan` does not work.",
            "load the module `macvlan`",
        ),
        Feature::Ipvlan => (
            Level::Note,
            "Containers can share an interface's hardware address.",
            "`network create -d ipvlan` does not work.",
            "load the module `ipvlan`",
        ),
        Feature::Vxlan => (
            Level::Note,
            "Pods of several nodes can share a network over any underlay.",
            "A cluster of several nodes needs direct routes between them.",
            "load the module `vxlan`",
        ),
        Feature::Wireguard => (
            Level::Note,
            "Traffic between nodes can be encrypted by the kernel.",
            "Traffic between nodes cannot be encrypted by the kernel.",
            "load the module `wireguard` (Linux 5.6 or newer)",
        ),
        Feature::Ipvs => (
            Level::Note,
            "A service proxy in IPVS mode can work here.",
            "A service proxy in IPVS mode does not work here; in nftables mode it does.",
            "load the module `ip_vs`",
        ),
        _ => return ways_out(feature),
    };
    Words { group: Group::Network, level, good, bad, fix }
}

fn ways_out(feature: Feature) -> Words {
    let (level, good, bad, fix) = match feature {
        Feature::Tun => (
            Level::Note,
            "Rootless containers can have a network by a user-space stack.",
            "Rootless containers reach the world by socket hand-over only.",
            "load the module `tun`",
        ),
        _ => (
            Level::Note,
            "Containers can have IPv6.",
            "Networks with `--ipv6` do not work.",
            "set net.ipv6.conf.all.disable_ipv6=0, or boot without ipv6.disable=1",
        ),
    };
    Words { group: Group::Network, level, good, bad, fix }
}

fn processes(feature: Feature) -> Words {
    let (group, level, good, bad, fix) = match feature {
        Feature::Seccomp => (
            Group::Security,
            Level::Warning,
            "Containers get docker's filter of system calls.",
            "Containers run only with `--security-opt seccomp=unconfined`: every system call is open to them.",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
        Feature::SeccompNotify => (
            Group::Security,
            Level::Note,
            "A program of yours can decide about a container's system calls.",
            "Profiles with SCMP_ACT_NOTIFY are refused.",
            "use Linux 5.0 or newer",
        ),
        Feature::Pidfd => (
            Group::Host,
            Level::Error,
            "A process is signalled by a descriptor, so never a stranger with its old number.",
            "Processes cannot be watched: no container can run.",
            "use Linux 5.3 or newer",
        ),
        Feature::DevicePrograms => (
            Group::Security,
            Level::Note,
            "Access to devices can be limited under cgroup v2.",
            "Under cgroup v2 `--device` and `--device-cgroup-rule` cannot limit access.",
            "run as root on a kernel with CONFIG_CGROUP_BPF",
        ),
        Feature::IoUring => (
            Group::Devices,
            Level::Note,
            "Programs outside of containers can use io_uring; docker's filter closes it to containers.",
            "Programs that insist on io_uring do not run, also with `seccomp=unconfined`.",
            "set kernel.io_uring_disabled=0",
        ),
        Feature::Kvm => (
            Group::Devices,
            Level::Note,
            "Virtual machines can run here, also in containers with `--device /dev/kvm`.",
            "No virtual machines: containers share this kernel.",
            "enable virtualization in the firmware, or nested virtualization in the hypervisor, and load kvm",
        ),
        _ => (
            Group::Resources,
            Level::Warning,
            "Random numbers are ready.",
            "Programs wait for the first random numbers after boot.",
            "install haveged, or give the machine virtio-rng",
        ),
    };
    Words { group, level, good, bad, fix }
}
