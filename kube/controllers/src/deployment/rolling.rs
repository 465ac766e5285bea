//! From the old replica sets to the new one, never more pods than allowed and never fewer available.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;

use super::Rollout;
use super::sets::{MOST, replicas};
use crate::object::{annotation, created, name, number};
use crate::plan::{Action, Plan};

impl Rollout<'_> {
    /// One step of a rolling update.
    pub(super) fn roll(&self) -> Plan {
        let Some(newest) = &self.sets.newest else { return self.create(self.room(0)) };
        let target = self.size_of_newest(newest);
        let up = self.scale(newest, target);
        if target != replicas(newest) {
            return self.with_status("the new replica set moves", up, true);
        }
        let down = self.old_down(newest);
        if !down.is_empty() {
            return self.with_status("old replica sets go down", down, true);
        }
        let done = if self.is_complete() { self.clean_up() } else { Vec::new() };
        self.with_status("the rollout goes on by itself", done, true)
    }

    /// How large the new replica set may be now.
    fn size_of_newest(&self, newest: &Arc<Value>) -> i64 {
        let (have, wanted) = (replicas(newest), self.wanted());
        if have >= wanted { wanted } else { self.room(have) }
    }

    /// The size of a new replica set that has so many pods, within the surge.
    fn room(&self, have: i64) -> i64 {
        let wanted = self.wanted();
        let now: i64 = self.sets.all().map(|set| replicas(set)).sum();
        let most = wanted + self.surge();
        if now >= most { have } else { have + (most - now).min(wanted - have) }
    }

    /// Takes pods from old replica sets: first those that never came to life, then what availability allows.
    fn old_down(&self, newest: &Arc<Value>) -> Vec<Action> {
        let old: i64 = self.sets.active_old().map(|set| replicas(set)).sum();
        if old == 0 {
            return Vec::new();
        }
        let least = self.wanted() - self.unavailable();
        let not_available = replicas(newest) - available(newest);
        let spare = old + replicas(newest) - least - not_available;
        if spare <= 0 {
            return Vec::new();
        }
        let mut sizes: Vec<(&Arc<Value>, i64)> =
            self.sets.active_old().map(|set| (set, replicas(set))).collect();
        sizes.sort_by_key(|(set, _)| (created(set), name(set).to_owned()));
        let mut left = spare;
        for (set, size) in &mut sizes {
            // The oldest first: sick pods serve nobody.
            let sick = (*size - available(set)).max(0).min(left);
            *size -= sick;
            left -= sick;
        }
        let all_available: i64 = self.sets.all().map(|set| available(set)).sum();
        let mut allowed = (all_available - least).max(0);
        for (_, size) in &mut sizes {
            let fewer = (*size).min(allowed);
            *size -= fewer;
            allowed -= fewer;
        }
        let changed = sizes.iter().filter(|(set, size)| replicas(set) != *size);
        changed.flat_map(|(set, size)| self.scale(set, *size)).collect()
    }

    /// The deployment's size changed: what exists shares the difference by size.
    pub(super) fn proportional(&self) -> Vec<Action> {
        let active: Vec<_> = self.sets.all().filter(|set| replicas(set) > 0).collect();
        let latest = || self.sets.all().max_by_key(|set| created(set));
        let single = match active.as_slice() {
            [] => self.sets.newest.as_ref().or_else(latest),
            [only] => Some(*only),
            _ => None,
        };
        if let Some(single) = single {
            return self.scale(single, self.wanted());
        }
        if active.is_empty() {
            return Vec::new();
        }
        if self.is_saturated() {
            return self.sets.active_old().flat_map(|set| self.scale(set, 0)).collect();
        }
        if super::is_recreated(self.deployment) { Vec::new() } else { self.share(active) }
    }

    /// The new replica set has all pods, and all of them are available.
    fn is_saturated(&self) -> bool {
        self.sets
            .newest
            .as_ref()
            .is_some_and(|newest| replicas(newest) == self.wanted() && available(newest) == self.wanted())
    }

    fn share(&self, mut active: Vec<&Arc<Value>>) -> Vec<Action> {
        let total: i64 = active.iter().map(|set| replicas(set)).sum();
        let most = if self.wanted() > 0 { self.wanted() + self.surge() } else { 0 };
        let add = most - total;
        if add > 0 {
            active.sort_by_key(|set| (Reverse(replicas(set)), Reverse(created(set))));
        } else {
            active.sort_by_key(|set| (Reverse(replicas(set)), created(set)));
        }
        let mut given = 0;
        let mut sizes: Vec<i64> = Vec::new();
        for set in &active {
            let part = proportion(set, total, most, add - given);
            given += part;
            sizes.push(replicas(set) + part);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + add - given).max(0);
        }
        active.iter().zip(sizes).flat_map(|(set, size)| self.scale(set, size)).collect()
    }
}

/// What a replica set gets of the difference: its share of the size that it was last scaled for.
fn proportion(set: &Value, total: i64, most: i64, left: i64) -> i64 {
    let size = replicas(set);
    if size == 0 || left == 0 || total == 0 {
        return 0;
    }
    let before = annotation(set, MOST).and_then(|text| text.parse::<i64>().ok()).filter(|before| *before > 0);
    let before = before.unwrap_or(total);
    let scaled = (size as f64 * most as f64 / before as f64).round() as i64;
    let part = scaled - size;
    if left > 0 { part.clamp(0, left) } else { part.clamp(left, 0) }
}

fn available(set: &Value) -> i64 {
    number(set, &["status", "availableReplicas"]).unwrap_or(0)
}
