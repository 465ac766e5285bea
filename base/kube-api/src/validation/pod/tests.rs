//! Pods that are wrong, and what upstream says of them.

#![expect(clippy::needless_pass_by_value, reason = "tables are made of literals")]

use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use crate::{default, validate_create, validate_status_update, validate_update};

fn gvk() -> GroupVersionKind {
    GroupVersionKind::new("", "v1", "Pod")
}

/// A pod that is fine, with members of its specification replaced.
fn pod(changes: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], "serviceAccountName": "default"},
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        pod["spec"][name] = value.clone();
    }
    default(&gvk(), &mut pod);
    pod
}

/// A pod whose container has more members.
fn with(container: Value) -> Value {
    let mut first = json!({"name": "c", "image": "i:1"});
    for (name, value) in container.as_object().into_iter().flatten() {
        first[name] = value.clone();
    }
    pod(json!({"containers": [first]}))
}

fn volume(source: Value) -> Value {
    let mut volume = json!({"name": "v"});
    for (name, value) in source.as_object().into_iter().flatten() {
        volume[name] = value.clone();
    }
    pod(json!({"volumes": [volume]}))
}

fn faults(errors: &[kube_object::field_error::FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn created(pod: &Value) -> Vec<String> {
    faults(&validate_create(&gvk(), pod))
}

/// Each pod has exactly these faults.
fn check(table: &[(Value, &[&str])]) {
    for (pod, want) in table {
        assert_eq!(created(pod), *want, "{pod}");
    }
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn sound_pods_have_no_faults() {
    let full = json!({
        "initContainers": [{"name": "side", "image": "i:1", "restartPolicy": "Always",
            "readinessProbe": {"tcpSocket": {"port": "http"}}}],
        "containers": [{
            "name": "c", "image": "i:1",
            "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
            "env": [
                {"name": "A", "value": "x"},
                {"name": "B.b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            ],
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": 1, "hugepages-2Mi": "4Mi"},
                "requests": {"cpu": "100m"}},
            "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "a/b"}, {"name": "all", "mountPath": "/all"}],
            "livenessProbe": {"httpGet": {"port": 80}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
            "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"}},
        }],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "all", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "x"}},
        ],
        "securityContext": {"fsGroup": 1, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]},
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1,
                "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]},
        },
        "tolerations": [{"operator": "Exists"}, {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute",
            "tolerationSeconds": 3}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}}}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.b"]}],
        "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["_tcp.a.b.", "."], "options": [{"name": "ndots"}]},
        "readinessGates": [{"conditionType": "example.com/ready"}],
        "os": {"name": "linux"}, "hostname": "h", "subdomain": "s", "priorityClassName": "high",
        "overhead": {"cpu": "10m"},
    });
    check(&[(pod(json!({})), &[]), (pod(full), &[])]);
}

