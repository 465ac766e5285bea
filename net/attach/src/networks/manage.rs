//! Networks themselves: made, found, listed, removed.

use crate::bridge;
use std::collections::BTreeMap;

use crate::chain::Chain;
use crate::create::{self, NewNetwork, PREDEFINED, Taken};
use crate::definition::{Definition, Driver, is_name};
use crate::error::Error;
use crate::files;
use crate::firewall::Change;
use crate::links::HostLinks;
use crate::macvlan::Macvlan;

use super::{Networks, names};

impl Networks {
    /// Makes a network, with its bridge. On an error nothing is left behind.
    pub fn create(&self, new: &NewNetwork) -> Result<Definition, Error> {
        let _lock = self.lock()?;
        let ledger = self.ledger()?;
        let mut host = HostLinks::open()?;
        let (default, _) = self.bring_up(crate::DEFAULT_NETWORK, &ledger, &mut host)?;
        let taken_ranges = host.taken_ranges()?;
        let networks = self.definitions()?;
        if let Driver::Cni(chain) = &new.driver {
            return self.create_chain(new, chain, &networks);
        }
        let taken = Taken { host: &taken_ranges, networks: &networks, table: &default.table };
        let definition = create::define(new, &taken)?;
        if definition.driver == Driver::Bridge
            && let Some(link) = host.by_name(&definition.bridge)?
            && (!bridge::is_ours(&link, &self.definitions)
                || networks.iter().any(|network| network.bridge == definition.bridge))
        {
            return Err(Error::ForeignLink { name: definition.bridge });
        }
        self.write_definition(&definition)?;
        match self.bring_up(&definition.name, &ledger, &mut host) {
            Ok((definition, _)) => Ok(definition),
            Err(error) => {
                // The first error is the one to be told.
                let _ = self.delete_own(&mut host, &definition.bridge);
                let _ = files::remove(&self.definition_path(&definition.name));
                Err(error)
            }
        }
    }

    /// A network of plugins: nothing is made but its definition.
    fn create_chain(
        &self,
        new: &NewNetwork,
        chain: &Chain,
        networks: &[Definition],
    ) -> Result<Definition, Error> {
        create::check_name(&new.name, networks)?;
        if new.subnet.is_some() || new.subnet6.is_some() || new.ipv6 || new.internal {
            let why = "addresses and isolation of a CNI network are its configuration's; leave them out";
            return Err(Error::InvalidIpam { network: new.name.clone(), why: why.to_owned() });
        }
        let definition = Definition {
            id: new.id.clone(),
            created_nanos: new.created_nanos,
            labels: new.labels.clone(),
            attachable: new.attachable,
            options: new.options.clone(),
            ..self.define_chain(&new.name, chain)?
        };
        self.write_definition(&definition)?;
        Ok(definition)
    }

    /// Removes a network that no container is attached to, with its bridge.
    ///
    /// A crash in between leaves a definition without a bridge, which the next attach makes
    /// again and the next removal removes.
    pub fn remove(&self, name: &str) -> Result<Definition, Error> {
        let _lock = self.lock()?;
        let ledger = self.ledger()?;
        let definition = self.find_definition(name)?;
        if PREDEFINED.contains(&definition.name.as_str()) {
            return Err(Error::Predefined { name: definition.name });
        }
        let users = ledger.holders.iter().filter(|holder| holder.network == definition.name);
        let endpoints: Vec<String> =
            users.map(|holder| format!("name:{:?} id:{:?}", holder.name, holder.id.short())).collect();
        if !endpoints.is_empty() {
            let name = definition.name;
            return Err(Error::NetworkInUse { name, endpoints: endpoints.join(", ") });
        }
        let mut host = HostLinks::open()?;
        if let Driver::Cni(chain) = &definition.driver {
            if !self.definition_path(&definition.name).exists() {
                return Err(Error::Configured { name: definition.name, path: chain.config.clone() });
            }
        } else {
            self.delete_own(&mut host, &definition.bridge)?;
        }
        files::remove(&self.definition_path(&definition.name))?;
        if !ledger.holders.is_empty() {
            self.firewall.apply(&self.wanted(&ledger)?, Change::Verify)?;
        }
        Ok(definition)
    }

