//! The two services on a unix socket, for clients in other processes.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rpc::cri::image_service_server::ImageServiceServer;
use rpc::cri::runtime_service_server::RuntimeServiceServer;
use rpc::cri::{ImageService, MESSAGE_MAX_BYTES, RuntimeService, Served};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::Service;

/// Both services of one runtime.
#[derive(Clone)]
struct Services {
    runtime: RuntimeServiceServer<Served<dyn RuntimeService>>,
    images: ImageServiceServer<Served<dyn ImageService>>,
}

/// Serves on `listener` until `shutdown` is true. Calls under way are cut off then, which they
/// must survive in any case.
pub async fn serve(
    listener: UnixListener,
    runtime: Arc<dyn RuntimeService>,
    images: Arc<dyn ImageService>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = RuntimeServiceServer::new(Served(runtime));
    let images = ImageServiceServer::new(Served(images));
    let services = Services {
        runtime: runtime
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES),
        images: images
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
            .max_encoding_message_size(MESSAGE_MAX_BYTES),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(connection(stream, services.clone()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            ended = shutdown.wait_for(|stop| *stop) => {
                // Nobody is left who could say so: that is an end as well.
                drop(ended);
                return Ok(());
            }
        }
    }
}

async fn connection(stream: UnixStream, services: Services) {
    let service = service_fn(move |request| answer(services.clone(), request));
    let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    // A client that goes away in the middle is its own affair.
    let _ = served.await;
}

async fn answer(mut services: Services, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    match request.uri().path().starts_with("/runtime.v1.ImageService/") {
        true => services.images.call(request).await,
        // It answers UNIMPLEMENTED to what is no call of its own.
        false => services.runtime.call(request).await,
    }
}
