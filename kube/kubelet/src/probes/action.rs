//! One try of a probe or a hook.

use std::time::Duration;

use rpc::cri::ExecSyncRequest;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{grpc, http};
use crate::kubelet::Shared;
use crate::read::{at, items, number, text, texts};

/// What a probe was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Success,
    /// Good, but people should know.
    Warning(String),
    Failure(String),
}

/// Asks once.
pub(super) async fn probe(
    shared: &Shared,
    addresses: &[String],
    container: &Value,
    spec: &Value,
    id: &str,
    timeout: Duration,
) -> Answer {
    if let Some(exec) = at(spec, &["exec"]) {
        return exec_answer(shared, id, texts(exec, &["command"]), timeout).await;
    }
    let host = |spec: &Value| match text(spec, &["host"]) {
        "" => addresses.first().cloned().unwrap_or_default(),
        host => host.to_owned(),
    };
    let late = |what: &str| Answer::Failure(format!("{what}: context deadline exceeded"));
    if let Some(get) = at(spec, &["httpGet"]) {
        let Some(port) = port(container, get.get("port")) else { return no_port() };
        let request = http::Get::new(get, &host(get), port, "kube-probe");
        let url = request.url();
        return match tokio::time::timeout(timeout, request.send()).await {
            Ok(Ok(reply)) => judge(&reply),
            Ok(Err(why)) => Answer::Failure(format!("Get \"{url}\": {why}")),
            Err(_) => late(&format!("Get \"{url}\"")),
        };
    }
    if let Some(tcp) = at(spec, &["tcpSocket"]) {
        let Some(port) = port(container, tcp.get("port")) else { return no_port() };
        let address = joined(&host(tcp), port);
        return match tokio::time::timeout(timeout, TcpStream::connect(&address)).await {
            Ok(Ok(_)) => Answer::Success,
            Ok(Err(error)) => Answer::Failure(format!("dial tcp {address}: connect: {}", plain(&error))),
            Err(_) => Answer::Failure(format!("dial tcp {address}: i/o timeout")),
        };
    }
    if let Some(service) = at(spec, &["grpc"]) {
        let Some(port) = port(container, service.get("port")) else { return no_port() };
        let address = joined(&addresses.first().cloned().unwrap_or_default(), port);
        return match tokio::time::timeout(timeout, grpc::check(&address, text(service, &["service"]))).await {
            Ok(Ok(())) => Answer::Success,
            Ok(Err(why)) => Answer::Failure(why),
            Err(_) => late(&format!("timeout: failed to connect service \"{address}\" within {timeout:?}")),
        };
    }
    Answer::Failure("missing probe handler".to_owned())
}

fn no_port() -> Answer {
    Answer::Failure("couldn't find the port in the container".to_owned())
}

/// An error as Go words it, for the commonest.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        _ => error.to_string(),
    }
}

async fn exec_answer(shared: &Shared, id: &str, cmd: Vec<String>, timeout: Duration) -> Answer {
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let request = ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: seconds };
    let asked = shared.config.runtime.exec_sync(request);
    // The runtime ends it in time; this is for one that does not.
    match tokio::time::timeout(timeout + EXEC_SLACK, asked).await {
        Ok(Ok(answer)) if answer.exit_code == 0 => Answer::Success,
        Ok(Ok(answer)) => {
            let mut said = answer.stdout.to_vec();
            said.extend_from_slice(&answer.stderr);
            said.truncate(SAID_MAX);
            Answer::Failure(String::from_utf8_lossy(&said).into_owned())
        }
        Ok(Err(status)) if status.code() == rpc::cri::Code::DeadlineExceeded => {
            Answer::Failure(format!("command timed out: {}", status.message()))
        }
        Ok(Err(status)) => Answer::Failure(status.message().to_owned()),
        Err(_) => Answer::Failure(format!("command timed out after {timeout:?}")),
    }
}

fn judge(reply: &http::Reply) -> Answer {
    match reply.status {
        200..300 => Answer::Success,
        300..400 => Answer::Warning(format!("Probe terminated redirects, Response body: {}", reply.body)),
        status => Answer::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// A port by number, or by the name that the container gives it.
fn port(container: &Value, wanted: Option<&Value>) -> Option<u16> {
    let wanted = wanted?;
    let number_of = match wanted {
        Value::String(name) => {
            let named = items(container, &["ports"]).iter().find(|port| text(port, &["name"]) == name);
            match named {
                Some(port) => number(port, &["containerPort"]),
                None => name.parse().ok(),
            }
        }
        other => other.as_i64(),
    };
    u16::try_from(number_of?).ok().filter(|port| *port > 0)
}

/// `host:port`, with brackets around addresses that have colons.
pub(super) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Runs a `postStart` or `preStop` hook.
pub(crate) async fn hook(
    shared: &Shared,
    addresses: &[String],
    container: &Value,
    spec: &Value,
    id: &str,
) -> Result<(), String> {
    if let Some(exec) = at(spec, &["exec"]) {
        let cmd = texts(exec, &["command"]);
        let request = ExecSyncRequest { container_id: id.to_owned(), cmd: cmd.clone(), timeout: 0 };
        let answer =
            shared.config.runtime.exec_sync(request).await.map_err(|status| status.message().to_owned())?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        return Err(format!("command '{}' exited with {}: {said}", cmd.join(" "), answer.exit_code));
    }
    if let Some(get) = at(spec, &["httpGet"]) {
        let host = match text(get, &["host"]) {
            "" => addresses.first().cloned().unwrap_or_default(),
            host => host.to_owned(),
        };
        let port = port(container, get.get("port")).ok_or("couldn't find the port in the container")?;
        let reply =
            tokio::time::timeout(HOOK_MOST, http::Get::new(get, &host, port, "kube-lifecycle").send());
        let reply = reply.await.map_err(|_| "the hook's request was not answered".to_owned())??;
        return if reply.status < 400 {
            Ok(())
        } else {
            Err(format!("HTTP hook failed with statuscode: {}", reply.status))
        };
    }
    if let Some(seconds) = number(spec, &["sleep", "seconds"]) {
        tokio::time::sleep(Duration::from_secs(seconds.unsigned_abs())).await;
        return Ok(());
    }
    if let Some(tcp) = at(spec, &["tcpSocket"]) {
        // The API keeps it for old objects; upstream refuses it too.
        let _ = tcp;
        return Err("tcpSocket hooks are not supported".to_owned());
    }
    Ok(())
}

/// Most of what a failing command says that people are shown.
const SAID_MAX: usize = 10 * 1024;
const EXEC_SLACK: Duration = Duration::from_secs(2);
/// How long a hook's request may take.
const HOOK_MOST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_by_number_and_name() {
        let container = json!({"ports": [{"name": "web", "containerPort": 8080}]});
        for (wanted, expected) in [
            (json!(80), Some(80)),
            (json!("web"), Some(8080)),
            (json!("90"), Some(90)),
            (json!("none"), None),
            (json!(0), None),
            (json!(70000), None),
        ] {
            assert_eq!(port(&container, Some(&wanted)), expected, "{wanted}");
        }
        assert_eq!((joined("::1", 1).as_str(), joined("1.2.3.4", 1).as_str()), ("[::1]:1", "1.2.3.4:1"));
    }
}
