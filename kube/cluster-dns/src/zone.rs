//! The cluster as names. Objects come one by one; lookups only read.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use controllers::object;
use names::{Data, Found, InvalidName, Name, QueryType, Record, Soa, Zones};
use serde_json::Value;

/// The names of a cluster.
#[derive(Debug)]
pub struct Zone {
    domain: Name,
    spaces: HashMap<Arc<str>, HashMap<Arc<str>, Service>>,
    /// Who has an address.
    reverse: HashMap<IpAddr, Vec<Owner>>,
    /// Namespaces of pods with an address of their own.
    pods: HashMap<IpAddr, Arc<str>>,
    /// Counts up with every change of a service.
    serial: u32,
}

#[derive(Debug, Default)]
struct Service {
    /// None until the Service itself was seen.
    kind: Option<ServiceKind>,
    ports: Vec<Port>,
    slices: Vec<(Box<str>, Vec<Endpoint>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum ServiceKind {
    Addresses(Vec<IpAddr>),
    Headless,
    External(Box<Name>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    name: Box<str>,
    /// In small letters.
    protocol: Box<str>,
    port: u16,
}

#[derive(Debug)]
struct Endpoint {
    address: IpAddr,
    /// Its name, or its address with dashes.
    host: Box<str>,
    ports: Arc<[Port]>,
}

/// A service, or one of a headless service's hosts, that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    namespace: Arc<str>,
    service: Arc<str>,
    host: Option<Box<str>>,
}

impl Zone {
    /// A cluster without names.
    pub fn new(domain: &str) -> Result<Self, InvalidName> {
        Ok(Self {
            domain: Name::parse(domain)?.lowercase(),
            spaces: HashMap::new(),
            reverse: HashMap::new(),
            pods: HashMap::new(),
            serial: 1,
        })
    }

    /// The cluster's domain.
    pub fn domain(&self) -> &Name {
        &self.domain
    }

    /// The namespace of the pod that has an address of its own.
    pub fn namespace_of(&self, address: IpAddr) -> Option<&str> {
        self.pods.get(&address).map(|namespace| &**namespace)
    }

    /// A `Service` is there, or has changed.
    pub fn set_service(&mut self, object: &Value) {
        let (namespace, name) = (object::namespace(object), object::name(object));
        self.remove_service(namespace, name);
        let (namespace, name): (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        let kind = service_kind(object);
        if let Some(ServiceKind::Addresses(addresses)) = &kind {
            for address in addresses {
                let owner =
                    Owner { namespace: Arc::clone(&namespace), service: Arc::clone(&name), host: None };
                self.reverse.entry(*address).or_default().push(owner);
            }
        }
        let service = self.spaces.entry(namespace).or_default().entry(name).or_default();
        service.kind = kind;
        service.ports = ports(object::items(object, &["spec", "ports"]));
    }

    /// A `Service` is gone.
    pub fn remove_service(&mut self, namespace: &str, name: &str) {
        self.serial = self.serial.wrapping_add(1).max(1);
        let Some(service) = self.spaces.get_mut(namespace).and_then(|space| space.get_mut(name)) else {
            return;
        };
        let kind = service.kind.take();
        service.ports.clear();
        if let Some(ServiceKind::Addresses(addresses)) = kind {
            for address in addresses {
                self.disown(address, |owner| {
                    &*owner.namespace == namespace && &*owner.service == name && owner.host.is_none()
                });
            }
        }
        self.tidy(namespace, name);
    }

    /// An `EndpointSlice` is there, or has changed.
    pub fn set_slice(&mut self, object: &Value) {
        let (namespace, slice) = (object::namespace(object), object::name(object));
        let Some(service) = object::label(object, SERVICE_NAME) else { return };
        self.remove_slice(namespace, slice, service);
        let ports: Arc<[Port]> = ports(object::items(object, &["ports"])).into();
        let endpoints = object::items(object, &["endpoints"]).iter();
        let endpoints: Vec<Endpoint> = endpoints.filter_map(|it| Endpoint::read(it, &ports)).collect();
        let (namespace, service): (Arc<str>, Arc<str>) = (namespace.into(), service.into());
        for endpoint in &endpoints {
            let owner = Owner {
                namespace: Arc::clone(&namespace),
                service: Arc::clone(&service),
                host: Some(endpoint.host.clone()),
            };
            self.reverse.entry(endpoint.address).or_default().push(owner);
        }
        let service = self.spaces.entry(namespace).or_default().entry(service).or_default();
        service.slices.push((slice.into(), endpoints));
    }

    /// An `EndpointSlice` of a service is gone.
    pub fn remove_slice(&mut self, namespace: &str, slice: &str, service: &str) {
        self.serial = self.serial.wrapping_add(1).max(1);
        let found = self.spaces.get_mut(namespace).and_then(|space| space.get_mut(service));
        let Some(known) = found else { return };
        let Some(at) = known.slices.iter().position(|(name, _)| **name == *slice) else { return };
        let (_, endpoints) = known.slices.swap_remove(at);
        for endpoint in endpoints {
            self.disown(endpoint.address, |owner| {
                &*owner.namespace == namespace
                    && &*owner.service == service
                    && owner.host.as_deref() == Some(&endpoint.host)
            });
        }
        self.tidy(namespace, service);
    }

    /// A pod has these addresses; those of its node are not its own.
    pub fn set_pod(&mut self, namespace: &str, addresses: &[IpAddr]) {
        for address in addresses {
            self.pods.insert(*address, namespace.into());
        }
    }

    /// A pod of a namespace has an address no more.
    pub fn remove_pod(&mut self, namespace: &str, addresses: &[IpAddr]) {
        for address in addresses {
            // Another one may have got it already.
            if self.pods.get(address).is_some_and(|known| **known == *namespace) {
                self.pods.remove(address);
            }
        }
    }

    fn disown(&mut self, address: IpAddr, is: impl Fn(&Owner) -> bool) {
        let Some(owners) = self.reverse.get_mut(&address) else { return };
        if let Some(at) = owners.iter().position(is) {
            owners.swap_remove(at);
        }
        if owners.is_empty() {
            self.reverse.remove(&address);
        }
    }

    fn tidy(&mut self, namespace: &str, name: &str) {
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        if space.get(name).is_some_and(|service| service.kind.is_none() && service.slices.is_empty()) {
            space.remove(name);
        }
        if space.is_empty() {
            self.spaces.remove(namespace);
        }
    }

    fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.spaces.get(namespace)?.get(name).filter(|service| service.kind.is_some())
    }

    fn nothing(&self, is_there: bool) -> Found {
        let server = Name::join([&b"ns"[..], b"dns"], &self.domain).unwrap_or(self.domain);
        let mailbox = Name::join([&b"hostmaster"[..]], &self.domain).unwrap_or(self.domain);
        let soa = Box::new(Soa { server, mailbox, serial: self.serial, minimum: TTL });
        if is_there { Found::NoRecord(soa, self.domain) } else { Found::NoName(soa, self.domain) }
    }

    /// Records if there are any; else the name is there without them.
    fn some(&self, answer: Vec<Record>, more: Vec<Record>) -> Found {
        if answer.is_empty() { self.nothing(true) } else { Found::Records { answer, more } }
    }

    fn head(&self, kind: QueryType) -> Found {
        let Found::NoRecord(soa, _) = self.nothing(true) else { return Found::NotOurs };
        let data = match kind {
            QueryType::SOA | QueryType::ANY => Data::Soa(soa),
            QueryType::NS => Data::Ns(soa.server),
            _ => return self.nothing(true),
        };
        Found::records(vec![Record { name: self.domain, ttl: TTL, data }])
    }

    fn version(&self, name: &Name, kind: QueryType) -> Found {
        match kind {
            QueryType::TXT | QueryType::ANY => {
                let data = Data::Txt(SPECIFICATION.to_vec());
                Found::records(vec![Record { name: *name, ttl: TTL, data }])
            }
            _ => self.nothing(true),
        }
    }

    fn of_service(&self, name: &Name, kind: QueryType, namespace: &str, service: &str, depth: u8) -> Found {
        let Some(found) = self.service(namespace, service) else { return self.nothing(false) };
        match found.kind.as_ref() {
            Some(ServiceKind::External(target)) => self.alias(name, kind, target, depth),
            Some(ServiceKind::Addresses(addresses)) => {
                if kind == QueryType::SRV {
                    return self.services_of(name, found, (namespace, service), |_| true);
                }
                self.some(
                    addresses.iter().filter_map(|it| address_record(name, kind, *it)).collect(),
                    Vec::new(),
                )
            }
            Some(ServiceKind::Headless) => {
                let mut all: Vec<IpAddr> = found.endpoints().map(|endpoint| endpoint.address).collect();
                if all.is_empty() {
                    return self.nothing(false);
                }
                if kind == QueryType::SRV {
                    return self.services_of(name, found, (namespace, service), |_| true);
                }
                all.sort_unstable();
                all.dedup();
                self.some(
                    all.into_iter().filter_map(|it| address_record(name, kind, it)).collect(),
                    Vec::new(),
                )
            }
            None => self.nothing(false),
        }
    }

    fn alias(&self, name: &Name, kind: QueryType, target: &Name, depth: u8) -> Found {
        let alias = Record { name: *name, ttl: TTL, data: Data::Cname(*target) };
        if kind == QueryType::CNAME || depth == 0 {
            return Found::records(vec![alias]);
        }
        match self.find_within(&target.lowercase(), kind, depth - 1) {
            Found::NotOurs => Found::Elsewhere { answer: vec![alias], target: *target },
            Found::Elsewhere { mut answer, target } => {
                answer.insert(0, alias);
                Found::Elsewhere { answer, target }
            }
            Found::Records { mut answer, more } => {
                answer.insert(0, alias);
                Found::Records { answer, more }
            }
            Found::NoRecord(..) | Found::NoName(..) => Found::records(vec![alias]),
        }
    }

    /// SRV records of the ports that are wanted, and the addresses of their hosts.
    fn services_of(
        &self,
        name: &Name,
        service: &Service,
        (namespace, service_name): (&str, &str),
        wanted: impl Fn(&Port) -> bool,
    ) -> Found {
        let labels = [service_name.as_bytes(), namespace.as_bytes(), b"svc"];
        let Ok(own) = Name::join(labels, &self.domain) else { return self.nothing(false) };
        let mut hosts: Vec<(Name, IpAddr, u16)> = Vec::new();
        match &service.kind {
            Some(ServiceKind::Addresses(addresses)) => {
                for port in service.ports.iter().filter(|port| wanted(port)) {
                    hosts.extend(addresses.iter().map(|address| (own, *address, port.port)));
                }
            }
            _ => {
                for endpoint in service.endpoints() {
                    let Ok(host) = Name::join([endpoint.host.as_bytes()], &own) else { continue };
                    let ports = endpoint.ports.iter().filter(|port| wanted(port));
                    hosts.extend(ports.map(|port| (host, endpoint.address, port.port)));
                }
            }
        }
        if hosts.is_empty() {
            return self.nothing(false);
        }
        let (mut answer, mut more): (Vec<Record>, Vec<Record>) = (Vec::new(), Vec::new());
        let mut targets: Vec<(Name, u16)> = Vec::new();
        for (host, address, port) in hosts {
            if !targets.contains(&(host, port)) {
                targets.push((host, port));
            }
            let record = |kind| address_record(&host, kind, address);
            let found = record(QueryType::A).or_else(|| record(QueryType::AAAA));
            more.extend(found.filter(|found| !more.contains(found)));
        }
        let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(0).max(1);
        answer.extend(targets.into_iter().map(|(target, port)| Record {
            name: *name,
            ttl: TTL,
            data: Data::Srv { priority: 0, weight, port, target },
        }));
        Found::Records { answer, more }
    }

    /// `_port._protocol.service`.
    fn of_port(&self, name: &Name, kind: QueryType, namespace: &str, labels: [&str; 3]) -> Found {
        let [port, protocol, service_name] = labels;
        let (Some(port), Some(protocol)) = (port.strip_prefix('_'), protocol.strip_prefix('_')) else {
            return self.nothing(false);
        };
        let Some(service) = self.service(namespace, service_name) else { return self.nothing(false) };
        let wanted = |known: &Port| {
            known.name.eq_ignore_ascii_case(port) && known.protocol.eq_ignore_ascii_case(protocol)
        };
        match self.services_of(name, service, (namespace, service_name), wanted) {
            Found::Records { .. } if !matches!(kind, QueryType::SRV | QueryType::ANY) => self.nothing(true),
            found => found,
        }
    }

    /// `host.service`.
    fn of_host(&self, name: &Name, kind: QueryType, namespace: &str, (host, service): (&str, &str)) -> Found {
        let Some(found) = self.service(namespace, service) else { return self.nothing(false) };
        if let Some(protocol) = host.strip_prefix('_') {
            let known = |port: &Port| port.protocol.eq_ignore_ascii_case(protocol) && !port.name.is_empty();
            return self.nothing(found.ports.iter().any(known));
        }
        if found.kind != Some(ServiceKind::Headless) {
            return self.nothing(false);
        }
        let same = found.endpoints().filter(|endpoint| endpoint.host.eq_ignore_ascii_case(host));
        let mut all: Vec<IpAddr> = same.map(|endpoint| endpoint.address).collect();
        if all.is_empty() {
            return self.nothing(false);
        }
        all.sort_unstable();
        all.dedup();
        self.some(all.into_iter().filter_map(|it| address_record(name, kind, it)).collect(), Vec::new())
    }

    /// `1-2-3-4.namespace.pod`: only what a pod of the namespace has.
    fn of_pod(&self, name: &Name, kind: QueryType, namespace: &str, dashed: &str) -> Found {
        let address = dashed.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
        let address = address.or_else(|_| dashed.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6)).ok();
        match address.filter(|address| self.namespace_of(*address) == Some(namespace)) {
            Some(address) => self.some(address_record(name, kind, address).into_iter().collect(), Vec::new()),
            None => self.nothing(false),
        }
    }

    fn of_address(&self, name: &Name, kind: QueryType, address: IpAddr) -> Found {
        let owners = self.reverse.get(&address).into_iter().flatten();
        let target = |owner: &Owner| {
            let service = self.service(&owner.namespace, &owner.service)?;
            let headless = service.kind == Some(ServiceKind::Headless);
            let labels = [owner.service.as_bytes(), owner.namespace.as_bytes(), b"svc"];
            match &owner.host {
                Some(host) if headless => {
                    Name::join(std::iter::once(host.as_bytes()).chain(labels), &self.domain).ok()
                }
                // A pod behind an address of a service is not that service.
                Some(_) => None,
                None => Name::join(labels, &self.domain).ok(),
            }
        };
        let targets: Vec<Name> = owners.filter_map(target).collect();
        if targets.is_empty() {
            return Found::NotOurs;
        }
        if !matches!(kind, QueryType::PTR | QueryType::ANY) {
            return self.nothing(true);
        }
        let record = |target| Record { name: *name, ttl: TTL, data: Data::Ptr(target) };
        Found::records(targets.into_iter().map(record).collect())
    }

    fn find_within(&self, name: &Name, kind: QueryType, depth: u8) -> Found {
        let Some(within) = name.strip(&self.domain) else {
            return match arpa(name) {
                Some(address) => self.of_address(name, kind, address),
                None => Found::NotOurs,
            };
        };
        let mut labels = [""; LABELS_MAX];
        let mut count = 0;
        for label in within.labels() {
            let (Some(place), Ok(text)) = (labels.get_mut(count), std::str::from_utf8(label)) else {
                return self.nothing(false);
            };
            *place = text;
            count += 1;
        }
        match labels.get(..count).unwrap_or_default() {
            [] => self.head(kind),
            ["dns-version"] => self.version(name, kind),
            ["svc" | "pod" | "dns"] => self.nothing(true),
            ["ns", "dns"] => self.nothing(true),
            [namespace, "svc" | "pod"] => self.nothing(self.spaces.contains_key(*namespace)),
            [service, namespace, "svc"] => self.of_service(name, kind, namespace, service, depth),
            [host, service, namespace, "svc"] => self.of_host(name, kind, namespace, (host, service)),
            [port, protocol, service, namespace, "svc"] => {
                self.of_port(name, kind, namespace, [port, protocol, service])
            }
            [address, namespace, "pod"] => self.of_pod(name, kind, namespace, address),
            _ => self.nothing(false),
        }
    }
}

impl Zones for Zone {
    fn find(&self, name: &Name, kind: QueryType) -> Found {
        self.find_within(name, kind, ALIASES_MAX)
    }
}

impl Service {
    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.slices.iter().flat_map(|(_, endpoints)| endpoints)
    }
}

