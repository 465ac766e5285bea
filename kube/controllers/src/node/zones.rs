//! How fast the pods of lost nodes are told to go: zone by zone, and slowly where much is lost at once, since
//! then it is more likely the network, or we, that failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{is_by_readiness, readiness, taints};
use crate::conditions;
use crate::known::nodes;
use crate::object::{label, name, time};
use crate::observed::{Observed, View};

/// When a node's pods may be told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// At this time, in milliseconds since 1970.
    At(i64),
    /// Not while the zone is as it is.
    Later,
    /// Nothing is left to move to: nobody is told to go.
    Never,
}

/// Whether no node lives at all.
pub(super) fn all_are_lost(view: &dyn View) -> bool {
    view.list(nodes(), None).iter().all(|node| readiness(node) != "True")
}

/// The turn of a lost node among those of its zone.
pub(super) fn turn(observed: &Observed<'_>, node: &Value) -> Turn {
    let mut zones: BTreeMap<(String, String), Vec<Arc<Value>>> = BTreeMap::new();
    for found in observed.view.list(nodes(), None) {
        zones.entry(zone(&found)).or_default().push(found);
    }
    let living = |zone: &[Arc<Value>]| zone.iter().filter(|node| readiness(node) == "True").count();
    if zones.values().all(|zone| living(zone) == 0) {
        return Turn::Never;
    }
    let zone = zones.remove(&zone(node)).unwrap_or_default();
    let Some(pause) = pause_millis(observed, zone.len(), living(&zone)) else { return Turn::Later };
    let is_tainted = |node: &Value| taints(node, "NoExecute").into_iter().any(is_by_readiness);
    let times = zone.iter().flat_map(|node| taints(node, "NoExecute")).filter(|taint| is_by_readiness(taint));
    let last = times.filter_map(|taint| time(taint, &["timeAdded"])).max();
    let since =
        |node: &Value| conditions::find(node, "Ready").and_then(|found| time(found, &["lastTransitionTime"]));
    let mut waiting: Vec<_> =
        zone.iter().filter(|node| readiness(node) != "True" && !is_tainted(node)).collect();
    waiting.sort_by_key(|node| (since(node), name(node).to_owned()));
    let before = waiting.iter().position(|found| name(found) == name(node)).unwrap_or(0) as i64;
    let now = observed.now.as_millisecond();
    // What is lost at once is seen one by one: a moment shows how much it is.
    let settled = since(node).map_or(now, |since| since.saturating_add(SETTLE_SECONDS).saturating_mul(1000));
    let first =
        last.map_or(now, |last| last.saturating_mul(1000).saturating_add(pause)).max(now).max(settled);
    let due = first.saturating_add(before.saturating_mul(pause));
    if due <= now { Turn::Now } else { Turn::At(due) }
}

/// The time between two nodes of a zone; none if nobody has to go there.
fn pause_millis(observed: &Observed<'_>, size: usize, living: usize) -> Option<i64> {
    let settings = &observed.settings.nodes;
    let lost = size.saturating_sub(living);
    let is_partly_lost = living > 0 && lost > 2 && lost as f64 / size as f64 >= settings.unhealthy_zone_share;
    let rate = match is_partly_lost {
        false => settings.eviction_rate,
        true if size > settings.large_zone_nodes => settings.secondary_eviction_rate,
        true => 0.0,
    };
    (rate > 0.0).then(|| (1000.0 / rate) as i64)
}

fn zone(node: &Value) -> (String, String) {
    let of = |key: &str| label(node, key).unwrap_or_default().to_owned();
    (of("topology.kubernetes.io/region"), of("topology.kubernetes.io/zone"))
}

/// Between two looks of upstream's at all nodes.
const SETTLE_SECONDS: i64 = 5;
