//! `strake proxy`: services' addresses alone, on a node of any cluster.

use std::net::Ipv4Addr;
use std::sync::Arc;

use client::{Api, Cache, Mirror};
use proxy_rules::{Facts, Range};
use service_proxy::{Config, ServiceProxy};

use super::serve;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::files::host_name;
use crate::kubeconfig::Cluster;
use crate::node::keep_services;

/// Arguments of `strake proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake proxy --kubeconfig /etc/kubernetes/kube-proxy.conf --cluster-cidr 10.244.0.0/16")]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The name of this machine's node (default: the host's)
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// An address of this machine, before its Node tells them; may be repeated
    #[arg(long, value_name = "IP")]
    pub node_ip: Vec<Ipv4Addr>,
    /// Range of all pods' addresses
    #[arg(long, value_name = "CIDR", default_value = "10.42.0.0/16")]
    pub cluster_cidr: attach::Cidr,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let api: Arc<dyn Api> = Arc::new(args.cluster.client(context, "proxy")?);
    let host = || host_name().unwrap_or_default().to_ascii_lowercase();
    let facts = Facts {
        node: args.node_name.clone().unwrap_or_else(host),
        addresses: args.node_ip.clone(),
        cluster: Range::parse(&args.cluster_cidr.to_string()).into_iter().collect(),
        ..Facts::default()
    };
    let start = async |ended, notices| {
        let mirror: Arc<dyn Mirror> = Cache::start(&api, &Config::resources());
        Ok(keep_services(ServiceProxy::new(Config::new(mirror, facts)), notices, ended))
    };
    serve("proxy", start, context)
}