impl Endpoint {
    /// One that is ready; as upstream, what does not say so is.
    fn read(value: &Value, ports: &Arc<[Port]>) -> Option<Self> {
        let ready = object::at(value, &["conditions", "ready"]).and_then(Value::as_bool).unwrap_or(true);
        let address: IpAddr = object::texts(value, &["addresses"]).first()?.parse().ok()?;
        let host = match object::text(value, &["hostname"]) {
            "" => address.to_string().replace(['.', ':'], "-"),
            name => name.to_ascii_lowercase(),
        };
        ready.then(|| Self { address, host: host.into(), ports: Arc::clone(ports) })
    }
}

fn service_kind(service: &Value) -> Option<ServiceKind> {
    if object::text(service, &["spec", "type"]) == "ExternalName" {
        return Name::parse(object::text(service, &["spec", "externalName"]))
            .ok()
            .map(|name| ServiceKind::External(Box::new(name)));
    }
    let own = object::text(service, &["spec", "clusterIP"]);
    if own == "None" {
        return Some(ServiceKind::Headless);
    }
    let all = object::texts(service, &["spec", "clusterIPs"]);
    let all = if all.is_empty() { vec![own] } else { all };
    Some(ServiceKind::Addresses(all.into_iter().filter_map(|text| text.parse().ok()).collect()))
}