#[test]
fn names_and_required_members() {
    check(&[
        (pod(json!({"containers": []})), &["spec.containers: Required value"]),
        (with(json!({"name": "C"})), &[&format!("spec.containers[0].name: Invalid value: \"C\": {LABEL}")]),
        (with(json!({"name": ""})), &["spec.containers[0].name: Required value"]),
        (with(json!({"image": ""})), &["spec.containers[0].image: Required value"]),
        (
            with(json!({"image": " i"})),
            &[
                "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
            ],
        ),
        (
            pod(json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]})),
            &["spec.containers[1].name: Duplicate value: \"c\""],
        ),
        (
            pod(json!({"initContainers": [{"name": "c", "image": "i"}]})),
            &["spec.initContainers[0].name: Duplicate value: \"c\""],
        ),
        (
            with(json!({"imagePullPolicy": "Sometimes"})),
            &[
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
               \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            pod(json!({"restartPolicy": "Maybe"})),
            &[
                "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ],
        ),
        (
            pod(json!({"dnsPolicy": "None"})),
            &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            pod(json!({"ephemeralContainers": [{"name": "e", "image": "i"}]})),
            &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            pod(json!({"nodeName": "n", "schedulingGates": [{"name": "example.com/g"}]})),
            &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            pod(json!({"activeDeadlineSeconds": 0})),
            &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            pod(json!({"hostAliases": [{"ip": "x", "hostnames": ["a"]}]})),
            &[
                "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
        (
            pod(json!({"os": {"name": "plan9"}})),
            &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
        ),
    ]);
}

#[test]
fn ports_and_environment() {
    check(&[
        (with(json!({"ports": [{}]})), &["spec.containers[0].ports[0].containerPort: Required value"]),
        (
            with(json!({"ports": [{"containerPort": 70000}]})),
            &[
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            with(json!({"ports": [{"containerPort": 1, "protocol": "ICMP"}]})),
            &[
                "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            with(
                json!({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]}),
            ),
            &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//9\""],
        ),
        (
            with(json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]})),
            &["spec.containers[0].ports[1].name: Duplicate value: \"a\""],
        ),
        (with(json!({"env": [{"name": ""}]})), &["spec.containers[0].env[0].name: Required value"]),
        (
            with(json!({"env": [{"name": "a=b"}]})),
            &[
                "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist \
               only of printable ASCII characters other than '='",
            ],
        ),
        (
            with(json!({"env": [{"name": "a", "valueFrom": {}}]})),
            &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, \
               `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"],
        ),
        (
            with(
                json!({"env": [{"name": "a", "value": "v", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ],
        ),
        (
            with(json!({"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nope\": error converting \
               fieldPath: field label not supported: spec.nope",
            ],
        ),
        (
            with(
                json!({"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}),
            ),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported \
               values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \
               \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            with(
                json!({"env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]}),
            ),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's \
               values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            with(
                json!({"env": [{"name": "a", "valueFrom": {"fileKeyRef": {"key": "k", "volumeName": "v", "path": "p"}}}]}),
            ),
            &["spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: \"v\""],
        ),
        (
            with(json!({"envFrom": [{}]})),
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ],
        ),
    ]);
}

#[test]
fn volumes_and_mounts() {
    check(&[
        (
            pod(json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]})),
            &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod(json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]})),
            &["spec.volumes[1].name: Duplicate value: \"v\""],
        ),
        (volume(json!({"hostPath": {"path": ""}})), &["spec.volumes[0].hostPath.path: Required value"]),
        (
            volume(json!({"hostPath": {"path": "/a/../b"}})),
            &["spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        (volume(json!({"secret": {}})), &["spec.volumes[0].secret.secretName: Required value"]),
        (
            volume(json!({"configMap": {"name": "c", "defaultMode": 512}})),
            &[
                "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), \
               both inclusive",
            ],
        ),
        (
            volume(json!({"configMap": {"name": "c", "items": [{"key": "", "path": "/abs"}]}})),
            &[
                "spec.volumes[0].configMap.items[0].key: Required value",
                "spec.volumes[0].configMap.items[0].path: Invalid value: \"/abs\": must be a relative path",
            ],
        ),
        (
            volume(
                json!({"downwardAPI": {"items": [{"path": "..x", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
            ),
            &["spec.volumes[0].downwardAPI.path: Invalid value: \"..x\": must not start with '..'"],
        ),
        (
            volume(
                json!({"projected": {"sources": [{"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                {"configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}}]}}),
            ),
            &["spec.volumes[0].projected: Invalid value: \"b\": conflicting duplicate paths"],
        ),
        (
            volume(
                json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}}),
            ),
            &[
                "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: may not \
               specify a duration less than 10 minutes",
            ],
        ),
        (
            volume(json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}})),
            &[
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
        ),
        (
            with(json!({"volumeMounts": [{"name": "none", "mountPath": "/x"}]})),
            &["spec.containers[0].volumeMounts[0].name: Not found: \"none\""],
        ),
        (
            with(json!({"volumeDevices": [{"name": "none", "devicePath": "/x"}]})),
            &["spec.containers[0].volumeDevices[0].name: Not found: \"none\""],
        ),
        (
            pod(
                json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "image": "i:1",
                "volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x", "subPath": "../y",
                    "mountPropagation": "Bidirectional"}]}]}),
            ),
            &[
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/x\": must be unique",
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"../y\": must not contain '..'",
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is \
                 available only to privileged containers",
            ],
        ),
    ]);
}

#[test]
fn resources() {
    let asks = |resources: Value| with(json!({"resources": resources}));
    check(&[
        (
            asks(json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            asks(json!({"limits": {"memory": "-1Gi"}})),
            &[
                "spec.containers[0].resources.limits[memory]: Invalid value: \"-1Gi\": must be greater than or equal to 0",
                "spec.containers[0].resources.requests[memory]: Invalid value: \"-1Gi\": must be greater than or equal to 0",
            ],
        ),
        (
            asks(json!({"requests": {"disk": "1"}})),
            &[
                "spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": must be a standard resource type \
                 or fully qualified",
                "spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": must be a standard resource for containers",
            ],
        ),
        (
            asks(json!({"requests": {"example.com/gpu": "1"}})),
            &[
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            asks(json!({"limits": {"example.com/gpu": "1"}, "requests": {"example.com/gpu": "2"}})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be equal to example.com/gpu limit of 1",
            ],
        ),
        (
            asks(json!({"limits": {"example.com/gpu": "500m"}})),
            &[
                "spec.containers[0].resources.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer",
                "spec.containers[0].resources.requests[example.com/gpu]: Invalid value: \"500m\": must be an integer",
            ],
        ),
        (
            asks(json!({"limits": {"hugepages-2Mi": "2Mi"}})),
            &["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
        ),
        (
            asks(
                json!({"limits": {"cpu": "1", "hugepages-2Mi": "3Mi"}, "requests": {"hugepages-2Mi": "3Mi"}}),
            ),
            &[
                "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer \
                 multiple of hugepages-2Mi",
                "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer \
                 multiple of hugepages-2Mi",
            ],
        ),
        (
            asks(json!({"claims": [{"name": "gpu"}]})),
            &["spec.containers[0].resources.claims[0]: Not found: \"gpu\": must be one of the names in \
               pod.spec.resourceClaims which is empty"],
        ),
        (
            pod(json!({"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "c", "image": "i:1",
                "resources": {"requests": {"cpu": "2"}}}]})),
            &[
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container \
               requests of 2",
            ],
        ),
    ]);
}

#[test]
fn probes_and_lifecycle() {
    check(&[
        (
            with(json!({"livenessProbe": {}})),
            &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            with(json!({"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}})),
            &["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            with(json!({"readinessProbe": {"exec": {}, "tcpSocket": {"port": 1}}})),
            &[
                "spec.containers[0].readinessProbe.exec.command: Required value",
                "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            ],
        ),
        (
            with(json!({"startupProbe": {"httpGet": {"port": 0, "scheme": "FTP"}, "periodSeconds": -1}})),
            &[
                "spec.containers[0].startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
                "spec.containers[0].startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            with(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 60}}}})),
            &[
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than \
               terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            with(json!({"lifecycle": {"stopSignal": "SIGTERM"}})),
            &[
                "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
            ],
        ),
        (
            pod(
                json!({"initContainers": [{"name": "i", "image": "i:1", "livenessProbe": {"tcpSocket": {"port": 1}}}]}),
            ),
            &[
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            with(
                json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
            ),
            &[
                "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            ],
        ),
    ]);
}

#[test]
fn security() {
    check(&[
        (
            pod(
                json!({"securityContext": {"sysctls": [{"name": "foo-"}, {"name": "kernel.shmmax"}, {"name": "safe-and-unsafe"},
                {"name": "bar.."}]}}),
            ),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"foo-\": must have at most 253 characters and match \
                 regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
                "spec.securityContext.sysctls[3].name: Invalid value: \"bar..\": must have at most 253 characters and match \
                 regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            ],
        ),
        (
            pod(
                json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.core.somaxconn"}]}}),
            ),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when \
               'hostNetwork' is true",
            ],
        ),
        (
            pod(json!({"securityContext": {"runAsUser": -1}})),
            &[
                "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        ),
        (
            with(json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}})),
            &[
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp \
               type is Localhost",
            ],
        ),
        (
            with(json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}})),
            &[
                "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: \
               cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ],
        ),
        (
            pod(json!({"shareProcessNamespace": true, "hostPID": true})),
            &[
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot \
               both be enabled",
            ],
        ),
        (
            pod(json!({"hostUsers": false, "hostPID": true})),
            &["spec.HostPID: Forbidden: when `hostUsers` is false"],
        ),
        (
            with(json!({"securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}})),
            &[
                "spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName \
               cannot contain more than one backslash",
            ],
        ),
    ]);
}

#[test]
fn scheduling() {
    let required = |term: Value| {
        pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [term]}}}}))
    };
    check(&[
        (
            required(json!({"matchExpressions": [{"key": "k", "operator": "In"}]})),
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].\
               matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ],
        ),
        (
            required(json!({"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a"]}]})),
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].\
               matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector key",
            ],
        ),
        (
            pod(
                json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            ),
            &[
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": \
                 name part must be non-empty",
                "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": \
                 name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                 '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            pod(
                json!({"tolerations": [{"operator": "Equal", "value": "v"}, {"key": "k", "tolerationSeconds": 1},
                {"key": "k", "operator": "Exists", "value": "v"}, {"key": "k", "operator": "Less"}]}),
            ),
            &[
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which \
                 means \"match all values and all keys\"",
                "spec.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
                "spec.tolerations[2].operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'",
                "spec.tolerations[3].operator: Unsupported value: \"Less\": supported values: \"Equal\", \"Exists\"",
            ],
        ),
        (
            pod(json!({"topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "Hope", "minDomains": 1}]})),
            &[
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, DoNotSchedule}\"",
                "spec.topologySpreadConstraints[2].topologyKey: Required value: can not be empty",
                "spec.topologySpreadConstraints[2].whenUnsatisfiable: Unsupported value: \"Hope\": supported values: \
                 \"DoNotSchedule\", \"ScheduleAnyway\"",
                "spec.topologySpreadConstraints[2].minDomains: Invalid value: 1: can only use minDomains if \
                 whenUnsatisfiable=DoNotSchedule, not Hope",
            ],
        ),
        (
            pod(json!({"schedulingGates": [{"name": "a"}, {"name": "a"}]})),
            &["spec.schedulingGates[1]: Duplicate value: \"a\""],
        ),
    ]);
}

/// A stored pod and what becomes of it.
fn updated(old: &Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut old = old.clone();
    old["metadata"]["resourceVersion"] = json!("1");
    let mut new = old.clone();
    change(&mut new);
    faults(&validate_update(&gvk(), &new, &old))
}

const IMMUTABLE: &str = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";

#[test]
fn updates_change_next_to_nothing() {
    let none: [String; 0] = [];
    let plain =
        pod(json!({"tolerations": [{"key": "a", "operator": "Exists"}], "activeDeadlineSeconds": 60}));
    assert_eq!(updated(&plain, |pod| pod["spec"]["containers"][0]["image"] = json!("i:2")), none);
    assert_eq!(updated(&plain, |pod| pod["spec"]["activeDeadlineSeconds"] = json!(30)), none);
    assert_eq!(updated(&plain, |pod| pod["metadata"]["labels"] = json!({"a": "b"})), none);
    assert_eq!(updated(&plain, |pod| pod["spec"]["containers"][0]["tty"] = json!(false)), none);
    let longer = updated(&plain, |pod| pod["spec"]["activeDeadlineSeconds"] = json!(90));
    assert_eq!(
        longer,
        ["spec.activeDeadlineSeconds: Invalid value: 90: must be less than or equal to previous value"]
    );
    let added = updated(&plain, |pod| {
        pod["spec"]["tolerations"] =
            json!([{"key": "b", "operator": "Exists"}, {"key": "a", "operator": "Exists"}]);
    });
    assert_eq!(added, none);
    let removed = updated(&plain, |pod| pod["spec"]["tolerations"] = json!([]));
    assert_eq!(
        removed,
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
    let faults = updated(&plain, |pod| pod["spec"]["containers"][0]["command"] = json!(["x"]));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with(IMMUTABLE), "{faults:?}");
    let more = updated(&plain, |pod| {
        let first = pod["spec"]["containers"][0].clone();
        pod["spec"]["containers"] = json!([first, {"name": "d", "image": "i", "imagePullPolicy": "Always",
            "terminationMessagePolicy": "File"}]);
    });
    assert_eq!(more, ["spec.containers: Forbidden: pod updates may not add or remove containers"]);
}

#[test]
fn gated_pods_can_be_narrowed() {
    let none: [String; 0] = [];
    let gated = pod(json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}));
    assert_eq!(updated(&gated, |pod| pod["spec"]["schedulingGates"] = json!([])), none);
    assert_eq!(updated(&gated, |pod| pod["spec"]["nodeSelector"] = json!({"a": "b", "c": "d"})), none);
    let changed = updated(&gated, |pod| pod["spec"]["nodeSelector"] = json!({"a": "x"}));
    assert_eq!(
        changed,
        [
            "spec.nodeSelector: Invalid value: {\"a\":\"x\"}: only additions to spec.nodeSelector are allowed (no mutations \
          or deletions)"
        ]
    );
    let another =
        updated(&gated, |pod| pod["spec"]["schedulingGates"] = json!([{"name": "g"}, {"name": "h"}]));
    assert_eq!(
        another,
        [
            "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"
        ]
    );
}

fn through(subresource: &str, old: &Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut old = old.clone();
    old["metadata"]["resourceVersion"] = json!("1");
    let mut new = old.clone();
    change(&mut new);
    faults(&validate_status_update(&gvk(), subresource, &new, &old))
}

#[test]
fn resizing() {
    let none: [String; 0] = [];
    let old = with(json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}));
    let set = |path: &'static str, value: Value| {
        move |pod: &mut Value| *pod.pointer_mut(path).expect("a member of the pod") = value
    };
    let requests = "/spec/containers/0/resources/requests";
    assert_eq!(through("resize", &old, set(requests, json!({"cpu": "2", "memory": "2Gi"}))), none);
    assert_eq!(
        through("resize", &old, set(requests, json!({"cpu": "2"}))),
        ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
    );
    assert_eq!(
        through(
            "resize",
            &old,
            set(
                "/spec/containers/0/resources",
                json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}})
            )
        ),
        ["spec: Invalid value: \"\": Pod QOS Class may not change as a result of resizing"]
    );
    assert_eq!(
        through("resize", &old, set("/spec/containers/0/image", json!("other"))),
        ["spec: Forbidden: only cpu and memory resources are mutable"]
    );
}

#[test]
fn containers_that_look_in() {
    let none: [String; 0] = [];
    let container =
        json!({"name": "e", "image": "i:1", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"});
    let old = pod(json!({}));
    let add =
        |container: Value| move |pod: &mut Value| pod["spec"]["ephemeralContainers"] = json!([container]);
    assert_eq!(through("ephemeralcontainers", &old, add(container.clone())), none);
    let mut ports = container.clone();
    ports["ports"] = json!([{"containerPort": 1, "protocol": "TCP"}]);
    assert_eq!(
        through("ephemeralcontainers", &old, add(ports)),
        ["spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container"]
    );
    let mut with_one = old;
    with_one["spec"]["ephemeralContainers"] = json!([container]);
    assert_eq!(
        through("ephemeralcontainers", &with_one, |pod| pod["spec"]["ephemeralContainers"] = json!([])),
        ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"]
    );
}

#[test]
fn statuses() {
    let none: [String; 0] = [];
    let mut old = pod(json!({"restartPolicy": "Never"}));
    old["status"] = json!({"phase": "Running", "qosClass": "BestEffort",
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]});
    let status = |status: Value| {
        through("status", &old, move |pod| {
            for (name, value) in status.as_object().expect("an object") {
                pod["status"][name] = value.clone();
            }
        })
    };
    assert_eq!(
        status(json!({"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]})),
        none
    );
    assert_eq!(status(json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]})), none);
    assert_eq!(
        status(json!({"qosClass": "Burstable"})),
        ["status.qosClass: Invalid value: \"Burstable\": field is immutable"]
    );
    assert_eq!(
        status(json!({"containerStatuses": [{"name": "c", "state": {"running": {}}}]})),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
    assert_eq!(
        status(json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]})),
        [
            "status.podIPs: Invalid value: [{\"ip\":\"10.0.0.1\"},{\"ip\":\"10.0.0.2\"}]: may specify no more than one IP for \
          each IP family"
        ]
    );
    assert_eq!(
        status(json!({"hostIP": "1.1.1.1", "hostIPs": [{"ip": "1.1.1.2"}]})),
        ["status.hostIPs[0].ip: Invalid value: \"1.1.1.2\": must be equal to `hostIP`"]
    );
}

#[test]
fn annotations_that_mean_something() {
    let annotated = |annotations: Value| {
        let mut pod = pod(json!({}));
        pod["metadata"]["annotations"] = annotations;
        pod
    };
    check(&[
        (
            annotated(json!({"controller.kubernetes.io/pod-deletion-cost": "+7"})),
            &[
                "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+7\": must be a 32bit integer",
            ],
        ),
        (annotated(json!({"controller.kubernetes.io/pod-deletion-cost": "-7"})), &[]),
        (
            annotated(json!({"container.apparmor.security.beta.kubernetes.io/x": "runtime/default"})),
            &[
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: \"x\": container not found",
            ],
        ),
        (
            annotated(json!({"kubernetes.io/config.mirror": "x"})),
            &[
                "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod \
               annotation is set",
            ],
        ),
    ]);
}

#[test]
fn bindings() {
    let gvk = GroupVersionKind::new("", "v1", "Binding");
    let binding = json!({"metadata": {"name": "p", "namespace": "n"}, "target": {"kind": "Pod", "name": ""}});
    assert_eq!(
        faults(&validate_create(&gvk, &binding)),
        [
            "target.kind: Unsupported value: \"Pod\": supported values: \"<empty>\", \"Node\"",
            "target.name: Required value",
        ]
    );
}
