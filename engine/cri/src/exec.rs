//! A command in a container, whose output is the answer.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use base::ContainerId;
use bytes::Bytes;
use engine::{Engine, RunningExec};
use rpc::cri::{ExecSyncRequest, ExecSyncResponse, Status};
use shim::StreamSet;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::error::status;
use crate::work::blocking;

/// What is kept of each stream; the rest is read and dropped, as the answer must fit a message.
const OUTPUT_MAX: usize = 8 << 20;

pub(crate) async fn exec_sync(
    engine: Arc<Engine>,
    id: ContainerId,
    request: ExecSyncRequest,
) -> Result<ExecSyncResponse, Status> {
    if request.cmd.is_empty() {
        return Err(Status::invalid_argument("exec needs a command"));
    }
    let timeout = u64::try_from(request.timeout).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let (runner, target) = (Arc::clone(&engine), id.clone());
    let running = blocking(move || {
        let request = engine::ExecRequest {
            args: request.cmd,
            streams: StreamSet { stdin: false, stdout: true, stderr: true },
            ..engine::ExecRequest::default()
        };
        runner.exec(&target, &request).map_err(status)
    })
    .await?;
    let RunningExec { client, session, .. } = running;
    let number = session.session;
    let work = async {
        let (stdout, stderr) = tokio::join!(read(session.stdio.stdout), read(session.stdio.stderr));
        let end = blocking(move || {
            let waited = client.exec_waiter(number).and_then(shim::ExecWaiter::finish);
            waited.map_err(|error| Status::unknown(error.to_string()))
        });
        Ok::<_, Status>((stdout?, stderr?, end.await?))
    };
    let done = match timeout {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => {
                let seconds = limit.as_secs();
                kill(engine, id, number).await;
                let text = format!(
                    "failed to exec in container: timeout {seconds}s exceeded: context deadline exceeded"
                );
                return Err(Status::deadline_exceeded(text));
            }
        },
    };
    let (stdout, stderr, end) = done?;
    Ok(ExecSyncResponse { stdout, stderr, exit_code: end.code })
}

/// Ends a command that took too long.
async fn kill(engine: Arc<Engine>, id: ContainerId, session: u64) {
    const SIGKILL: i32 = 9;
    // It may have ended just now.
    let _ = blocking(move || engine.exec_kill(&id, session, SIGKILL).map_err(status)).await;
}

/// Everything that comes out of a pipe, up to the limit.
async fn read(pipe: Option<OwnedFd>) -> Result<Bytes, Status> {
    let Some(pipe) = pipe else { return Ok(Bytes::new()) };
    let failed = |error: std::io::Error| Status::unknown(format!("read the command's output: {error}"));
    let mut pipe = Receiver::from_owned_fd(pipe).map_err(failed)?;
    let mut kept = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        match pipe.read(&mut chunk).await.map_err(failed)? {
            0 => return Ok(kept.into()),
            count => {
                let room = OUTPUT_MAX.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&chunk[..room]);
            }
        }
    }
}