    /// The driver of that name with docker's options for it.
    pub fn driver(
        &self,
        name: &str,
        network: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Driver, Error> {
        match name {
            "bridge" => Ok(Driver::Bridge),
            "cni" => match options.get("config").filter(|path| path.starts_with('/')) {
                Some(path) => Ok(Driver::Cni(Chain { config: path.into() })),
                None => Err(Error::NoConfig { network: network.to_owned() }),
            },
            "macvlan" => Ok(Driver::Macvlan(Macvlan::parse(network, options)?)),
            "ipvlan" => match HostLinks::open()?.refuses_ipvlan() {
                Some(source) => Err(Error::NoIpvlan { network: network.to_owned(), source }),
                None => Err(Error::NoDriver { name: name.to_owned() }),
            },
            _ => Err(Error::NoDriver { name: name.to_owned() }),
        }
    }

    /// Deletes the link that carries a network when it was made by us.
    fn delete_own(&self, host: &mut HostLinks, name: &str) -> Result<(), Error> {
        match host.by_name(name)? {
            Some(link) if bridge::is_ours(&link, &self.definitions) => host.delete(name),
            _ => Ok(()),
        }
    }

    /// The network of that name; the default one may not be there yet.
    pub fn definition(&self, name: &str) -> Result<Option<Definition>, Error> {
        if !is_name(name) {
            return Err(Error::InvalidNetworkName { name: name.to_owned() });
        }
        match self.read_definition(name)? {
            None if name != crate::DEFAULT_NETWORK => Err(Error::NoSuchNetwork { name: name.to_owned() }),
            definition => Ok(definition),
        }
    }

    /// The network that `name` means: its name, its id, or the beginning of that.
    pub fn find(&self, name: &str) -> Result<Definition, Error> {
        if name == crate::DEFAULT_NETWORK {
            self.ensure_default()?;
        }
        self.find_definition(name)
    }

    /// All networks with a definition, the default one among them, by name.
    pub fn list(&self) -> Result<Vec<Definition>, Error> {
        self.ensure_default()?;
        let mut all = self.definitions()?;
        let made: Vec<String> = all.iter().map(|network| network.name.clone()).collect();
        all.extend(self.configured().into_iter().filter(|network| !made.contains(&network.name)));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Defines the default network where nobody has used it yet; where we may not, as who
    /// only looks around, it stays out.
    fn ensure_default(&self) -> Result<(), Error> {
        if self.read_definition(crate::DEFAULT_NETWORK)?.is_some() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let (ledger, others) = (self.ledger()?, self.definitions()?);
        let mut host = HostLinks::open()?;
        let name = crate::DEFAULT_NETWORK;
        let brought = bridge::bring_up(name, None, &ledger, &self.definitions, &others, &mut host)?;
        self.write_definition(&brought.definition)
    }

    fn find_definition(&self, name: &str) -> Result<Definition, Error> {
        let not_found = || Error::NoSuchNetwork { name: name.to_owned() };
        if is_name(name)
            && let Some(definition) = self.read_definition(name)?
        {
            return Ok(definition);
        }
        let mut all = self.definitions()?;
        all.extend(self.configured());
        let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit());
        let mut found = all.into_iter().filter(|network| digits && network.id.starts_with(name));
        match (found.next(), found.next()) {
            (Some(network), None) => Ok(network),
            (Some(_), Some(_)) => Err(Error::AmbiguousNetwork { prefix: name.to_owned() }),
            (None, _) => Err(not_found()),
        }
    }

    fn read_definition(&self, name: &str) -> Result<Option<Definition>, Error> {
        let read: Option<Definition> = files::read(&self.definition_path(name))?;
        if read.is_none() && !PREDEFINED.contains(&name) {
            return Ok(self.configured().into_iter().find(|network| network.name == name));
        }
        Ok(read.map(|mut definition| {
            // Written before networks had ids.
            if definition.id.is_empty() {
                definition.id = bridge::default_id(&self.definitions);
            }
            definition
        }))
    }

    pub(crate) fn definitions(&self) -> Result<Vec<Definition>, Error> {
        let mut all = Vec::new();
        for name in names(&self.definitions)? {
            if let Some(network) = name.strip_suffix(".json") {
                all.extend(self.read_definition(network)?);
            }
        }
        Ok(all)
    }
}
