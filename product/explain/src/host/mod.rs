//! What a host can do, judged: `strake check`.
//!
//! ```text
//! kernel → inspect::host → HostFacts → judge (pure) → HostReport → text or JSON
//! ```
//!
//! A [`Finding`] says what there is, what follows for containers in plain words, and the
//! smallest thing to do about it. [`Level::Error`] is only what keeps every container from
//! running; what costs one option or one kind of network is a warning.

mod features;
mod limits;
mod render;
mod rest;

use inspect::host::HostFacts;
use serde::Serialize;

pub use render::render_host;

/// The whole judgement: what `strake check --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// The version of this form; it grows when a field changes its meaning or goes.
    pub version: u32,
    /// Whether containers can run at all.
    pub can_run: bool,
    /// How many findings have which level.
    pub summary: Summary,
    /// In reading order.
    pub findings: Vec<Finding>,
}

/// How many findings have which level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// As it should be.
    pub ok: usize,
    /// Worth knowing.
    pub note: usize,
    /// Something will not work.
    pub warning: usize,
    /// No container can run.
    pub error: usize,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name for programs: `overlay`, `cgroup.memory`, `kernel.pid_max`.
    pub id: String,
    /// What it belongs to.
    pub group: Group,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub value: String,
    /// What follows for containers; one sentence or two.
    pub consequence: String,
    /// The smallest thing that changes it; none where nothing need be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What a finding belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Who runs us, on what.
    Host,
    /// What separates containers.
    Namespaces,
    /// What they see as files.
    FileSystems,
    /// Limits per container.
    ControlGroups,
    /// Links, addresses, firewall.
    Network,
    /// Filters and modules.
    Security,
    /// Interfaces that some programs want.
    Devices,
    /// Limits of the whole host.
    Limits,
    /// Time, randomness, space.
    Resources,
    /// Containers of ordinary users.
    Rootless,
}

impl Group {
    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Host => "Host",
            Self::Namespaces => "Namespaces",
            Self::FileSystems => "File systems",
            Self::ControlGroups => "Control groups",
            Self::Network => "Network",
            Self::Security => "Security",
            Self::Devices => "Devices and interfaces",
            Self::Limits => "Limits",
            Self::Resources => "Time, randomness, space",
            Self::Rootless => "Rootless",
        }
    }
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing need be done.
    Note,
    /// Something will not work, or not well.
    Warning,
    /// No container can run.
    Error,
}

