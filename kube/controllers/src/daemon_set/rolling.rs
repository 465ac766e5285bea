//! From one template to the next, node by node.

use std::sync::Arc;

use serde_json::Value;

use super::Look;
use super::node::Fit;
use crate::object::{is_deleting, name};

/// The pods of a node that are not going: one of the present template, one of an older one.
type Pair = (Option<Arc<Value>>, Option<Arc<Value>>);

impl Look<'_> {
    pub(super) fn roll(&mut self) {
        let wanted = self.wanted();
        let (surge, mut unavailable) = (self.limit("maxSurge", wanted), self.limit("maxUnavailable", wanted));
        if wanted > 0 && surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        if surge > 0 { self.roll_by_surge(wanted, surge) } else { self.roll_in_place(unavailable) }
    }

    /// Old pods go, and the next look makes new ones in their places.
    fn roll_in_place(&mut self, most: i64) {
        let (mut unavailable, mut broken, mut candidates) = (0, Vec::new(), Vec::new());
        for (_, pods) in self.places() {
            match self.pair(&pods) {
                Some((Some(new), None)) => unavailable += i64::from(!self.is_available(&new)),
                Some((None, Some(old))) => {
                    if !self.is_available(&old) {
                        broken.push(old);
                        unavailable += 1;
                    } else if unavailable < most {
                        candidates.push(old);
                    }
                }
                // Whatever is wrong there, it is put right before anything is renewed.
                None | Some(_) => unavailable += 1,
            }
        }
        let room = usize::try_from(most - unavailable).unwrap_or(0);
        broken.extend(candidates.into_iter().take(room));
        self.apply(&[], &broken);
    }

    /// New pods are made beside old ones, which go when these are available.
    fn roll_by_surge(&mut self, wanted: i64, most: i64) {
        let (mut surging, mut available) = (0, 0);
        let (mut done, mut misplaced, mut allowed, mut candidates) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (node, pods) in self.places() {
            let Some((new, old)) = self.pair(&pods) else {
                surging += 1;
                continue;
            };
            let first = old.as_ref().or(new.as_ref());
            let counts = first.is_some_and(|pod| self.is_available(pod));
            available += i64::from(counts);
            let runs = self.nodes.iter().any(|(found, fit)| name(found) == node && *fit == Fit::Runs);
            match (new, old) {
                (_, None) => {}
                (None, Some(old)) if !runs && !counts => done.push(old),
                (None, Some(old)) if !runs => misplaced.push(old),
                (None, Some(_)) if !counts => allowed.push(node),
                (None, Some(_)) => {
                    if surging < most {
                        candidates.push(node);
                    }
                }
                (Some(new), Some(old)) => {
                    if self.is_available(&new) {
                        done.push(old);
                    } else {
                        surging += 1;
                    }
                }
            }
        }
        // Where no pod is to be any more one goes only when there are enough elsewhere.
        let spare = usize::try_from(available - wanted).unwrap_or(0);
        done.extend(misplaced.into_iter().take(spare));
        let room = usize::try_from(most - surging).unwrap_or(0);
        allowed.extend(candidates.into_iter().take(room));
        self.apply(&allowed, &done);
    }

    /// All nodes that have a pod or are to have one.
    fn places(&self) -> Vec<(String, Vec<Arc<Value>>)> {
        let mut all = self.by_node.clone();
        for (node, _) in self.nodes.iter().filter(|(_, fit)| *fit == Fit::Runs) {
            all.entry(name(node).to_owned()).or_default();
        }
        all.into_iter().collect()
    }

    /// None if there are several of a kind: those are pruned first.
    fn pair(&self, pods: &[Arc<Value>]) -> Option<Pair> {
        let (mut new, mut old) = (None, None);
        for pod in pods.iter().filter(|pod| !is_deleting(pod)) {
            let place = if self.is_updated(pod) { &mut new } else { &mut old };
            if place.is_some() {
                return None;
            }
            *place = Some(pod.clone());
        }
        Some((new, old))
    }
}
