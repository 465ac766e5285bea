//! The parts of the server, put together and taken apart again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use apiserver::compose::{Composed, Setup, compose, git_version};
use apiserver::http::limits::Limits;
use apiserver::http::{Listener, Settings, serve as serve_http};
use apiserver::{ApiServer, Config, Network, rest};
use apiserver::{aggregate, endpoints, fairness};
use auth::pki::Pki;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::keys::{self, Keys};
use super::loops::Held;
use super::shared::Shared;
use super::workers::{Started, Workers};
use super::{Args, storage};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::node::own_address;
use crate::notices;
use crate::signals::Ends;

/// Serves until a signal asks for the end.
pub(super) fn serve(args: &Args, context: &Context) -> Result<Status, CliError> {
    let started = Instant::now();
    let data = args.data_dir.clone().unwrap_or_else(|| context.root.join("server"));
    let data = make_directory(&data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("server").build()?;
    let result = runtime.block_on(async {
        let mut ends = Ends::take()?;
        let opened = storage::open(args, &data, context)?;
        run(args, context, &data, &opened, &mut ends, started).await
    });
    runtime.shutdown_background();
    result.map(|()| Status::SUCCESS)
}

async fn run(
    args: &Args,
    context: &Context,
    data: &Path,
    opened: &storage::Opened,
    ends: &mut Ends,
    started: Instant,
) -> Result<(), CliError> {
    let audit = args.audit.open(context)?;
    let address = SocketAddr::new(args.bind_address, args.secure_port);
    let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(address, &error))?;
    let port = listener.local_addr()?.port();
    let advertised = SocketAddr::new(args.advertise_address.unwrap_or_else(own_address), port);
    let shared = Shared::new(args, data, &opened.store, context)?;
    let keys = Keys::new(args, data, advertised, shared);
    let pki = keys.ensured().await?;
    let server = ApiServer::open(Config {
        network: Network { cidrs: args.service_cidr.clone(), node_ports: args.node_port_range.clone() },
        endpoint: args.store.is_empty().then_some(advertised),
        ..Config::new(Arc::clone(&opened.store))
    })
    .await?;
    let (shutdown, ended) = watch::channel(false);
    let setup = Setup { audit: audit.clone(), ..setup(args, &pki, advertised, ended.clone())? };
    let composed = Arc::new(compose(&server, setup)?);
    let (tls, tls_now) = watch::channel(keys::tls_config(&pki)?);
    let mut tasks = JoinSet::new();
    let listener = Listener::Tls(listener, tls_now);
    tasks.spawn(serve_http(Arc::clone(&composed.front), listener, Settings::default(), ended.clone()));
    tasks.spawn(opened.maintenance(ended.clone()));
    let give_back = context.environment.give_back_memory;
    tasks.spawn(rest::run(Arc::clone(server.cache()), give_back, ended.clone()));
    let held = Arc::new(Held::new(&pki, keys.url(), args.cluster_signing_duration)?);
    let show = {
        let (composed, held) = (Arc::clone(&composed), Arc::clone(&held));
        move |pki| keys::show(pki, &tls, &composed, &held)
    };
    tasks.spawn(keys.clone().renewal(pki.look_again_at, show, ended.clone()));
    composed.bootstrap(&server).await?;
    let others = (!args.store.is_empty()).then_some((&opened.store, advertised));
    follow(&mut tasks, &server, &composed, others, &ended);
    let (notices, mut said) = notices::channel();
    let workers = Workers {
        args,
        data,
        server: &server,
        composed: &composed,
        pki: &pki,
        held,
        advertised,
        keys: &keys,
        notices,
    };
    let (leave, left) = watch::channel(false);
    let Started { token, mut node } = workers.start(context, &mut tasks, left, ended).await?;
    say_ready(context, &keys, &token, started);
    tokio::select! {
        () = node_ended(ends, &leave, &mut node) => {}
        never = said.pass_on(context) => match never {},
    }
    shutdown.send_replace(true);
    // Watches end with the server; the requests that are left end by themselves.
    server.close().await;
    while tasks.join_next().await.is_some() {}
    if let Some(audit) = audit {
        audit.flush().await;
    }
    Ok(())
}

/// The loops of the front: of what is served elsewhere, of who is served first, and, with `others` on the
/// same store, of where all of them are.
fn follow(
    tasks: &mut JoinSet<()>,
    server: &ApiServer,
    composed: &Composed,
    others: Option<(&Arc<dyn Store>, SocketAddr)>,
    ended: &watch::Receiver<bool>,
) {
    let registry = || Arc::clone(server.registry());
    tasks.spawn(aggregate::run(registry(), Arc::clone(&composed.aggregator), ended.clone()));
    tasks.spawn(fairness::run(registry(), Arc::clone(&composed.front), ended.clone()));
    if let Some((store, advertised)) = others {
        tasks.spawn(endpoints::run(registry(), Arc::clone(store), advertised, ended.clone()));
    }
}

fn setup<'a>(
    args: &Args,
    pki: &'a Pki,
    advertised: SocketAddr,
    shutdown: watch::Receiver<bool>,
) -> Result<Setup<'a>, CliError> {
    Ok(Setup {
        pki,
        issuer: keys::ISSUER.to_owned(),
        audiences: keys::audiences(),
        address: advertised.to_string(),
        limits: limits(args)?,
        audit: None,
        admission: admission(args),
        node_proxy: None,
        shutdown,
    })
}

/// Returns when a signal has asked for the end and the node has ended, or at a second signal. Pods that
/// end with the node are told of in the API, which ends after it.
async fn node_ended(ends: &mut Ends, leave: &watch::Sender<bool>, node: &mut JoinSet<()>) {
    ends.wait().await;
    leave.send_replace(true);
    tokio::select! {
        () = async { while node.join_next().await.is_some() {} } => {}
        () = ends.wait() => {}
    }
}

fn say_ready(context: &Context, keys: &Keys, token: &Path, started: Instant) {
    let millis = started.elapsed().as_millis();
    context.say(format_args!("strake server {} ready in {millis} ms at {}", git_version(), keys.url()));
    if let Some(path) = keys.kubeconfig() {
        context.say(format_args!("export KUBECONFIG={}", path.display()));
    }
    context.say(format_args!("nodes join with the token in {}", token.display()));
}

fn limits(args: &Args) -> Result<Limits, CliError> {
    let (mutating, read_only) = (args.max_mutating_requests_inflight, args.max_requests_inflight);
    let fair = args.enable_priority_and_fairness;
    if fair && mutating == 0 && read_only == 0 {
        let message = "invalid configuration: MaxRequestsInFlight=0 and MaxMutatingRequestsInFlight=0; they must add up to something positive";
        return Err(CliError::message(message).with_fix(
            "give --max-requests-inflight a number, or give --enable-priority-and-fairness=false",
        ));
    }
    Ok(Limits { mutating, read_only, fair })
}

fn admission(args: &Args) -> admission::Config {
    admission::Config {
        enable: args.enable_admission_plugins.iter().cloned().collect(),
        disable: args.disable_admission_plugins.iter().cloned().collect(),
        ..admission::Config::default()
    }
}

fn make_directory(path: &Path) -> Result<PathBuf, CliError> {
    let made = std::fs::create_dir_all(path).and_then(|()| std::fs::canonicalize(path));
    made.map_err(|error| CliError::message(format!("make {}: {error}", path.display())))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> CliError {
    let message = format!("listen at {address}: {error}");
    CliError::message(message).with_fix("name another address with --bind-address or --secure-port")
}
