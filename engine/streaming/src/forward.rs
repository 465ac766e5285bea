//! Port-forward: pairs of streams over SPDY (`portforward.k8s.io`), pairs of channels in a WebSocket.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::backing::{Backing, Forward, chain};
use crate::spdy::{Session, Side, Stream};
use crate::websocket::{self, Coding};

/// How long the second stream of a pair may take.
const PAIR_TIMEOUT: Duration = Duration::from_secs(30);
/// Pairs that wait for their second stream at a time; the session has its own limit of streams.
const PAIRS_MAX: usize = 512;
/// How long a client may still talk to a server that has closed its half.
const HALF_OPEN: Duration = Duration::from_secs(1);
/// Bytes that wait between a port and a WebSocket.
const PIPE: usize = 64 * 1024;
const PIECE: usize = 32 * 1024;
const QUEUE: usize = 8;

struct Pair {
    error: Option<Stream>,
    data: Option<Stream>,
    port: u16,
    until: Instant,
}

/// Serves port-forwarding over SPDY, until the client goes away.
pub(crate) async fn over_spdy<S>(io: S, request: Forward, backing: Arc<dyn Backing>, idle: Duration)
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (session, mut accept, driver) = Session::new(io, Side::Server, idle);
    let work = async {
        let mut pairs: HashMap<String, Pair> = HashMap::new();
        let mut running = FuturesUnordered::new();
        loop {
            let next = pairs.values().map(|pair| pair.until).min();
            tokio::select! {
                stream = accept.next() => {
                    let Some(stream) = stream else { break };
                    if let Some(pair) = add(&mut pairs, stream) {
                        running.push(serve(pair, &request.sandbox, &*backing));
                    }
                }
                _ = running.next(), if !running.is_empty() => {}
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    // Dropping a stream ends it.
                    pairs.retain(|_, pair| pair.until > Instant::now());
                }
            }
        }
        session.close();
    };
    // How the session ends is the client's business.
    drop(tokio::join!(driver, work));
}

/// Puts a stream to its pair; the pair, if it is complete.
fn add(pairs: &mut HashMap<String, Pair>, stream: Stream) -> Option<Pair> {
    let is_error = match stream.header("streamtype") {
        Some("error") => Some(true),
        Some("data") => Some(false),
        _ => None,
    };
    let port = stream.header("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let (Some(is_error), Some(port)) = (is_error, port) else {
        stream.reset();
        return None;
    };
    // Clients without request ids open the data stream right behind the error stream.
    let request = stream.header("requestid").map_or_else(
        || (stream.id() - if is_error { 0 } else { stream.id().min(2) }).to_string(),
        str::to_owned,
    );
    if !pairs.contains_key(&request) && pairs.len() >= PAIRS_MAX {
        stream.reset();
        return None;
    }
    let pair = pairs.entry(request.clone()).or_insert_with(|| Pair {
        error: None,
        data: None,
        port,
        until: Instant::now() + PAIR_TIMEOUT,
    });
    let place = if is_error { &mut pair.error } else { &mut pair.data };
    if place.is_some() {
        stream.reset();
        return None;
    }
    *place = Some(stream);
    if pair.error.is_some() && pair.data.is_some() { pairs.remove(&request) } else { None }
}

async fn serve(pair: Pair, sandbox: &str, backing: &dyn Backing) {
    let (Some(mut error), Some(data)) = (pair.error, pair.data) else { return };
    if let Err(why) = connect(data, sandbox, pair.port, backing).await {
        // A client that is gone needs no reason.
        drop(error.write_all(why.as_bytes()).await);
    }
}

/// Joins a stream with a port; the text for the client where that is not possible.
async fn connect<S>(data: S, sandbox: &str, port: u16, backing: &dyn Backing) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connected = backing.connect(sandbox.to_owned(), port).await;
    let connection = connected.map_err(|error| {
        format!("error forwarding port {port} to pod {sandbox}, uid : {}", chain(&*error))
    })?;
    let (mut from_client, mut to_client) = split(data);
    let (mut from_server, mut to_server) = split(connection);
    let up = async {
        let copied = tokio::io::copy(&mut from_client, &mut to_server).await;
        // The server may have closed already.
        drop(to_server.shutdown().await);
        copied
    };
    let down = async {
        // The client may have gone.
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
        drop(to_client.shutdown().await);
    };
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        sent = &mut up => {
            let gone = |error: &io::Error| {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted)
            };
            if !sent.is_err_and(|error| gone(&error)) {
                down.await;
            }
        }
        () = &mut down => drop(tokio::time::timeout(HALF_OPEN, up).await),
    }
    Ok(())
}

/// Serves port-forwarding over channels: two for each port of the request, data and error, which
/// begin with the port's number.
pub(crate) async fn over_websocket<S>(
    socket: WebSocketStream<S>,
    coding: Coding,
    request: Forward,
    backing: Arc<dyn Backing>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (mut sink, mut source) = socket.split();
    let (messages, mut queue) = mpsc::channel::<Message>(QUEUE);
    let mut ends = Vec::new();
    let mut running = FuturesUnordered::new();
    for (at, port) in request.ports.iter().enumerate().take(usize::from(u8::MAX) / 2) {
        let (ours, theirs) = duplex(PIPE);
        let (from_port, to_port) = split(ours);
        ends.push(Some(to_port));
        let channel = u8::try_from(2 * at).unwrap_or(u8::MAX);
        let (sandbox, backing, messages) = (request.sandbox.as_str(), &*backing, messages.clone());
        running.push(async move {
            for channel in [channel, channel + 1] {
                drop(messages.send(coding.message(channel, &port.to_le_bytes())).await);
            }
            let forwarded = tokio::join!(
                connect(theirs, sandbox, *port, backing),
                copy_out(from_port, channel, coding, &messages),
            );
            if let Err(why) = forwarded.0 {
                drop(messages.send(coding.message(channel + 1, why.as_bytes())).await);
            }
        });
    }
    drop(messages);
    let listening = async {
        while let Some(Ok(message)) = source.next().await {
            let Some((channel, bytes)) = coding.read(message) else { continue };
            let end = ends.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
            if let Some(end) = end
                && let Some(writer) = end
                && writer.write_all(&bytes).await.is_err()
            {
                *end = None;
            }
        }
    };
    let writing = async {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        drop(sink.send(websocket::normal_close()).await);
    };
    let forwarding = async {
        while running.next().await.is_some() {}
        drop(running);
    };
    tokio::select! {
        () = listening => {}
        _ = async { tokio::join!(forwarding, writing) } => {}
    }
}

async fn copy_out(
    mut end: tokio::io::ReadHalf<DuplexStream>,
    channel: u8,
    coding: Coding,
    messages: &mpsc::Sender<Message>,
) {
    let mut buffer = vec![0; PIECE];
    while let Ok(read @ 1..) = end.read(&mut buffer).await {
        let message = coding.message(channel, buffer.get(..read).unwrap_or_default());
        if messages.send(message).await.is_err() {
            return;
        }
    }
}
