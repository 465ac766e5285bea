//! `linux.memoryPolicy`: which NUMA nodes memory comes from.

use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};
use sys::scheduling::MemoryPolicy;

use super::SpecError;

/// The policy as `set_mempolicy(2)` takes it.
pub(super) fn policy(given: &LinuxMemoryPolicy) -> Result<MemoryPolicy, SpecError> {
    let nodes = nodes(given.nodes().as_deref().unwrap_or_default())?;
    let (mode, needs) = mode(given.mode());
    let refuse = |hint| SpecError::Conflict { what: format!("memory policy {}", given.mode()), hint };
    match needs {
        Nodes::None if !nodes.is_empty() => {
            return Err(SpecError::MemoryPolicyNodes { count: nodes.len() });
        }
        Nodes::Some if nodes.is_empty() => {
            return Err(refuse("memory policy mode requires at least one node but got 0"));
        }
        _ => {}
    }
    let flags = given.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
                MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
                MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
            }
    });
    Ok(MemoryPolicy { mode: mode | flags, nodes })
}

/// Which nodes a mode takes.
enum Nodes {
    None,
    Some,
    Any,
}

/// `MPOL_*` of the kernel.
fn mode(mode: MemoryPolicyModeType) -> (u32, Nodes) {
    match mode {
        MemoryPolicyModeType::MpolDefault => (0, Nodes::None),
        MemoryPolicyModeType::MpolPreferred => (1, Nodes::Any),
        MemoryPolicyModeType::MpolBind => (2, Nodes::Some),
        MemoryPolicyModeType::MpolInterleave => (3, Nodes::Some),
        MemoryPolicyModeType::MpolLocal => (4, Nodes::None),
        MemoryPolicyModeType::MpolPreferredMany => (5, Nodes::Some),
        MemoryPolicyModeType::MpolWeightedInterleave => (6, Nodes::Some),
    }
}

/// `0-3,7`.
fn nodes(list: &str) -> Result<Vec<usize>, SpecError> {
    let invalid = || SpecError::invalid("invalid memory policy nodes", list, "write nodes as 0-3,7");
    let mut nodes = Vec::new();
    for part in list.split(',').filter(|_| !list.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| invalid())?;
        let last: usize = last.trim().parse().map_err(|_| invalid())?;
        if first > last || last >= NODES_MAX {
            return Err(invalid());
        }
        nodes.extend(first..=last);
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

/// The modes, for `features`.
pub(crate) const MODES: &[&str] = &[
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
];
/// The flags, for `features`.
pub(crate) const FLAGS: &[&str] = &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// The kernel's `MAX_NUMNODES` at its largest configuration.
const NODES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<MemoryPolicy, String> {
        let given: LinuxMemoryPolicy = serde_json::from_str(json).unwrap();
        policy(&given).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_flags_and_nodes() {
        let got = of(r#"{"mode":"MPOL_BIND","nodes":"0,2-3","flags":["MPOL_F_STATIC_NODES"]}"#).unwrap();
        assert_eq!(got, MemoryPolicy { mode: 2 | 1 << 15, nodes: vec![0, 2, 3] });
        assert_eq!(of(r#"{"mode":"MPOL_DEFAULT"}"#).unwrap(), MemoryPolicy { mode: 0, nodes: vec![] });
    }

    #[test]
    fn every_word_that_is_told_is_known() {
        for mode in MODES {
            let needs = if matches!(*mode, "MPOL_DEFAULT" | "MPOL_LOCAL") { "" } else { "0" };
            for flag in FLAGS {
                of(&format!(r#"{{"mode":"{mode}","nodes":"{needs}","flags":["{flag}"]}}"#)).unwrap();
            }
        }
    }

    #[test]
    fn what_the_kernel_would_refuse() {
        for (json, part) in [
            (r#"{"mode":"MPOL_DEFAULT","nodes":"0-7"}"#, "mode requires 0 nodes but got 8"),
            (r#"{"mode":"MPOL_BIND"}"#, "requires at least one node"),
            (r#"{"mode":"MPOL_BIND","nodes":"0-9876543210"}"#, "invalid memory policy node"),
            (r#"{"mode":"MPOL_BIND","nodes":"3-1"}"#, "invalid memory policy node"),
        ] {
            let error = of(json).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
