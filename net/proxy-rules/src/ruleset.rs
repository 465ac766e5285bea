//! All services: what is held, and what differs after a change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::elements::{Key, Map, Value, elements};
use crate::facts::Facts;
use crate::plan::{At, Endpoint, Plan};
use crate::service::{Protocol, Service, ServiceName};
use crate::slice::Slice;

/// From what the kernel holds to what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// These go, behind what comes.
    pub remove: Vec<(Key, Value)>,
    /// These come. An element with a new value is in both, and changes in one step.
    pub add: Vec<(Key, Value)>,
    /// The maps among those that are made on demand.
    pub demanded: BTreeSet<Map>,
    /// The UDP part of the services that changed: tracked connections must not go on elsewhere.
    pub datagrams: Vec<Leads>,
    /// Those whose clients are remembered: they must not stay with endpoints that are gone.
    pub sticky: Vec<Leads>,
}

impl Changes {
    /// Whether the kernel already holds what is wanted.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    fn remember(&mut self, service: &Service, plan: &Plan) {
        self.datagrams.extend(leads(plan, |protocol| protocol == Protocol::Udp));
        if service.affinity.is_some() {
            self.sticky.extend(leads(plan, |_| true));
        }
    }

    fn put(&mut self, key: Key, value: Value) {
        self.demanded.extend(key.map.is_made_on_demand().then_some(key.map));
        self.add.push((key, value));
    }

    fn sort(&mut self) {
        // Maps are in order: what others lead to comes first and goes last.
        self.add.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.remove.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    }
}

/// Frontends, and all endpoints that they may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leads {
    /// Address (none for the node's), transport and port.
    pub frontends: Vec<(Option<Ipv4Addr>, Protocol, u16)>,
    /// All endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// What a load balancer that asks is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The service.
    pub service: ServiceName,
    /// The port that it asks on.
    pub port: u16,
    /// How many endpoints this node has.
    pub local_endpoints: usize,
}

/// What has changed in the cluster.
#[derive(Clone, Debug)]
pub enum Input {
    /// A service, or that it is none (any more) that is proxied.
    Service(ServiceName, Option<Service>),
    /// A slice of a namespace by name, or that it is gone.
    Slice(Arc<str>, Arc<str>, Option<Slice>),
}

/// All services and what they need.
#[derive(Clone, Debug)]
pub struct Ruleset {
    facts: Facts,
    services: BTreeMap<ServiceName, Service>,
    slices: BTreeMap<ServiceName, BTreeMap<Arc<str>, Slice>>,
    /// Whose a slice is, by namespace and name.
    owners: HashMap<(Arc<str>, Arc<str>), ServiceName>,
    elements: HashMap<Key, Claims>,
    health: BTreeMap<ServiceName, HealthCheck>,
    /// How often an address is in a slice as one that takes new connections.
    receiving: HashMap<Ipv4Addr, u32>,
}

/// Who wants an element. Two services may want the same address and port; the first by name has
/// it. They may also want the same element.
#[derive(Clone, Debug)]
enum Claims {
    One(ServiceName, Value),
    Many(BTreeMap<ServiceName, Value>),
}

impl Claims {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::One(_, value) => Some(value),
            Self::Many(all) => all.values().next(),
        }
    }
}

impl Ruleset {
    /// No services.
    pub fn new(facts: Facts) -> Self {
        Self {
            facts,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            owners: HashMap::new(),
            elements: HashMap::new(),
            health: BTreeMap::new(),
            receiving: HashMap::new(),
        }
    }

    /// What the rules depend on beside.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Takes in what has changed, and says what is to be changed.
    pub fn change(&mut self, inputs: impl IntoIterator<Item = Input>) -> Changes {
        let mut work = Work::default();
        for input in inputs {
            match input {
                Input::Service(name, service) => {
                    self.withdraw(&name, &mut work);
                    match service {
                        Some(service) => drop(self.services.insert(name, service)),
                        None => drop(self.services.remove(&name)),
                    }
                }
                Input::Slice(namespace, name, slice) => {
                    self.replace_slice((namespace, name), slice, &mut work);
                }
            }
        }
        self.finish(work)
    }

