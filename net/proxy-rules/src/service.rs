//! What the proxy looks at in a Service.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::Value;

use crate::facts::Range;

/// Namespace and name of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name in it.
    pub name: Arc<str>,
}

impl ServiceName {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `IPPROTO_*`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP" | "") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, empty when it is the only one.
    pub name: Arc<str>,
    /// The transport.
    pub protocol: Protocol,
    /// The port at the service's addresses.
    pub port: u16,
    /// The port at the nodes' addresses.
    pub node_port: Option<u16>,
}

/// A service that is proxied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Its address in the cluster.
    pub cluster_ip: Ipv4Addr,
    /// Addresses that others lead to the nodes: `spec.externalIPs`.
    pub external_ips: Vec<Ipv4Addr>,
    /// Addresses of its load balancer, without those that proxy themselves.
    pub balancer_ips: Vec<Ipv4Addr>,
    /// Who may use the load balancer's addresses; all without.
    pub source_ranges: Option<Vec<Range>>,
    /// How many seconds a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// Traffic from inside stays on its node.
    pub internal_local: bool,
    /// Traffic from outside stays on the node it came to.
    pub external_local: bool,
    /// Where load balancers ask whether this node has endpoints.
    pub health_port: Option<u16>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// `sessionAffinityConfig.clientIP.timeoutSeconds` where it is not set.
const AFFINITY_SECONDS: u64 = 10_800;
/// A day, the most that validation lets through.
const AFFINITY_SECONDS_MAX: u64 = 86_400;

impl Service {
    /// Reads a Service; `None` if there is nothing to proxy: headless, by name only, of another
    /// proxy, or without an IPv4 address.
    pub fn parse(object: &Value) -> Option<Self> {
        let (meta, spec) = (object.get("metadata")?, object.get("spec")?);
        let text = |at: &Value, key: &str| at.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = text(spec, "type").unwrap_or_else(|| "ClusterIP".to_owned());
        let other_proxy = meta.get("labels").and_then(|labels| labels.get(PROXY_NAME)).is_some();
        if other_proxy || kind == "ExternalName" {
            return None;
        }
        let balanced = kind == "LoadBalancer";
        let on_nodes = balanced || kind == "NodePort";
        let external_ips = addresses(spec.get("externalIPs"));
        let reached = on_nodes || !external_ips.is_empty();
        let local = |key: &str| spec.get(key).and_then(Value::as_str) == Some("Local");
        let external_local = reached && local("externalTrafficPolicy");
        Some(Self {
            name: ServiceName::new(&text(meta, "namespace")?, &text(meta, "name")?),
            cluster_ip: cluster_ip(spec)?,
            external_ips,
            balancer_ips: if balanced { balancer_ips(object) } else { Vec::new() },
            source_ranges: if balanced { source_ranges(spec) } else { None },
            affinity: affinity(spec),
            internal_local: local("internalTrafficPolicy"),
            external_local,
            health_port: number(spec.get("healthCheckNodePort"))
                .filter(|port| *port > 0 && balanced && external_local),
            ports: ports(spec, on_nodes),
        })
    }

    /// Whether anything but its cluster address leads to it.
    pub fn reached_from_outside(&self) -> bool {
        let on_nodes = self.ports.iter().any(|port| port.node_port.is_some());
        on_nodes || !self.balancer_ips.is_empty() || !self.external_ips.is_empty()
    }

    /// Whether endpoints of other nodes serve any of its traffic.
    pub fn uses_cluster(&self) -> bool {
        // Also with the external policy Local: what comes from inside to an outside address is
        // not sent around.
        !self.internal_local || self.reached_from_outside()
    }

    /// Whether some of its traffic is for this node's endpoints only.
    pub fn uses_local(&self) -> bool {
        self.internal_local || (self.external_local && self.reached_from_outside())
    }
}

fn cluster_ip(spec: &Value) -> Option<Ipv4Addr> {
    let single = spec.get("clusterIP").and_then(Value::as_str);
    let all = spec.get("clusterIPs").and_then(Value::as_array);
    let all = all.into_iter().flatten().filter_map(Value::as_str);
    single.into_iter().chain(all).find_map(|text| text.parse().ok())
}

fn addresses(list: Option<&Value>) -> Vec<Ipv4Addr> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    let mut found: Vec<Ipv4Addr> =
        list.filter_map(|item| item.as_str()?.parse().ok()).filter(usable).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Addresses that must never be taken from the node.
