//! A pod's sandbox as a container that holds its namespaces.

use std::net::IpAddr;

use attach::{HostPort, PortMapping, Protocol};
use engine::request::{
    CgroupMode, CreateRequest, IpcMode, NetworkMode, PidMode, SandboxRole, SeccompRequest, UtsMode,
};
use rpc::cri::{NamespaceMode, PodSandboxConfig, RunPodSandboxRequest};

use super::{PlanError, invalid, name, namespaces};

/// Which network a sandbox gets that asks for one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxNetwork {
    /// The engine's default bridge: for a machine by itself.
    #[default]
    Bridge,
    /// The pods' network of a cluster.
    Pod,
}

/// The request for a sandbox's holder.
pub fn sandbox(request: &RunPodSandboxRequest, own: SandboxNetwork) -> Result<CreateRequest, PlanError> {
    let config = request.config.as_ref().ok_or(PlanError::Missing("the request has no sandbox config"))?;
    let metadata = config.metadata.as_ref();
    let metadata = metadata.ok_or(PlanError::Missing("sandbox config must include metadata"))?;
    if !HANDLERS.contains(&request.runtime_handler.as_str()) {
        let why = "no runtime of that name is configured; leave it out";
        return Err(invalid("runtime_handler", &request.runtime_handler, why));
    }
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security_context.clone().unwrap_or_default();
    let wanted = namespaces(security.namespace_options.as_ref())?;
    let mut holder = CreateRequest { sandbox: Some(SandboxRole::Holder), ..CreateRequest::default() };
    let attempt = metadata.attempt.to_string();
    holder.name = Some(name(&["POD", &metadata.name, &metadata.namespace, &metadata.uid, &attempt]));
    holder.labels = config.labels.clone();
    holder.files.read_only = true;
    holder.log.keep = false;
    // It sleeps: whoever breaks into it finds nothing that it could do.
    holder.process.user = Some("65535:65535".to_owned());
    holder.security.cap_drop = vec!["ALL".to_owned()];
    holder.security.no_new_privileges = true;
    holder.security.seccomp = SeccompRequest::Default;
    holder.security.sysctls = linux.sysctls.clone();
    // The last process of a pod that the kernel may take, and the least of its shares.
    holder.resources.oom_score_adj = Some(-998);
    holder.resources.cpu_shares = Some(2);
    holder.resources.cgroup_parent = Some(linux.cgroup_parent).filter(|parent| !parent.is_empty());
    holder.namespaces.cgroup = CgroupMode::Private;
    holder.namespaces.ipc =
        if wanted.ipc == NamespaceMode::Node { IpcMode::Host } else { IpcMode::Shareable };
    holder.namespaces.pid = if wanted.pid == NamespaceMode::Node { PidMode::Host } else { PidMode::Private };
    network(&mut holder, config, wanted.network, own)?;
    Ok(holder)
}

fn network(
    holder: &mut CreateRequest,
    config: &PodSandboxConfig,
    wanted: NamespaceMode,
    own: SandboxNetwork,
) -> Result<(), PlanError> {
    let network = &mut holder.network;
    let dns = config.dns_config.clone().unwrap_or_default();
    let address = |text: &String| {
        text.parse::<IpAddr>().map_err(|_| invalid("dns_config.servers", text, "use an IP address"))
    };
    network.dns = dns.servers.iter().map(address).collect::<Result<_, _>>()?;
    network.dns_search = dns.searches;
    network.dns_options = dns.options;
    match wanted {
        NamespaceMode::Node => {
            network.mode = NetworkMode::Host;
            holder.namespaces.uts = UtsMode::Host;
        }
        NamespaceMode::Pod => {
            network.mode = match own {
                SandboxNetwork::Bridge => NetworkMode::Bridge,
                SandboxNetwork::Pod => NetworkMode::Pod,
            };
            network.hostname = Some(config.hostname.clone()).filter(|name| !name.is_empty());
            for mapping in &config.port_mappings {
                network.publish.extend(port(mapping)?);
            }
        }
        NamespaceMode::Container | NamespaceMode::Target => {
            let why = "a sandbox has the node's network or one of its own: use POD or NODE";
            return Err(invalid("namespace_options.network", wanted.as_str_name(), why));
        }
    }
    Ok(())
}

/// A port of the host, when one is asked for.
fn port(mapping: &rpc::cri::PortMapping) -> Result<Option<PortMapping>, PlanError> {
    let number = |field, port: i32| {
        u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid(field, port, "use 1 to 65535"))
    };
    if mapping.host_port <= 0 {
        return Ok(None);
    }
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| invalid("port_mappings.host_ip", text, "use an IP address, or nothing"))?,
        ),
    };
    Ok(Some(PortMapping {
        protocol: match mapping.protocol() {
            rpc::cri::Protocol::Tcp => Protocol::Tcp,
            rpc::cri::Protocol::Udp => Protocol::Udp,
            rpc::cri::Protocol::Sctp => Protocol::Sctp,
        },
        host_ip,
        host_port: HostPort::Fixed(number("port_mappings.host_port", mapping.host_port)?),
        container_port: number("port_mappings.container_port", mapping.container_port)?,
    }))
}

/// What a runtime class may name: nothing, us, and what people have in their manifests.
const HANDLERS: [&str; 3] = ["", "strake", "runc"];
