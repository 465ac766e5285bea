//! Logs: the kubelet's answer as a stream, plain or in the messages of a WebSocket.

use std::time::Duration;

use audit::Trail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::query;
use crate::aggregate::{ForwardError, Way, send};
use crate::registry::{NodeBody, PodPlace};

/// So much of a refusal is passed on.
const REFUSAL_MAX: usize = 50_000;
/// How long a client may take to answer our good-bye.
const LINGER: Duration = Duration::from_secs(5);

/// What the kubelet is asked.
pub(super) fn path(pod: &PodPlace, container: &str, asked: &str) -> Result<String, Status> {
    let place = format!("/containerLogs/{}/{}/{container}", pod.namespace, pod.name);
    Ok(super::with_query(&place, &query::log(&pod.name, asked)?))
}

/// Asks the kubelet and streams what it says.
pub(super) async fn serve(
    way: &Way,
    path: &str,
    pod: &str,
    request: Request<Incoming>,
    shutdown: watch::Receiver<bool>,
) -> Result<Response<NodeBody>, Status> {
    let onward = Request::get(path).header(HOST, way.host.as_str()).body(Empty::<Bytes>::new());
    let onward = onward.map_err(Status::internal)?;
    let answered = send(way, onward, shutdown.clone()).await;
    let failed = |error: ForwardError| {
        Status::new(500, "", format!("Get \"https://{}{path}\": {}", way.address, error.words()))
    };
    let answer = answered.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(refused(pod, answer).await);
    }
    if let Some(protocol) = websocket(request.headers()) {
        return upgrade(protocol, request, answer.into_body(), shutdown);
    }
    let mut response = Response::new(answer.into_body().map_err(Into::into).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The kubelet's refusal as the API tells it.
async fn refused(pod: &str, answer: Response<Incoming>) -> Status {
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), REFUSAL_MAX).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    let about = |reason: &'static str, message: String| {
        Status::new(code, reason, message).about(&GroupResource::new("", "pods/log"), pod)
    };
    match code {
        400 => Status::bad_request(text),
        500 => Status::internal(text),
        404 => about("NotFound", format!("the server could not find the requested resource ({text})")),
        422 => about("Invalid", text),
        401 => about(
            "Unauthorized",
            format!("the server has asked for the client to provide credentials ({text})"),
        ),
        403 => about("Forbidden", text),
        _ => about("", text),
    }
}

/// The sub-protocol, if the client wants messages: empty is the first.
fn websocket(headers: &HeaderMap) -> Option<Result<&'static str, ()>> {
    let upgrade = headers.get(UPGRADE)?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> =
        offered.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect();
    if offered.is_empty() {
        return Some(Ok(""));
    }
    let known = ["binary.k8s.io", "base64.binary.k8s.io"];
    Some(known.into_iter().find(|known| offered.contains(known)).ok_or(()))
}

fn upgrade(
    protocol: Result<&'static str, ()>,
    mut request: Request<Incoming>,
    log: Incoming,
    mut shutdown: watch::Receiver<bool>,
) -> Result<Response<NodeBody>, Status> {
    let protocol = protocol.map_err(|()| {
        Status::bad_request(
            "requested protocols are not supported; supports binary.k8s.io base64.binary.k8s.io",
        )
    })?;
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let key = key.ok_or_else(|| Status::bad_request("the request is no WebSocket handshake"))?;
    let upgraded = hyper::upgrade::on(&mut request);
    // The record of a request ends with its connection.
    let trail = request.extensions().get::<Trail>().cloned();
    tokio::spawn(async move {
        let sending = async {
            let Ok(upgraded) = upgraded.await else { return };
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            pump(socket, log, protocol.starts_with("base64.")).await;
        };
        tokio::select! {
            () = sending => {}
            () = client::asked_to_end(&mut shutdown) => {}
        }
        drop(trail);
    });
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&key).map_err(Status::internal)?);
    if !protocol.is_empty() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(response)
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Sends a log's pieces until its end, or until the client goes away.
async fn pump(socket: Socket, mut log: Incoming, base64: bool) {
    let (mut sink, mut source) = socket.split();
    let message = |bytes: Bytes| {
        if base64 { Message::Text(STANDARD.encode(&bytes).into()) } else { Message::Binary(bytes) }
    };
    let sending = async {
        // As upstream: an empty message first.
        let mut sent = sink.send(message(Bytes::new())).await;
        while sent.is_ok() {
            let Some(Ok(frame)) = log.frame().await else { break };
            let Ok(bytes) = frame.into_data() else { continue };
            sent = sink.send(message(bytes)).await;
        }
        // A client that is gone needs no good-bye.
        drop(sink.close().await);
    };
    let gone = async { while source.next().await.is_some_and(|message| message.is_ok()) {} };
    let (sending, mut gone) = (std::pin::pin!(sending), std::pin::pin!(gone));
    tokio::select! {
        () = sending => drop(tokio::time::timeout(LINGER, &mut gone).await),
        () = &mut gone => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_wants_messages() {
        let headers = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            fields.iter().for_each(|(name, value)| {
                headers.append(*name, HeaderValue::from_static(value));
            });
            headers
        };
        let upgrade = ("upgrade", "websocket");
        for (fields, expected) in [
            (&[][..], None),
            (&[("upgrade", "SPDY/3.1")], None),
            (&[upgrade], Some(Ok(""))),
            (&[upgrade, ("sec-websocket-protocol", "binary.k8s.io")], Some(Ok("binary.k8s.io"))),
            (
                &[upgrade, ("sec-websocket-protocol", "x, base64.binary.k8s.io")],
                Some(Ok("base64.binary.k8s.io")),
            ),
            (&[upgrade, ("sec-websocket-protocol", "x")], Some(Err(()))),
        ] {
            assert_eq!(websocket(&headers(fields)), expected, "{fields:?}");
        }
    }
}
