//! Watches whose clients do not read: they hold up nobody, cost little, and go on where they were.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::KubeServer;
use tokio::task::JoinSet;

use super::wire::{Events, JSON, Target, Wire};

/// Changes of the object that the stalled watches are about: more than the server remembers in
/// memory, and far more than fits the windows of a connection.
const CHANGES: u64 = 1200;
/// Changes of the object of all others.
const OTHER_CHANGES: u64 = 40;
/// A connection's share of the watches; there are three.
const STALLED: usize = 10;
const READING: usize = 10;
const OTHERS: usize = 80;
const PAD: usize = 4 * 1024;
/// What the server may grow by. Queues for the stalled watches alone would be 140 MiB.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
/// On a machine busy with other tests.
const WITHIN: Duration = Duration::from_secs(120);

#[test]
fn clients_that_do_not_read_hold_up_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = KubeServer::start();
    let target = Target::of(&server);
    runtime.block_on(async {
        let mut wire = Wire::new(&target);
        write(&mut wire, "POST", "hot", 0).await;
        write(&mut wire, "POST", "other", 0).await;
        let (mut readers, mut stalled) = (JoinSet::new(), Vec::new());
        for _ in 0..3 {
            let mut wire = Wire::new(&target);
            for _ in 0..STALLED {
                stalled.push(watch(&mut wire, "hot").await);
            }
            for _ in 0..READING {
                readers.spawn(read(watch(&mut wire, "hot").await, CHANGES));
            }
            for _ in 0..OTHERS {
                readers.spawn(read(watch(&mut wire, "other").await, OTHER_CHANGES));
            }
        }
        let before = resident_kib(&server);
        for number in 1..=CHANGES {
            write(&mut wire, "PUT", "hot", number).await;
            if number % (CHANGES / OTHER_CHANGES) == 0 {
                write(&mut wire, "PUT", "other", number / (CHANGES / OTHER_CHANGES)).await;
            }
        }
        let all = async {
            while let Some(ended) = readers.join_next().await {
                assert!(ended.unwrap(), "a watch that is read ended before its last event");
            }
        };
        tokio::time::timeout(WITHIN, all).await.expect("every event to everybody who reads");
        let grown = resident_kib(&server).saturating_sub(before);
        assert!(grown < GROWTH_MAX_KIB, "the server has grown by {grown} KiB");

        let mut ended = 0;
        for watch in stalled {
            let whole = tokio::time::timeout(WITHIN, read(watch, CHANGES)).await.expect("it goes on");
            ended += u32::from(!whole);
        }
        println!("{ended} stalled watches were told to list again, the server grew by {grown} KiB");
    });
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/default/configmaps/{name}")
}

async fn write(wire: &mut Wire, method: &str, name: &str, number: u64) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"number": number.to_string(), "pad": "x".repeat(PAD)},
    });
    let path = if method == "POST" { path("").trim_end_matches('/').to_owned() } else { path(name) };
    wire.send(method, &path, JSON, object.to_string()).await.unwrap().ok();
}

/// Follows one object from its first state on.
async fn watch(wire: &mut Wire, name: &str) -> Events {
    let path = format!("{}?watch=true&fieldSelector=metadata.name%3D{name}", path("").trim_end_matches('/'));
    let answer = wire.open("GET", &path, JSON, "").await.unwrap();
    assert_eq!(answer.status(), 200);
    Events::of(answer)
}

/// Reads all changes, each once and in order; false if the watch is told to begin anew.
async fn read(mut events: Events, changes: u64) -> bool {
    for expected in 0..=changes {
        let event = events.next().await.expect("the watch goes on");
        if event["type"] == "ERROR" {
            assert_eq!(event["object"]["code"], 410, "{event}");
            return false;
        }
        assert_eq!(number_of(&event), expected);
    }
    true
}

fn number_of(event: &Value) -> u64 {
    event["object"]["data"]["number"].as_str().unwrap().parse().unwrap()
}

fn resident_kib(server: &KubeServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
