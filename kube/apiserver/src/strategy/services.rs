//! Addresses and ports of services: who has which is decided by the store, in the transaction that
//! writes the service.
//!
//! An address is taken by an `IPAddress` object of its name, as upstream does; a node port by a key
//! beside the objects.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use bytes::Bytes;
use client::Mirror;
use kube_object::field_error::FieldError;
use kube_object::resource::{GroupKind, GroupResource, GroupVersionKind};
use kube_object::status::Status;
use serde_json::{Value, json};
use store::{KeyRange, RangeRequest, Want};

use crate::registry::{Core, meta, random};
use crate::storage::{Write, encode, key, refusal};

/// What services get their addresses and ports from.
#[derive(Clone, Debug)]
pub struct Network {
    /// The ranges of the cluster's addresses, the first one's family is preferred.
    pub cidrs: Vec<Cidr>,
    /// The ports that services may have on nodes.
    pub node_ports: RangeInclusive<u16>,
}

impl Default for Network {
    fn default() -> Self {
        let cidr = Cidr { first: IpAddr::V4(Ipv4Addr::new(10, 43, 0, 0)), prefix: 16 };
        Self { cidrs: vec![cidr], node_ports: 30000..=32767 }
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The first address.
    pub first: IpAddr,
    /// How many leading bits are fixed.
    pub prefix: u8,
}

impl Cidr {
    /// Reads `10.96.0.0/16`; bits behind the prefix are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return None;
        }
        let host = u32::from(bits - prefix);
        let masked = if host >= 128 { 0 } else { number(address) >> host << host };
        Some(Self { first: address_of(masked, address.is_ipv4()), prefix })
    }

    /// How many addresses services may have: not the first, and of IPv4 not the last.
    fn usable(&self) -> u64 {
        let bits = if self.first.is_ipv4() { 32 } else { 128 };
        let host = u32::from(bits - self.prefix).min(USABLE_BITS_MAX);
        (1u64 << host).saturating_sub(if self.first.is_ipv4() { 2 } else { 1 })
    }

    /// The address at a place, from 1.
    pub fn at(&self, place: u64) -> IpAddr {
        address_of(number(self.first) + u128::from(place), self.first.is_ipv4())
    }

    /// Whether an address is one of its own.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits: u8 = if self.first.is_ipv4() { 32 } else { 128 };
        let host = u32::from(bits - self.prefix);
        address.is_ipv4() == self.first.is_ipv4()
            && (host >= 128 || number(address) >> host == number(self.first) >> host)
    }

    fn family(&self) -> &'static str {
        family(self.first)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address_of(number: u128, is_v4: bool) -> IpAddr {
    if is_v4 { IpAddr::V4(Ipv4Addr::from(number as u32)) } else { IpAddr::V6(Ipv6Addr::from(number)) }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// What allocation works with: the ranges as they are now, and what this request takes.
struct Allocation<'a> {
    core: &'a Core,
    cidrs: Vec<Cidr>,
    errors: Vec<FieldError>,
    writes: Vec<Write>,
}

pub(super) async fn before_create(
    core: &Core,
    service: &mut Value,
    dry_run: bool,
) -> Result<Vec<Write>, Status> {
    let mut allocation = Allocation::new(core);
    allocation.addresses(service, &[]);
    allocation.ports(service, &BTreeSet::new()).await?;
    allocation.done(service, dry_run)
}

pub(super) async fn before_update(
    core: &Core,
    new: &mut Value,
    old: &Value,
    dry_run: bool,
) -> Result<Vec<Write>, Status> {
    let mut allocation = Allocation::new(core);
    let had = addresses_of(old);
    let ports = node_ports_of(old);
    allocation.addresses(new, &had);
    allocation.ports(new, &ports).await?;
    let has = addresses_of(new);
    for address in had.iter().filter(|address| !has.contains(address)) {
        allocation.give_back(*address);
    }
    let keeps = node_ports_of(new);
    for port in ports.iter().filter(|port| !keeps.contains(port)) {
        allocation.writes.push(Write::clear(port_key(*port)));
    }
    allocation.done(new, dry_run)
}

pub(super) fn before_delete(core: &Core, service: &Value) -> Vec<Write> {
    let mut allocation = Allocation::new(core);
    addresses_of(service).into_iter().for_each(|address| allocation.give_back(address));
    for port in node_ports_of(service) {
        allocation.writes.push(Write::clear(port_key(port)));
    }
    allocation.writes
}

impl<'a> Allocation<'a> {
    fn new(core: &'a Core) -> Self {
        Self { core, cidrs: cidrs(core), errors: Vec::new(), writes: Vec::new() }
    }

