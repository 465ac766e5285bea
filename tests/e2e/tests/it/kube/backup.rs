//! `strake store …` beside a running server.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::{KubeServer, clients};
use testkit::{Output, TempDir, bin, run, wait_until};

const OBJECTS: usize = 400;

fn strake(args: &[&str], data: &Path) -> Output {
    run(Command::new(bin("strake")).args(args).arg("--data-dir").arg(data).stdin(Stdio::null()))
}

/// The config maps of this test by name.
fn listed(server: &KubeServer) -> Vec<Value> {
    let list: Value =
        serde_json::from_str(server.kubectl(&["get", "configmaps", "-o", "json"]).ok()).unwrap();
    let ours = |item: &&Value| item["metadata"]["name"].as_str().unwrap().starts_with("load-");
    list["items"].as_array().unwrap().iter().filter(ours).cloned().collect()
}

#[test]
fn a_backup_beside_writers_restores_to_what_was_acknowledged() {
    let server = KubeServer::start();
    let maps = (0..OBJECTS).map(|number| {
        let metadata = json!({"name": format!("load-{number:04}")});
        let data = json!({"k": "v".repeat(500)});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).to_string()
    });
    std::fs::write(server.home().join("load.json"), maps.collect::<Vec<_>>().join("\n")).unwrap();
    let mut load = server.command(&clients().kubectl, &["create", "-f", "load.json"]);
    let mut load = load.stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(load.stdout.take().unwrap());
    let acknowledged = AtomicUsize::new(0);
    let count = || acknowledged.load(Ordering::SeqCst);
    let backup = server.home().join("backup");
    let (before, after) = std::thread::scope(|scope| {
        scope.spawn(|| {
            // kubectl says a line for each object, in their order, when the server has said yes.
            for line in said.lines().map_while(Result::ok) {
                assert!(line.ends_with(" created"), "{line}");
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
        assert!(wait_until(Duration::from_secs(60), || count() >= 20), "writes begin");
        let before = count();
        let made = strake(&["store", "backup", &backup.to_string_lossy()], &server.data());
        assert!(made.ok().contains("records"), "{made:?}");
        (before, count())
    });
    assert!(load.wait().unwrap().success());

    let home = TempDir::new();
    strake(&["store", "restore", &backup.to_string_lossy()], &home.join("data")).ok();
    let restored = KubeServer::start_in(home, &[]);
    let (then, now) = (listed(&restored), listed(&server));
    assert_eq!(now.len(), OBJECTS);
    // One more may have been durable before kubectl could say so.
    assert!((before..=after + 1).contains(&then.len()), "{} of {before} to {after}", then.len());
    assert_eq!(then, now[..then.len()], "a prefix, object by object");
}

#[test]
fn check_and_history_ask_the_server_that_has_the_store() {
    let server = KubeServer::start();
    server.kubectl(&["create", "configmap", "settings", "--from-literal=a=1"]).ok();
    server.kubectl(&["patch", "configmap", "settings", "-p", r#"{"data":{"a":"2"}}"#]).ok();
    let checked = strake(&["store", "check"], &server.data());
    assert!(checked.ok().contains("every record is sound"), "{checked:?}");
    let key = "/registry/core/configmaps/default/settings";
    let history = strake(&["store", "history", key, "--values"], &server.data());
    assert_eq!(history.ok().lines().count(), 2, "{history:?}");
    // What needs the file for itself says who is in the way.
    let refused = strake(&["store", "migrate", "--from-etcd", "http://127.0.0.1:1"], &server.data());
    assert!(refused.stderr.contains("open in another process"), "{refused:?}");
    let elsewhere = server.home().join("elsewhere");
    let refused = strake(&["store", "backup", "/nowhere"], &elsewhere);
    assert!(refused.stderr.contains("--data-dir"), "{refused:?}");
}
