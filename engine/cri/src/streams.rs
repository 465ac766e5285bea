//! What the server of streams does to containers: over the engine.

mod pump;
mod terminal;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base::ContainerId;
use engine::{Engine, RunningExec};
use rpc::cri::Status;
use shim::{Client, StreamSet};
use streaming::{Attach, Backing, BackingError, BoxFuture, Connection, Exec, Server, Stdio};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::error::status;
use crate::work::blocking;

/// The engine's containers, behind streams.
#[derive(Clone)]
pub struct Streams {
    engine: Arc<Engine>,
}

/// Listens at `address` for clients with the URLs that the server hands out. Whoever gets them
/// spawns `server.serve(listener)`.
pub async fn open_streams(
    engine: Arc<Engine>,
    address: SocketAddr,
    shutdown: watch::Receiver<bool>,
) -> io::Result<(Arc<Server>, TcpListener)> {
    let listener = TcpListener::bind(address).await?;
    let config = streaming::Config::at(format!("http://{}", listener.local_addr()?));
    Ok((Server::new(Arc::new(Streams::new(engine)), config, shutdown), listener))
}

impl Streams {
    /// The containers of an engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn run(&self, request: Exec, stdio: Stdio) -> Result<i32, BackingError> {
        let id = container(&request.container)?;
        let engine = Arc::clone(&self.engine);
        let wanted = engine::ExecRequest {
            args: request.command,
            tty: request.tty,
            streams: StreamSet { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr },
            ..engine::ExecRequest::default()
        };
        let running = blocking(move || engine.exec(&id, &wanted).map_err(status)).await.map_err(told)?;
        let RunningExec { client, session, .. } = running;
        match session.console {
            Some(console) => terminal::pump(console, stdio).await?,
            None => pump::pipes(session.stdio, stdio).await?,
        }
        let number = session.session;
        let ended = blocking(move || {
            let waited = client.exec_waiter(number).and_then(shim::ExecWaiter::finish);
            waited.map_err(|error| Status::unknown(error.to_string()))
        });
        Ok(ended.await.map_err(told)?.code)
    }

    async fn join(&self, request: Attach, mut stdio: Stdio) -> Result<(), BackingError> {
        let id = container(&request.container)?;
        let engine = Arc::clone(&self.engine);
        let streams = StreamSet {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let attached = blocking(move || engine.attach(&id, streams).map_err(status)).await.map_err(told)?;
        let engine::Attachment { client, streams, .. } = attached;
        let client = Arc::new(Mutex::new(client));
        let (_closed, never) = tokio::sync::mpsc::channel(1);
        let mut sizes = std::mem::replace(&mut stdio.resize, never);
        let resized = async {
            while let Some(size) = sizes.recv().await {
                resize(Arc::clone(&client), size).await;
            }
            // Output goes on after the last size.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = pump::pipes(streams, stdio) => done,
            () = resized => Ok(()),
        }
    }

    async fn dial(&self, sandbox: String, port: u16) -> Result<Connection, BackingError> {
        let id = container(&sandbox)?;
        let engine = Arc::clone(&self.engine);
        let stream = blocking(move || engine.dial(&id, port).map_err(status)).await.map_err(told)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// A terminal that cannot be resized is still a terminal.
async fn resize(client: Arc<Mutex<Client>>, size: streaming::TerminalSize) {
    let _ = blocking(move || {
        let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
        client.resize(size.width, size.height).map_err(|error| Status::unknown(error.to_string()))
    })
    .await;
}

fn container(id: &str) -> Result<ContainerId, BackingError> {
    Ok(ContainerId::parse(id)?)
}

/// What a client of a stream sees of an error: its text, for it knows no codes.
#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn told(status: Status) -> BackingError {
    status.message().to_owned().into()
}

impl Backing for Streams {
    fn exec(&self, request: Exec, stdio: Stdio) -> BoxFuture<'_, Result<i32, BackingError>> {
        Box::pin(self.run(request, stdio))
    }

    fn attach(&self, request: Attach, stdio: Stdio) -> BoxFuture<'_, Result<(), BackingError>> {
        Box::pin(self.join(request, stdio))
    }

    fn connect(&self, sandbox: String, port: u16) -> BoxFuture<'_, Result<Connection, BackingError>> {
        Box::pin(self.dial(sandbox, port))
    }
}
