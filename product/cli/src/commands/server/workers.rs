//! What works with the API in the server's own process: loops, scheduler, manifests, and a node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiserver::compose::Composed;
use apiserver::{ApiServer, LocalApi};
use auth::pki::Pki;
use client::{Api, Mirror};
use controller::{Election, SystemClock};
use controllers::NodeRange;
use kube_object::user::User;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::keys::Keys;
use super::manifests::Manifests;
use super::{Args, joining, loops, own};
use crate::commands::cluster::host;
use crate::context::Context;
use crate::error::CliError;
use crate::node::Node;
use crate::notices::Notices;

/// What they are made of.
pub(super) struct Workers<'a> {
    pub(super) args: &'a Args,
    pub(super) data: &'a Path,
    pub(super) server: &'a ApiServer,
    pub(super) composed: &'a Composed,
    pub(super) pki: &'a Pki,
    pub(super) held: Arc<loops::Held>,
    /// Where others reach this server.
    pub(super) advertised: SocketAddr,
    pub(super) keys: &'a Keys,
    pub(super) notices: Notices,
}

/// What was started.
pub(super) struct Started {
    /// Where the token is that other nodes join with.
    pub(super) token: PathBuf,
    /// The node's parts.
    pub(super) node: JoinSet<()>,
}

impl Workers<'_> {
    /// Starts all that the operator wants. The node ends when `leave` says so, before the others.
    pub(super) async fn start(
        self,
        context: &Context,
        tasks: &mut JoinSet<()>,
        leave: watch::Receiver<bool>,
        ended: watch::Receiver<bool>,
    ) -> Result<Started, CliError> {
        let args = self.args;
        if !args.disable_controllers {
            let runtime = loops::runtime(self.server, self.composed, self.pki, &self.held, self.parts());
            tasks.spawn(runtime.run(ended.clone()));
        }
        if !args.disable_scheduler {
            tasks.spawn(binder::run(self.binder(), ended.clone()));
        }
        let own = Arc::new(self.api("system:apiserver", "system:masters", "strake-server"));
        let token = joining::ensure(self.data, &self.pki.server_ca.certificate, own.as_ref()).await?;
        tasks.spawn(self.manifests(own).run(ended));
        let node = match args.disable_agent {
            true => JoinSet::new(),
            false => self.node().start(context, leave).await?,
        };
        Ok(Started { token, node })
    }

    /// The API in the name of one of us.
    fn api(&self, user: &str, group: &str, agent: &str) -> LocalApi {
        let groups = [group, "system:authenticated"].into_iter().filter(|group| !group.is_empty());
        let user =
            User { name: user.to_owned(), groups: groups.map(str::to_owned).collect(), ..User::default() };
        LocalApi::new(self.server.registry(), user, agent)
    }

    /// Servers with a store of their own have nobody to share the work with. The others are known by what no
    /// two of them have: a server that was killed leads again at once, and none takes itself for another.
    fn identity(&self) -> Option<String> {
        (!self.args.store.is_empty()).then(|| format!("{}_{}", host(), self.advertised))
    }

    fn parts(&self) -> loops::Parts {
        let pods = self.args.node.cluster_cidr;
        loops::Parts {
            identity: self.identity(),
            reserved: self.keys.addresses().to_vec(),
            own_node: (!self.args.disable_agent).then(|| self.node_user()),
            node_grace: self.args.node_monitor_grace_period,
            services: self.args.service_cidr.clone(),
            local_volumes: self.data.parent().unwrap_or(self.data).join("storage"),
            pods: NodeRange {
                network: pods.network().into(),
                bits: pods.prefix(),
                node_bits: self.args.node_cidr_mask_size.max(pods.prefix()),
            },
        }
    }

    fn node_user(&self) -> String {
        format!("system:node:{}", self.args.node.name())
    }

    fn binder(&self) -> binder::Config {
        let api = self.api("system:kube-scheduler", "", "kube-scheduler");
        binder::Config {
            api: Arc::new(api),
            mirror: self.server.cache().clone(),
            clock: Arc::new(SystemClock::default()),
            names: vec![binder::DEFAULT_SCHEDULER.to_owned()],
            instance: self.args.node.name(),
            election: self.identity().map(|identity| Election {
                identity,
                namespace: "kube-system".to_owned(),
                name: "kube-scheduler".to_owned(),
            }),
        }
    }

    fn node(&self) -> Node {
        let mirror: Arc<dyn Mirror> = self.server.cache().clone();
        Node {
            args: self.args.node.clone(),
            api: Arc::new(self.api(&self.node_user(), "system:nodes", "kubelet")),
            mirror,
            client_authority: self.pki.client_ca.certificate.clone(),
            directory: self.data.parent().unwrap_or(self.data).join("agent"),
            notices: self.notices.clone(),
        }
    }

    fn manifests(&self, api: Arc<dyn Api>) -> Manifests {
        let kinds = Arc::clone(self.server.registry().kinds());
        Manifests {
            api,
            find: Arc::new(move |gvk| {
                let resource = kinds.by_gvk(gvk)?;
                Some((resource.gvr.clone(), resource.namespaced))
            }),
            own: own::manifests(self.args, self.pki),
            folder: self.args.manifests.clone().unwrap_or_else(|| self.data.join("manifests")),
            notices: self.notices.clone(),
        }
    }
}
