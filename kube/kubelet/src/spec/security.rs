//! What a container's processes may do.

use rpc::cri::{
    Capability, Int64Value, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption, SeLinuxOption,
    SecurityProfile, SupplementalGroupsPolicy, security_profile::ProfileType,
};
use serde_json::Value;

use super::ConfigError;
use crate::model::{Role, Wanted};
use crate::read::{at, flag, host_network, items, long_name, maybe_flag, number, text, texts};

/// A member of the container's security context, or else of the pod's.
fn effective<'a>(pod: &'a Value, container: &'a Value, name: &str) -> Option<&'a Value> {
    at(container, &["securityContext", name]).or_else(|| at(pod, &["spec", "securityContext", name]))
}

/// The image's user, as the runtime tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Its number.
    pub uid: Option<i64>,
    /// Or its name.
    pub name: String,
}

/// Refuses root where `runAsNonRoot` stands.
pub fn verify_user(pod: &Value, container: &Value, image: &ImageUser) -> Result<(), ConfigError> {
    let wanted = effective(pod, container, "runAsNonRoot").and_then(Value::as_bool).unwrap_or_default();
    if !wanted {
        return Ok(());
    }
    let whose = format!("(pod: \"{}\", container: {})", long_name(pod), text(container, &["name"]));
    let refuse = |why: String| Err(ConfigError::User(format!("{why} {whose}")));
    match effective(pod, container, "runAsUser").and_then(Value::as_i64) {
        Some(0) => return refuse("container's runAsUser breaks non-root policy".to_owned()),
        Some(_) => return Ok(()),
        None => {}
    }
    match (image.uid, image.name.as_str()) {
        (Some(0), _) => refuse("container has runAsNonRoot and image will run as root".to_owned()),
        (None, name) if !name.is_empty() => refuse(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )),
        (None, _) => refuse("container has runAsNonRoot and image will run as root".to_owned()),
        (Some(_), _) => Ok(()),
    }
}

/// The security context that the runtime is told.
pub(super) fn context(
    pod: &Value,
    wanted: &Wanted<'_>,
    image: &ImageUser,
    target: Option<&str>,
) -> LinuxContainerSecurityContext {
    let container = wanted.spec;
    let own = |name: &str| at(container, &["securityContext", name]);
    let privileged = flag(container, &["securityContext", "privileged"]);
    let user = effective(pod, container, "runAsUser").and_then(Value::as_i64);
    let group = effective(pod, container, "runAsGroup").and_then(Value::as_i64);
    let user = user.or(image.uid.filter(|_| image.name.is_empty()));
    let escalation = own("allowPrivilegeEscalation").and_then(Value::as_bool);
    let unmasked = text(container, &["securityContext", "procMount"]) == "Unmasked";
    let paths = |list: &[&str]| -> Vec<String> {
        if unmasked { Vec::new() } else { list.iter().map(|path| (*path).to_owned()).collect() }
    };
    let names = |list: &str| texts(container, &["securityContext", "capabilities", list]);
    let strict = text(pod, &["spec", "securityContext", "supplementalGroupsPolicy"]) == "Strict";
    let policy = if strict { SupplementalGroupsPolicy::Strict } else { SupplementalGroupsPolicy::Merge };
    LinuxContainerSecurityContext {
        capabilities: own("capabilities").map(|_| Capability {
            add_capabilities: names("add"),
            drop_capabilities: names("drop"),
            ..Capability::default()
        }),
        privileged,
        namespace_options: Some(namespaces(pod, wanted.role, target)),
        selinux_options: effective(pod, container, "seLinuxOptions").map(selinux),
        run_as_user: user.map(|value| Int64Value { value }),
        run_as_group: group.map(|value| Int64Value { value }),
        run_as_username: if user.is_none() { image.name.clone() } else { String::new() },
        readonly_rootfs: flag(container, &["securityContext", "readOnlyRootFilesystem"]),
        supplemental_groups: groups(pod),
        supplemental_groups_policy: policy as i32,
        no_new_privs: escalation == Some(false) && !privileged,
        masked_paths: paths(MASKED),
        readonly_paths: paths(READ_ONLY),
        seccomp: Some(seccomp(effective(pod, container, "seccompProfile"), privileged)),
        apparmor: effective(pod, container, "appArmorProfile").map(profile),
    }
}

fn selinux(options: &Value) -> SeLinuxOption {
    let member = |name: &str| text(options, &[name]).to_owned();
    SeLinuxOption {
        user: member("user"),
        role: member("role"),
        r#type: member("type"),
        level: member("level"),
    }
}

