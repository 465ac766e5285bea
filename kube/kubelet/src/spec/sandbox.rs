//! What the runtime is told about a pod's sandbox.

use rpc::cri::{
    LinuxContainerResources, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig,
    PodSandboxMetadata, PortMapping, Protocol,
};
use serde_json::Value;

use super::{HostDns, NodeDns, dns, hostname, log_folder, pod_labels, security};
use crate::model::{Role, Wanted};
use crate::read::{flag, host_network, items, name, namespace, number, text, text_map, uid};
use crate::resources::{self, CPU_PERIOD};

/// What of the node goes into a sandbox.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The cluster's DNS.
    pub dns: NodeDns,
    /// The node's DNS.
    pub host_dns: HostDns,
    /// The folder of all pods' logs.
    pub logs: String,
    /// The top of all pods' cgroups.
    pub cgroup_root: String,
}

/// The sandbox's configuration.
pub fn sandbox_config(pod: &Value, attempt: u32, node: &Node) -> PodSandboxConfig {
    let mut labels = pod_labels(pod);
    labels.extend(text_map(pod, &["metadata", "labels"]));
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name(pod).to_owned(),
            uid: uid(pod).to_owned(),
            namespace: namespace(pod).to_owned(),
            attempt,
        }),
        // A pod in the node's network has the node's name.
        hostname: if host_network(pod) { String::new() } else { hostname(pod, &node.dns.domain) },
        log_directory: format!("{}/{}", node.logs, log_folder(pod)),
        dns_config: Some(dns(pod, &node.dns, &node.host_dns)),
        port_mappings: ports(pod),
        labels: labels.into_iter().collect(),
        annotations: text_map(pod, &["metadata", "annotations"]).into_iter().collect(),
        linux: Some(linux(pod, node)),
    }
}

fn ports(pod: &Value) -> Vec<PortMapping> {
    if host_network(pod) {
        return Vec::new();
    }
    let containers = Wanted::init(pod).filter(|it| it.role == Role::Sidecar).chain(Wanted::main(pod));
    let ports = containers.flat_map(|wanted| items(wanted.spec, &["ports"]));
    ports
        .map(|port| PortMapping {
            protocol: match text(port, &["protocol"]) {
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                _ => Protocol::Tcp,
            } as i32,
            container_port: small(number(port, &["containerPort"])),
            host_port: small(number(port, &["hostPort"])),
            host_ip: text(port, &["hostIP"]).to_owned(),
        })
        .collect()
}

fn small(number: Option<i64>) -> i32 {
    number.and_then(|number| i32::try_from(number).ok()).unwrap_or_default()
}

fn linux(pod: &Value, node: &Node) -> LinuxPodSandboxConfig {
    let context = &pod["spec"]["securityContext"];
    let id = |name: &str| number(context, &[name]).map(|value| rpc::cri::Int64Value { value });
    let privileged = Wanted::all(pod).any(|wanted| flag(wanted.spec, &["securityContext", "privileged"]));
    let sysctls = items(context, &["sysctls"]);
    let sysctls =
        sysctls.iter().map(|it| (text(it, &["name"]).replace('/', "."), text(it, &["value"]).to_owned()));
    let limits = resources::pod_limits(pod);
    LinuxPodSandboxConfig {
        cgroup_parent: format!("{}/{}", node.cgroup_root, resources::pod_cgroup(pod)),
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(security::namespaces(pod, Role::Main, None)),
            run_as_user: id("runAsUser"),
            run_as_group: id("runAsGroup"),
            supplemental_groups: security::groups(pod),
            privileged,
            seccomp: Some(security::sandbox_seccomp(pod)),
            ..LinuxSandboxSecurityContext::default()
        }),
        sysctls: sysctls.collect(),
        resources: Some(LinuxContainerResources {
            cpu_shares: limits.cpu_shares,
            cpu_quota: limits.cpu_quota,
            cpu_period: CPU_PERIOD,
            memory_limit_in_bytes: limits.memory,
            ..LinuxContainerResources::default()
        }),
        ..LinuxPodSandboxConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sandbox_as_the_runtime_is_told() {
        let pod = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}],
                "resources": {"requests": {"cpu": "100m"}}}],
                "securityContext": {"fsGroup": 7, "sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "0"}]}}});
        let node = Node { logs: "/logs".to_owned(), cgroup_root: "/kubepods".to_owned(), ..Node::default() };
        let found = sandbox_config(&pod, 2, &node);
        assert_eq!(found.log_directory, "/logs/shop_web_u1");
        assert_eq!((found.hostname.as_str(), found.metadata.unwrap().attempt), ("web", 2));
        assert_eq!(
            (found.labels["app"].as_str(), found.labels["io.kubernetes.pod.uid"].as_str()),
            ("web", "u1")
        );
        let port = &found.port_mappings[0];
        assert_eq!((port.host_port, port.container_port, port.protocol), (8080, 80, Protocol::Udp as i32));
        let linux = found.linux.unwrap();
        assert_eq!(linux.cgroup_parent, "/kubepods/burstable/podu1");
        assert_eq!(linux.sysctls["net.ipv4.tcp_syncookies"], "0");
        assert_eq!(linux.security_context.unwrap().supplemental_groups, [7]);
    }
}
