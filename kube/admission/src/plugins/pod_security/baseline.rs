//! The checks of the baseline level.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checks::{Pod, Violation, containers, plural, quoted, setters, violation};
use crate::read::{at, is_true, items, members, text};

const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Each with the minor release since which it is harmless.
const SYSCTLS: &[(u32, &str)] = &[
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

pub(super) fn app_armor(pod: Pod<'_>) -> Option<Violation> {
    let mut values = BTreeSet::new();
    let mut is_bad = |holder: &Value| {
        let profile = at(holder, &["securityContext", "appArmorProfile"]);
        let kind = text(profile, &["type"]);
        let bad = profile.is_object() && !matches!(kind, "RuntimeDefault" | "Localhost");
        if bad {
            values.insert(kind.to_owned());
        }
        bad
    };
    let pod_is_bad = is_bad(pod.spec);
    let bad = pod.bad_containers(&mut is_bad);
    let mut setters: Vec<_> = setters(pod_is_bad, &bad).into_iter().collect();
    let annotations: Vec<_> = members(pod.metadata, &["annotations"])
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(_, value)| {
            !value.is_empty() && *value != "runtime/default" && !value.starts_with("localhost/")
        })
        .map(|(key, value)| format!("{key}={}", Value::from(value)))
        .collect();
    let mut values: Vec<_> = values.into_iter().collect();
    if !annotations.is_empty() {
        setters.push(plural("annotation", "annotations", annotations.len()).to_owned());
        values.extend(annotations);
    }
    if setters.is_empty() {
        return None;
    }
    violation(
        plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(values)),
    )
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    let mut added = BTreeSet::new();
    let bad = pod.bad_containers(|container| {
        let add = items(container, &["securityContext", "capabilities", "add"]).iter();
        let others: Vec<_> =
            add.filter_map(Value::as_str).filter(|name| !CAPABILITIES.contains(name)).collect();
        added.extend(others.iter().copied());
        !others.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(&bad),
        quoted(added)
    );
    violation("non-default capabilities", detail)
}

pub(super) fn host_namespaces(pod: Pod<'_>) -> Option<Violation> {
    let shared: Vec<_> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|name| is_true(pod.spec, &[name]))
        .map(|name| format!("{name}=true"))
        .collect();
    if shared.is_empty() {
        return None;
    }
    violation("host namespaces", shared.join(", "))
}

pub(super) fn host_path_volumes(pod: Pod<'_>) -> Option<Violation> {
    let volumes: Vec<_> = items(pod.spec, &["volumes"])
        .iter()
        .filter(|volume| at(volume, &["hostPath"]).is_object())
        .map(|volume| text(volume, &["name"]))
        .collect();
    if volumes.is_empty() {
        return None;
    }
    let detail = format!("{} {}", plural("volume", "volumes", volumes.len()), quoted(volumes));
    violation("hostPath volumes", detail)
}

