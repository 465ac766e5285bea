//! Exec and attach: the sub-protocols `channel.k8s.io`, over streams of SPDY and over channels in
//! a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::{SinkExt as _, Stream as FutureStream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::backing::{Attach, Backing, BoxReader, BoxWriter, Exec, Stdio, TerminalSize, chain};
use crate::resize::Sizes;
use crate::spdy::{Accept, Session, Side, Stream};
use crate::status::Outcome;
use crate::websocket::{self, Coding};

/// How long a client may take to open its streams.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that wait between a process and a WebSocket.
const PIPE: usize = 64 * 1024;
/// Bytes of one message.
const PIECE: usize = 32 * 1024;
/// Sizes and messages that wait for their reader.
const QUEUE: usize = 8;
/// How long the other end may take to answer our good-bye.
const LINGER: Duration = Duration::from_secs(5);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// What a client wants with a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Exec(Exec),
    Attach(Attach),
}

/// Versions of the sub-protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The end is told as a `Status` object.
    pub(crate) object: bool,
    /// There is a stream for the size of the terminal.
    pub(crate) resize: bool,
    /// A message may close a channel.
    pub(crate) close: bool,
}

impl Version {
    pub(crate) fn of(protocol: &str) -> Self {
        let at = |versions: &[&str]| versions.iter().any(|version| protocol.starts_with(version));
        Self {
            object: at(&["v4.", "v5."]),
            resize: at(&["v3.", "v4.", "v5."]),
            close: protocol.starts_with("v5."),
        }
    }
}

struct Wants {
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl Command {
    fn wants(&self) -> Wants {
        match self {
            Self::Exec(Exec { tty, stdin, stdout, stderr, .. })
            | Self::Attach(Attach { tty, stdin, stdout, stderr, .. }) => {
                Wants { tty: *tty, stdin: *stdin, stdout: *stdout, stderr: *stderr && !*tty }
            }
        }
    }

    /// Runs it, until it ends, or, for an attach, until `gone`.
    async fn run(self, backing: &dyn Backing, stdio: Stdio, gone: impl Future<Output = ()>) -> Outcome {
        match self {
            Self::Exec(exec) => {
                let command = exec.command.clone();
                match backing.exec(exec, stdio).await {
                    Ok(0) => Outcome::Success,
                    Ok(code) => Outcome::ExitCode { command, code },
                    Err(error) => {
                        Outcome::Failure(format!("error executing command in container: {}", chain(&*error)))
                    }
                }
            }
            Self::Attach(attach) => {
                let attached = tokio::select! {
                    attached = backing.attach(attach, stdio) => attached,
                    () = gone => Ok(()),
                };
                attached.map_or_else(
                    |error| Outcome::Failure(format!("error attaching to container: {}", chain(&*error))),
                    |()| Outcome::Success,
                )
            }
        }
    }
}

/// Serves a command over SPDY.
pub(crate) async fn over_spdy<S>(
    io: S,
    version: Version,
    command: Command,
    backing: Arc<dyn Backing>,
    idle: Duration,
) where
    S: AsyncRead + AsyncWrite + Send,
{
    let (session, mut accept, driver) = Session::new(io, Side::Server, idle);
    let work = async {
        let wants = command.wants();
        let opened = collect(&mut accept, &wants, version);
        if let Ok(Some(opened)) = tokio::time::timeout(STREAMS_TIMEOUT, opened).await {
            attend(&session, accept, opened, version, command, &*backing).await;
        }
        session.close();
    };
    // How the session ends is the client's business.
    drop(tokio::join!(driver, work));
}

#[derive(Default)]
struct Opened {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// Waits for the streams that the command needs.
async fn collect(accept: &mut Accept, wants: &Wants, version: Version) -> Option<Opened> {
    let mut opened = Opened::default();
    let complete = |opened: &Opened| {
        opened.error.is_some()
            && opened.stdin.is_some() >= wants.stdin
            && opened.stdout.is_some() >= wants.stdout
            && opened.stderr.is_some() >= wants.stderr
            && opened.resize.is_some() >= (wants.tty && version.resize)
    };
    while !complete(&opened) {
        let stream = accept.next().await?;
        let place = match stream.header("streamtype") {
            Some("error") => &mut opened.error,
            Some("stdin") if wants.stdin => &mut opened.stdin,
            Some("stdout") if wants.stdout => &mut opened.stdout,
            Some("stderr") if wants.stderr => &mut opened.stderr,
            Some("resize") if wants.tty => &mut opened.resize,
            _ => {
                stream.reset();
                continue;
            }
        };
        *place = Some(stream);
    }
    Some(opened)
}

async fn attend(
    session: &Session,
    mut accept: Accept,
    opened: Opened,
    version: Version,
    command: Command,
    backing: &dyn Backing,
) {
    let (sizes, resize) = mpsc::channel(QUEUE);
    let reader = |stream: Option<Stream>| stream.map(|stream| Box::new(stream) as BoxReader);
    let writer = |stream: Option<Stream>| stream.map(|stream| Box::new(stream) as BoxWriter);
    let stdio = Stdio {
        stdin: reader(opened.stdin),
        stdout: writer(opened.stdout),
        stderr: writer(opened.stderr),
        resize,
    };
    let aside = async {
        let resizing = async {
            if let Some(stream) = opened.resize {
                read_sizes(stream, sizes).await;
            }
        };
        let refusing = async {
            while let Some(stream) = accept.next().await {
                stream.reset();
            }
        };
        tokio::join!(resizing, refusing);
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = command.run(backing, stdio, session.ended()) => outcome,
        () = aside => return,
    };
    if let Some(mut error) = opened.error {
        // A client that is gone needs no outcome.
        drop(error.write_all(&outcome.bytes(version.object)).await);
        drop(error.shutdown().await);
    }
}

async fn read_sizes(mut stream: Stream, sizes: mpsc::Sender<TerminalSize>) {
    let (mut reader, mut buffer) = (Sizes::default(), [0; 256]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        for size in reader.read(buffer.get(..read).unwrap_or_default()) {
            if sizes.send(size).await.is_err() {
                return;
            }
        }
    }
}

/// Serves a command over a WebSocket.
pub(crate) async fn over_websocket<S>(
    socket: WebSocketStream<S>,
    version: Version,
    coding: Coding,
    command: Command,
    backing: Arc<dyn Backing>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let wants = command.wants();
    let (mut sink, source) = socket.split();
    let (messages, mut queue) = mpsc::channel::<Message>(QUEUE);
    let (sizes, resize) = mpsc::channel(QUEUE);
    let (leave, gone) = watch::channel(false);
    let pipe = |wanted: bool| wanted.then(|| duplex(PIPE)).unzip();
    let ((stdin, to_stdin), (stdout, from_stdout), (stderr, from_stderr)) =
        (pipe(wants.stdin), pipe(wants.stdout), pipe(wants.stderr));
    let stdio = Stdio {
        stdin: stdin.map(|end| Box::new(end) as BoxReader),
        stdout: stdout.map(|end| Box::new(end) as BoxWriter),
        stderr: stderr.map(|end| Box::new(end) as BoxWriter),
        resize,
    };
    let work = async {
        // As upstream: the first message, with nothing in it, says that the connection is there.
        let first = if wants.stdout {
            STDOUT
        } else if wants.stderr {
            STDERR
        } else {
            ERROR
        };
        drop(messages.send(coding.message(first, b"")).await);
        let (outcome, (), ()) = tokio::join!(
            command.run(&*backing, stdio, left(gone)),
            copy_out(from_stdout, STDOUT, coding, &messages),
            copy_out(from_stderr, STDERR, coding, &messages),
        );
        drop(messages.send(coding.message(ERROR, &outcome.bytes(version.object))).await);
        drop(messages.send(websocket::normal_close()).await);
        drop(messages);
    };
    let writing = async {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return queue.close();
            }
        }
    };
    let talking = std::pin::pin!(async { tokio::join!(work, writing) });
    let listening = std::pin::pin!(async {
        listen(source, version, coding, to_stdin, sizes).await;
        leave.send_replace(true);
    });
    match select(talking, listening).await {
        Either::Left((_, listening)) => drop(tokio::time::timeout(LINGER, listening).await),
        Either::Right(((), talking)) => drop(talking.await),
    }
}

