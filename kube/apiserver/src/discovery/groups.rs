//! The order of groups and of their versions: upstream's, which clients see in
//! `kubectl api-resources` and in what a short name resolves to.

use std::cmp::Reverse;

use super::Foreign;
use crate::kinds::Table;

/// A group and its versions, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The versions.
    pub versions: Vec<String>,
}

/// The priority that upstream registers a group's versions with; custom groups come last.
pub fn group_priority(group: &str) -> i64 {
    match group {
        "" => 18000,
        "apiregistration.k8s.io" => 18001,
        "apps" => 17800,
        "events.k8s.io" => 17750,
        "authentication.k8s.io" => 17700,
        "authorization.k8s.io" => 17600,
        "autoscaling" => 17500,
        "batch" => 17400,
        "certificates.k8s.io" => 17300,
        "networking.k8s.io" => 17200,
        "policy" => 17100,
        "rbac.authorization.k8s.io" => 17000,
        "storage.k8s.io" | "storagemigration.k8s.io" => 16800,
        "admissionregistration.k8s.io" | "apiextensions.k8s.io" => 16700,
        "scheduling.k8s.io" => 16600,
        "coordination.k8s.io" => 16500,
        "node.k8s.io" => 16300,
        "discovery.k8s.io" | "resource.k8s.io" => 16200,
        "flowcontrol.apiserver.k8s.io" => 16100,
        "internal.apiserver.k8s.io" => 16000,
        _ => 1000,
    }
}

/// All groups but core, ours and others', best first.
pub(super) fn sorted(table: &Table, foreign: &[Foreign]) -> Vec<Group> {
    let mut groups: Vec<(i64, Group)> = table
        .groups()
        .into_iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, versions)| (group_priority(&name), Group { name, versions }))
        .collect();
    let mut others: Vec<&Foreign> = foreign.iter().collect();
    others.sort_by_key(|other| Reverse(other.priority.1));
    for other in others {
        match groups.iter_mut().find(|(_, group)| group.name == other.group) {
            Some((priority, group)) => {
                *priority = (*priority).max(other.priority.0);
                if !group.versions.contains(&other.version) {
                    group.versions.push(other.version.clone());
                }
            }
            None => {
                let group = Group { name: other.group.clone(), versions: vec![other.version.clone()] };
                groups.push((other.priority.0, group));
            }
        }
    }
    groups.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    groups.into_iter().map(|(_, group)| group).collect()
}
