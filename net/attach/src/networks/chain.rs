//! Attaching by plugins of others.
//!
//! ```text
//!   ledger ── namespace pinned ── chain's ADD ── record            the way there
//!   record, ledger gone ── chain's DEL ── namespace let go         the way back
//! ```
//!
//! Plugins undo what they made inside a namespace and on the host by that namespace's path, so
//! it must outlive the container: it is pinned on a file of ours. A chain that cannot be undone,
//! for its plugin is gone, does not keep a container from ending: its entry stays for
//! [`Networks::reconcile`].

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::{ContainerId, failpoint};
use cni::{Client, Directory, InterfaceName, NetworkList, Plugins};
use sys::mount::{self, UnmountFlags};

use super::{Networks, namespace};
use crate::attachment::{Attachment, Request};
use crate::chain::{self, Chain, ChainSettings, Chained};
use crate::definition::Definition;
use crate::error::Error;
use crate::ledger::{Holder, Ledger};
use crate::links::bring_up_loopback;
use crate::plan;
use crate::ports;

impl Networks {
    /// The same networks, and those of CNI plugins: made ones, and the configurations of a
    /// directory.
    #[must_use]
    pub fn with_chains(mut self, settings: ChainSettings) -> Self {
        self.chains = Some(settings);
        self
    }

    fn client(&self) -> Client {
        let ChainSettings { plugins, path, .. } = self.chains.clone().unwrap_or_default();
        // Beside the definitions: what plugins keep lasts longer than the kernel too.
        Client::new(Plugins::new(plugins, path), self.definitions.join("cni"))
    }

    /// The networks that the directory of configurations has, without those that cannot be read.
    pub(super) fn configured(&self) -> Vec<Definition> {
        let Some(settings) = &self.chains else { return Vec::new() };
        let found = Directory::new(&settings.configurations).found().unwrap_or_default();
        let known = found.into_iter().map(|(path, list)| chain::definition(list.name.as_str(), &list, path));
        known.filter(|definition| crate::definition::is_name(&definition.name)).collect()
    }

    /// A network by a configuration, if all its plugins are there and speak its version.
    pub(super) fn define_chain(&self, name: &str, chain: &Chain) -> Result<Definition, Error> {
        let list = Directory::read(&chain.config).map_err(Error::cni)?;
        self.client().validate(&list).map_err(Error::cni)?;
        Ok(chain::definition(name, &list, chain.config.clone()))
    }

    pub(super) fn attach_chain(
        &self,
        (request, others): (&Request, &[Attachment]),
        (network, settings): (&Definition, &Chain),
        ledger: &Ledger,
        netns: BorrowedFd<'_>,
    ) -> Result<Attachment, Error> {
        let list = Directory::read(&settings.config).map_err(Error::cni)?;
        let (ports, cursor) = ports::resolve(self.wish(request)?, ledger, &mut self.this_host())?;
        let link = request.link.clone().unwrap_or_else(|| plan::free_link(others));
        let chained = Chained { network: list.name.to_string(), link: link.clone() };
        let mut entered = ledger.clone();
        entered.version = 1;
        entered.port_cursor = cursor;
        entered.holders.push(Holder {
            id: request.id.clone(),
            name: request.name.clone(),
            network: network.name.clone(),
            address: std::net::Ipv4Addr::UNSPECIFIED,
            address6: None,
            host_link: String::new(),
            ports: ports.clone(),
            withdrawn: false,
            outside: false,
            chained: Some(chained.clone()),
        });
        self.write_ledger(&entered)?;
        failpoint::hit("attach.lease-written");
        let carry_out = || -> Result<Attachment, Error> {
            let inode = namespace(request, netns)?;
            bring_up_loopback(netns)?;
            let wanted = self.wanted_of_chain(request, &list, (&chained, netns), &ports)?;
            let result = self.client().add(&list, &wanted).map_err(Error::cni)?;
            failpoint::hit("attach.link-made");
            let mut made = chain::attachment(request, network, (&link, inode), &result, &ports);
            has_what_was_asked(request, &made)?;
            if !ports.is_empty() && !list.capabilities().contains("portMappings") {
                let why = "none of its plugins has the capability portMappings";
                made.warnings.push(format!("ports are not published in network {}: {why}", network.name));
            }
            let mut all = others.to_vec();
            all.push(made.clone());
            self.write_record(&request.id, &all)?;
            Ok(made)
        };
        carry_out().inspect_err(|_| {
            // The first error is the one to tell.
            let _ = self.undo_chain(&request.id, &chained);
            let mut ledger = entered;
            ledger.release(&request.id, Some(&request.network));
            let _ = self.write_ledger(&ledger);
        })
    }