/// Further groups of all processes of the pod.
pub(super) fn groups(pod: &Value) -> Vec<i64> {
    let context = &pod["spec"]["securityContext"];
    let own = items(context, &["supplementalGroups"]).iter().filter_map(Value::as_i64);
    own.chain(number(context, &["fsGroup"])).collect()
}

fn seccomp(wanted: Option<&Value>, privileged: bool) -> SecurityProfile {
    match wanted {
        Some(wanted) if !privileged => profile(wanted),
        _ => SecurityProfile { profile_type: ProfileType::Unconfined as i32, localhost_ref: String::new() },
    }
}

fn profile(wanted: &Value) -> SecurityProfile {
    let kind = match text(wanted, &["type"]) {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        "Localhost" => ProfileType::Localhost,
        _ => ProfileType::Unconfined,
    };
    let localhost_ref = text(wanted, &["localhostProfile"]).to_owned();
    SecurityProfile { profile_type: kind as i32, localhost_ref }
}

/// The profile of the sandbox itself.
pub(super) fn sandbox_seccomp(pod: &Value) -> SecurityProfile {
    match at(pod, &["spec", "securityContext", "seccompProfile"]) {
        Some(wanted) => profile(wanted),
        None => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault as i32, localhost_ref: String::new() }
        }
    }
}

/// Which namespaces are the pod's, the container's own, the node's.
pub(super) fn namespaces(pod: &Value, role: Role, target: Option<&str>) -> NamespaceOption {
    let node = |name: &str| flag(pod, &["spec", name]);
    let pick = |is_node: bool| if is_node { NamespaceMode::Node } else { NamespaceMode::Pod } as i32;
    let pid = if node("hostPID") {
        NamespaceMode::Node
    } else if maybe_flag(pod, &["spec", "shareProcessNamespace"]) == Some(true) {
        NamespaceMode::Pod
    } else if role == Role::Ephemeral && target.is_some() {
        NamespaceMode::Target
    } else {
        NamespaceMode::Container
    };
    NamespaceOption {
        network: pick(host_network(pod)),
        pid: pid as i32,
        ipc: pick(node("hostIPC")),
        target_id: if pid == NamespaceMode::Target {
            target.unwrap_or_default().to_owned()
        } else {
            String::new()
        },
        ..NamespaceOption::default()
    }
}

/// The first of the pod's sysctls that may harm others on the node. `allowed` are the operator's.
pub fn forbidden_sysctl(pod: &Value, allowed: &[String]) -> Option<String> {
    let listed = items(pod, &["spec", "securityContext", "sysctls"]);
    let is_allowed = |name: &str| {
        SAFE_SYSCTLS.contains(&name)
            || allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == name,
            })
    };
    listed.iter().map(|it| text(it, &["name"]).replace('/', ".")).find(|name| !is_allowed(name))
}

const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refuses_root_in_upstream_s_words() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"securityContext": {"runAsNonRoot": true}}});
        let check = |context: Value, uid: Option<i64>, name: &str, expected: &str| {
            let container = json!({"name": "c", "securityContext": context});
            let image = ImageUser { uid, name: name.to_owned() };
            let found = verify_user(&pod, &container, &image)
                .map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(found, expected);
        };
        let whose = "(pod: \"p_n(u)\", container: c)";
        check(json!({}), Some(1000), "", "");
        check(json!({"runAsUser": 5}), Some(0), "", "");
        check(json!({"runAsNonRoot": false}), Some(0), "", "");
        let root = format!("container has runAsNonRoot and image will run as root {whose}");
        check(json!({}), Some(0), "", &root);
        check(json!({}), None, "", &root);
        check(
            json!({"runAsUser": 0}),
            None,
            "",
            &format!("container's runAsUser breaks non-root policy {whose}"),
        );
        let named =
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root";
        check(json!({}), None, "www", &format!("{named} {whose}"));
    }

    #[test]
    fn sysctls() {
        let pod =
            |name: &str| json!({"spec": {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}});
        assert_eq!(forbidden_sysctl(&pod("kernel.shm_rmid_forced"), &[]), None);
        assert_eq!(forbidden_sysctl(&pod("kernel/shm_rmid_forced"), &[]), None);
        assert_eq!(forbidden_sysctl(&pod("kernel.msgmax"), &[]).as_deref(), Some("kernel.msgmax"));
        assert_eq!(forbidden_sysctl(&pod("kernel.msgmax"), &["kernel.msg*".to_owned()]), None);
    }
}