    /// Takes in other facts; the table must be written anew if the chains depend on them.
    pub fn set_facts(&mut self, facts: Facts) -> Changes {
        let mut work = Work::default();
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in &names {
            self.withdraw(name, &mut work);
        }
        self.facts = facts;
        self.finish(work)
    }

    /// All elements that are wanted.
    pub fn elements(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.elements.iter().filter_map(|(key, claims)| Some((key, claims.value()?)))
    }

    /// From `held` to what is wanted.
    pub fn difference(&self, mut held: HashMap<Key, Value>) -> Changes {
        let mut changes = Changes::default();
        for (key, value) in self.elements() {
            match held.remove(key) {
                Some(known) if known == *value => continue,
                Some(other) => changes.remove.push((key.clone(), other)),
                None => {}
            }
            changes.put(key.clone(), value.clone());
        }
        changes.remove.extend(held);
        changes.sort();
        changes
    }

    /// The services that load balancers ask about.
    pub fn health_checks(&self) -> impl Iterator<Item = &HealthCheck> {
        self.health.values()
    }

    /// Nothing to change, with all that connections and clients may go on with.
    pub fn memories(&self) -> Changes {
        let mut changes = Changes::default();
        for service in self.services.values() {
            let udp = service.ports.iter().any(|port| port.protocol == Protocol::Udp);
            if udp || service.affinity.is_some() {
                changes.remember(service, &self.plan(service));
            }
        }
        changes
    }

    /// The names of all services that are proxied.
    pub fn service_names(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.keys()
    }

    /// Namespace and name of all slices that are held.
    pub fn slice_names(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.owners.keys()
    }

    /// How many elements are wanted.
    pub fn element_count(&self) -> usize {
        self.elements.len()
    }

    /// How many services are proxied.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Whether a slice says that the address takes new connections. One that is being ended
    /// may still get some when there is no other; nobody needs to wait for that.
    pub fn receives(&self, address: Ipv4Addr) -> bool {
        self.receiving.contains_key(&address)
    }

    fn replace_slice(&mut self, id: (Arc<str>, Arc<str>), slice: Option<Slice>, work: &mut Work) {
        if let Some(owner) = self.owners.remove(&id) {
            self.withdraw(&owner, work);
            let slices = self.slices.get_mut(&owner);
            let old = slices.and_then(|slices| slices.remove(&id.1));
            if self.slices.get(&owner).is_some_and(BTreeMap::is_empty) {
                self.slices.remove(&owner);
            }
            self.count_receiving(old.as_ref(), false);
        }
        let Some(slice) = slice else { return };
        self.withdraw(&slice.service, work);
        self.count_receiving(Some(&slice), true);
        self.owners.insert(id, slice.service.clone());
        self.slices.entry(slice.service.clone()).or_default().insert(Arc::clone(&slice.name), slice);
    }

    fn count_receiving(&mut self, slice: Option<&Slice>, comes: bool) {
        let endpoints = slice.into_iter().flat_map(|slice| &slice.endpoints);
        for endpoint in endpoints.filter(|e| e.conditions.ready && !e.conditions.terminating) {
            let count = self.receiving.entry(endpoint.address).or_default();
            *count = if comes { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.receiving.remove(&endpoint.address);
            }
        }
    }

    fn plan(&self, service: &Service) -> Plan {
        let slices = self.slices.get(&service.name).into_iter().flat_map(BTreeMap::values);
        Plan::of(service, slices, &self.facts)
    }

