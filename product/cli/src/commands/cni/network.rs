//! The plugin's network: [`attach`] with a data root of its own, so that the engine and the
//! plugin never take what is the other's.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use attach::{Attachment, Definition, Networks, Request};
use base::{Classified as _, ContainerId, Digest, ErrorClass};
use cni::plugin::{Call, Network, Setup};
use cni::{Code, Failure, Interface, InterfaceName, Ip, IpAddress, NetworkResult, Route};

use super::config::Config;
use crate::context::Context;

/// The plugin.
pub(super) struct Plugin {
    root: PathBuf,
    state: PathBuf,
    now: SystemTime,
}

impl Plugin {
    pub(super) fn new(context: &Context) -> Self {
        Self { root: context.root.join("cni"), state: context.state.join("cni"), now: context.now() }
    }

    /// What a call is about: its configuration, the networks, the name of its own.
    fn open(&self, setup: &Setup) -> Result<Opened, Failure> {
        let config = Config::read(setup)?;
        let root = config.root.clone().unwrap_or_else(|| self.root.clone());
        let state = config.state.clone().unwrap_or_else(|| self.state.clone());
        let networks = Networks::open(&root, &state).map_err(failed)?;
        // Names such as `host` are taken among the networks of the engine.
        Ok(Opened { config, networks, root, name: format!("cni.{}", setup.name) })
    }
}

struct Opened {
    config: Config,
    networks: Networks,
    root: PathBuf,
    name: String,
}

