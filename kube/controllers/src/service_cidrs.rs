//! `service-cidrs-controller`: a range of services' addresses says that it can be used, and does not go while
//! a service has an address that only it has.

use std::net::IpAddr;

use serde_json::Value;

use crate::addresses::is_allocated;
use crate::conditions::{self, Condition};
use crate::known::{ip_addresses, service_cidrs};
use crate::object::{
    has_finalizer, is_deleting, name, set, text, texts, time, with_finalizer, without_finalizer,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "service-cidrs-controller",
    concurrency: 1,
    watches: Watches::These(&[service_cidrs, ip_addresses]),
    keys,
    reconcile,
};

/// What waits to go may go when an address is given back or another range has come.
fn keys(change: &Change<'_>, view: &dyn View) -> Vec<Key> {
    let mut keys = Vec::new();
    if change.is(service_cidrs()) {
        keys.push(change.key());
    } else if change.new.is_some() {
        return keys;
    }
    let all = view.list(service_cidrs(), None);
    keys.extend(all.iter().filter(|range| is_deleting(range)).map(|range| Key::of(service_cidrs(), range)));
    keys.dedup();
    keys
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(range) = observed.object() else { return Plan::nothing("the range is gone") };
    let protected = has_finalizer(&range, FINALIZER);
    if is_deleting(&range) {
        if !protected {
            return Plan::nothing("it is going");
        }
        if let Some(address) = held(observed.view, &range) {
            return say(observed, &range, &TERMINATING, format!("{address} is in use"));
        }
        // Another server may give an address of it away before it hears of its end.
        let heard =
            time(&range, &["metadata", "deletionTimestamp"]).unwrap_or(0).saturating_add(GRACE_SECONDS);
        if let Some(left) = observed.until(heard) {
            return Plan::nothing("others may not know yet").again_after(Some(left));
        }
        let free = without_finalizer(&range, FINALIZER);
        return Plan::of("nobody has its addresses", vec![Action::update(service_cidrs(), free)]);
    }
    if !protected {
        let held = with_finalizer(&range, FINALIZER);
        return Plan::of("it is not protected", vec![Action::update(service_cidrs(), held)]);
    }
    say(observed, &range, &READY, "it can be used".to_owned())
}

/// An address that a service has of this range and that no other range has that stays.
fn held(view: &dyn View, range: &Value) -> Option<IpAddr> {
    let all = view.list(service_cidrs(), None);
    let others: Vec<_> =
        all.iter().filter(|other| name(other) != name(range) && !is_deleting(other)).collect();
    let addresses = view.list(ip_addresses(), None);
    addresses
        .iter()
        .filter(|address| is_allocated(address))
        .filter_map(|address| name(address).parse().ok())
        .find(|address| contains(range, *address) && !others.iter().any(|other| contains(other, *address)))
}

fn contains(range: &Value, address: IpAddr) -> bool {
    texts(range, &["spec", "cidrs"]).iter().any(|cidr| is_in(cidr, address).unwrap_or(false))
}

fn is_in(cidr: &str, address: IpAddr) -> Option<bool> {
    let (first, length) = cidr.split_once('/')?;
    let (first, length): (IpAddr, u32) = (first.parse().ok()?, length.parse().ok()?);
    let same = |one: u128, other: u128, bits: u32| {
        let host = bits.checked_sub(length)?;
        Some((one ^ other).checked_shr(host).unwrap_or(0) == 0)
    };
    match (first, address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            same(u32::from(first).into(), u32::from(address).into(), 32)
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => same(first.into(), address.into(), 128),
        _ => Some(false),
    }
}

fn say(observed: &Observed<'_>, range: &Value, condition: &Condition<'_>, why: String) -> Plan {
    let there = conditions::find(range, condition.kind);
    let wanted = if condition.holds { "True" } else { "False" };
    if there.is_some_and(|there| text(there, &["status"]) == wanted) {
        return Plan::nothing(why);
    }
    let mut list = conditions::list(range);
    conditions::write(&mut list, condition, &observed.time());
    let mut said = range.clone();
    set(&mut said, &["status", "conditions"], Value::Array(list));
    Plan::of(why, vec![Action::update_status(service_cidrs(), said)])
}

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// As upstream.
const GRACE_SECONDS: i64 = 10;
const READY: Condition<'static> =
    Condition { kind: "Ready", holds: true, reason: "", message: "Kubernetes Service CIDR is ready" };
const TERMINATING: Condition<'static> = Condition {
    kind: "Ready",
    holds: false,
    reason: "Terminating",
    message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new \
              ServiceCIDR",
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::World;

    #[test]
    fn a_range_that_is_in_use_stays_until_its_addresses_are_free() {
        let mut world = World::default();
        let range = |name: &str, cidr: &str| json!({"metadata": {"name": name}, "spec": {"cidrs": [cidr]}});
        world.put("servicecidrs", range("kubernetes", "10.0.0.0/16"));
        world.put("servicecidrs", range("more", "10.9.0.0/24"));
        world.put("servicecidrs", range("idle", "fd00::/112"));
        for address in ["10.0.0.1", "10.9.0.7"] {
            let labels = json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
            world.put("ipaddresses", json!({"metadata": {"name": address, "labels": labels}}));
        }
        world.settle(&[LOOP]);
        for range in world.all("servicecidrs") {
            assert!(has_finalizer(&range, FINALIZER), "{range}");
            assert!(conditions::holds(&range, "Ready"), "{range}");
        }
        world.user_deletes("servicecidrs", "", "idle", "Background");
        world.user_deletes("servicecidrs", "", "more", "Background");
        world.settle(&[LOOP]);
        assert_eq!(world.all("servicecidrs").len(), 3);
        world.pass(10, &[LOOP]);
        assert!(world.get("servicecidrs", "", "idle").is_none());
        let waits = world.get("servicecidrs", "", "more").unwrap();
        let ready = conditions::find(&waits, "Ready").unwrap();
        assert_eq!((text(ready, &["status"]), text(ready, &["reason"])), ("False", "Terminating"));
        world.remove("ipaddresses", "", "10.9.0.7");
        world.settle(&[LOOP]);
        assert!(world.get("servicecidrs", "", "more").is_none());
        // Another range that has the addresses too lets one go.
        world.user_deletes("servicecidrs", "", "kubernetes", "Background");
        world.pass(10, &[LOOP]);
        assert_eq!(world.all("servicecidrs").len(), 1);
        world.put("servicecidrs", range("wider", "10.0.0.0/8"));
        world.settle(&[LOOP]);
        assert!(world.get("servicecidrs", "", "kubernetes").is_none());
    }

    #[test]
    fn addresses_belong_to_their_range() {
        let address = |text: &str| text.parse().unwrap();
        for (cidr, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("0.0.0.0/0", "255.1.1.1", "::1"),
            ("fd00::/112", "fd00::ffff", "fd00::1:0"),
            ("::/0", "fd00::1", "10.0.0.1"),
        ] {
            assert_eq!(is_in(cidr, address(inside)), Some(true), "{cidr}");
            assert_eq!(is_in(cidr, address(outside)), Some(false), "{cidr}");
        }
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129"] {
            let address = address(if wrong.starts_with('f') { "fd00::1" } else { "10.0.0.1" });
            assert_eq!(is_in(wrong, address), None, "{wrong}");
        }
    }
}
