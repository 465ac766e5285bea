//! What a container runs, and what becomes of its output and of its end.

use serde_json::{Value, json};

use super::{ENTRYPOINT, Shared, cluster, idle_pod, is_ready, name, shell_pod};

/// `[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs [NodeConformance]
/// [Conformance]`
#[test]
fn kubelet_when_scheduling_a_busybox_command_in_a_pod_should_print_the_output_to_logs() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, &shell_pod("echo 'Hello World'; sleep 1"));
    assert_eq!(pod["status"]["phase"], "Succeeded", "{pod}");
    assert_eq!(cluster.logs(&namespace, name(&pod), "main"), "Hello World\n");
}

/// What a container writes that ends well.
#[track_caller]
fn output(pod: &Value) -> String {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, pod);
    let said = cluster.logs(&namespace, name(&pod), "main");
    assert_eq!(pod["status"]["phase"], "Succeeded", "{said}\n{pod}");
    said
}

/// A container of an image with an entrypoint and arguments writes `expected`.
#[track_caller]
fn runs(command: Value, args: Value, expected: &str) {
    let mut pod = shell_pod("");
    let container = &mut pod["spec"]["containers"][0];
    container["image"] = json!(ENTRYPOINT);
    container["command"] = command;
    container["args"] = args;
    assert_eq!(output(&pod), expected);
}

/// `[sig-node] Containers should use the image defaults if command and args are blank [NodeConformance]
/// [Conformance]`
#[test]
fn containers_should_use_the_image_defaults_if_command_and_args_are_blank() {
    runs(Value::Null, Value::Null, "the entrypoint the arguments\n");
}

/// `[sig-node] Containers should be able to override the image's default arguments (container cmd) [NodeConformance]
/// [Conformance]`
#[test]
fn containers_should_be_able_to_override_the_images_default_arguments_container_cmd() {
    runs(Value::Null, json!(["override", "arguments"]), "the entrypoint override arguments\n");
}

/// `[sig-node] Containers should be able to override the image's default command (container entrypoint)
/// [NodeConformance] [Conformance]`
#[test]
fn containers_should_be_able_to_override_the_images_default_command_container_entrypoint() {
    runs(json!(["/bin/echo", "override"]), Value::Null, "override\n");
}

/// `[sig-node] Containers should be able to override the image's default command and arguments [NodeConformance]
/// [Conformance]`
#[test]
fn containers_should_be_able_to_override_the_images_default_command_and_arguments() {
    runs(json!(["/bin/echo", "override"]), json!(["both", "of", "them"]), "override both of them\n");
}

/// `[sig-node] Variable Expansion should allow composing env vars into new env vars [NodeConformance] [Conformance]`
#[test]
fn variable_expansion_should_allow_composing_env_vars_into_new_env_vars() {
    let mut pod = shell_pod("env");
    pod["spec"]["containers"][0]["env"] = json!([
        { "name": "FOO", "value": "foo-value" }, { "name": "BAR", "value": "bar-value" },
        { "name": "FOOBAR", "value": "$(FOO);;$(BAR)" },
    ]);
    let said = output(&pod);
    for line in ["FOO=foo-value", "BAR=bar-value", "FOOBAR=foo-value;;bar-value"] {
        assert!(said.lines().any(|found| found == line), "{said}");
    }
}

/// `[sig-node] Variable Expansion should allow substituting values in a container's command [NodeConformance]
/// [Conformance]`
#[test]
fn variable_expansion_should_allow_substituting_values_in_a_containers_command() {
    let mut pod = shell_pod("TEST_VAR=wrong; echo \"$(TEST_VAR)\"");
    pod["spec"]["containers"][0]["env"] = json!([{ "name": "TEST_VAR", "value": "test-value" }]);
    assert_eq!(output(&pod), "test-value\n");
}

