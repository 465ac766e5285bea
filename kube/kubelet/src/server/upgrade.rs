//! A request that the runtime's streaming server answers: handed on, and the upgraded connections
//! joined byte for byte.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::answer::{Body, Refusal, full};

/// How long the runtime's server may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Hands a request on to `url`.
pub(super) async fn join(
    url: &str,
    mut request: Request<Incoming>,
    mut shutdown: watch::Receiver<bool>,
) -> Result<Response<Body>, Refusal> {
    let failed = |why: &dyn std::fmt::Display| {
        Refusal::internal(format!("error dialing the runtime's streaming server: {why}"))
    };
    let uri: Uri = url.parse().map_err(|why| failed(&why))?;
    let authority = uri.authority().ok_or_else(|| failed(&"its URL has no host"))?.to_string();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&authority)).await;
    let stream = connected.map_err(|why| failed(&why))?.map_err(|why| failed(&why))?;
    // Keys that are typed should not wait for more.
    drop(stream.set_nodelay(true));
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|why| failed(&why))?;
    let mut ended = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = connection.with_upgrades() => {}
            () = client::asked_to_end(&mut ended) => {}
        }
    });
    let mut onward = Request::builder().method(request.method()).uri(path);
    if let Some(headers) = onward.headers_mut() {
        *headers = onward_headers(request.headers(), &authority);
    }
    let onward = onward.body(Empty::<Bytes>::new()).map_err(|why| failed(&why))?;
    let mut response = sender.send_request(onward).await.map_err(|why| failed(&why))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response.map(|body| body.map_err(Into::into).boxed()));
    }
    let (client, runtime) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut response));
    tokio::spawn(async move {
        let joined = async {
            let (Ok(client), Ok(runtime)) = (client.await, runtime.await) else { return };
            let (mut client, mut runtime) = (TokioIo::new(client), TokioIo::new(runtime));
            // An end that goes away ends both.
            drop(tokio::io::copy_bidirectional(&mut client, &mut runtime).await);
        };
        tokio::select! {
            () = joined => {}
            () = client::asked_to_end(&mut shutdown) => {}
        }
    });
    Ok(response.map(|_| full("")))
}

/// The client's headers, without what it showed of itself to us.
fn onward_headers(headers: &HeaderMap, host: &str) -> HeaderMap {
    let mut onward = headers.clone();
    onward.remove(AUTHORIZATION);
    if let Ok(host) = HeaderValue::from_str(host) {
        onward.insert(HOST, host);
    }
    if onward.contains_key(UPGRADE) {
        onward.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    onward
}
