//! The parts of the runtime, put together.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use attach::{Cidr, Mode, PodNetwork, PodNetworkConfig};
use cri::{MakePodNetwork, SandboxNetwork};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::Args;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::node::{Own, OwnRuntime, own_runtime};
use crate::notices;
use crate::signals::Ends;

/// Serves until a signal asks for the end. Containers go on.
pub(super) fn serve(args: &Args, context: &Context) -> Result<Status, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("cri").build()?;
    let result = runtime.block_on(run(args, context));
    runtime.shutdown_background();
    result.map(|()| Status::SUCCESS)
}

async fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut ends = Ends::take()?;
    let (shutdown, ended) = watch::channel(false);
    let (notices, mut said) = notices::channel();
    let own = Own {
        cgroup_parent: &args.cgroup_parent,
        streams: SocketAddr::new(args.stream_address, 0),
        network: if args.cluster_cidr.is_some() { SandboxNetwork::Pod } else { SandboxNetwork::Bridge },
        make_pod_network: args.cluster_cidr.map(|cluster| pod_network(context, cluster)),
        notices,
    };
    let OwnRuntime { runtime, streams, .. } = own_runtime(context, own, &ended).await?;
    let socket = args.socket.clone().unwrap_or_else(|| context.state.join("cri.sock"));
    let listener = listen(&socket)?;
    let streams = tokio::spawn(streams);
    let calls = tokio::spawn(cri::serve(listener, Arc::clone(&runtime) as _, runtime as _, ended));
    context.say(format_args!("strake: the container runtime listens on unix://{}", socket.display()));
    context.flush()?;
    tokio::select! {
        never = said.pass_on(context) => match never {},
        () = ends.wait() => {}
    }
    shutdown.send_replace(true);
    let _ = streams.await;
    match calls.await {
        Ok(done) => Ok(done?),
        Err(_) => Ok(()),
    }
}

/// Makes the network of pods in the range that the kubelet tells. Ways to other nodes are made by
/// whoever knows of them.
fn pod_network(context: &Context, cluster: Cidr) -> Box<MakePodNetwork> {
    let state = context.state.join("network");
    Box::new(move |range| {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let config = PodNetworkConfig::new(state.clone(), node, (range, cluster));
        PodNetwork::open(PodNetworkConfig { mode: Mode::Bridge, ..config })
    })
}

/// Listens on a socket, in place of one that nobody listens on any more.
fn listen(socket: &Path) -> Result<UnixListener, CliError> {
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        let message = format!("somebody listens on {} already", socket.display());
        return Err(CliError::message(message).with_fix("end that one, or name another --socket"));
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(UnixListener::bind(socket)?)
}