fn ports(list: &[Value]) -> Vec<Port> {
    let read = |port: &Value| {
        let number = object::number(port, &["port"]).and_then(|number| u16::try_from(number).ok())?;
        let protocol = match object::text(port, &["protocol"]) {
            "" => "tcp".to_owned(),
            protocol => protocol.to_ascii_lowercase(),
        };
        let name = object::text(port, &["name"]).into();
        Some(Port { name, protocol: protocol.into(), port: number })
    };
    list.iter().filter_map(read).collect()
}

fn address_record(name: &Name, kind: QueryType, address: IpAddr) -> Option<Record> {
    let data = match address {
        IpAddr::V4(address) if matches!(kind, QueryType::A | QueryType::ANY) => Data::A(address),
        IpAddr::V6(address) if matches!(kind, QueryType::AAAA | QueryType::ANY) => Data::Aaaa(address),
        _ => return None,
    };
    Some(Record { name: *name, ttl: TTL, data })
}

/// The address that a reverse name is of.
fn arpa(name: &Name) -> Option<IpAddr> {
    let labels: Vec<&str> = name.labels().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    match labels.as_slice() {
        [own @ .., "in-addr", "arpa"] if own.len() == 4 => {
            let mut octets = [0; 4];
            for (place, label) in octets.iter_mut().rev().zip(own) {
                *place = label.parse().ok()?;
            }
            Some(IpAddr::from(octets))
        }
        [own @ .., "ip6", "arpa"] if own.len() == 32 => {
            let mut number = 0u128;
            for label in own.iter().rev() {
                let digit = (label.len() == 1).then(|| u8::from_str_radix(label, 16).ok()).flatten()?;
                number = number << 4 | u128::from(digit);
            }
            Some(IpAddr::from(number.to_be_bytes()))
        }
        _ => None,
    }
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The version of the specification that the names follow.
const SPECIFICATION: &[u8] = b"1.1.0";
/// Seconds: endpoints come and go.
const TTL: u32 = 5;
/// More labels than any of the cluster's names has.
const LABELS_MAX: usize = 6;
/// Services that are aliases of services may go round in circles.
const ALIASES_MAX: u8 = 8;

#[cfg(test)]
mod tests;
