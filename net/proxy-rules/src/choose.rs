//! Which endpoints serve: readiness, policies, hints. As kube-proxy decides it.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::plan::Endpoint;
use crate::service::{Service, ServicePort};
use crate::slice::{Conditions, Slice, SliceEndpoint};

/// The endpoints of one port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// For traffic that may go to any node.
    pub cluster: Vec<Endpoint>,
    /// For traffic that stays on this node.
    pub local: Vec<Endpoint>,
    /// Somewhere in the cluster is one that could serve.
    pub any: bool,
}

/// An endpoint with what decides about it.
struct Candidate<'a> {
    endpoint: Endpoint,
    conditions: Conditions,
    local: bool,
    of: &'a SliceEndpoint,
}

impl Candidate<'_> {
    fn falls_back(&self) -> bool {
        !self.conditions.ready && self.conditions.serving && self.conditions.terminating
    }
}

/// Chooses for `port`, from all slices of its service.
pub fn choose<'a>(
    service: &Service,
    port: &ServicePort,
    slices: impl Iterator<Item = &'a Slice>,
    facts: &Facts,
) -> Chosen {
    let candidates = candidates(port, slices, facts);
    let mut chosen = Chosen::default();
    if service.uses_cluster() {
        let topology = topology(&candidates, facts);
        chosen.cluster = picked(&candidates, |c| c.conditions.ready && topology.takes(c, facts));
        if chosen.cluster.is_empty() {
            chosen.cluster = picked(&candidates, |c| c.falls_back());
        }
        chosen.any |= !chosen.cluster.is_empty();
    }
    if service.uses_local() {
        chosen.any |= candidates.iter().any(|c| c.conditions.ready || c.falls_back());
        chosen.local = picked(&candidates, |c| c.local && c.conditions.ready);
        if chosen.local.is_empty() {
            chosen.local = picked(&candidates, |c| c.local && c.falls_back());
        }
    }
    chosen
}

fn picked(candidates: &[Candidate<'_>], pick: impl Fn(&Candidate<'_>) -> bool) -> Vec<Endpoint> {
    candidates.iter().filter(|candidate| pick(candidate)).map(|candidate| candidate.endpoint).collect()
}

/// The endpoints of the port by address, once each: while one moves from slice to slice it is in
/// both, and the better news counts.
fn candidates<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a Slice>,
    facts: &Facts,
) -> Vec<Candidate<'a>> {
    let mut found: BTreeMap<Endpoint, Candidate<'a>> = BTreeMap::new();
    let rank = |c: &Conditions| (c.ready, c.serving, !c.terminating);
    for slice in slices {
        let same = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
        for target in same {
            for of in &slice.endpoints {
                let endpoint = Endpoint { address: of.address, port: target.port };
                let local = of.node.as_deref() == Some(facts.node.as_str());
                let new = Candidate { endpoint, conditions: of.conditions, local, of };
                let known = found.get(&endpoint);
                if known.is_none_or(|known| rank(&known.conditions) < rank(&new.conditions)) {
                    found.insert(endpoint, new);
                }
            }
        }
    }
    found.into_values().collect()
}

/// Whether hints are followed.
enum Topology {
    Everywhere,
    SameNode,
    SameZone,
}

impl Topology {
    fn takes(&self, candidate: &Candidate<'_>, facts: &Facts) -> bool {
        match self {
            Self::Everywhere => true,
            Self::SameNode => candidate.of.node_hints.iter().any(|node| **node == *facts.node),
            Self::SameZone => candidate.of.zone_hints.iter().any(|zone| **zone == *facts.zone),
        }
    }
}