/// Puts facts of a host into words.
pub fn judge(facts: &HostFacts) -> HostReport {
    let mut findings = rest::host(facts);
    findings.extend(facts.tried.iter().map(|tried| features::finding(tried, facts)));
    findings.extend(rest::control_groups(&facts.cgroups));
    findings.extend(rest::firewall(facts));
    findings.extend(rest::security(facts));
    findings.extend(facts.limits.iter().map(limits::finding));
    findings.extend(rest::resources(facts));
    findings.extend(rest::rootless(&facts.rootless));
    findings.sort_by_key(|finding| finding.group);
    let mut summary = Summary::default();
    for finding in &findings {
        *match finding.level {
            Level::Ok => &mut summary.ok,
            Level::Note => &mut summary.note,
            Level::Warning => &mut summary.warning,
            Level::Error => &mut summary.error,
        } += 1;
    }
    HostReport { version: VERSION, can_run: summary.error == 0, summary, findings }
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use inspect::host::{CgroupFacts, ControllerFacts, Feature, LimitFact, StorageFacts, Trial, Tried};
    use inspect::lsm::AppArmorFacts;

    use super::*;

    fn works() -> Trial {
        Trial::Works { note: String::new() }
    }

    fn fails() -> Trial {
        Trial::Fails { why: "Operation not permitted".to_owned() }
    }

    /// A host on which everything works.
    pub(super) fn good() -> HostFacts {
        let controller = |name: &str, files: &[&str]| ControllerFacts {
            name: name.to_owned(),
            unified: true,
            trial: works(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
        };
        HostFacts {
            kernel: "6.12.0".to_owned(),
            machine: "x86_64".to_owned(),
            tried: Feature::ALL.into_iter().map(|feature| Tried { feature, trial: works() }).collect(),
            cgroups: CgroupFacts {
                mode: Some("v2".to_owned()),
                controllers: vec![
                    controller("cpu", &["cpu.max", "cpu.weight"]),
                    controller("cpuset", &["cpuset.cpus"]),
                    controller("io", &["io.max", "io.weight"]),
                    controller("memory", &["memory.max", "memory.swap.max"]),
                    controller("pids", &["pids.max"]),
                ],
            },
            limits: vec![LimitFact {
                name: "kernel.pid_max".to_owned(),
                value: Some(4_194_304),
                unlimited: false,
                source: "/proc/sys/kernel/pid_max".to_owned(),
            }],
            storage: StorageFacts {
                root: "/var/lib/strake".to_owned(),
                tried_in: "/var/lib".to_owned(),
                writable: true,
                kind: Some("ext4".to_owned()),
                bytes: 100 << 30,
                free_bytes: 50 << 30,
                files: 1_000_000,
                free_files: 900_000,
                ..StorageFacts::default()
            },
            ..HostFacts::default()
        }
    }

    fn level(report: &HostReport, id: &str) -> Level {
        let found = report.findings.iter().find(|finding| finding.id == id);
        found.unwrap_or_else(|| panic!("no finding {id}")).level
    }

    #[test]
    fn a_good_host_can_run_containers() {
        let report = judge(&good());
        assert!(report.can_run, "{report:#?}");
        assert_eq!(level(&report, "overlay"), Level::Ok);
        assert_eq!(level(&report, "cgroup.memory"), Level::Ok);
    }

    #[test]
    fn only_what_no_container_can_be_without_is_an_error() {
        let fatal = [
            Feature::MountNamespace,
            Feature::PidNamespace,
            Feature::UtsNamespace,
            Feature::IpcNamespace,
            Feature::MountApi,
            Feature::Overlay,
            Feature::Pidfd,
        ];
        for feature in Feature::ALL {
            let mut facts = good();
            for tried in facts.tried.iter_mut().filter(|tried| tried.feature == feature) {
                tried.trial = fails();
            }
            let report = judge(&facts);
            assert_eq!(!report.can_run, fatal.contains(&feature), "{feature:?}");
            let worst =
                report.findings.iter().find(|finding| finding.value.contains("not permitted")).unwrap();
            assert!(worst.fix.is_some() || worst.level == Level::Note, "{worst:?}");
        }
    }

    #[test]
    fn se_07_a_profile_that_cannot_be_loaded_is_warned_of() {
        let found = |parser, profiles: &[&str], in_user_namespace| {
            let profiles = profiles.iter().map(|profile| (*profile).to_owned()).collect();
            let report = judge(&HostFacts {
                security_modules: Some(vec!["apparmor".to_owned()]),
                apparmor: Some(AppArmorFacts { parser, profiles }),
                in_user_namespace,
                ..good()
            });
            let finding = report.findings.iter().find(|finding| finding.id == "apparmor-profile");
            finding.map(|finding| (finding.level, finding.value.clone()))
        };
        let ok = |value: &str| Some((Level::Ok, value.to_owned()));
        assert_eq!(found(true, &["other"], false), ok("not loaded yet"));
        assert_eq!(found(false, &["other", "strake-default"], false), ok("loaded"));
        assert_eq!(found(false, &[], false), Some((Level::Warning, "cannot be loaded".to_owned())));
        assert_eq!(found(false, &[], true), None);
    }

    #[test]
    fn every_finding_has_an_id_of_its_own_and_a_sentence() {
        let report = judge(&good());
        let ids: BTreeSet<&str> = report.findings.iter().map(|finding| finding.id.as_str()).collect();
        assert_eq!(ids.len(), report.findings.len());
        for finding in &report.findings {
            assert!(finding.consequence.ends_with('.'), "{finding:?}");
            assert!(finding.level < Level::Warning || finding.fix.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn the_form_is_stable() {
        let mut facts = good();
        facts.tried.truncate(1);
        facts.limits.clear();
        facts.cgroups = CgroupFacts::default();
        let json = serde_json::to_value(judge(&facts)).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["can_run", "findings", "summary", "version"]);
        assert_eq!(json["version"], 1);
        let namespaces = json["findings"].as_array().unwrap();
        let first = namespaces.iter().find(|finding| finding["id"] == "mount-namespace").unwrap();
        let expected = serde_json::json!({
            "id": "mount-namespace", "group": "namespaces", "level": "ok", "value": "works",
            "consequence": "A container has mounts of its own.",
        });
        assert_eq!(first, &expected);
        let mut bad = good();
        bad.tried.iter_mut().for_each(|tried| tried.trial = fails());
        let documents = [json, serde_json::to_value(judge(&bad)).unwrap()];
        testkit::Documented::read("json-check").check_all(&documents);
    }
}
