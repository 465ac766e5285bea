//! `strake cri`: the engine for a kubelet of somebody else's.

mod serve;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake cri`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake cri\n  \
                        crictl --runtime-endpoint unix:///run/strake/cri.sock ps\n  \
                        kubelet --container-runtime-endpoint unix:///run/strake/cri.sock …")]
pub struct Args {
    /// Socket to listen on (default: cri.sock, in the state root)
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Address for the streams of exec, attach and port-forward; the port is any that is free
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub stream_address: IpAddr,
    /// Addresses of all pods of the cluster: pods get those of the node's range, which the kubelet
    /// tells (default: pods are on a bridge of this machine alone)
    #[arg(long, value_name = "CIDR")]
    pub cluster_cidr: Option<attach::Cidr>,
    /// Control group for pods that name none
    #[arg(long, value_name = "PATH", default_value = "/strake")]
    pub cgroup_parent: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    serve::serve(args, context)
}