    /// The cluster addresses; `had` are those that the service has already.
    fn addresses(&mut self, service: &mut Value, had: &[IpAddr]) {
        let kind = text(service, "type").to_owned();
        if kind == "ExternalName" {
            return;
        }
        self.families(service);
        let given: Vec<String> = list(service, "clusterIPs");
        if given.first().is_some_and(|first| first == "None") {
            return;
        }
        let families = list(service, "ipFamilies");
        let mut addresses = Vec::new();
        for (at, family) in families.iter().enumerate() {
            let asked = given.get(at).filter(|text| !text.is_empty());
            let address = match asked {
                Some(text) => self.take(service, text, family, had),
                None => self.choose(service, family),
            };
            addresses.extend(address);
        }
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        set(service, "clusterIP", texts.first().map_or(Value::Null, |first| json!(first)));
        set(service, "clusterIPs", json!(texts));
    }

    /// Which families the service has, in which order.
    fn families(&mut self, service: &mut Value) {
        let known: Vec<&'static str> = families_of(&self.cidrs);
        let mut families = list(service, "ipFamilies");
        let given = list(service, "clusterIPs");
        for (at, family) in families.iter().enumerate() {
            if !known.contains(&family.as_str()) {
                let field = format!("spec.ipFamilies[{at}]");
                self.errors.push(FieldError::invalid(
                    field,
                    family.as_str(),
                    "not configured on this cluster",
                ));
            }
        }
        if families.is_empty() {
            families = given
                .iter()
                .filter_map(|text| text.parse().ok())
                .map(|ip: IpAddr| family(ip).to_owned())
                .collect();
        }
        let headless = given.first().is_some_and(|first| first == "None");
        let selects = service
            .get("spec")
            .and_then(|spec| spec.get("selector"))
            .and_then(Value::as_object)
            .is_some_and(|selector| !selector.is_empty());
        let policy = match text(service, "ipFamilyPolicy") {
            "" if headless && !selects => "RequireDualStack",
            "" if families.len() > 1 => "RequireDualStack",
            "" => "SingleStack",
            policy => policy,
        }
        .to_owned();
        if policy == "RequireDualStack" && known.len() < 2 && (selects || !headless) {
            let detail = "this cluster is not configured for dual-stack services";
            self.errors.push(FieldError::invalid("spec.ipFamilyPolicy", policy.as_str(), detail));
        }
        if families.is_empty() {
            families.extend(known.first().map(|family| (*family).to_owned()));
        }
        let both = policy == "RequireDualStack" || (policy == "PreferDualStack" && known.len() > 1);
        if both && families.len() == 1 {
            let other = if families.first().is_some_and(|first| first == "IPv4") { "IPv6" } else { "IPv4" };
            families.push(other.to_owned());
        }
        let single = headless && !selects && text(service, "ipFamilyPolicy").is_empty() && known.len() < 2;
        if single {
            families.truncate(1);
        }
        let policy = if single { "SingleStack" } else { policy.as_str() };
        set(service, "ipFamilies", json!(families));
        set(service, "ipFamilyPolicy", json!(policy));
    }

    /// Takes an address that the client asked for.
    fn take(&mut self, service: &Value, text: &str, family_wanted: &str, had: &[IpAddr]) -> Option<IpAddr> {
        let given = list(service, "clusterIPs");
        let refusal = |why: String| {
            let detail = format!("failed to allocate IP {text}: {why}");
            FieldError::invalid("spec.clusterIPs", json!(given), detail)
        };
        // The rules of the kind say what is wrong with its form.
        let address: IpAddr = text.parse().ok().filter(|address| family(*address) == family_wanted)?;
        if had.contains(&address) {
            return Some(address);
        }
        if !self.cidrs.iter().any(|cidr| cidr.contains(address)) {
            let ranges: Vec<String> = self.cidrs.iter().map(ToString::to_string).collect();
            self.errors.push(refusal(format!(
                "the provided IP ({text}) is not in the valid range. The range of valid IPs is {}",
                ranges.join(",")
            )));
            return None;
        }
        if self.is_taken(address) {
            self.errors.push(refusal("provided IP is already allocated".to_owned()));
            return None;
        }
        self.writes.push(self.claim(service, address));
        Some(address)
    }

    /// Chooses an address that nobody has. The lower part of a range is left for those that ask.
    fn choose(&mut self, service: &Value, wanted: &str) -> Option<IpAddr> {
        let ranges: Vec<Cidr> = self.cidrs.iter().copied().filter(|cidr| cidr.family() == wanted).collect();
        for cidr in &ranges {
            let usable = cidr.usable();
            let reserved = if usable < 16 { 0 } else { (usable / 16).clamp(16, 256).min(usable) };
            let upper = (reserved + 1, usable);
            for (from, to) in [upper, (1, reserved)] {
                if let Some(address) = self.free_between(cidr, from, to) {
                    self.writes.push(self.claim(service, address));
                    return Some(address);
                }
            }
        }
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        let why = format!("failed to allocate a serviceIP: range is full ({})", ranges.join(","));
        self.errors.push(FieldError {
            reason: kube_object::field_error::FieldErrorReason::Internal,
            ..FieldError::forbidden("spec.clusterIPs", why)
        });
        None
    }