async fn left(mut gone: watch::Receiver<bool>) {
    drop(gone.wait_for(|gone| *gone).await);
}

/// Sends what a process writes, until it ends.
async fn copy_out(end: Option<DuplexStream>, channel: u8, coding: Coding, messages: &mpsc::Sender<Message>) {
    let Some(mut end) = end else { return };
    let mut buffer = vec![0; PIECE];
    while let Ok(read @ 1..) = end.read(&mut buffer).await {
        let message = coding.message(channel, buffer.get(..read).unwrap_or_default());
        if messages.send(message).await.is_err() {
            // Dropping our end tells the process.
            return;
        }
    }
}

/// Takes what the client sends, until it goes away.
async fn listen<S>(
    mut source: S,
    version: Version,
    coding: Coding,
    mut stdin: Option<DuplexStream>,
    sizes: mpsc::Sender<TerminalSize>,
) where
    S: FutureStream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    let mut reader = Sizes::default();
    while let Some(Ok(message)) = source.next().await {
        let Some((channel, bytes)) = coding.read(message) else { continue };
        match channel {
            STDIN => {
                if let Some(end) = &mut stdin
                    && end.write_all(&bytes).await.is_err()
                {
                    stdin = None;
                }
            }
            RESIZE => {
                for size in reader.read(&bytes) {
                    // A process that does not look misses sizes, and nothing else.
                    let _ = sizes.try_send(size);
                }
            }
            CLOSE if version.close && bytes.first() == Some(&STDIN) => stdin = None,
            _ => {}
        }
    }
}

/// A message of a channel as bytes, for tests and clients.
pub(crate) fn framed(channel: u8, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + 1);
    out.put_u8(channel);
    out.put_slice(bytes);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_know_more_and_more() {
        for (protocol, object, resize, close) in [
            ("", false, false, false),
            ("channel.k8s.io", false, false, false),
            ("base64.channel.k8s.io", false, false, false),
            ("v2.channel.k8s.io", false, false, false),
            ("v3.channel.k8s.io", false, true, false),
            ("v4.channel.k8s.io", true, true, false),
            ("v4.base64.channel.k8s.io", true, true, false),
            ("v5.channel.k8s.io", true, true, true),
        ] {
            assert_eq!(Version::of(protocol), Version { object, resize, close }, "{protocol}");
        }
    }
}
