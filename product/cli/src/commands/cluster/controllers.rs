//! `strake controllers`: the loops of the control plane alone, for any cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::controllers::Settings;
use client::{Api, Cache};
use controller::{Config, Election, Paths, Runtime, Signer, SystemClock};
use kube_object::user::User;

use super::certificates::Certificates;
use super::{identity, serve};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::humanize::duration_argument as duration;
use crate::kubeconfig::Cluster;

/// Arguments of `strake controllers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake controllers --kubeconfig /etc/kubernetes/controller-manager.conf \\\n    \
                        --root-ca-file /etc/kubernetes/pki/ca.crt \\\n    \
                        --cluster-signing-cert-file /etc/kubernetes/pki/ca.crt \\\n    \
                        --cluster-signing-key-file /etc/kubernetes/pki/ca.key")]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Certificates of the cluster's authority, which every namespace gets as kube-root-ca.crt
    #[arg(long, value_name = "FILE")]
    pub root_ca_file: Option<PathBuf>,
    /// Certificate of the authority that signs what is asked for of the signers of kubernetes.io (PEM)
    #[arg(long, value_name = "FILE", requires = "cluster_signing_key_file")]
    pub cluster_signing_cert_file: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "cluster_signing_cert_file")]
    pub cluster_signing_key_file: Option<PathBuf>,
    /// How long what is signed lives at most, such as 8760h
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = duration)]
    pub cluster_signing_duration: Duration,
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
        Some(path) => String::from_utf8_lossy(&read(path)?).into_owned(),
        None => String::new(),
    };
    let election = args.leader_elect.then(|| Election {
        identity: identity(),
        namespace: "kube-system".to_owned(),
        name: "kube-controller-manager".to_owned(),
    });
    let certificates = Certificates {
        api: Arc::clone(&api),
        authority: args.cluster_signing_cert_file.clone().zip(args.cluster_signing_key_file.clone()),
        seconds: i64::try_from(args.cluster_signing_duration.as_secs()).unwrap_or(i64::MAX),
    };
    // What is wrong with them is told now, not when a node asks.
    let signs = certificates.authority().transpose()?.is_some();
    let signer: Arc<dyn Signer> = Arc::new(certificates);
    let start = async |ended, _| {
        // Every loop acts as the kubeconfig's user.
        let own = Arc::clone(&api);
        let runtime = Runtime::new(Config {
            loops: ::controllers::all(),
            clients: Arc::new(move |_: User, _: &str| Arc::clone(&own)),
            mirror: Cache::start(&api, &[::controllers::known::definitions().clone()]),
            clock: Arc::new(SystemClock::default()),
            settings: Settings {
                root_ca,
                approves_certificates: true,
                signs_certificates: signs,
                ..Settings::default()
            },
            signer: Some(signer),
            paths: Some(paths),
            election,
        });
        Ok(runtime.run(ended))
    };
    serve("controllers", start, context)
}

/// A file that the operator named.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::message(format!("read {}: {error}", path.display())))
}
