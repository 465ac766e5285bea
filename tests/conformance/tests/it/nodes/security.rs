//! As whom a container runs and what it may do.

use serde_json::{Value, json};

use super::{cluster, name, shell_pod};

/// What a container writes that ends well; `pod` and `container` are their security contexts.
#[track_caller]
fn output(line: &str, pod_context: Value, context: Value) -> String {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = shell_pod(line);
    pod["spec"]["securityContext"] = pod_context;
    pod["spec"]["containers"][0]["securityContext"] = context;
    let pod = cluster.run_to_end(&namespace, &pod);
    let said = cluster.logs(&namespace, name(&pod), "main");
    assert_eq!(pod["status"]["phase"], "Succeeded", "{said}\n{pod}");
    said
}

/// `[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534
/// [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn security_context_when_creating_a_container_with_run_as_user_should_run_the_container_with_uid_65534() {
    assert_eq!(output("id -u", Value::Null, json!({ "runAsUser": 65534 })), "65534\n");
}

/// `[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And
/// pod.Spec.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]`
#[test]
fn security_context_should_support_pod_spec_security_context_run_as_user_and_pod_spec_security_context_run_as_group()
 {
    let said = output("id", json!({ "runAsUser": 1001, "runAsGroup": 2002 }), Value::Null);
    assert!(said.starts_with("uid=1001 gid=2002"), "{said}");
}

/// `[sig-node] Security Context should support container.SecurityContext.RunAsUser And
/// container.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]`
#[test]
fn security_context_should_support_container_security_context_run_as_user_and_container_security_context_run_as_group()
 {
    let pod = json!({ "runAsUser": 1003, "runAsGroup": 2004 });
    let said = output("id", pod, json!({ "runAsUser": 1001, "runAsGroup": 2002 }));
    assert!(said.starts_with("uid=1001 gid=2002"), "{said}");
}

/// `[sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when
/// false [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn security_context_when_creating_a_pod_with_privileged_should_run_the_container_as_unprivileged_when_false()
{
    let said =
        output("ip link add dummy0 type dummy 2>&1 || true", Value::Null, json!({ "privileged": false }));
    assert!(said.contains("Operation not permitted"), "{said}");
}

/// `[sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with
/// writable rootfs when readOnlyRootFilesystem=false [NodeConformance] [Conformance]`
#[test]
fn security_context_when_creating_a_pod_with_read_only_root_filesystem_should_run_the_container_with_writable_rootfs_when_read_only_root_filesystem_false()
 {
    output("touch checkfile", Value::Null, json!({ "readOnlyRootFilesystem": false }));
}

/// `[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege
/// escalation when false [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn security_context_when_creating_containers_with_allow_privilege_escalation_should_not_allow_privilege_escalation_when_false()
 {
    let line = "grep NoNewPrivs /proc/self/status; id -u";
    let said = output(line, Value::Null, json!({ "runAsUser": 1000, "allowPrivilegeEscalation": false }));
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    assert!(said.ends_with("1000\n"), "{said}");
}
