//! Exec, attach and port-forward: the CRI is asked for a URL.

use std::sync::Arc;

use rpc::cri::{
    AttachRequest, ExecRequest, ListPodSandboxRequest, PodSandboxFilter, PodSandboxState,
    PodSandboxStateValue, PortForwardRequest,
};
use serde_json::Value;

use super::Server;
use super::answer::Refusal;
use super::logs::query;
use super::node::{self, POD_UID, at};

/// Which container.
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    /// Empty where any pod of the name is meant.
    pub(super) uid: &'a str,
    /// Empty for port-forward.
    pub(super) container: &'a str,
}

/// Which of a container's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wants {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wants {
    /// As the kubelet's own query names them.
    fn parse(pairs: &[(String, String)]) -> Result<Self, Refusal> {
        let has = |name: &str| pairs.iter().any(|(found, value)| found == name && value == "1");
        let tty = has("tty");
        let wants = Self { stdin: has("input"), stdout: has("output"), stderr: has("error") && !tty, tty };
        if !(wants.stdin || wants.stdout || wants.stderr) {
            return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(wants)
    }
}

impl Server {
    fn placed(&self, place: &Place<'_>) -> Result<Arc<Value>, Refusal> {
        let found = node::pod(self.node.as_ref(), place.namespace, place.pod);
        let found = found.filter(|pod| place.uid.is_empty() || at(pod, "/metadata/uid") == place.uid);
        found.ok_or_else(|| Refusal::not_found("pod does not exist"))
    }

    async fn container(&self, place: &Place<'_>) -> Result<String, Refusal> {
        let pod = self.placed(place)?;
        let runtime = self.node.runtime();
        let uid = at(&pod, "/metadata/uid");
        let found = node::running_container(runtime.as_ref(), uid, place.container).await?;
        found.ok_or_else(|| Refusal::internal(format!("container not found ({:?})", place.container)))
    }

    /// Where a command can be run.
    pub(super) async fn exec(&self, place: &Place<'_>, text: &str) -> Result<String, Refusal> {
        let pairs = query(text);
        let wants = Wants::parse(&pairs)?;
        let command = pairs.iter().filter(|(name, _)| name == "command").map(|(_, word)| word.clone());
        let request = ExecRequest {
            container_id: self.container(place).await?,
            cmd: command.collect(),
            tty: wants.tty,
            stdin: wants.stdin,
            stdout: wants.stdout,
            stderr: wants.stderr,
        };
        Ok(self.node.runtime().exec(request).await?.url)
    }

    /// Where a container's streams are.
    pub(super) async fn attach(&self, place: &Place<'_>, text: &str) -> Result<String, Refusal> {
        let wants = Wants::parse(&query(text))?;
        let request = AttachRequest {
            container_id: self.container(place).await?,
            tty: wants.tty,
            stdin: wants.stdin,
            stdout: wants.stdout,
            stderr: wants.stderr,
        };
        Ok(self.node.runtime().attach(request).await?.url)
    }

    /// Where a pod's ports are.
    pub(super) async fn forward(&self, place: &Place<'_>, text: &str) -> Result<String, Refusal> {
        let pod = self.placed(place)?;
        let uid = at(&pod, "/metadata/uid");
        let filter = PodSandboxFilter {
            label_selector: [(POD_UID.to_owned(), uid.to_owned())].into(),
            state: Some(PodSandboxStateValue { state: PodSandboxState::SandboxReady as i32 }),
            ..PodSandboxFilter::default()
        };
        let runtime = self.node.runtime();
        let sandboxes = runtime.list_pod_sandbox(ListPodSandboxRequest { filter: Some(filter) }).await?;
        let newest = sandboxes.items.into_iter().max_by_key(|sandbox| sandbox.created_at);
        let not_found = || Refusal::internal(format!("not found ({:?})", place.pod));
        let request = PortForwardRequest {
            pod_sandbox_id: newest.ok_or_else(not_found)?.id,
            port: ports(&query(text))?,
        };
        Ok(runtime.port_forward(request).await?.url)
    }
}

/// The ports that WebSocket clients name.
fn ports(pairs: &[(String, String)]) -> Result<Vec<i32>, Refusal> {
    let words = pairs.iter().filter(|(name, _)| name == "port").flat_map(|(_, value)| value.split(','));
    let port = |word: &str| match word.parse::<u16>() {
        Ok(port) if port > 0 => Ok(i32::from(port)),
        _ => Err(Refusal::bad_request(format!("port {word:?} must be a number from 1 to 65535"))),
    };
    words.filter(|word| !word.is_empty()).map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_in_the_query() {
        for (text, expected) in [
            ("input=1&output=1&error=1", Some((true, true, true, false))),
            ("output=1&error=1&tty=1", Some((false, true, false, true))),
            ("command=ls", None),
            ("error=1&tty=1", None),
        ] {
            let wants = Wants::parse(&query(text)).ok();
            assert_eq!(wants.map(|it| (it.stdin, it.stdout, it.stderr, it.tty)), expected, "{text}");
        }
    }

    #[test]
    fn ports_are_numbers() {
        assert_eq!(ports(&query("port=80,443&port=1")).ok(), Some(vec![80, 443, 1]));
        assert_eq!(ports(&query("")).ok(), Some(vec![]));
        for text in ["port=0", "port=x", "port=65536", "port=-1"] {
            assert!(ports(&query(text)).is_err(), "{text}");
        }
    }
}
