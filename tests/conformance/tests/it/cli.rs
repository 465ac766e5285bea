//! `[sig-cli]`: kubectl itself.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use testkit::kube::clients;

use crate::rig::{Rig, rig, unique};

/// [sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions [Conformance]
#[test]
fn kubectl_api_versions_should_check_if_v1_is_in_available_api_versions() {
    let versions = rig().kubectl(&["api-versions"]);
    assert!(versions.lines().any(|line| line == "v1"), "{versions}");
}

/// [sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info [Conformance]
#[test]
fn kubectl_cluster_info_should_check_if_control_plane_services_is_included() {
    let info = rig().kubectl(&["cluster-info"]);
    assert!(info.contains("Kubernetes control plane"), "{info}");
    assert!(info.contains("is running at"), "{info}");
}

/// [sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]
#[test]
fn kubectl_version_should_check_is_all_data_is_printed() {
    let version = rig().kubectl(&["version"]);
    for part in ["Client Version", "Kustomize Version", "Server Version"] {
        assert!(version.contains(part), "{version}");
    }
}

/// A `kubectl proxy`; killed on drop.
struct Proxy {
    child: Child,
    said: String,
}

impl Proxy {
    fn start(rig: &Rig, args: &[&str]) -> Self {
        let mut command = rig.server.command(&clients().kubectl, &["proxy"]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        Self { child, said }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(mut stream: impl std::io::Read + std::io::Write) -> String {
    let request = "GET /api/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// [sig-cli] Kubectl client Proxy server should support proxy with --port 0 [Conformance]
#[test]
fn kubectl_proxy_server_should_support_proxy_with_port_0() {
    let rig = rig();
    let proxy = Proxy::start(&rig, &["--port=0", "--disable-filter"]);
    let port: u16 = proxy.said.trim().rsplit(':').next().unwrap().parse().unwrap();
    let answer = ask(TcpStream::connect(("127.0.0.1", port)).unwrap());
    assert!(answer.contains("APIVersions"), "{answer}");
}

/// [sig-cli] Kubectl client Proxy server should support --unix-socket=/path [Conformance]
#[test]
fn kubectl_proxy_server_should_support_unix_socket() {
    let rig = rig();
    let path = rig.server.home().join(unique("socket"));
    let proxy = Proxy::start(&rig, &[&format!("--unix-socket={}", path.display())]);
    assert!(proxy.said.contains("Starting to serve"), "{}", proxy.said);
    let answer = ask(UnixStream::connect(&path).unwrap());
    assert!(answer.contains("APIVersions"), "{answer}");
}
