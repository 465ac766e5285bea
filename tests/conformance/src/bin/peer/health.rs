//! `health`: gRPC's health service, which says that all is well, or that for so many seconds.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

/// Serves until the process ends.
pub(crate) async fn run(port: u16, good_for_seconds: Option<u64>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await.with_context(|| format!("port {port}"))?;
    let since = Instant::now();
    let is_good =
        move || good_for_seconds.is_none_or(|seconds| since.elapsed() < Duration::from_secs(seconds));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let service = service_fn(move |request: Request<Incoming>| async move {
            // The answer does not depend on the question.
            request.into_body().collect().await?;
            Ok::<_, hyper::Error>(answer(if is_good() { SERVING } else { NOT_SERVING }))
        });
        // A client that goes away in the middle is its own affair.
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// One message of one field, and the call's good end.
fn answer(status: u8) -> Response<impl Body<Data = Bytes, Error = Infallible>> {
    let message = [0x08, status];
    let frame = [&[0, 0, 0, 0, 2][..], &message].concat();
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(end)) });
    let mut answer = Response::new(body);
    answer.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    answer
}