/// `[sig-node] Variable Expansion should allow substituting values in a container's args [NodeConformance]
/// [Conformance]`
#[test]
fn variable_expansion_should_allow_substituting_values_in_a_containers_args() {
    let mut pod = shell_pod("");
    let container = &mut pod["spec"]["containers"][0];
    container["command"] = json!(["sh", "-c"]);
    container["args"] = json!(["TEST_VAR=wrong; echo \"$(TEST_VAR)\""]);
    container["env"] = json!([{ "name": "TEST_VAR", "value": "test-value" }]);
    assert_eq!(output(&pod), "test-value\n");
}

/// `[sig-node] Pods should contain environment variables for services [NodeConformance] [Conformance]`
#[test]
fn pods_should_contain_environment_variables_for_services() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let service = cluster.post(
        &format!("/api/v1/namespaces/{namespace}/services"),
        &json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "fooservice" },
            "spec": { "ports": [{ "port": 8765, "targetPort": 8080 }], "selector": { "name": "none" } },
        }),
    );
    let host = service["spec"]["clusterIP"].as_str().unwrap();
    let expected = [
        format!("FOOSERVICE_SERVICE_HOST={host}"),
        "FOOSERVICE_SERVICE_PORT=8765".to_owned(),
        format!("FOOSERVICE_PORT=tcp://{host}:8765"),
        format!("FOOSERVICE_PORT_8765_TCP=tcp://{host}:8765"),
        "FOOSERVICE_PORT_8765_TCP_PORT=8765".to_owned(),
        "FOOSERVICE_PORT_8765_TCP_PROTO=tcp".to_owned(),
        format!("FOOSERVICE_PORT_8765_TCP_ADDR={host}"),
    ];
    // A kubelet may see a new service later than a new pod.
    let met = (0..3).any(|_| {
        let pod = cluster.run_to_end(&namespace, &shell_pod("env"));
        let said = cluster.logs(&namespace, name(&pod), "main");
        expected.iter().all(|line| said.lines().any(|found| found == line))
    });
    assert!(met, "no pod had {expected:#?}");
}

/// `[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason
/// [NodeConformance] [Conformance]`
#[test]
fn kubelet_when_scheduling_a_busybox_command_that_always_fails_in_a_pod_should_have_an_terminated_reason() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, &shell_pod("exit 1"));
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(1), &json!("Error")), "{pod}");
}

/// `[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete
/// [NodeConformance] [Conformance]`
#[test]
fn kubelet_when_scheduling_a_busybox_command_that_always_fails_in_a_pod_should_be_possible_to_delete() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = shell_pod("exit 1");
    pod["spec"]["restartPolicy"] = json!("Always");
    let (_, path) = cluster.create(&namespace, &pod);
    cluster.until(&path, |pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1));
    cluster.delete(&path);
    cluster.gone(&path);
}

/// `[sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem [LinuxOnly]
/// [NodeConformance] [Conformance]`
#[test]
fn kubelet_when_scheduling_a_read_only_busybox_container_should_not_write_to_root_filesystem() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = shell_pod("echo test > /file");
    pod["spec"]["containers"][0]["securityContext"] = json!({ "readOnlyRootFilesystem": true });
    let pod = cluster.run_to_end(&namespace, &pod);
    assert_eq!(pod["status"]["phase"], "Failed", "{pod}");
    let said = cluster.logs(&namespace, name(&pod), "main");
    assert!(said.contains("can't create /file: Read-only file system"), "{said}");
}

/// `[sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts
/// [NodeConformance] [Conformance]`
#[test]
fn kubelet_when_scheduling_an_agnhost_pod_with_host_aliases_should_write_entries_to_etc_hosts() {
    let mut pod = shell_pod("cat /etc/hosts");
    pod["spec"]["hostAliases"] = json!([{ "ip": "123.45.67.89", "hostnames": ["foo", "bar"] }]);
    let hosts = output(&pod);
    assert!(hosts.starts_with("# Kubernetes-managed hosts file.\n"), "{hosts}");
    assert!(hosts.contains("# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n"), "{hosts}");
}

