//! The table of checks, and how a pod is put through it.

use serde_json::Value;

use super::policy::{Level, LevelVersion};
use super::{baseline, restricted};
use crate::read::{at, items, text};

/// A pod, or the template of one.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    /// Its metadata.
    pub(super) metadata: &'a Value,
    /// Its spec.
    pub(super) spec: &'a Value,
}

/// What a check has against a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// The rule in a few words.
    pub(super) reason: String,
    /// Who breaks it with what.
    pub(super) detail: String,
}

/// All that is wrong with a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Violations(pub(super) Vec<Violation>);

type Check = fn(Pod<'_>) -> Option<Violation>;

struct Row {
    level: Level,
    /// From which minor release on it is checked in which way.
    since: &'static [(u32, Check)],
    /// The place among the baseline checks of the one that it makes needless.
    instead_of: Option<Check>,
}

const fn row(level: Level, since: &'static [(u32, Check)]) -> Row {
    Row { level, since, instead_of: None }
}

const fn instead(since: &'static [(u32, Check)], of: Check) -> Row {
    Row { level: Level::Restricted, since, instead_of: Some(of) }
}

/// In the order in which violations are told.
static CHECKS: &[Row] = &[
    row(Level::Baseline, &[(0, baseline::app_armor)]),
    row(Level::Baseline, &[(0, baseline::capabilities)]),
    row(Level::Baseline, &[(0, baseline::host_namespaces)]),
    row(Level::Baseline, &[(0, baseline::host_path_volumes)]),
    row(Level::Baseline, &[(0, baseline::host_ports)]),
    row(Level::Baseline, &[(34, baseline::probe_hosts)]),
    row(Level::Baseline, &[(0, baseline::privileged)]),
    row(Level::Baseline, &[(0, baseline::proc_mount), (35, baseline::proc_mount_1_35)]),
    row(Level::Baseline, &[(0, baseline::selinux), (31, baseline::selinux_1_31)]),
    row(Level::Baseline, &[(0, baseline::seccomp), (19, baseline::seccomp_1_19)]),
    row(
        Level::Baseline,
        &[
            (0, baseline::sysctls),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
        ],
    ),
    row(Level::Baseline, &[(0, baseline::windows_host_process)]),
    row(Level::Restricted, &[(8, restricted::escalation), (25, restricted::escalation_1_25)]),
    instead(&[(22, restricted::capabilities), (25, restricted::capabilities_1_25)], baseline::capabilities),
    instead(&[(35, baseline::proc_mount)], baseline::proc_mount_1_35),
    instead(&[(0, restricted::volumes)], baseline::host_path_volumes),
    row(Level::Restricted, &[(0, restricted::non_root), (35, restricted::non_root_1_35)]),
    row(Level::Restricted, &[(23, restricted::user), (35, restricted::user_1_35)]),
    instead(&[(19, restricted::seccomp), (25, restricted::seccomp_1_25)], baseline::seccomp_1_19),
];

/// Puts a pod through the checks of a level.
pub(super) fn evaluate(policy: LevelVersion, pod: Pod<'_>) -> Violations {
    let minor = policy.version.minor();
    let active =
        |row: &Row| row.since.iter().rev().find(|(since, _)| *since <= minor).map(|(_, check)| *check);
    let rows = || CHECKS.iter().filter(|row| row.level <= policy.level && policy.level != Level::Privileged);
    let needless: Vec<Check> =
        rows().filter(|row| active(row).is_some()).filter_map(|row| row.instead_of).collect();
    let is_needless = |row: &Row, check: Check| {
        row.level == Level::Baseline && needless.iter().any(|other| std::ptr::fn_addr_eq(*other, check))
    };
    let checks = rows().filter_map(|row| active(row).filter(|check| !is_needless(row, *check)));
    Violations(checks.filter_map(|check| check(pod)).collect())
}

impl Violations {
    /// Whether the pod is fine.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules that are broken.
    pub(super) fn reasons(&self) -> String {
        self.0.iter().map(|violation| violation.reason.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The rules that are broken, each with who breaks it.
    pub(super) fn details(&self) -> String {
        let texts = self.0.iter().map(|violation| format!("{} ({})", violation.reason, violation.detail));
        texts.collect::<Vec<_>>().join(", ")
    }
}

impl<'a> Pod<'a> {
    /// All containers: those of the start, the usual, and those for debugging.
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        let kinds = ["initContainers", "containers", "ephemeralContainers"];
        kinds.into_iter().flat_map(move |kind| items(self.spec, &[kind]))
    }

    /// The names of the containers that a test finds fault with.
    pub(super) fn bad_containers(self, mut is_bad: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers()
            .filter(|container| is_bad(container))
            .map(|container| text(container, &["name"]))
            .collect()
    }

    /// Whether the pod has users of its own, so that its root is nobody outside.
    pub(super) fn has_own_users(self) -> bool {
        at(self.spec, &["hostUsers"]).as_bool() == Some(false)
    }

    /// Whether it runs on Windows.
    pub(super) fn is_windows(self) -> bool {
        text(self.spec, &["os", "name"]) == "windows"
    }
}

/// A violation, in parts.
pub(super) fn violation(reason: &str, detail: String) -> Option<Violation> {
    Some(Violation { reason: reason.to_owned(), detail })
}

/// The word for one or for several.
pub(super) fn plural<'a>(one: &'a str, several: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { several }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `"a", "b"`
pub(super) fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("\"{}\"", name.as_ref())).collect();
    names.join(", ")
}

/// `pod and containers "a"`: who sets something.
pub(super) fn setters(pod: bool, names: &[&str]) -> Option<String> {
    match (pod, names.is_empty()) {
        (true, true) => Some("pod".to_owned()),
        (true, false) => Some(format!("pod and {}", containers(names))),
        (false, false) => Some(containers(names)),
        (false, true) => None,
    }
}
