//! `strake scheduler`: the scheduler alone, for any cluster.

use std::sync::Arc;

use binder::{Config, DEFAULT_SCHEDULER};
use client::{Api, Cache};
use controller::{Election, SystemClock};

use super::{host, identity, serve};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;

/// Arguments of `strake scheduler`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake scheduler --kubeconfig /etc/kubernetes/scheduler.conf\n  \
                        strake scheduler --name default-scheduler --name batch --leader-elect=false")]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// A schedulerName that it answers to; may be repeated
    #[arg(long, value_name = "NAME", default_value = DEFAULT_SCHEDULER)]
    pub name: Vec<String>,
    /// Act only while holding the Lease kube-system/kube-scheduler
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let api: Arc<dyn Api> = Arc::new(args.cluster.client(context, "scheduler")?);
    let election = args.leader_elect.then(|| Election {
        identity: identity(),
        namespace: "kube-system".to_owned(),
        name: "kube-scheduler".to_owned(),
    });
    let names = args.name.clone();
    let start = async |ended, _| {
        let mirror = Cache::start(&api, &binder::resources());
        let clock = Arc::new(SystemClock::default());
        Ok(binder::run(Config { api, mirror, clock, names, instance: host(), election }, ended))
    };
    serve("scheduler", start, context)
}