/// `[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [NodeConformance] [Conformance]`
#[test]
fn kubelet_managed_etc_hosts_should_test_kubelet_managed_etc_hosts_file() {
    const MANAGED: &str = "# Kubernetes-managed hosts file.";
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = |on_host: bool| {
        let mut pod = idle_pod();
        let original = json!({ "name": "hosts", "mountPath": "/etc/hosts-original" });
        let containers = ["plain", "second", "own"].map(|name| {
            let mut container = pod["spec"]["containers"][0].clone();
            container["name"] = json!(name);
            container["volumeMounts"] = json!([original]);
            if name == "own" {
                container["volumeMounts"] = json!([original, { "name": "hosts", "mountPath": "/etc/hosts" }]);
            }
            container
        });
        pod["spec"]["containers"] = json!(containers);
        pod["spec"]["hostNetwork"] = json!(on_host);
        pod["spec"]["volumes"] =
            json!([{ "name": "hosts", "hostPath": { "path": "/etc/hosts", "type": "File" } }]);
        cluster.running(&namespace, &pod)
    };
    let read = |pod: &Value, container: &str, file: &str| {
        cluster.exec(&namespace, name(pod), container, &["cat", file]).ok().to_owned()
    };
    let inside = pod(false);
    for container in ["plain", "second"] {
        let hosts = read(&inside, container, "/etc/hosts");
        assert!(hosts.contains(MANAGED), "{container}: {hosts}");
        assert_ne!(hosts, read(&inside, container, "/etc/hosts-original"));
    }
    assert_eq!(read(&inside, "own", "/etc/hosts"), read(&inside, "own", "/etc/hosts-original"));
    let outside = pod(true);
    for container in ["plain", "second"] {
        let hosts = read(&outside, container, "/etc/hosts");
        assert!(!hosts.contains(MANAGED), "{container}: {hosts}");
    }
}

/// The phase and the message of a container that has ended.
fn ends(line: &str, change: impl FnOnce(&mut Value)) -> (Value, Value) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = shell_pod(line);
    change(&mut pod["spec"]["containers"][0]);
    let pod = cluster.run_to_end(&namespace, &pod);
    let message = pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"].clone();
    (pod["status"]["phase"].clone(), message)
}

/// `[sig-node] Container Runtime blackbox test on terminated container should report termination message if
/// TerminationMessagePath is set as non-root user and at a non-default path [NodeConformance] [Conformance]`
#[test]
fn container_runtime_blackbox_test_on_terminated_container_should_report_termination_message_if_termination_message_path_is_set_as_non_root_user_and_at_a_non_default_path()
 {
    let ended = ends("echo -n DONE > /dev/termination-custom-log", |container| {
        container["terminationMessagePath"] = json!("/dev/termination-custom-log");
        container["securityContext"] = json!({ "runAsUser": 10000 });
    });
    assert_eq!(ended, (json!("Succeeded"), json!("DONE")));
}