impl Opened {
    /// The network, made when it is not there, or made anew when it is to be another and nobody
    /// is in it.
    fn network(&self, now: SystemTime) -> Result<Definition, Failure> {
        match self.networks.definition(&self.name) {
            Ok(Some(known)) if self.config.fits(&known) => return Ok(known),
            Ok(Some(known)) => match self.networks.remove(&self.name) {
                Err(error) if error.class() == ErrorClass::Conflict => {
                    let msg =
                        format!("network {} is in use with other settings ({})", self.name, known.subnet);
                    let failure = Failure::new(Code::INVALID_CONFIG, msg);
                    return Err(failure.with_details("detach all its containers, then change it"));
                }
                Err(error) if error.class() != ErrorClass::NotFound => return Err(failed(error)),
                _ => {}
            },
            Ok(None) => {}
            Err(error) if error.class() == ErrorClass::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let created_nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        match self.networks.create(&self.config.network(&self.name, &self.root, created_nanos)) {
            Ok(made) => Ok(made),
            // Another container's call was first.
            Err(error)
                if error.class() == ErrorClass::Conflict || error.class() == ErrorClass::AlreadyExists =>
            {
                match self.networks.definition(&self.name) {
                    Ok(Some(known)) if self.config.fits(&known) => Ok(known),
                    _ => Err(failed(error)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn request(&self, call: &Call) -> Result<Request, Failure> {
        let wishes = self.config.wishes(call)?;
        let mut request = Request::new(self.id(&call.container, &call.interface)?, call.container.as_str());
        request.network.clone_from(&self.name);
        request.ports = wishes.ports;
        request.address = wishes.address;
        request.address6 = wishes.address6;
        request.mac = wishes.mac;
        request.link = Some(call.interface.to_string());
        request.leads_out = self.config.leads_out();
        Ok(request)
    }

    /// One name for a container's link in this network: it may have several, and ours are by
    /// container.
    fn id(&self, container: &cni::ContainerId, interface: &InterfaceName) -> Result<ContainerId, Failure> {
        let text = format!("{} {container} {interface}", self.name);
        let hex = Digest::sha256_of(text.as_bytes()).hex().to_owned();
        ContainerId::parse(&hex).map_err(|error| Failure::new(Code::INTERNAL, error.to_string()))
    }
}

impl Network for Plugin {
    fn add(&self, call: &Call) -> Result<NetworkResult, Failure> {
        let opened = self.open(&call.setup)?;
        let request = opened.request(call)?;
        let namespace = namespace(&call.namespace)?;
        opened.network(self.now)?;
        let attachment = opened.networks.attach(&request, namespace.as_fd()).map_err(failed)?;
        let result = result(&attachment, call, &opened);
        if result.is_err() {
            // Nobody would know of it.
            let _ = opened.networks.disconnect(&request.id);
        }
        result
    }

    fn del(&self, call: &Call) -> Result<(), Failure> {
        let opened = self.open(&call.setup)?;
        let id = opened.id(&call.container, &call.interface)?;
        opened.networks.disconnect(&id).map_err(failed)
    }

    fn check(&self, call: &Call) -> Result<(), Failure> {
        let opened = self.open(&call.setup)?;
        let Some(previous) = &call.previous else {
            return Err(Failure::new(Code::INTERNAL, "Required prevResult missing"));
        };
        let id = opened.id(&call.container, &call.interface)?;
        let Some(attachment) = opened.networks.describe(&id).map_err(failed)? else {
            let msg = format!(
                "container {} has no {} of network {}",
                call.container, call.interface, call.setup.name
            );
            return Err(Failure::new(Code::UNKNOWN_CONTAINER, msg));
        };
        agrees(previous, &attachment, call)?;
        let namespace = namespace(&call.namespace)?;
        opened.networks.verify(&attachment, namespace.as_fd()).map_err(failed)
    }

    fn gc(&self, setup: &Setup, valid: &[(cni::ContainerId, InterfaceName)]) -> Result<(), Failure> {
        let opened = self.open(setup)?;
        let stay: Vec<ContainerId> =
            valid.iter().map(|(id, interface)| opened.id(id, interface)).collect::<Result<_, _>>()?;
        for id in opened.networks.members(&opened.name).map_err(failed)? {
            if !stay.contains(&id) {
                opened.networks.disconnect(&id).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn status(&self, setup: &Setup) -> Result<(), Failure> {
        let unavailable = |failure: Failure| match failure.code {
            Code::INVALID_CONFIG | Code::UNSUPPORTED_FIELD => failure,
            _ => Failure { code: Code::NOT_AVAILABLE, ..failure },
        };
        let opened = self.open(setup).map_err(unavailable)?;
        let definition = opened.network(self.now).map_err(unavailable)?;
        let id = ContainerId::parse("status").map_err(|e| Failure::new(Code::INTERNAL, e.to_string()))?;
        let mut request = Request::new(id, "status");
        request.network = definition.name;
        opened.networks.check(&request).map_err(|error| unavailable(failed(error)))
    }
}

/// The namespace at `path`; the plugin's own would make the host a container of itself.
fn namespace(path: &str) -> Result<File, Failure> {
    let unusable = |error: std::io::Error| {
        Failure::new(Code::INTERNAL, format!("failed to open netns {path:?}: {error}"))
    };
    let file = File::open(path).map_err(unusable)?;
    let own = File::open("/proc/self/ns/net").map_err(unusable)?;
    let (given, own) = (
        sys::namespace::id(file.as_fd()).map_err(unusable)?,
        sys::namespace::id(own.as_fd()).map_err(unusable)?,
    );
    if given == own {
        let msg = "plugin's netns and netns from CNI_NETNS should not be the same";
        return Err(Failure::new(Code::INVALID_NAMESPACE, msg));
    }
    Ok(file)
}

fn result(attachment: &Attachment, call: &Call, opened: &Opened) -> Result<NetworkResult, Failure> {
    let host = opened.networks.host_side(attachment).map_err(failed)?;
    let mut result = NetworkResult::empty();
    let mtu = Some(attachment.mtu);
    let bridge =
        Interface { name: attachment.bridge.clone(), mac: host.bridge_mac, mtu, ..Interface::default() };
    let veth =
        Interface { name: attachment.host_link.clone(), mac: host.link_mac, mtu, ..Interface::default() };
    let own = Interface {
        name: attachment.link.clone(),
        mac: attachment.mac.clone(),
        mtu,
        sandbox: call.namespace.clone(),
        ..Interface::default()
    };
    result.interfaces = vec![bridge, veth, own];
    let ip = |ip: std::net::IpAddr, prefix, gateway| Ip {
        interface: Some(2),
        address: IpAddress { ip, prefix },
        gateway: Some(gateway),
    };
    result.ips.push(ip(attachment.address.into(), attachment.subnet.prefix(), attachment.gateway.into()));
    if let Some(six) = attachment.ipv6 {
        result.ips.push(ip(six.address.into(), six.subnet.prefix(), six.gateway.into()));
    }
    if opened.config.leads_out() && !attachment.internal {
        let unspecified = |ip: std::net::IpAddr| match ip.is_ipv4() {
            true => std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            false => std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        let default = |ip: &Ip| Route {
            dst: IpAddress { ip: unspecified(ip.address.ip), prefix: 0 },
            gw: ip.gateway,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: None,
        };
        result.routes = result.ips.iter().map(default).collect();
    }
    result.dns = opened.config.dns();
    Ok(result)
}

/// Whether what the runtime holds of the attachment is what we gave.
fn agrees(previous: &NetworkResult, attachment: &Attachment, call: &Call) -> Result<(), Failure> {
    let wrong = |msg: String| Err(Failure::new(Code::INTERNAL, msg));
    let Some(interface) = previous.container_interface(call.interface.as_str()) else {
        return wrong(format!("prevResult has no interface {} in a sandbox", call.interface));
    };
    if Path::new(&interface.sandbox) != Path::new(&call.namespace) {
        let (sandbox, namespace) = (&interface.sandbox, &call.namespace);
        return wrong(format!("sandbox {sandbox} of prevResult is not the namespace {namespace}"));
    }
    let address = attachment.address;
    if !previous.container_ips().any(|ip| ip.address.ip == address) {
        return wrong(format!("prevResult has not the address {address} of {}", call.interface));
    }
    Ok(())
}

/// A failure from an error of the network, with its causes.
#[allow(clippy::needless_pass_by_value, reason = "it maps errors")]
fn failed(error: attach::Error) -> Failure {
    let code = match error.class() {
        ErrorClass::Invalid => Code::INVALID_CONFIG,
        ErrorClass::Unsupported => Code::UNSUPPORTED_FIELD,
        ErrorClass::Unavailable => Code::TRY_AGAIN,
        _ => Code::INTERNAL,
    };
    let mut msg = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        msg = format!("{msg}: {cause}");
        source = cause.source();
    }
    Failure::new(code, msg)
}
