//! Networks themselves: made, listed, shown, removed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use attach::{Attachment, Definition, NewNetwork};
use base::Digest;
use serde_json::{Map, Value, json};
use shim::Timestamp;

use super::prune::{PruneFilter, Pruned};
use crate::container::generate_id;
use crate::engine::Engine;
use crate::error::Error;

/// A network as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// What carries it, in docker's word.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it is; nothing for the two that are none of ours: `host` and `none`.
    pub definition: Option<Definition>,
}

impl Network {
    fn of(definition: Definition) -> Self {
        let nanos = definition.created_nanos;
        let seconds = i64::try_from(nanos / NANOS).unwrap_or(i64::MAX);
        Self {
            name: definition.name.clone(),
            id: definition.id.clone(),
            driver: definition.driver.name().to_owned(),
            created: Timestamp::from_unix(seconds, u32::try_from(nanos % NANOS).unwrap_or(0)),
            definition: Some(definition),
        }
    }

    /// A network that is none: the host's own, or nothing.
    fn plain(name: &str, driver: &str) -> Self {
        let id = Digest::sha256_of(format!("network {name}").as_bytes()).hex().to_owned();
        let created = Timestamp::from_unix(0, 0);
        Self { name: name.to_owned(), id, driver: driver.to_owned(), created, definition: None }
    }
}

impl Engine {
    /// Makes a network; its id and its time are ours to give.
    pub fn create_network(&self, mut new: NewNetwork) -> Result<Network, Error> {
        new.id = generate_id(super::create::random()?).to_string();
        let now = Timestamp::now();
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        new.created_nanos = seconds.saturating_mul(NANOS).saturating_add(u64::from(now.nanos()));
        let made = self.networks()?.create(&new).map_err(Error::of_network)?;
        self.tell_network_itself(&made, "create");
        Ok(Network::of(made))
    }

    /// All networks, by name.
    pub fn all_networks(&self) -> Result<Vec<Network>, Error> {
        let definitions = self.networks()?.list().map_err(Error::of_network)?;
        let mut all: Vec<Network> = definitions.into_iter().map(Network::of).collect();
        all.extend([Network::plain("host", "host"), Network::plain("none", "null")]);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The network that `name` means: its name, its id, or the beginning of that.
    pub fn network(&self, name: &str) -> Result<Network, Error> {
        for plain in [Network::plain("host", "host"), Network::plain("none", "null")] {
            if plain.name == name || (name.len() >= 12 && plain.id.starts_with(name)) {
                return Ok(plain);
            }
        }
        Ok(Network::of(self.networks()?.find(name).map_err(Error::of_network)?))
    }

    /// Removes a network that no running container is in.
    pub fn remove_network(&self, name: &str) -> Result<(), Error> {
        let network = self.network(name)?;
        if network.definition.is_none() {
            return Err(Error::of_network(attach::Error::Predefined { name: network.name }));
        }
        let gone = self.networks()?.remove(&network.name).map_err(Error::of_network)?;
        self.tell_network_itself(&gone, "destroy");
        Ok(())
    }

    /// Removes all networks of users that no running container is in.
    pub fn prune_networks(&self, filter: &PruneFilter) -> Result<Pruned, Error> {
        let mut done = Pruned::default();
        for network in self.all_networks()? {
            let Some(definition) = network.definition.as_ref().filter(|network| !network.is_default()) else {
                continue;
            };
            if !filter.takes(network.created, &definition.labels) {
                continue;
            }
            match self.remove_network(&network.name) {
                Ok(()) => done.removed.push(network.name),
                // Nor what the host's administrator has configured.
                Err(Error::NetworkItself(error))
                    if matches!(
                        *error,
                        attach::Error::NetworkInUse { .. } | attach::Error::Configured { .. }
                    ) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => done.failure = done.failure.or(Some(error)),
            }
        }
        Ok(done)
    }

    /// Everything about a network, as `docker network inspect` has it.
    pub fn inspect_network(&self, network: &Network) -> Result<Value, Error> {
        let attached = self.networks()?.attachments().map_err(Error::of_network)?;
        let members = attached.iter().filter(|attachment| attachment.network == network.name);
        let containers: Map<String, Value> =
            members.map(|attachment| (attachment.id.to_string(), member(attachment))).collect();
        let definition = network.definition.as_ref();
        let configured = definition.map_or_else(|| Value::Null, |definition| json!(ipam(definition)));
        Ok(json!({
            "Name": network.name,
            "Id": network.id,
            "Created": network.created.to_string(),
            "Scope": "local",
            "Driver": network.driver,
            "EnableIPv4": true,
            "EnableIPv6": definition.is_some_and(|definition| definition.ipv6.is_some()),
            "IPAM": {"Driver": "default", "Options": Value::Null, "Config": configured},
            "Internal": definition.is_some_and(|definition| definition.internal),
            "Attachable": definition.is_some_and(|definition| definition.attachable),
            "Ingress": false,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": false,
            "Containers": containers,
            "Options": definition.map(|definition| definition.options.clone()).unwrap_or_default(),
            "Labels": definition.map(|definition| definition.labels.clone()).unwrap_or_default(),
        }))
    }
}

fn ipam(definition: &Definition) -> Vec<Value> {
    if definition.subnet.network().is_unspecified() {
        return Vec::new(); // Plugins give addresses, by a rule of their own.
    }
    let mut four = json!({
        "Subnet": definition.subnet.to_string(), "Gateway": definition.gateway.to_string(),
    });
    if let Some(range) = definition.ip_range {
        four["IPRange"] = range.to_string().into();
    }
    let auxiliary = |half: &mut Value, is_half: fn(&IpAddr) -> bool| {
        let own: BTreeMap<_, _> =
            definition.auxiliary.iter().filter(|(_, address)| is_half(address)).collect();
        if !own.is_empty() {
            half["AuxiliaryAddresses"] = json!(own);
        }
    };
    auxiliary(&mut four, IpAddr::is_ipv4);
    let six = definition.ipv6.as_ref().map(|six| {
        let mut six = json!({"Subnet": six.subnet.to_string(), "Gateway": six.gateway.to_string()});
        auxiliary(&mut six, IpAddr::is_ipv6);
        six
    });
    std::iter::once(four).chain(six).collect()
}

fn member(attachment: &Attachment) -> Value {
    let six = attachment.ipv6.map(|six| format!("{}/{}", six.address, six.subnet.prefix()));
    json!({
        "Name": attachment.name,
        "EndpointID": attachment.endpoint_id(),
        "MacAddress": attachment.mac,
        "IPv4Address": format!("{}/{}", attachment.address, attachment.subnet.prefix()),
        "IPv6Address": six.unwrap_or_default(),
    })
}

const NANOS: u64 = 1_000_000_000;