fn fallback(container: &mut Value) {
    container["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
}

/// `[sig-node] Container Runtime blackbox test on terminated container should report termination message from log
/// output if TerminationMessagePolicy FallbackToLogsOnError is set [NodeConformance] [Conformance]`
#[test]
fn container_runtime_blackbox_test_on_terminated_container_should_report_termination_message_from_log_output_if_termination_message_policy_fallback_to_logs_on_error_is_set()
 {
    assert_eq!(ends("echo -n DONE; exit 1", fallback), (json!("Failed"), json!("DONE")));
}

/// `[sig-node] Container Runtime blackbox test on terminated container should report termination message as empty
/// when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [NodeConformance] [Conformance]`
#[test]
fn container_runtime_blackbox_test_on_terminated_container_should_report_termination_message_as_empty_when_pod_succeeds_and_termination_message_policy_fallback_to_logs_on_error_is_set()
 {
    assert_eq!(ends("echo DONE", fallback), (json!("Succeeded"), Value::Null));
}

/// `[sig-node] Container Runtime blackbox test on terminated container should report termination message from file
/// when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [NodeConformance] [Conformance]`
#[test]
fn container_runtime_blackbox_test_on_terminated_container_should_report_termination_message_from_file_when_pod_succeeds_and_termination_message_policy_fallback_to_logs_on_error_is_set()
 {
    let ended = ends("echo -n OK > /dev/termination-log; echo DONE", fallback);
    assert_eq!(ended, (json!("Succeeded"), json!("OK")));
}

/// `[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected
/// status [NodeConformance] [Conformance]`
#[test]
fn container_runtime_blackbox_test_when_starting_a_container_that_exits_should_run_with_the_expected_status()
{
    const LINE: &str = "f=/restarts/count; echo >> $f; case $(wc -l < $f) in 1) exit 1;; 2) exit 0;; esac; \
         trap exit TERM; sleep 3600 & wait";
    let cluster = cluster();
    let namespace = cluster.namespace();
    let start = |policy: &str| {
        let mut pod = shell_pod(LINE);
        pod["spec"]["restartPolicy"] = json!(policy);
        pod["spec"]["volumes"] = json!([{ "name": "restarts", "emptyDir": {} }]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{ "name": "restarts", "mountPath": "/restarts" }]);
        cluster.create(&namespace, &pod).1
    };
    let expected = [("Always", 2, "Running"), ("OnFailure", 1, "Succeeded"), ("Never", 0, "Failed")];
    let paths = expected.map(|(policy, _, _)| start(policy));
    for (path, (policy, restarts, phase)) in paths.iter().zip(expected) {
        let pod = cluster.until(path, |pod| {
            pod["status"]["phase"] == phase
                && pod["status"]["containerStatuses"][0]["restartCount"] == restarts
                && is_ready(pod) == (phase == "Running")
        });
        let state = &pod["status"]["containerStatuses"][0]["state"];
        assert_eq!(state.get("running").is_some(), phase == "Running", "{policy}: {state}");
        cluster.delete(path);
        cluster.gone(path);
    }
}

/// `[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls [Environment:NotInUserNS] [Conformance]`
#[test]
fn sysctls_should_support_sysctls() {
    let mut pod = shell_pod("cat /proc/sys/kernel/shm_rmid_forced");
    pod["spec"]["securityContext"] =
        json!({ "sysctls": [{ "name": "kernel.shm_rmid_forced", "value": "1" }] });
    assert_eq!(output(&pod), "1\n");
}

/// `[sig-node] Pods should get a host IP [NodeConformance] [Conformance]`
#[test]
fn pods_should_get_a_host_ip() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &idle_pod());
    let node = pod["spec"]["nodeName"].as_str().unwrap();
    assert!(Shared::NODES.contains(&node), "{pod}");
    let address = cluster.node_address(node).unwrap();
    assert_eq!(pod["status"]["hostIP"], address);
    assert_eq!(pod["status"]["hostIPs"], json!([{ "ip": address }]));
}

/// `[sig-node] Pods should support remote command execution over websockets [NodeConformance] [Conformance]`
#[test]
fn pods_should_support_remote_command_execution_over_websockets() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &idle_pod());
    let command = "command=echo&command=remote+execution+test";
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{}/exec?stdout=1&stderr=1&container=main&{command}",
        name(&pod)
    );
    let messages = cluster.websocket(&path, "channel.k8s.io");
    // The first byte is the channel: 1 is standard output, and each channel may begin with nothing.
    let said: Vec<u8> =
        messages.iter().filter(|message| message[0] == 1).flat_map(|m| m[1..].to_vec()).collect();
    assert_eq!(String::from_utf8_lossy(&said), "remote execution test\n", "{messages:?}");
    let others = messages.iter().filter(|message| message[0] != 1);
    assert!(others.clone().all(|message| message.len() == 1), "{messages:?}");
}

/// `[sig-node] Pods should support retrieving logs from the container over websockets [NodeConformance]
/// [Conformance]`
#[test]
fn pods_should_support_retrieving_logs_from_the_container_over_websockets() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, &shell_pod("echo container is alive"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/log?container=main", name(&pod));
    let said = cluster.websocket(&path, "binary.k8s.io").concat();
    assert_eq!(String::from_utf8_lossy(&said), "container is alive\n");
}
