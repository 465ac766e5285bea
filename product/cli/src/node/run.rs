//! The parts of a node, started together.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use client::{Api, Mirror};
use kubelet::{Config, Kubelet, NodeConfig, Paths, Traffic};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::NodeArgs;
use super::parts::{Runtime, runtime};
use super::{local_volumes, names, network, services, serving};
use crate::context::Context;
use crate::error::CliError;
use crate::notices::Notices;

/// What a node is made of.
pub struct Node {
    /// What its operator says.
    pub args: NodeArgs,
    /// The API, in its name.
    pub api: Arc<dyn Api>,
    /// What it sees of the cluster besides its own pods.
    pub mirror: Arc<dyn Mirror>,
    /// Who signs certificates of clients, as PEM: the API server shows one.
    pub client_authority: String,
    /// Where its keys and its pods' volumes are kept.
    pub directory: PathBuf,
    /// Where its parts say what goes wrong.
    pub notices: Notices,
}

impl Node {
    /// Starts all of it; the tasks end with the shutdown. Pods go on, unless they are to end before
    /// what they need of the node does.
    pub async fn start(
        self,
        context: &Context,
        shutdown: watch::Receiver<bool>,
    ) -> Result<JoinSet<()>, CliError> {
        let mut tasks = JoinSet::new();
        let (kubelet_ended, rest) = watch::channel(false);
        let (leave, shutdown) = (shutdown, rest);
        let Runtime { runtime, images, engine, streams } =
            runtime(&self.args, context, &self.notices, &shutdown).await?;
        if let Some(streams) = streams {
            tasks.spawn(streams);
        }
        let mut networked = None;
        if let Some(engine) = engine {
            let (made, is_made) = watch::channel(false);
            tasks.spawn(network::run(&self, engine, made, shutdown.clone())?);
            networked = Some(is_made);
        }
        let mut traffic: Arc<dyn Traffic> = Arc::new(kubelet::NoTraffic);
        if !self.args.disable_service_proxy {
            let proxy = services::proxy(&self);
            tasks.spawn(services::run(proxy.clone(), self.notices.clone(), shutdown.clone()));
            traffic = Arc::new(services::Services(proxy));
        }
        if !self.args.disable_dns {
            tasks.spawn(names::run(&self, networked, shutdown.clone()));
        }
        tasks.spawn(local_volumes::run(&self, shutdown.clone()));
        let kubelet = Kubelet::new(self.kubelet((runtime, images), traffic)?);
        tasks.spawn(serving::run(&self, kubelet.handle(), shutdown.clone())?);
        tasks.spawn(async move {
            kubelet.run(leave).await;
            kubelet_ended.send_replace(true);
        });
        Ok(tasks)
    }

    /// The node's address towards the others.
    pub(super) fn address(&self) -> IpAddr {
        self.args.node_ip.unwrap_or_else(own_address)
    }

    fn kubelet(
        &self,
        (runtime, images): (Arc<dyn rpc::cri::RuntimeService>, Arc<dyn rpc::cri::ImageService>),
        traffic: Arc<dyn Traffic>,
    ) -> Result<Config, CliError> {
        let args = &self.args;
        let root = self.directory.join("kubelet");
        std::fs::create_dir_all(&root)
            .map_err(|error| CliError::message(format!("make {}: {error}", root.display())))?;
        Ok(Config {
            api: Arc::clone(&self.api),
            runtime,
            images,
            traffic,
            clock: Arc::new(base::SystemClock),
            node: NodeConfig {
                name: args.name(),
                addresses: vec![self.address().to_string()],
                labels: args.labels(),
                taints: args.node_taint.clone(),
                max_pods: args.max_pods,
                port: args.kubelet_port,
                reserved: args.reserved.iter().cloned().collect(),
                registers: true,
                ..NodeConfig::default()
            },
            paths: Paths {
                root,
                logs: args.pod_logs.clone(),
                static_pods: args.pod_manifests.clone(),
                ..Paths::default()
            },
            cluster_dns: if args.disable_dns && args.cluster_dns.is_none() {
                Vec::new()
            } else {
                vec![args.cluster_dns().to_string()]
            },
            cluster_domain: args.cluster_domain.clone(),
            cgroup_root: args.pods_cgroup.clone(),
            allowed_sysctls: args.allowed_unsafe_sysctls.clone(),
            logs: args.log_rotation(),
            image_collection: args.image_collection(),
            eviction: args.eviction(),
            shutdown_grace: args.shutdown_grace(),
        })
    }
}

/// The address by which others reach this machine: that of the way to anywhere else.
pub fn own_address() -> IpAddr {
    // Nothing is sent: connecting a datagram socket only looks at the routes.
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