    /// Takes out what a service wants, before it changes.
    fn withdraw(&mut self, name: &ServiceName, work: &mut Work) {
        if !work.dirty.insert(name.clone()) {
            return;
        }
        let Some(service) = self.services.get(name) else { return };
        let plan = self.plan(service);
        work.withdrawn.remember(service, &Plan { pools: BTreeMap::new(), ..plan.clone() });
        for (key, value) in elements(service, &plan) {
            work.touch(&key, self.elements.get(&key));
            match self.elements.remove(&key) {
                Some(Claims::Many(mut all)) => {
                    all.remove(name);
                    if !all.is_empty() {
                        self.elements.insert(key, Claims::Many(all));
                    }
                }
                Some(Claims::One(owner, other)) if owner != *name => {
                    self.elements.insert(key, Claims::One(owner, other));
                }
                Some(Claims::One(..)) | None => drop(value),
            }
        }
    }

    /// Puts in what the services that changed want now.
    fn finish(&mut self, mut work: Work) -> Changes {
        // What led somewhere before leads nowhere, unless it is said again below.
        let mut changes = std::mem::take(&mut work.withdrawn);
        for name in std::mem::take(&mut work.dirty) {
            let Some(service) = self.services.get(&name) else {
                self.health.remove(&name);
                continue;
            };
            let plan = self.plan(service);
            changes.remember(service, &plan);
            match service.health_port {
                Some(port) => {
                    let local_endpoints = plan.local_endpoints;
                    self.health
                        .insert(name.clone(), HealthCheck { service: name.clone(), port, local_endpoints });
                }
                None => drop(self.health.remove(&name)),
            }
            for (key, value) in elements(service, &plan) {
                work.touch(&key, self.elements.get(&key));
                let claims = match self.elements.remove(&key) {
                    None => Claims::One(name.clone(), value),
                    Some(Claims::One(owner, other)) if owner == name => {
                        drop(other);
                        Claims::One(owner, value)
                    }
                    Some(Claims::One(owner, other)) => {
                        Claims::Many([(owner, other), (name.clone(), value)].into())
                    }
                    Some(Claims::Many(mut all)) => {
                        all.insert(name.clone(), value);
                        Claims::Many(all)
                    }
                };
                self.elements.insert(key, claims);
            }
        }
        for (key, before) in work.before {
            let now = self.elements.get(&key).and_then(Claims::value);
            if before.as_ref() == now {
                continue;
            }
            if let Some(value) = now {
                changes.put(key.clone(), value.clone());
            }
            changes.remove.extend(before.map(|value| (key, value)));
        }
        if changes.is_empty() {
            changes.datagrams.clear();
            changes.sticky.clear();
        }
        changes.sort();
        changes
    }
}

/// What a change has touched so far.
#[derive(Default)]
struct Work {
    dirty: HashSet<ServiceName>,
    /// What the frontends of before led to: nothing any more.
    withdrawn: Changes,
    /// The values before.
    before: HashMap<Key, Option<Value>>,
}

impl Work {
    fn touch(&mut self, key: &Key, claims: Option<&Claims>) {
        if !self.before.contains_key(key) {
            self.before.insert(key.clone(), claims.and_then(Claims::value).cloned());
        }
    }
}

/// Where the frontends of some transports lead.
fn leads(plan: &Plan, of: impl Fn(Protocol) -> bool) -> Option<Leads> {
    let frontends = plan.frontends.iter().filter(|frontend| of(frontend.protocol));
    let frontends: Vec<_> = frontends
        .map(|frontend| match frontend.at {
            At::Address(address) => (Some(address), frontend.protocol, frontend.port),
            At::Node => (None, frontend.protocol, frontend.port),
        })
        .collect();
    let pools = plan.pools.iter().filter(|(id, _)| of(id.protocol));
    let endpoints: BTreeSet<Endpoint> = pools.flat_map(|(_, endpoints)| endpoints.iter().copied()).collect();
    (!frontends.is_empty()).then(|| Leads { frontends, endpoints: endpoints.into_iter().collect() })
}