pub(super) fn host_ports(pod: Pod<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let bad = pod.bad_containers(|container| {
        let own = items(container, &["ports"]).iter().filter_map(|port| at(port, &["hostPort"]).as_i64());
        let own: Vec<_> = own.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        ports.extend(own.iter().cloned());
        !own.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    let uses = plural("uses", "use", bad.len());
    let what = plural("hostPort", "hostPorts", ports.len());
    let ports: Vec<_> = ports.into_iter().collect();
    violation("hostPort", format!("{} {uses} {what} {}", containers(&bad), ports.join(", ")))
}

pub(super) fn probe_hosts(pod: Pod<'_>) -> Option<Violation> {
    let handlers: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let mut hosts = BTreeSet::new();
    let bad: BTreeSet<_> = pod
        .bad_containers(|container| {
            let own = handlers.iter().flat_map(|path| {
                let handler = at(container, path);
                ["httpGet", "tcpSocket"].map(|kind| text(handler, &[kind, "host"]))
            });
            let own: Vec<_> = own.filter(|host| !host.is_empty()).collect();
            hosts.extend(own.iter().copied());
            !own.is_empty()
        })
        .into_iter()
        .collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<_> = bad.into_iter().collect();
    let uses = plural("uses", "use", bad.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    violation("probe or lifecycle host", format!("{} {uses} {what} {}", containers(&bad), quoted(hosts)))
}

pub(super) fn privileged(pod: Pod<'_>) -> Option<Violation> {
    let bad = pod.bad_containers(|container| is_true(container, &["securityContext", "privileged"]));
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.privileged=true", containers(&bad));
    violation("privileged", detail)
}

pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Violation> {
    let mut types = BTreeSet::new();
    let bad = pod.bad_containers(|container| {
        let kind = at(container, &["securityContext", "procMount"]).as_str();
        let bad = kind.filter(|kind| *kind != "Default");
        types.extend(bad);
        bad.is_some()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(types));
    violation("procMount", detail)
}

pub(super) fn proc_mount_1_35(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}

pub(super) fn selinux(pod: Pod<'_>) -> Option<Violation> {
    selinux_types(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub(super) fn selinux_1_31(pod: Pod<'_>) -> Option<Violation> {
    selinux_types(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn selinux_types(pod: Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut is_bad = |holder: &Value| {
        let options = at(holder, &["securityContext", "seLinuxOptions"]);
        let kind = text(options, &["type"]);
        let (sets_user, sets_role) =
            (!text(options, &["user"]).is_empty(), !text(options, &["role"]).is_empty());
        if !allowed.contains(&kind) {
            types.insert(kind.to_owned());
        }
        user |= sets_user;
        role |= sets_role;
        sets_user || sets_role || !allowed.contains(&kind)
    };
    let pod_is_bad = is_bad(pod.spec);
    let bad = pod.bad_containers(&mut is_bad);
    let who = setters(pod_is_bad, &bad)?;
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
    }
    if user {
        what.push("user may not be set".to_owned());
    }
    if role {
        what.push("role may not be set".to_owned());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    violation("seLinuxOptions", detail)
}

/// By annotations, as it was before there were fields.
pub(super) fn seccomp(pod: Pod<'_>) -> Option<Violation> {
    let names = pod.containers().map(|container| text(container, &["name"]));
    let keys = names.map(|name| format!("container.seccomp.security.alpha.kubernetes.io/{name}"));
    let fine = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let bad: BTreeSet<_> = ["seccomp.security.alpha.kubernetes.io/pod".to_owned()]
        .into_iter()
        .chain(keys)
        .filter_map(|key| {
            let value = at(pod.metadata, &["annotations", &key]).as_str().filter(|value| !fine(value))?;
            Some(format!("{key}={}", Value::from(value)))
        })
        .collect();
    if bad.is_empty() {
        return None;
    }
    let what = plural("annotation", "annotations", bad.len());
    let bad: Vec<_> = bad.into_iter().collect();
    violation("seccompProfile", format!("forbidden {what} {}", bad.join(", ")))
}

pub(super) fn seccomp_1_19(pod: Pod<'_>) -> Option<Violation> {
    bad_seccomp(pod)
}

/// Who sets a seccomp profile of another type than the two that confine.
pub(super) fn bad_seccomp(pod: Pod<'_>) -> Option<Violation> {
    let mut values = BTreeSet::new();
    let mut is_bad = |holder: &Value| {
        let profile = at(holder, &["securityContext", "seccompProfile"]);
        let kind = text(profile, &["type"]);
        let bad = profile.is_object() && !is_fine_seccomp(kind);
        if bad {
            values.insert(kind.to_owned());
        }
        bad
    };
    let pod_is_bad = is_bad(pod.spec);
    let bad = pod.bad_containers(&mut is_bad);
    let who = setters(pod_is_bad, &bad)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
    violation("seccompProfile", detail)
}

/// Whether a type of seccomp profile confines.
pub(super) fn is_fine_seccomp(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

pub(super) fn sysctls(pod: Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 0)
}

pub(super) fn sysctls_1_27(pod: Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 27)
}

pub(super) fn sysctls_1_29(pod: Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 29)
}

pub(super) fn sysctls_1_32(pod: Pod<'_>) -> Option<Violation> {
    sysctls_since(pod, 32)
}

fn sysctls_since(pod: Pod<'_>, minor: u32) -> Option<Violation> {
    let fine = |name: &str| SYSCTLS.iter().any(|(since, known)| *since <= minor && *known == name);
    let names = items(pod.spec, &["securityContext", "sysctls"]).iter().map(|sysctl| text(sysctl, &["name"]));
    let bad: Vec<_> = names.filter(|name| !fine(name)).collect();
    if bad.is_empty() {
        return None;
    }
    violation("forbidden sysctls", bad.join(", "))
}

pub(super) fn windows_host_process(pod: Pod<'_>) -> Option<Violation> {
    let is_bad = |holder: &Value| is_true(holder, &["securityContext", "windowsOptions", "hostProcess"]);
    let who = setters(is_bad(pod.spec), &pod.bad_containers(is_bad))?;
    violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
