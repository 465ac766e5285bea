//! `strake controllers`: the loops of the control plane alone, for any cluster.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ::controllers::Settings;
use client::{Api, Cache};
use controller::{Config, Election, Paths, Runtime, SystemClock};
use kube_object::user::User;

use super::{identity, serve};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;

/// Arguments of `strake controllers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake controllers --kubeconfig /etc/kubernetes/controller-manager.conf \\\n    \
                        --root-ca-file /etc/kubernetes/pki/ca.crt")]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Certificates of the cluster's authority, which every namespace gets as kube-root-ca.crt
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: Option<PathBuf>,
    /// Act only while holding the Lease kube-system/kube-controller-manager
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let own = Arc::new(args.cluster.client(context, "controllers")?);
    let paths: Arc<dyn Paths> = own.clone();
    let api: Arc<dyn Api> = own;
    let root_ca = match &args.root_ca_file {
        Some(path) => fs::read_to_string(path)
            .map_err(|error| CliError::message(format!("read {}: {error}", path.display())))?,
        None => String::new(),
    };
    let election = args.leader_elect.then(|| Election {
        identity: identity(),
        namespace: "kube-system".to_owned(),
        name: "kube-controller-manager".to_owned(),
    });
    let start = async |ended, _| {
        // Every loop acts as the kubeconfig's user.
        let own = Arc::clone(&api);
        let runtime = Runtime::new(Config {
            loops: ::controllers::all(),
            clients: Arc::new(move |_: User, _: &str| Arc::clone(&own)),
            mirror: Cache::start(&api, &[::controllers::known::definitions().clone()]),
            clock: Arc::new(SystemClock::default()),
            settings: Settings { root_ca, ..Settings::default() },
            signer: None,
            paths: Some(paths),
            election,
        });
        Ok(runtime.run(ended))
    };
    serve("controllers", start, context)
}
