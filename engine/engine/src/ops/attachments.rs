//! A container's part in networks: attached at its start, connected and disconnected while it
//! runs.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::PathBuf;

use attach::{Attachment, DEFAULT_NETWORK, Definition, Front};
use base::ContainerId;

use super::create::hostname;
use crate::container::{Locked, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{InvalidOption, NetworkJoin, NetworkMode};

/// What a container got of its networks, as far as its files tell of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Attached {
    /// Its addresses, the main one first.
    pub(super) addresses: Vec<IpAddr>,
    /// The address of the host where it is attached.
    pub(super) gateway: Option<Ipv4Addr>,
    /// Whether it asks us for names.
    pub(super) names: bool,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl Attached {
    fn of(all: &[Attachment]) -> Self {
        let main = attach::gateway_of(all).or(all.first());
        let mut sorted: Vec<&Attachment> = all.iter().collect();
        sorted.sort_by_key(|attachment| main.is_none_or(|main| main.network != attachment.network));
        let addresses = sorted.iter().flat_map(|attachment| {
            let six = attachment.ipv6.map(|six| six.address.into());
            std::iter::once(IpAddr::V4(attachment.address)).chain(six)
        });
        Self {
            addresses: addresses.collect(),
            gateway: main.map(|attachment| attachment.gateway),
            names: all.iter().any(Attachment::has_names),
            warnings: Vec::new(),
        }
    }
}

impl Engine {
    /// The network namespace of a container's first process, if that still is the one.
    pub(super) fn network_namespace(&self, process: (i32, u64)) -> Result<File, Error> {
        let (pid, start_time) = process;
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let namespace = File::open(&path).map_err(Error::file("open", &path))?;
        // Init may have died by now, and its id may be a stranger's, whose network is the host's.
        if sys::process::ProcStat::read(pid).map_or(true, |stat| stat.start_time != start_time) {
            return Err(Error::file("open", &path)(io::ErrorKind::NotFound.into()));
        }
        Ok(namespace)
    }

    /// Attaches a container that is being started to all its networks.
    pub(super) fn attach_networks(
        &self,
        record: &Record,
        (process, namespace): ((i32, u64), &File),
    ) -> Result<Attached, Error> {
        let joins = record.request.network.joined();
        let networks = self.networks()?;
        let failed = || Error::network(&record.name);
        let mut found = Vec::new();
        for join in &joins {
            found.push(networks.find(&join.network).map_err(failed())?);
        }
        let gateway = gateway(&joins, &found);
        let mut all: Vec<Attachment> = Vec::new();
        let mut warnings = Vec::new();
        for (at, (join, network)) in joins.iter().zip(&found).enumerate() {
            let mut request = self.wish(record, join, process);
            if gateway == Some(at) {
                request.ports = super::start::published(record);
                request.publishing = record.request.network.publishing;
            }
            let attachment = networks.attach(&request, namespace.as_fd()).map_err(failed())?;
            warnings.extend(attachment.warnings.iter().cloned());
            all.push(attachment);
            self.tell_network(record, network, "connect");
        }
        warnings.dedup();
        warnings.extend(self.summon_warden(&record.id, &all));
        Ok(Attached { warnings, ..Attached::of(&all) })
    }

    /// What is asked of one network for a container.
    fn wish(&self, record: &Record, join: &NetworkJoin, process: (i32, u64)) -> attach::Request {
        let (pid, start_time) = process;
        let mut request = attach::Request::new(record.id.clone(), record.name.clone());
        request.network.clone_from(&join.network);
        request.address = join.ip;
        request.address6 = join.ip6;
        request.mac = join.mac_address.as_deref().and_then(super::start::mac_address);
        request.gateway_priority = join.gateway_priority;
        request.process = Some(attach::Process { pid, start_time });
        request.front = match (self.outside(), self.warden()) {
            (Some(_), _) => Front::Outside,
            (None, Some(_)) => Front::Relay,
            (None, None) => Front::Rules,
        };
        if join.network != DEFAULT_NETWORK {
            request.aliases.clone_from(&join.aliases);
            request.aliases.push(hostname(&record.request, &record.id));
            request.servers.clone_from(&record.request.network.dns);
            if request.servers.is_empty() && self.outside().is_some() {
                // The host's loopback is not that of an ordinary user's network.
                let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
                request.servers = servers(&self.name_servers(&text, false));
            }
        }
        request
    }

    /// The companion that answers for names takes note of a container; why not, if it cannot.
    fn summon_warden(&self, id: &ContainerId, all: &[Attachment]) -> Option<String> {
        let needed = all.iter().any(|attachment| attachment.has_names() || !attachment.ports.is_empty());
        let place = self.warden()?;
        if !needed {
            return None;
        }
        warden::summon(&place, id).err().map(|error| crate::error::chain(&error))
    }

    /// The companion takes note again of all that run; what was wrong with it.
    pub(super) fn remind_warden(&self) -> Result<Vec<String>, Error> {
        let networks = self.networks()?;
        let mut problems = Vec::new();
        for id in self.containers().ids()? {
            if self.containers().read(&id).is_ok_and(|record| record.lifecycle.is_up()) {
                let all = networks.describe_all(&id).map_err(Error::network(id.short()))?;
                problems.extend(self.summon_warden(&id, &all));
            }
        }
        problems.dedup();
        Ok(problems)
    }

    /// Connects a container to a network more: at once when it runs, else with its next start.
    pub fn join_network(&self, id: &ContainerId, mut join: NetworkJoin) -> Result<(), Error> {
        let mut locked = self.settled(id)?;
        let name = locked.record.name.clone();
        let network = self.connectable(&locked.record, &join.network)?;
        join.network.clone_from(&network.name);
        if network.is_default() && !join.aliases.is_empty() {
            let why = "network-scoped alias is supported only for containers in user defined networks";
            return Err(InvalidOption::new("--alias", &join.aliases.join(","), why).into());
        }
        let address = crate::request::by_hand(join.ip, join.ip6);
        if let Some(address) = address.filter(|_| network.is_default()) {
            return Err(crate::request::address_conflict(address).into());
        }
        let mut joins = locked.record.request.network.joined();
        let known = joins.iter().position(|other| other.network == join.network);
        if let Some(process) = running(&locked) {
            let namespace = self.network_namespace(process)?;
            let request = self.wish(&locked.record, &join, process);
            let networks = self.networks()?;
            networks.attach(&request, namespace.as_fd()).map_err(Error::network(&name))?;
            networks.settle_gateway(id).map_err(Error::network(&name))?;
        }
        match known {
            Some(at) => joins[at] = join,
            None => joins.push(join),
        }
        locked.record.request.network.joins = Some(joins);
        locked.write()?;
        self.after_change(&locked)?;
        self.tell_network(&locked.record, &network, "connect");
        Ok(())
    }

    /// Disconnects a container from a network: at once when it runs, and from its next start on.
    pub fn leave_network(&self, id: &ContainerId, network: &str, force: bool) -> Result<(), Error> {
        let mut locked = self.settled(id)?;
        let name = locked.record.name.clone();
        if !locked.record.request.network.mode.is_bridged() && network == "host" {
            let why = "container cannot be disconnected from host network or connected to host network";
            return Err(InvalidOption::new("network", network, why).into());
        }
        let network = self.networks()?.find(network).map_err(Error::network(&name))?;
        let mut joins = locked.record.request.network.joined();
        let before = joins.len();
        joins.retain(|join| join.network != network.name);
        if joins.len() == before && !force {
            let (id, network) = (id.to_string(), network.name);
            return Err(Error::network(&name)(attach::Error::NotConnected { id, network }));
        }
        if let Some(process) = running(&locked) {
            let namespace = self.network_namespace(process)?;
            match self.networks()?.leave(id, &network.name, namespace.as_fd()) {
                Err(attach::Error::NotConnected { .. }) | Ok(()) => {}
                Err(error) => return Err(Error::network(&name)(error)),
            }
        }
        locked.record.request.network.joins = Some(joins);
        locked.write()?;
        self.after_change(&locked)?;
        self.tell_network(&locked.record, &network, "disconnect");
        Ok(())
    }

    /// A running container's files and its companion follow its networks.
    fn after_change(&self, locked: &Locked) -> Result<(), Error> {
        if running(locked).is_none() {
            return Ok(());
        }
        let record = &locked.record;
        let all = self.networks()?.describe_all(&record.id).map_err(Error::network(&record.name))?;
        self.write_host_files(record, Some(&Attached::of(&all)), &mut Vec::new())?;
        self.summon_warden(&record.id, &all);
        Ok(())
    }

    /// The network that `name` means, if the container can be connected to it.
    fn connectable(&self, record: &Record, name: &str) -> Result<Definition, Error> {
        let refused = |why: &'static str| Err(InvalidOption::new("network", name, why).into());
        match (&record.request.network.mode, name) {
            (NetworkMode::Host, _) | (_, "host") => {
                refused("container cannot be disconnected from host network or connected to host network")
            }
            (NetworkMode::None, _) | (_, "none") => refused(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ),
            (NetworkMode::Container(_) | NetworkMode::Pod, _) => refused(
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ),
            _ => self.networks()?.find(name).map_err(Error::network(&record.name)),
        }
    }

    /// Networks are meant by name from now on, and must be there.
    pub(super) fn pin_networks(&self, request: &mut crate::request::CreateRequest) -> Result<(), Error> {
        let network = &mut request.network;
        let find = |name: &str| -> Result<String, Error> {
            match name == DEFAULT_NETWORK {
                true => Ok(name.to_owned()),
                false => Ok(self.networks()?.find(name).map_err(Error::of_network)?.name),
            }
        };
        if let NetworkMode::Named(name) = &mut network.mode {
            *name = find(name)?;
        }
        for join in network.joins.iter_mut().flatten() {
            join.network = find(&join.network)?;
        }
        Ok(())
    }
}

/// Which of the networks leads the container out, by the rule of [`attach::gateway_of`].
fn gateway(joins: &[NetworkJoin], found: &[Definition]) -> Option<usize> {
    let leading = joins.iter().zip(found).enumerate().filter(|(_, (_, network))| !network.internal);
    let first = leading.min_by(|(_, (a, one)), (_, (b, other))| {
        b.gateway_priority.cmp(&a.gateway_priority).then_with(|| one.name.cmp(&other.name))
    });
    first.map(|(at, _)| at)
}

/// The servers of a `resolv.conf`.
fn servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).collect()
}

/// A container's first process, while it runs.
fn running(locked: &Locked) -> Option<(i32, u64)> {
    match locked.record.lifecycle {
        crate::container::Lifecycle::Running { pid, start_time, .. } => Some((pid, start_time)),
        _ => None,
    }
}
