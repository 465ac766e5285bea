//! `strake server`: a cluster on one machine: the control plane, and a node.

mod audit_log;
mod joining;
mod keys;
mod loops;
mod manifests;
mod own;
mod run;
mod shared;
mod storage;
mod workers;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use apiserver::Cidr;

use super::store::place::EtcdOptions;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::humanize::duration_argument as duration;
use crate::node::args::NodeArgs;

/// Arguments of `strake server`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake server\n  \
                        strake server --disable-agent\n  \
                        strake server --datastore etcd://10.0.0.1:2379 --etcd-cafile ca.pem --token-file token      on each of several machines\n  \
                        KUBECONFIG=/var/lib/strake/server/admin.kubeconfig kubectl get namespaces")]
pub struct Args {
    /// Run the control plane only: this machine takes no pods
    #[arg(long)]
    pub disable_agent: bool,
    /// Leave pods to another scheduler
    #[arg(long)]
    pub disable_scheduler: bool,
    /// Leave the loops to another controller manager
    #[arg(long)]
    pub disable_controllers: bool,
    /// Directory of the store and the keys (default: server, in the data root)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind_address: IpAddr,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub secure_port: u16,
    /// Address that others reach this server at (default: this machine's)
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<IpAddr>,
    /// Another name or address for the server's certificate; may be repeated
    #[arg(long, value_name = "NAME")]
    pub tls_san: Vec<String>,
    /// Where to write the administrator's kubeconfig besides the data directory
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// etcd's members, such as etcd://10.0.0.1:2379 and more between commas, instead of the store in the data directory
    #[arg(long = "datastore", alias = "store", value_name = "ENDPOINTS", value_delimiter = ',')]
    pub store: Vec<String>,
    /// How etcd is reached.
    #[command(flatten)]
    pub etcd: EtcdOptions,
    /// The token of the cluster's servers, which opens the keys they share in etcd (default: $STRAKE_TOKEN, the file server-token, or a new one)
    #[arg(long, value_name = "TOKEN", requires = "store", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file with that token
    #[arg(long, value_name = "FILE", requires = "store")]
    pub token_file: Option<PathBuf>,
    /// How long old revisions stay readable, such as 10m; 0 keeps all of them
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub store_history: Duration,
    /// Range of services' addresses; two, between a comma, for both families
    #[arg(long, value_name = "CIDR", value_delimiter = ',', default_value = "10.43.0.0/16", value_parser = cidr)]
    pub service_cidr: Vec<Cidr>,
    /// Length of the prefix of a node's range of pods' addresses
    #[arg(long, value_name = "BITS", default_value_t = 24)]
    pub node_cidr_mask_size: u8,
    /// How long a node may be silent before its pods are told to leave, such as 50s
    #[arg(long, value_name = "DURATION", default_value = "50s", value_parser = duration)]
    pub node_monitor_grace_period: Duration,
    /// How long certificates that are asked for live at most, such as 8760h
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = duration)]
    pub cluster_signing_duration: Duration,
    /// Ports that services may have on nodes
    #[arg(long, value_name = "FROM-TO", default_value = "30000-32767", value_parser = ports)]
    pub node_port_range: RangeInclusive<u16>,
    /// Folder of manifests to apply, now and whenever they change (default: manifests, in the data directory)
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Most requests at a time that may write
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_mutating_requests_inflight: usize,
    /// Most requests at a time that only read
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_requests_inflight: usize,
    /// Queue requests by FlowSchemas and PriorityLevelConfigurations, with the sum of both limits
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub enable_priority_and_fairness: bool,
    /// The audit log
    #[command(flatten)]
    pub audit: audit_log::AuditArgs,
    /// Admission plugins to use besides those that are on, between commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins not to use, between commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// The node in this process
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    run::serve(args, context)
}

fn cidr(text: &str) -> Result<Cidr, String> {
    Cidr::parse(text).ok_or_else(|| "not a range such as 10.43.0.0/16".to_owned())
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "not a range such as 30000-32767".to_owned();
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from == 0 || from > to { Err(wrong()) } else { Ok(from..=to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_port_ranges() {
        assert_eq!(ports("30000-32767"), Ok(30000..=32767));
        for bad in ["", "1", "5-4", "0-9", "1-99999", "a-b"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
