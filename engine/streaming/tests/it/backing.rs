//! A backing whose commands are known: `cat`, `exit N`, `say`, `sizes`, `fail`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use streaming::{Attach, Backing, BackingError, BoxFuture, Config, Connection, Exec, Forward, Server, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Known;

impl Backing for Known {
    fn exec(&self, request: Exec, mut stdio: Stdio) -> BoxFuture<'_, Result<i32, BackingError>> {
        Box::pin(async move {
            let words: Vec<&str> = request.command.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["cat"] => {
                    let (Some(mut stdin), Some(mut stdout)) = (stdio.stdin.take(), stdio.stdout.take())
                    else {
                        return Err("cat needs stdin and stdout".into());
                    };
                    tokio::io::copy(&mut stdin, &mut stdout).await?;
                    stdout.shutdown().await?;
                    Ok(0)
                }
                ["exit", code] => Ok(code.parse()?),
                ["say", text] => {
                    for (end, text) in [(stdio.stdout.take(), *text), (stdio.stderr.take(), "warning")] {
                        if let Some(mut end) = end {
                            end.write_all(text.as_bytes()).await?;
                        }
                    }
                    Ok(0)
                }
                ["fill", bytes] => {
                    let mut stdout = stdio.stdout.take().ok_or("fill needs stdout")?;
                    let (mut left, piece) = (bytes.parse::<usize>()?, [b'x'; 10_000]);
                    while left > 0 {
                        let now = left.min(piece.len());
                        stdout.write_all(&piece[..now]).await?;
                        left -= now;
                    }
                    Ok(0)
                }
                ["sizes"] => {
                    let mut stdout = stdio.stdout.take().ok_or("sizes needs stdout")?;
                    let size = stdio.resize.recv().await.ok_or("no size")?;
                    stdout.write_all(format!("{}x{}", size.width, size.height).as_bytes()).await?;
                    Ok(0)
                }
                _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such command").into()),
            }
        })
    }

    fn attach(&self, _: Attach, mut stdio: Stdio) -> BoxFuture<'_, Result<(), BackingError>> {
        Box::pin(async move {
            let mut stdout = stdio.stdout.take().ok_or("attach needs stdout")?;
            stdout.write_all(b"attached").await?;
            Ok(())
        })
    }

    fn connect(&self, _: String, port: u16) -> BoxFuture<'_, Result<Connection, BackingError>> {
        Box::pin(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Box::new(stream) as Connection)
        })
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) server: Arc<Server>,
    pub(crate) address: SocketAddr,
    _shutdown: watch::Sender<bool>,
}

pub(crate) async fn run() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, ended) = watch::channel(false);
    let server = Server::new(Arc::new(Known), Config::at(format!("http://{address}")), ended);
    tokio::spawn(Arc::clone(&server).serve(listener));
    Running { server, address, _shutdown: shutdown }
}

impl Running {
    /// The path of a command that wants all but a terminal.
    pub(crate) fn exec(&self, command: &[&str]) -> String {
        self.exec_with(command, false)
    }

    pub(crate) fn exec_with(&self, command: &[&str], tty: bool) -> String {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let container = "c".to_owned();
        let request = Exec { container, command, tty, stdin: true, stdout: true, stderr: !tty };
        self.path(&self.server.exec(request).unwrap())
    }

    pub(crate) fn attach(&self) -> String {
        let request =
            Attach { container: "c".to_owned(), tty: false, stdin: false, stdout: true, stderr: false };
        self.path(&self.server.attach(request).unwrap())
    }

    pub(crate) fn forward(&self, ports: &[u16]) -> String {
        let request = Forward { sandbox: "s".to_owned(), ports: ports.to_vec() };
        self.path(&self.server.forward(request).unwrap())
    }

    fn path(&self, url: &str) -> String {
        url.strip_prefix(&format!("http://{}", self.address)).unwrap().to_owned()
    }
}

/// A port that sends back what it gets, and closes when it has got all.
pub(crate) async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let mut buffer = vec![0; 4096];
                while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                    if writer.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}
