//! Bytes between a process's pipes and a client.

use std::io;
use std::os::fd::OwnedFd;

use shim::Attached;
use streaming::{BoxReader, BoxWriter, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

const CHUNK: usize = 32 << 10;
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

/// Until the process has closed its outputs; without one, until the client goes away.
pub(super) async fn pipes(process: Attached, client: Stdio) -> Result<(), streaming::BackingError> {
    let Stdio { stdin, stdout, stderr, resize: _ } = client;
    let has_outputs = process.stdout.is_some() || process.stderr.is_some();
    let input = input(process.stdin, stdin);
    let outputs = async { tokio::try_join!(output(process.stdout, stdout), output(process.stderr, stderr)) };
    tokio::pin!(input, outputs);
    tokio::select! {
        done = &mut outputs, if has_outputs => {
            done?;
        }
        () = &mut input => if has_outputs {
            outputs.await?;
        }
    }
    Ok(())
}

/// From the client to the process. Its end is the end of the process's input.
async fn input(pipe: Option<OwnedFd>, client: Option<BoxReader>) {
    let (Some(pipe), Some(mut client)) = (pipe, client) else { return };
    if let Ok(mut pipe) = Sender::from_owned_fd(pipe) {
        // A process that reads no more, or a client that went away: the other side hears of it.
        let _ = tokio::io::copy(&mut client, &mut pipe).await;
    }
}

async fn output(pipe: Option<OwnedFd>, client: Option<BoxWriter>) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    forward(Receiver::from_owned_fd(pipe)?, client).await
}

/// From the process to the client. When the client is gone the process is still read, so that
/// it goes on.
pub(super) async fn forward(mut from: impl AsyncRead + Unpin, client: Option<BoxWriter>) -> io::Result<()> {
    let mut client = client;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut chunk).await {
            // EIO: no process has the terminal open any more.
            Err(error) if error.raw_os_error() == Some(EIO) => break,
            Ok(0) => break,
            count => count?,
        };
        if let Some(writer) = &mut client
            && (writer.write_all(&chunk[..count]).await.is_err() || writer.flush().await.is_err())
        {
            client = None;
        }
    }
    if let Some(mut writer) = client {
        // It may be gone by now; nobody misses the end then.
        let _ = writer.shutdown().await;
    }
    Ok(())
}