/// Hints are followed when all ready endpoints have them and one is for us.
fn topology(candidates: &[Candidate<'_>], facts: &Facts) -> Topology {
    let ready: Vec<_> = candidates.iter().filter(|c| c.conditions.ready).collect();
    let all_for_nodes = ready.iter().all(|c| !c.of.node_hints.is_empty());
    if all_for_nodes && ready.iter().any(|c| Topology::SameNode.takes(c, facts)) {
        return Topology::SameNode;
    }
    let all_for_zones = ready.iter().all(|c| !c.of.zone_hints.is_empty());
    if all_for_zones && !facts.zone.is_empty() && ready.iter().any(|c| Topology::SameZone.takes(c, facts)) {
        return Topology::SameZone;
    }
    Topology::Everywhere
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// `last octet [@ node] [:conditions] [~zone hint] [^node hint]`, conditions of `r`eady,
    /// `s`erving, `t`erminating.
    fn endpoint(text: &str) -> Value {
        let (mut number, mut node, mut flags, mut zone, mut hinted) = (String::new(), "b", "rs", "", "");
        let mut rest = text;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        number.push_str(&rest[..end]);
        rest = &rest[end..];
        while let Some(sign) = rest.chars().next() {
            let tail = &rest[1..];
            let end = tail.find(['@', ':', '~', '^']).unwrap_or(tail.len());
            let value = &tail[..end];
            match sign {
                '@' => node = value,
                ':' => flags = value,
                '~' => zone = value,
                _ => hinted = value,
            }
            rest = &tail[end..];
        }
        let has = |flag| flags.contains(flag);
        let mut hints = json!({});
        if !zone.is_empty() {
            hints["forZones"] = json!([{"name": zone}]);
        }
        if !hinted.is_empty() {
            hints["forNodes"] = json!([{"name": hinted}]);
        }
        json!({"addresses": [format!("10.42.0.{number}")], "nodeName": node, "hints": hints,
            "conditions": {"ready": has('r'), "serving": has('s'), "terminating": has('t')}})
    }

    fn check(policies: &str, endpoints: &str, expected: &str) {
        let policy = |flag| if policies.contains(flag) { "Local" } else { "Cluster" };
        let kind = if policies.contains('n') { "NodePort" } else { "ClusterIP" };
        let service = Service::parse(&json!({"metadata": {"namespace": "a", "name": "s"},
            "spec": {"type": kind, "clusterIP": "10.43.0.1", "internalTrafficPolicy": policy('i'),
                "externalTrafficPolicy": policy('e'), "ports": [{"port": 80, "nodePort": 30080}]}}))
        .expect("proxied");
        let endpoints: Vec<Value> = endpoints.split_whitespace().map(endpoint).collect();
        let slice =
            Slice::parse(&json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}],
            "metadata": {"namespace": "a", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}}}))
            .expect("a slice");
        let facts = Facts { node: "a".to_owned(), zone: "z".to_owned(), ..Facts::default() };
        let chosen = choose(&service, &service.ports[0], [&slice].into_iter(), &facts);
        let list = |all: &[Endpoint]| {
            all.iter().map(|e| e.address.octets()[3].to_string()).collect::<Vec<_>>().join(",")
        };
        let shown = format!("{}|{}|{}", list(&chosen.cluster), list(&chosen.local), chosen.any);
        assert_eq!(shown, expected, "{policies} {endpoints:?}");
    }

    #[test]
    fn ready_ones_serve() {
        check("", "1 2:s 3", "1,3||true");
        check("", "", "||false");
        check("", "1:", "||false");
    }

    #[test]
    fn terminating_ones_serve_when_no_other_does() {
        check("", "1:st 2", "2||true");
        check("", "1:st 2:t", "1||true");
        check("", "1:st 2:", "1||true");
        check("ne", "1@a:st 2", "2|1|true");
        check("ne", "1@a:st 2@a", "2|2|true");
    }

    #[test]
    fn local_policies() {
        check("i", "1@a 2@b", "|1|true");
        check("i", "2@b", "||true");
        check("i", "2@b:", "||false");
        check("ni", "1@a 2@b", "1,2|1|true");
        check("ne", "1@a 2@b", "1,2|1|true");
        check("ne", "2@b", "2||true");
    }

    #[test]
    fn hints_are_followed_when_complete() {
        check("", "1~z 2~y", "1||true");
        check("", "1~z 2", "1,2||true");
        check("", "1~y 2~y", "1,2||true");
        check("", "1~z 2~y:s", "1||true");
        check("", "1~y^a 2~z^b", "1||true");
        check("", "1~y^b 2~z^b", "2||true");
        check("", "1~z:st 2~y:st", "1,2||true");
        check("ne", "1@a~y 2@b~z", "2|1|true");
    }
}