    /// The call's parameters, with the namespace pinned.
    fn wanted_of_chain(
        &self,
        request: &Request,
        list: &NetworkList,
        (chained, netns): (&Chained, BorrowedFd<'_>),
        ports: &[crate::PublishedPort],
    ) -> Result<cni::Attachment, Error> {
        let container = cni::ContainerId::parse(request.id.as_str()).map_err(|e| Error::cni(e.into()))?;
        let interface = InterfaceName::parse(&chained.link).map_err(|e| Error::cni(e.into()))?;
        // What an end could not undo.
        let client = self.client();
        if let Some(left) = client.results().get(&list.name, &container, &interface).map_err(Error::cni)? {
            client.del(&left).map_err(Error::cni)?;
        }
        let path = self.pin(&request.id, &chained.link);
        pin(&path, netns).map_err(|source| Error::File {
            operation: "pin a network namespace on",
            path: path.clone(),
            source,
        })?;
        Ok(cni::Attachment {
            container,
            namespace: path.to_string_lossy().into_owned(),
            interface,
            arguments: chain::arguments(request),
            capabilities: chain::capabilities(request, ports).told(),
        })
    }

    /// Undoes what a chain made, and lets the namespace go. What cannot be undone now stays noted.
    pub(super) fn undo_chain(&self, id: &ContainerId, chained: &Chained) -> Result<(), Error> {
        let path = self.pin(id, &chained.link);
        if !is_pinned(&path) {
            // Plugins take a path that is not there for a namespace that is gone.
            let _ = fs::remove_file(&path);
        }
        let client = self.client();
        let entry = || {
            let network = cni::NetworkName::parse(&chained.network)?;
            let container = cni::ContainerId::parse(id.as_str())?;
            client.results().get(&network, &container, &InterfaceName::parse(&chained.link)?)
        };
        let undone = match entry() {
            Ok(Some(entry)) => client.del(&entry),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let _ = mount::unmount(&path, UnmountFlags::DETACH);
        let _ = fs::remove_file(&path);
        undone.map_err(Error::cni)
    }

    /// What nobody holds any more: by crashes, by plugins that were gone, and after a reboot.
    /// Gives what could not be undone.
    pub(super) fn sweep_chains(&self, ledger: &Ledger) -> Vec<String> {
        let client = self.client();
        let mut problems = Vec::new();
        let entries = client.results().all().unwrap_or_else(|error| {
            problems.push(error.to_string());
            Vec::new()
        });
        for entry in entries {
            if is_held(ledger, &entry) {
                continue;
            }
            if !is_pinned(Path::new(&entry.namespace)) {
                let _ = fs::remove_file(&entry.namespace);
            }
            if let Err(error) = client.del(&entry) {
                let cause =
                    std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                problems.push(format!("{error}{cause}"));
                continue;
            }
            let _ = mount::unmount(Path::new(&entry.namespace), UnmountFlags::DETACH);
            let _ = fs::remove_file(&entry.namespace);
        }
        for pin in self.stray_pins(ledger) {
            let _ = mount::unmount(&pin, UnmountFlags::DETACH);
            let _ = fs::remove_file(&pin);
        }
        problems
    }

    /// What plugins made and nobody holds, as container, network and link.
    pub(super) fn stray_chains(&self, ledger: &Ledger) -> Vec<(String, String, String)> {
        let entries = self.client().results().all().unwrap_or_default();
        let stray = entries.into_iter().filter(|entry| !is_held(ledger, entry));
        let words = stray.map(|entry| {
            (entry.container_id.to_string(), entry.network.to_string(), entry.interface.to_string())
        });
        words.collect()
    }

    /// Namespaces that are kept for no plugin's sake.
    pub(super) fn stray_pins(&self, ledger: &Ledger) -> Vec<PathBuf> {
        let mut needed: Vec<PathBuf> = ledger
            .holders
            .iter()
            .filter_map(|holder| Some(self.pin(&holder.id, &holder.chained.as_ref()?.link)))
            .collect();
        let entries = self.client().results().all().unwrap_or_default();
        needed.extend(entries.into_iter().map(|entry| PathBuf::from(entry.namespace)));
        let pins = fs::read_dir(self.state.join(PINS)).into_iter().flatten().flatten();
        pins.map(|pin| pin.path()).filter(|pin| !needed.contains(pin)).collect()
    }

    /// Where a container's namespace is pinned for its link.
    fn pin(&self, id: &ContainerId, link: &str) -> PathBuf {
        self.state.join(PINS).join(format!("{id}-{link}"))
    }
}

/// Whether the ledger has whom plugins made something for.
fn is_held(ledger: &Ledger, entry: &cni::Entry) -> bool {
    ledger.holders.iter().any(|holder| {
        let chained = holder.chained.as_ref();
        holder.id.as_str() == entry.container_id.as_str()
            && chained.is_some_and(|chained| {
                chained.network == entry.network.as_str() && chained.link == entry.interface.as_str()
            })
    })
}

/// Where namespaces are pinned.
const PINS: &str = "namespaces";

/// The plugins may not know the wishes: a container with another address than it was promised is
/// not started.
fn has_what_was_asked(request: &Request, made: &Attachment) -> Result<(), Error> {
    let six = made.ipv6.map(|six| six.address);
    let refused = |wanted: IpAddr| Error::WishNotGranted {
        network: request.network.clone(),
        wanted: wanted.to_string(),
    };
    match (request.address, request.address6) {
        (Some(wanted), _) if wanted != made.address => Err(refused(wanted.into())),
        (_, Some(wanted)) if Some(wanted) != six => Err(refused(wanted.into())),
        _ => Ok(()),
    }
}

/// Mounts the namespace on the file at `path`, which is made; one that is there already goes.
fn pin(path: &Path, netns: BorrowedFd<'_>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let _ = mount::unmount(path, UnmountFlags::DETACH);
    File::create(path)?;
    mount::attach_path(mount::clone_fd(netns, false)?, path)
}

/// Whether a namespace is mounted there.
fn is_pinned(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(file) = fs::metadata(path) else { return false };
    // A mount is on another device than its directory.
    path.parent()
        .and_then(|parent| fs::metadata(parent).ok())
        .is_some_and(|parent| parent.dev() != file.dev())
}
