//! Who runs containers: our engine in this process, or a runtime behind a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use cri::{Config, Cri, SandboxNetwork};
use engine::Engine;
use rpc::cri::{ImageService, Remote, RuntimeService};
use tokio::sync::watch;

use super::args::NodeArgs;
use crate::commands::image::remote::remote;
use crate::context::Context;
use crate::error::CliError;

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
    shutdown: &watch::Receiver<bool>,
) -> Result<Runtime, CliError> {
    if let Some(endpoint) = &args.container_runtime_endpoint {
        let remote = Arc::new(Remote::at(endpoint)?);
        return Ok(Runtime { runtime: remote.clone(), images: remote, engine: None, streams: None });
    }
    let engine = Engine::open(&context.root, &context.state)?
        .with_companions(context.environment.companions.clone())
        .with_cgroup_parent(&args.pods_cgroup);
    let engine = Arc::new(engine);
    offer_tools(&engine, context).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (server, listener) = cri::open_streams(Arc::clone(&engine), address, shutdown.clone()).await?;
    let config = Config {
        engine: Arc::clone(&engine),
        remote: remote(context),
        network: SandboxNetwork::Pod,
        make_pod_network: None,
        streams: Some(Arc::clone(&server)),
    };
    let cri = Arc::new(Cri::start(config).await?);
    Ok(Runtime {
        runtime: cri.clone(),
        images: cri,
        engine: Some(engine),
        streams: Some(Box::pin(server.serve(listener))),
    })
}

/// Makes the built-in image, so that pods can ask for it; a strake that is not static has none.
pub async fn offer_tools(engine: &Arc<Engine>, context: &Context) {
    let (engine, executable) = (Arc::clone(engine), context.environment.executable.clone());
    let made = tokio::task::spawn_blocking(move || {
        engine
            .ensure_tools_image(&executable, &crate::tools::TOOLS)
            .map_err(|error| engine::error_chain(&error))
    });
    match made.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => context.warn(error),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
