//! What is behind the streams.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A future on the heap, for traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// Bytes from the client.
pub type BoxReader = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to the client.
pub type BoxWriter = Box<dyn AsyncWrite + Send + Unpin>;
/// Why something behind the streams failed: clients see the text of it and of its sources.
pub type BackingError = Box<dyn std::error::Error + Send + Sync>;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
/// A connection to a port in a sandbox.
pub type Connection = Box<dyn Duplex>;

/// A command to run in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The container.
    pub container: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Whether the client sends input.
    pub stdin: bool,
    /// Whether it wants output.
    pub stdout: bool,
    /// Whether it wants the other output; never with a terminal.
    pub stderr: bool,
}

/// A wish to see, and talk to, a container's first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The container.
    pub container: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether the client sends input.
    pub stdin: bool,
    /// Whether it wants output.
    pub stdout: bool,
    /// Whether it wants the other output; never with a terminal.
    pub stderr: bool,
}

/// A wish to reach ports of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The sandbox.
    pub sandbox: String,
    /// The ports, for clients whose protocol does not name them.
    pub ports: Vec<u16>,
}

/// The client's side of a process.
pub struct Stdio {
    /// Input, if the client sends some. It ends when the client goes away, too.
    pub stdin: Option<BoxReader>,
    /// Output, if the client wants it. Dropping or shutting it down ends it.
    pub stdout: Option<BoxWriter>,
    /// The other output, if the client wants it.
    pub stderr: Option<BoxWriter>,
    /// Sizes of the client's terminal as they change; ends when the client goes away.
    pub resize: mpsc::Receiver<TerminalSize>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// Runs commands and opens connections.
pub trait Backing: Send + Sync + 'static {
    /// Runs a command to its end and returns its exit code. It goes on when the client goes away.
    fn exec(&self, request: Exec, stdio: Stdio) -> BoxFuture<'_, Result<i32, BackingError>>;

    /// Joins a container's first process until that ends. Dropped when the client goes away.
    fn attach(&self, request: Attach, stdio: Stdio) -> BoxFuture<'_, Result<(), BackingError>>;

    /// Connects to a port as a process inside the sandbox would, on `localhost`.
    fn connect(&self, sandbox: String, port: u16) -> BoxFuture<'_, Result<Connection, BackingError>>;
}

/// The text of an error and its sources.
pub(crate) fn chain(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
