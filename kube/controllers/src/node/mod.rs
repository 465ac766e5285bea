//! Nodes: whether they live, who leaves those that do not, and which addresses their pods get.

mod eviction;
mod health;
mod ranges;
mod ttl;
mod zones;

pub(crate) use eviction::LOOP as EVICTION;
pub(crate) use health::LOOP as HEALTH;
pub(crate) use ranges::LOOP as RANGES;
pub(crate) use ttl::LOOP as TTL;

use serde_json::Value;

use crate::conditions;
use crate::object::{items, text};

/// What a node says of itself: `True`, `False`, `Unknown`; the last too if it says nothing.
fn readiness(node: &Value) -> &str {
    match conditions::find(node, "Ready").map(|found| text(found, &["status"])) {
        None | Some("") => "Unknown",
        Some(status) => status,
    }
}

/// A node's taints of an effect.
fn taints<'a>(node: &'a Value, effect: &str) -> Vec<&'a Value> {
    items(node, &["spec", "taints"]).iter().filter(|taint| text(taint, &["effect"]) == effect).collect()
}

/// Whether a taint is by the node's own readiness.
fn is_by_readiness(taint: &Value) -> bool {
    matches!(text(taint, &["key"]), NOT_READY | UNREACHABLE)
}

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
