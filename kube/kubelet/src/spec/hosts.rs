//! A pod's name, and its `/etc/hosts`.

use serde_json::Value;

use crate::read::{flag, host_network, items, name, namespace, text, texts};

/// The domain of the pod's name, if it has a subdomain.
pub fn host_domain(pod: &Value, cluster_domain: &str) -> Option<String> {
    let subdomain = text(pod, &["spec", "subdomain"]);
    let is_named = !subdomain.is_empty() && text(pod, &["spec", "hostnameOverride"]).is_empty();
    is_named.then(|| format!("{subdomain}.{}.svc.{cluster_domain}", namespace(pod)))
}

/// The pod's short name.
fn short_name(pod: &Value) -> String {
    for own in ["hostnameOverride", "hostname"] {
        match text(pod, &["spec", own]) {
            "" => {}
            own => return own.to_owned(),
        }
    }
    let long = name(pod);
    let cut = long.get(..NAME_MAX).unwrap_or(long);
    if long.len() > NAME_MAX { cut.trim_end_matches(['-', '.']).to_owned() } else { long.to_owned() }
}

/// What the kernel says in the pod.
pub fn hostname(pod: &Value, cluster_domain: &str) -> String {
    let short = short_name(pod);
    match host_domain(pod, cluster_domain) {
        Some(domain) if flag(pod, &["spec", "setHostnameAsFQDN"]) => format!("{short}.{domain}"),
        _ => short,
    }
}

/// The managed `/etc/hosts`; `host` is the node's own, for pods in its network.
pub fn hosts_file(pod: &Value, addresses: &[String], cluster_domain: &str, host: &str) -> String {
    let mut out = if host_network(pod) {
        format!("# Kubernetes-managed hosts file (host network).\n{host}")
    } else {
        let mut out = MANAGED.to_owned();
        let short = short_name(pod);
        for address in addresses {
            match host_domain(pod, cluster_domain) {
                Some(domain) => out.push_str(&format!("{address}\t{short}.{domain}\t{short}\n")),
                None => out.push_str(&format!("{address}\t{short}\n")),
            }
        }
        out
    };
    let aliases = items(pod, &["spec", "hostAliases"]);
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        out.push_str(&format!("{}\t{}\n", text(alias, &["ip"]), texts(alias, &["hostnames"]).join("\t")));
    }
    out
}

const MANAGED: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
const NAME_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_hosts() {
        let mut pod = json!({"metadata": {"name": "web-0", "namespace": "n"}, "spec": {}});
        assert_eq!(hostname(&pod, "c.l"), "web-0");
        pod["spec"] = json!({"hostname": "h", "subdomain": "s", "hostAliases": [
            {"ip": "1.2.3.4", "hostnames": ["a", "b"]}]});
        assert_eq!(hostname(&pod, "c.l"), "h");
        let file = hosts_file(&pod, &["10.42.0.2".to_owned()], "c.l", "");
        assert!(file.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{file}");
        let end = "10.42.0.2\th.s.n.svc.c.l\th\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n";
        assert!(file.ends_with(end), "{file}");
        pod["spec"]["setHostnameAsFQDN"] = json!(true);
        assert_eq!(hostname(&pod, "c.l"), "h.s.n.svc.c.l");
        pod["spec"] = json!({"hostNetwork": true});
        assert_eq!(
            hosts_file(&pod, &[], "c.l", "127.0.0.1 me\n"),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"
        );
        let long = json!({"metadata": {"name": format!("{}-{}", "a".repeat(62), "b")}});
        assert_eq!(hostname(&long, "c.l"), "a".repeat(62));
    }
}
