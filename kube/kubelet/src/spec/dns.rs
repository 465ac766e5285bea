//! Where a pod's names are looked up.

use rpc::cri::DnsConfig;
use serde_json::Value;

use crate::read::{host_network, items, namespace, text, texts};

/// What the cluster says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeDns {
    /// Addresses of the cluster's DNS.
    pub servers: Vec<String>,
    /// `cluster.local`.
    pub domain: String,
}

/// What the node's `resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostDns {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The last `search` line.
    pub searches: Vec<String>,
    /// The last `options` line.
    pub options: Vec<String>,
}

impl HostDns {
    /// Reads a `resolv.conf`.
    pub fn parse(file: &str) -> Self {
        let mut found = Self::default();
        for line in file.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => found.servers.extend(words.next()),
                Some("search") => {
                    found.searches = words.map(|name| trim_dot(&name)).collect();
                }
                Some("options") => found.options = words.collect(),
                _ => {}
            }
        }
        found
    }
}

fn trim_dot(name: &str) -> String {
    if name == "." { name.to_owned() } else { name.trim_end_matches('.').to_owned() }
}

/// What the pod's `resolv.conf` is to say.
pub fn dns(pod: &Value, cluster: &NodeDns, host: &HostDns) -> DnsConfig {
    let policy = match text(pod, &["spec", "dnsPolicy"]) {
        "ClusterFirst" | "" if host_network(pod) => "Default",
        "" => "ClusterFirst",
        policy => policy,
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        "ClusterFirst" | "ClusterFirstWithHostNet" if !cluster.servers.is_empty() => {
            let (domain, namespace) = (&cluster.domain, namespace(pod));
            let mut searches =
                vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
            searches.extend(host.searches.iter().cloned());
            DnsConfig {
                servers: cluster.servers.clone(),
                searches: unique(searches),
                options: vec![NDOTS.to_owned()],
            }
        }
        _ => DnsConfig {
            servers: host.servers.clone(),
            searches: host.searches.clone(),
            options: host.options.clone(),
        },
    };
    add(&mut config, &pod["spec"]["dnsConfig"]);
    config
}

/// What the pod adds; its options win over those of the same name.
fn add(config: &mut DnsConfig, own: &Value) {
    config.servers.extend(texts(own, &["nameservers"]));
    config.searches.extend(texts(own, &["searches"]).iter().map(|name| trim_dot(name)));
    config.servers = unique(std::mem::take(&mut config.servers));
    config.searches = unique(std::mem::take(&mut config.searches));
    let name_of = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    for option in items(own, &["options"]) {
        let (name, value) = (text(option, &["name"]), text(option, &["value"]));
        let written = if value.is_empty() { name.to_owned() } else { format!("{name}:{value}") };
        match config.options.iter_mut().find(|other| name_of(other) == name) {
            Some(other) => *other = written,
            None => config.options.push(written),
        }
    }
}

fn unique(list: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(list.len());
    for item in list {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

const NDOTS: &str = "ndots:5";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies() {
        let cluster = NodeDns { servers: vec!["10.43.0.10".to_owned()], domain: "cluster.local".to_owned() };
        let host =
            HostDns::parse("# x\nsearch old\nnameserver 1.1.1.1\nsearch corp. lan\noptions timeout:1\n");
        let check = |spec: Value, expected: &str| {
            let found = dns(&json!({"metadata": {"namespace": "n"}, "spec": spec}), &cluster, &host);
            let line =
                [found.servers.join(" "), found.searches.join(" "), found.options.join(" ")].join(" | ");
            assert_eq!(line, expected);
        };
        let first = "10.43.0.10 | n.svc.cluster.local svc.cluster.local cluster.local corp lan | ndots:5";
        check(json!({"dnsPolicy": "ClusterFirst"}), first);
        check(json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), first);
        check(json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), "1.1.1.1 | corp lan | timeout:1");
        check(json!({"dnsPolicy": "Default"}), "1.1.1.1 | corp lan | timeout:1");
        let own = json!({"nameservers": ["8.8.8.8"], "searches": ["a.b"], "options": [
            {"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        check(json!({"dnsPolicy": "None", "dnsConfig": own}), "8.8.8.8 | a.b | ndots:2 edns0");
        check(
            json!({"dnsPolicy": "ClusterFirst", "dnsConfig": own}),
            "10.43.0.10 8.8.8.8 | n.svc.cluster.local svc.cluster.local cluster.local corp lan a.b | ndots:2 edns0",
        );
    }
}
