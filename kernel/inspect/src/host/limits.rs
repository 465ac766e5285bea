//! Limits that many containers meet, the clock, and randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::process::number;

/// A limit as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitFact {
    /// A stable name: `nofile`, `kernel.pid_max`.
    pub name: String,
    /// What it is; none when it cannot be read or does not exist.
    pub value: Option<u64>,
    /// No limit at all.
    pub unlimited: bool,
    /// Where it was read.
    pub source: String,
}

/// Time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockFacts {
    /// Seconds since 1970 by the host's clock.
    pub seconds: u64,
    /// Whether something keeps it right; none when the kernel does not say.
    pub kept: Option<bool>,
    /// The kernel's source of time: `tsc`, `kvm-clock`.
    pub source: Option<String>,
}

impl ClockFacts {
    pub(super) fn gather() -> Self {
        let source = std::fs::read_to_string(CLOCK_SOURCE).ok().map(|text| text.trim().to_owned());
        Self {
            seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            kept: sys::features::clock_is_kept().ok(),
            source,
        }
    }
}

pub(super) fn all() -> Vec<LimitFact> {
    let mut limits: Vec<LimitFact> = RESOURCES.iter().filter_map(|name| resource(name)).collect();
    limits.extend(SYSCTLS.iter().map(|name| {
        let source = format!("/proc/sys/{}", name.replace('.', "/"));
        LimitFact { name: (*name).to_owned(), value: number(&source), unlimited: false, source }
    }));
    limits
}

/// The hard limit of this process, which a container cannot pass.
fn resource(name: &str) -> Option<LimitFact> {
    let limit = sys::rlimit::get(sys::rlimit::resource(name)?).ok()?;
    let unlimited = limit.hard == u64::MAX;
    Some(LimitFact {
        name: name.trim_start_matches("RLIMIT_").to_ascii_lowercase(),
        value: (!unlimited).then_some(limit.hard),
        unlimited,
        source: "getrlimit(2)".to_owned(),
    })
}

const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const RESOURCES: [&str; 3] = ["RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_MEMLOCK"];
const SYSCTLS: [&str; 14] = [
    "kernel.pid_max",
    "kernel.threads-max",
    "kernel.keys.maxkeys",
    "kernel.keys.root_maxkeys",
    "fs.file-max",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.mount-max",
    "vm.max_map_count",
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "user.max_mnt_namespaces",
    "net.core.somaxconn",
    "net.ipv4.ip_unprivileged_port_start",
];