    fn free_between(&self, cidr: &Cidr, from: u64, to: u64) -> Option<IpAddr> {
        let count = (to + 1).checked_sub(from).filter(|count| *count > 0)?;
        let start = random::below(count);
        let places = (0..count).map(|step| from + (start + step) % count);
        places.map(|place| cidr.at(place)).find(|address| !self.is_taken(*address))
    }

    fn is_taken(&self, address: IpAddr) -> bool {
        let name = address.to_string();
        let own = key(&addresses_resource(), "", &name);
        self.writes.iter().any(|write| write.key == own)
            || self.core.cache.item(&addresses_resource(), "", &name).is_some()
    }

    fn claim(&self, service: &Value, address: IpAddr) -> Write {
        let object = ip_address(&self.core.now(), service, address);
        let gvk = GroupVersionKind::new("networking.k8s.io", "v1", "IPAddress");
        let value = encode(&object, &gvk, None);
        Write::put(key(&addresses_resource(), "", &address.to_string()), 0, value.into())
    }

    fn give_back(&mut self, address: IpAddr) {
        let name = address.to_string();
        if let Some(item) = self.core.cache.item(&addresses_resource(), "", &name) {
            self.writes.push(Write::delete(key(&addresses_resource(), "", &name), item.revision()));
        }
    }

    /// The ports on nodes; `had` are those that the service has already.
    async fn ports(&mut self, service: &mut Value, had: &BTreeSet<u16>) -> Result<(), Status> {
        if !needs_node_ports(service) {
            return Ok(());
        }
        let taken = taken_ports(self.core).await?;
        let mut own: BTreeSet<u16> = BTreeSet::new();
        let ports =
            service.get_mut("spec").and_then(|spec| spec.get_mut("ports")).and_then(Value::as_array_mut);
        for (at, port) in ports.into_iter().flatten().enumerate() {
            let asked = port.get("nodePort").and_then(Value::as_i64).filter(|number| *number != 0);
            let number = match asked {
                Some(number) => match self.check_port(at, number, had, &own, &taken) {
                    Some(number) => number,
                    None => continue,
                },
                None => match free_port(&self.core.network.node_ports, &own, &taken) {
                    Some(number) => number,
                    None => return Err(Status::internal("failed to allocate a nodePort: range is full")),
                },
            };
            if !had.contains(&number) && own.insert(number) {
                self.writes.push(Write::put(port_key(number), 0, Bytes::from_static(b"{}")));
            }
            if let Some(port) = port.as_object_mut() {
                port.insert("nodePort".to_owned(), json!(number));
            }
        }
        Ok(())
    }

    fn check_port(
        &mut self,
        at: usize,
        number: i64,
        had: &BTreeSet<u16>,
        own: &BTreeSet<u16>,
        taken: &BTreeSet<u16>,
    ) -> Option<u16> {
        let field = format!("spec.ports[{at}].nodePort");
        let range = &self.core.network.node_ports;
        let known = u16::try_from(number).ok().filter(|number| range.contains(number));
        let Some(port) = known else {
            let detail = format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                range.start(),
                range.end()
            );
            self.errors.push(FieldError::invalid(field, number, detail));
            return None;
        };
        if !had.contains(&port) && !own.contains(&port) && taken.contains(&port) {
            self.errors.push(FieldError::invalid(field, number, "provided port is already allocated"));
            return None;
        }
        Some(port)
    }

    fn done(self, service: &Value, dry_run: bool) -> Result<Vec<Write>, Status> {
        if !self.errors.is_empty() {
            let name = meta::text(service, "name");
            return Err(Status::invalid(&GroupKind::new("", "Service"), name, &self.errors));
        }
        Ok(if dry_run { Vec::new() } else { self.writes })
    }
}

/// The ranges as the `ServiceCIDR`s say; without any, those that the server was started with.
fn cidrs(core: &Core) -> Vec<Cidr> {
    let objects = core.cache.items(&GroupResource::new("networking.k8s.io", "servicecidrs"), None);
    let ranges = objects.iter().filter(|item| !item.is_deleting()).flat_map(|item| {
        let value = item.value();
        let list = value.get("spec").and_then(|spec| spec.get("cidrs")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|text| Cidr::parse(text.as_str()?)).collect::<Vec<_>>()
    });
    let mut all = core.network.cidrs.clone();
    all.extend(ranges);
    let mut distinct: Vec<Cidr> = Vec::new();
    all.into_iter().for_each(|cidr| {
        if !distinct.contains(&cidr) {
            distinct.push(cidr);
        }
    });
    distinct
}