fn usable(address: &Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

fn balancer_ips(object: &Value) -> Vec<Ipv4Addr> {
    let list = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let taken = list.into_iter().flatten().filter(|ingress| {
        // With `Proxy` the balancer sends to the node's address, and must not be gone around.
        ingress.get("ipMode").and_then(Value::as_str) != Some("Proxy")
    });
    let mut found: Vec<Ipv4Addr> =
        taken.filter_map(|ingress| ingress.get("ip")?.as_str()?.parse().ok()).filter(usable).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// `None` without a restriction. Ranges that cannot be read let nobody in.
fn source_ranges(spec: &Value) -> Option<Vec<Range>> {
    let list = spec.get("loadBalancerSourceRanges").and_then(Value::as_array)?;
    let texts: Vec<&str> = list.iter().filter_map(Value::as_str).map(str::trim).collect();
    if texts.is_empty() {
        return None;
    }
    let ranges: Vec<Range> = texts.iter().filter_map(|text| Range::parse(text)).collect();
    (!ranges.iter().any(Range::is_everything)).then_some(ranges)
}

fn affinity(spec: &Value) -> Option<u32> {
    if spec.get("sessionAffinity").and_then(Value::as_str) != Some("ClientIP") {
        return None;
    }
    let seconds = spec.pointer("/sessionAffinityConfig/clientIP/timeoutSeconds").and_then(Value::as_u64);
    u32::try_from(seconds.unwrap_or(AFFINITY_SECONDS).clamp(1, AFFINITY_SECONDS_MAX)).ok()
}

fn ports(spec: &Value, on_nodes: bool) -> Vec<ServicePort> {
    let list = spec.get("ports").and_then(Value::as_array).into_iter().flatten();
    let read = |port: &Value| {
        Some(ServicePort {
            name: port.get("name").and_then(Value::as_str).unwrap_or_default().into(),
            protocol: Protocol::parse(port.get("protocol").and_then(Value::as_str))?,
            port: number(port.get("port")).filter(|port| *port > 0)?,
            node_port: number(port.get("nodePort")).filter(|port| *port > 0 && on_nodes),
        })
    };
    list.filter_map(read).collect()
}

pub(crate) fn number(value: Option<&Value>) -> Option<u16> {
    u16::try_from(value?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "literals")]
    fn parse(spec: Value, status: Value) -> Option<Service> {
        Service::parse(&json!({
            "metadata": {"namespace": "a", "name": "web"}, "spec": spec, "status": status,
        }))
    }

    #[test]
    fn nothing_to_proxy() {
        let port = json!([{"port": 80}]);
        for spec in [
            json!({"clusterIP": "None", "ports": port}),
            json!({"type": "ExternalName", "externalName": "example.org"}),
            json!({"clusterIP": "", "ports": port}),
            json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ports": port}),
            json!({}),
        ] {
            assert_eq!(parse(spec.clone(), Value::Null), None, "{spec}");
        }
        let other = json!({"metadata": {"namespace": "a", "name": "b", "labels": {PROXY_NAME: "x"}},
            "spec": {"clusterIP": "10.43.0.1"}});
        assert_eq!(Service::parse(&other), None);
    }

    #[test]
    fn a_balanced_service_is_read() {
        let spec = json!({"type": "LoadBalancer", "clusterIP": "10.43.0.9", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30500, "sessionAffinity": "ClientIP",
            "loadBalancerSourceRanges": ["192.0.2.0/24", " 198.51.100.7/32 "],
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}]});
        let status = json!({"loadBalancer": {"ingress": [
            {"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}, {"hostname": "x"},
            {"ip": "203.0.113.3", "ipMode": "VIP"}]}});
        let service = parse(spec, status).expect("proxied");
        assert_eq!(service.balancer_ips, [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 3)]);
        assert_eq!(service.source_ranges.as_ref().map(Vec::len), Some(2));
        assert_eq!((service.affinity, service.health_port), (Some(10_800), Some(30500)));
        assert!(service.external_local && service.uses_cluster() && service.uses_local());
        assert_eq!((service.ports[0].protocol, service.ports[0].node_port), (Protocol::Udp, Some(30053)));
    }

    #[test]
    fn what_does_not_apply_is_not_looked_at() {
        let spec = json!({"clusterIP": "10.43.0.9", "externalTrafficPolicy": "Local", "healthCheckNodePort": 1,
            "loadBalancerSourceRanges": ["192.0.2.0/24"], "ports": [{"port": 80, "nodePort": 30080}]});
        let service =
            parse(spec, json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}})).expect("proxied");
        assert_eq!(
            (service.external_local, service.health_port, service.ports[0].node_port),
            (false, None, None)
        );
        assert_eq!((service.balancer_ips.len(), service.source_ranges), (0, None));
        let spec = json!({"type": "LoadBalancer", "clusterIP": "10.43.0.9", "loadBalancerSourceRanges": ["0.0.0.0/0", "192.0.2.0/24"]});
        assert_eq!(parse(spec, Value::Null).expect("proxied").source_ranges, None);
    }
}
