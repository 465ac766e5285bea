//! Who runs containers: our engine in this process, or a runtime behind a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use cri::{Config, Cri, MakePodNetwork, SandboxNetwork};
use engine::Engine;
use rpc::cri::{ImageService, Remote, RuntimeService};
use tokio::sync::watch;

use super::args::NodeArgs;
use crate::commands::image::remote::remote;
use crate::context::Context;
use crate::error::CliError;
use crate::notices::Notices;

/// A container runtime.
pub(super) struct Runtime {
    pub(super) runtime: Arc<dyn RuntimeService>,
    pub(super) images: Arc<dyn ImageService>,
    /// The engine, if it is ours.
    pub(super) engine: Option<Arc<Engine>>,
    /// Its server of streams.
    pub(super) streams: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The runtime that the operator wants.
pub(super) async fn runtime(
    args: &NodeArgs,
    context: &Context,
    notices: &Notices,
    shutdown: &watch::Receiver<bool>,
) -> Result<Runtime, CliError> {
    if let Some(endpoint) = &args.container_runtime_endpoint {
        let remote = Arc::new(Remote::at(endpoint)?);
        return Ok(Runtime { runtime: remote.clone(), images: remote, engine: None, streams: None });
    }
    let own = own_runtime(
        context,
        Own {
            cgroup_parent: &args.pods_cgroup,
            streams: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            network: SandboxNetwork::Pod,
            make_pod_network: None,
            notices: notices.clone(),
        },
        shutdown,
    )
    .await?;
    Ok(Runtime {
        runtime: own.runtime.clone(),
        images: own.runtime,
        engine: Some(own.engine),
        streams: Some(own.streams),
    })
}

/// How our own engine runs pods.
pub struct Own<'a> {
    /// The cgroup above all pods'.
    pub cgroup_parent: &'a str,
    /// Where bytes of containers are streamed.
    pub streams: SocketAddr,
    /// What networks sandboxes are in.
    pub network: SandboxNetwork,
    /// Makes the network of pods when its range is told, where nobody else does.
    pub make_pod_network: Option<Box<MakePodNetwork>>,
    /// Where it says what goes wrong.
    pub notices: Notices,
}

/// Our own engine as a container runtime.
pub struct OwnRuntime {
    /// What answers.
    pub runtime: Arc<Cri>,
    /// The engine below it.
    pub engine: Arc<Engine>,
    /// The server of streams.
    pub streams: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Puts engine, streams and the runtime's interface together.
pub async fn own_runtime(
    context: &Context,
    own: Own<'_>,
    shutdown: &watch::Receiver<bool>,
) -> Result<OwnRuntime, CliError> {
    let engine = Engine::open(&context.root, &context.state)?
        .with_companions(context.environment.companions.clone())
        .with_cgroup_parent(own.cgroup_parent);
    let engine = Arc::new(engine);
    let tools = offer_tools(&engine, context, own.notices);
    let (server, listener) = cri::open_streams(Arc::clone(&engine), own.streams, shutdown.clone()).await?;
    let config = Config {
        engine: Arc::clone(&engine),
        remote: remote(context),
        network: own.network,
        make_pod_network: own.make_pod_network,
        streams: Some(Arc::clone(&server)),
        tools,
    };
    let runtime = Arc::new(Cri::start(config).await?);
    Ok(OwnRuntime { runtime, engine, streams: Box::pin(server.serve(listener)) })
}

/// Makes the built-in image, so that pods can ask for it; a strake that is not static has none. It is
/// large: the node does not wait for it, only who asks for it. Tells when that is over.
fn offer_tools(engine: &Arc<Engine>, context: &Context, notices: Notices) -> watch::Receiver<bool> {
    let (engine, executable) = (Arc::clone(engine), context.environment.executable.clone());
    let (over, made) = watch::channel(false);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = engine.ensure_tools_image(&executable, &crate::tools::TOOLS) {
            notices.warn(engine::error_chain(&error));
        }
        over.send_replace(true);
    });
    made
}