fn families_of(cidrs: &[Cidr]) -> Vec<&'static str> {
    let mut families = Vec::new();
    for cidr in cidrs {
        if !families.contains(&cidr.family()) {
            families.push(cidr.family());
        }
    }
    families
}

/// The object that says who has an address.
fn ip_address(now: &str, service: &Value, address: IpAddr) -> Value {
    json!({
        "metadata": {
            "name": address.to_string(), "uid": random::uid(), "creationTimestamp": now,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family(address),
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"
            }
        },
        "spec": {"parentRef": {
            "resource": "services",
            "namespace": meta::text(service, "namespace"), "name": meta::text(service, "name")
        }}
    })
}

fn addresses_resource() -> GroupResource {
    GroupResource::new("networking.k8s.io", "ipaddresses")
}

fn addresses_of(service: &Value) -> Vec<IpAddr> {
    list(service, "clusterIPs").iter().filter_map(|text| text.parse().ok()).collect()
}

fn needs_node_ports(service: &Value) -> bool {
    match text(service, "type") {
        "NodePort" => true,
        "LoadBalancer" => {
            service.get("spec").and_then(|spec| spec.get("allocateLoadBalancerNodePorts"))
                != Some(&json!(false))
        }
        _ => false,
    }
}

fn node_ports_of(service: &Value) -> BTreeSet<u16> {
    let ports = service.get("spec").and_then(|spec| spec.get("ports")).and_then(Value::as_array);
    let numbers = ports.into_iter().flatten().filter_map(|port| port.get("nodePort")?.as_u64());
    numbers.filter_map(|number| u16::try_from(number).ok()).filter(|number| *number != 0).collect()
}

/// Keys beside the objects: no cache and no watch sees them.
const PORTS: &str = "/strake/node-ports/";

fn port_key(port: u16) -> Bytes {
    format!("{PORTS}{port}").into()
}

async fn taken_ports(core: &Core) -> Result<BTreeSet<u16>, Status> {
    let request = RangeRequest::new(KeyRange::prefix(PORTS)).want(Want::Keys);
    let found = core.storage.fetch(request).await.map_err(|error| refusal(&error))?;
    let port = |key: &Bytes| std::str::from_utf8(key).ok()?.strip_prefix(PORTS)?.parse().ok();
    Ok(found.kvs.iter().filter_map(|kv| port(&kv.key)).collect())
}

fn free_port(range: &RangeInclusive<u16>, own: &BTreeSet<u16>, taken: &BTreeSet<u16>) -> Option<u16> {
    let (first, count) = (*range.start(), u64::from(range.end().saturating_sub(*range.start())) + 1);
    let start = random::below(count);
    let ports = (0..count).map(|step| first + ((start + step) % count) as u16);
    ports.into_iter().find(|port| !own.contains(port) && !taken.contains(port))
}

fn text<'a>(service: &'a Value, name: &str) -> &'a str {
    service.get("spec").and_then(|spec| spec.get(name)).and_then(Value::as_str).unwrap_or_default()
}

fn list(service: &Value, name: &str) -> Vec<String> {
    let list = service.get("spec").and_then(|spec| spec.get(name)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set(service: &mut Value, name: &str, value: Value) {
    if let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(name.to_owned(), value);
    }
}

/// Larger ranges are used only in part.
const USABLE_BITS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_know_their_addresses() {
        for (text, shown, usable, first, inside, outside) in [
            ("10.96.0.0/16", "10.96.0.0/16", 65534, "10.96.0.1", "10.96.255.1", "10.97.0.1"),
            ("10.0.0.77/29", "10.0.0.72/29", 6, "10.0.0.73", "10.0.0.78", "10.0.0.80"),
            ("fd00::/112", "fd00::/112", 65535, "fd00::1", "fd00::ffff", "fd00::1:0"),
            ("0.0.0.0/0", "0.0.0.0/0", (1 << 20) - 2, "0.0.0.1", "255.1.1.1", "fd00::1"),
        ] {
            let cidr = Cidr::parse(text).unwrap();
            assert_eq!((cidr.to_string().as_str(), cidr.usable()), (shown, usable));
            assert_eq!(cidr.at(1).to_string(), first);
            assert!(cidr.contains(inside.parse().unwrap()), "{inside}");
            assert!(!cidr.contains(outside.parse().unwrap()), "{outside}");
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
