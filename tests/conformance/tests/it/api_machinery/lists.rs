//! Lists in chunks and as tables.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use testkit::TempDir;

use crate::rig::{Rig, rig, wait_for};

const PAGE: usize = 17;
const TEMPLATES: usize = 60;

fn templates(rig: &Rig) -> String {
    let path = format!("/api/v1/namespaces/{}/podtemplates", rig.namespace());
    for at in 0..TEMPLATES {
        let object = json!({"apiVersion": "v1", "kind": "PodTemplate",
            "metadata": {"name": format!("template-{at:04}")},
            "template": {"spec": {"containers": [{"name": "test", "image": "test2"}]}}});
        rig.create(&path, &object).ok();
    }
    path
}

/// [sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]
#[test]
fn servers_with_support_for_api_chunking_should_return_chunks_of_results_for_list_calls() {
    let rig = rig();
    let path = templates(&rig);
    let mut found = 0;
    let mut next = format!("{path}?limit={PAGE}");
    let mut revision = None;
    loop {
        let list = rig.get(&next).ok();
        let items = list["items"].as_array().unwrap();
        assert!(items.len() <= PAGE);
        for item in items {
            assert_eq!(item["metadata"]["name"], format!("template-{found:04}"));
            found += 1;
        }
        let meta = &list["metadata"];
        assert_eq!(revision.get_or_insert_with(|| meta["resourceVersion"].clone()), &meta["resourceVersion"]);
        let Some(token) = meta["continue"].as_str().filter(|token| !token.is_empty()) else { break };
        assert_eq!(meta["remainingItemCount"], TEMPLATES - found);
        next = format!("{path}?limit={PAGE}&continue={token}");
    }
    assert_eq!(found, TEMPLATES);
    let whole = rig.get(&path).ok();
    assert_eq!(whole["items"].as_array().unwrap().len(), TEMPLATES);
    let zero = rig.get(&format!("{path}?limit=0")).ok();
    assert_eq!(zero["items"].as_array().unwrap().len(), TEMPLATES);
}

/// The `continue` of a page, with what must be true of any page.
fn next_of(list: &Value, found: usize) -> Option<String> {
    let meta = &list["metadata"];
    let token = meta["continue"].as_str().filter(|token| !token.is_empty());
    let remaining = meta["remainingItemCount"].as_u64().unwrap_or(0);
    assert_eq!(remaining as usize + found, TEMPLATES, "{meta}");
    assert_eq!(token.is_some(), meta.get("remainingItemCount").is_some(), "{meta}");
    token.map(str::to_owned)
}

/// [sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent [Slow] [Conformance]
#[test]
fn servers_with_support_for_api_chunking_should_support_continue_listing_from_the_last_key() {
    // A server that forgets soon: what upstream's spec waits minutes for.
    goes_on_from_the_last_key(&Rig::start(&["--store-history", "1s"]));
}

/// The same over etcd, whose history the server drops: etcd does not by itself.
#[test]
fn a_server_over_etcd_forgets_too() {
    let etcd = Etcd::start();
    goes_on_from_the_last_key(&Rig::start(&["--store", &etcd.url, "--store-history", "1s"]));
}

/// An etcd of a test's own; killed on drop.
struct Etcd {
    url: String,
    process: Child,
    _home: TempDir,
}

impl Etcd {
    fn start() -> Self {
        let home = TempDir::new();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [url, peer] = [free(), free()].map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(home.join("data")).args(["--log-level", "error"]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("etcd-server is installed");
        let address = url.trim_start_matches("http://").to_owned();
        let etcd = Self { url, process, _home: home };
        wait_for("etcd", || TcpStream::connect(&address).is_ok());
        etcd
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn goes_on_from_the_last_key(rig: &Rig) {
    let path = templates(rig);
    let first = rig.get(&format!("{path}?limit={PAGE}")).ok();
    let mut found = first["items"].as_array().unwrap().len();
    assert_eq!(found, PAGE);
    let token = next_of(&first, found).unwrap();
    let mut inconsistent = String::new();
    wait_for("the token's end", || {
        // History is measured in writes, and this server has nothing else to do.
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "w-"}});
        rig.create("/api/v1/namespaces/default/configmaps", &map).ok();
        let answer = rig.get(&format!("{path}?limit={PAGE}&continue={token}"));
        if answer.code == 200 {
            return false;
        }
        let status = answer.refused(410);
        assert_eq!(status["reason"], "Expired");
        status["metadata"]["continue"].as_str().unwrap().clone_into(&mut inconsistent);
        true
    });
    assert!(!inconsistent.is_empty());
    let mut next = Some(inconsistent);
    let mut revision = None;
    while let Some(token) = next {
        let list = rig.get(&format!("{path}?limit={PAGE}&continue={token}")).ok();
        let shown = revision.get_or_insert_with(|| list["metadata"]["resourceVersion"].clone());
        assert_eq!(*shown, list["metadata"]["resourceVersion"]);
        assert_ne!(*shown, first["metadata"]["resourceVersion"]);
        for item in list["items"].as_array().unwrap() {
            assert_eq!(item["metadata"]["name"], format!("template-{found:04}"));
            found += 1;
        }
        next = next_of(&list, found);
    }
    assert_eq!(found, TEMPLATES);
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// [sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata [Conformance]
#[test]
fn servers_with_support_for_table_transformation_should_return_a_406() {
    let rig = rig();
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}});
    let headers = [("accept", TABLE), ("content-type", "application/json")];
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = rig.send("POST", path, &headers, review.to_string());
    let status = answer.refused(406);
    assert_eq!(status["reason"], "NotAcceptable");
    wait_for("a table of what has metadata", || {
        rig.get_as("/api/v1/namespaces", TABLE).ok()["kind"] == "Table"
    });
}
