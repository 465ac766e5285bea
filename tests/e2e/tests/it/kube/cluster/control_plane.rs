//! Rows CP-03, CP-06, CP-07, CP-08 on a cluster with a node: what is wanted is kept, explained and repaired.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread;

use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::{isolated, run, wait_for};

use super::{busybox, cluster, member, sleeper};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    terminationGracePeriodSeconds: 1\n      containers:\n      - {name: app, image: busybox, \
    imagePullPolicy: IfNotPresent, command: [sleep, '3600']}\n";

/// Every object that nobody changes by itself: its place, its identity and its revision.
fn state(cluster: &Cluster) -> BTreeSet<String> {
    let kinds = "configmaps,deployments,replicasets,services,secrets,serviceaccounts,clusterroles,\
        clusterrolebindings,roles,rolebindings,namespaces,priorityclasses,storageclasses,pods";
    let listed = cluster.kubectl(&["get", kinds, "-A", "-o", "json"]);
    let list: Value = serde_json::from_str(listed.ok()).unwrap();
    let of = |item: &Value, member: &str| item["metadata"][member].as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let kind = item["kind"].as_str().unwrap();
            let place = ["namespace", "name", "uid", "resourceVersion"].map(|name| of(item, name)).join(" ");
            format!("{kind} {place}")
        })
        .collect()
}

#[test]
fn cp_03_what_is_wanted_survives_the_end_of_everything() {
    isolated(|| {
        let mut cluster = cluster();
        cluster.apply(WEB);
        for number in 0..20 {
            cluster.kubectl(&["create", "configmap", &format!("map-{number}"), "--from-literal=a=b"]).ok();
        }
        cluster.wait_for(&["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"], "2");
        let settled = || {
            let first = state(&cluster);
            (first == state(&cluster)).then_some(first)
        };
        let before = wait_for("a cluster at rest", settled);
        for _ in 0..3 {
            cluster.crash_and_restart();
        }
        assert_eq!(state(&cluster), before);
        // What is written next is newer than all of it.
        cluster.kubectl(&["create", "configmap", "after"]).ok();
        let revision = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        let newest = before.iter().map(|line| revision(line)).max().unwrap();
        let after: u64 = member(&cluster, "configmap/after", ".metadata.resourceVersion").parse().unwrap();
        assert!(after > newest, "{after} after {newest}");
    });
}

#[test]
fn cp_06_every_kind_is_explained() {
    isolated(|| {
        let cluster = cluster();
        let kinds = cluster.kubectl(&["api-resources", "--no-headers", "-o", "name"]);
        let kinds: Vec<&str> = kinds.ok().lines().collect();
        assert!(kinds.len() > 60, "{kinds:?}");
        for kind in &kinds {
            // `pods.v1.` is no name here: a group's name with its dots is.
            let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
            let mut args = vec!["explain", resource, "--recursive"];
            let versions = cluster.kubectl(&["api-resources", "--no-headers", "--api-group", group]);
            let row = versions.ok().lines().find(|line| line.split_whitespace().next() == Some(resource));
            let version = row
                .expect("its row")
                .split_whitespace()
                .find(|word| word.contains("v1") || word.contains("v2"));
            let version = format!("--api-version={}", version.expect("its version"));
            args.push(&version);
            let explained = cluster.kubectl(&args);
            let text = explained.ok();
            assert!(text.contains("KIND:") && text.contains("DESCRIPTION:"), "{kind}: {text}");
            assert!(!text.contains("<empty>"), "{kind} has no description: {text}");
        }
        let field = cluster.kubectl(&["explain", "pod.spec.containers.livenessProbe.httpGet.port"]);
        assert!(field.ok().contains("FIELD: port <IntOrString>"), "{field:?}");
        cluster.kubectl(&["explain", "pod.spec.nothing"]).says("field \"nothing\" does not exist");
    });
}

#[test]
fn cp_07_what_is_declared_is_kept() {
    isolated(|| {
        let cluster = cluster();
        let file = cluster.home().join("web.yaml");
        std::fs::write(&file, WEB).unwrap();
        let file = file.to_string_lossy().into_owned();
        let apply = || cluster.kubectl(&["apply", "-f", &file]);
        assert_eq!(apply().ok(), "deployment.apps/web created");
        let ready = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
        cluster.wait_for(&ready, "2");
        let generation = || member(&cluster, "deployment/web", ".metadata.generation");
        let before = generation();
        assert_eq!(apply().ok(), "deployment.apps/web unchanged");
        assert_eq!(generation(), before);
        // Somebody's hand: shown by diff, taken back by apply.
        cluster.kubectl(&["scale", "deployment", "web", "--replicas=4"]).ok();
        cluster.wait_for(&ready, "4");
        let differs = cluster.kubectl(&["diff", "-f", &file]);
        assert!(differs.code == 1 && differs.stdout.contains("-  replicas: 4"), "{differs:?}");
        assert_eq!(apply().ok(), "deployment.apps/web configured");
        cluster.wait_for(&ready, "2");
        // Two who declare one field: the second is told whose it is.
        let own = ["apply", "--server-side", "--field-manager=one", "-f", &file];
        cluster.kubectl(&[&own[..], &["--force-conflicts"]].concat()).ok();
        let other = cluster.home().join("other.yaml");
        std::fs::write(&other, WEB.replace("replicas: 2", "replicas: 3")).unwrap();
        let other = other.to_string_lossy().into_owned();
        let theirs = ["apply", "--server-side", "--field-manager=two", "-f", &other];
        let refused = cluster.kubectl(&theirs);
        refused.says("Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
        assert_eq!(member(&cluster, "deployment/web", ".spec.replicas"), "2");
        cluster.kubectl(&[&theirs[..], &["--force-conflicts"]].concat()).ok();
        cluster.wait_for(&ready, "3");
    });
}

/// Clients at once, many times what the server answers at once.
const CLIENTS: usize = 24;
const OBJECTS: usize = 20;

#[test]
fn cp_08_too_many_requests_are_turned_away_and_come_again() {
    isolated(|| {
        let limits = ["--max-mutating-requests-inflight", "1", "--max-requests-inflight", "2"];
        let cluster = Cluster::start_with(busybox(), &limits);
        cluster.apply(&sleeper("steady", &["app"], ""));
        cluster.wait_pod("steady");
        let list = |client: usize| {
            let map = |number| {
                let pad = "x".repeat(20_000);
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{client}-{number}}}\ndata: {{pad: {pad}}}\n---\n"
                )
            };
            (0..OBJECTS).map(map).collect::<String>()
        };
        let refused = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let file = cluster.home().join(format!("{client}.yaml"));
                    std::fs::write(&file, list(client)).unwrap();
                    // They wait as long as the server says, and ask again.
                    let mut command =
                        cluster.kubectl_command(&["create", "-v=6", "-f", &file.to_string_lossy()]);
                    scope.spawn(move || run(command.stdin(Stdio::null())))
                })
                .collect();
            let ended: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
            for output in &ended {
                output.ok();
            }
            ended.iter().map(|output| output.stderr.matches("429").count()).sum::<usize>()
        });
        println!("{refused} requests were turned away");
        assert!(refused > 0, "nobody was turned away");
        let made = cluster.kubectl(&["get", "configmaps", "-o", "name"]);
        assert_eq!(made.ok().matches("/map-").count(), CLIENTS * OBJECTS);
        assert_eq!(member(&cluster, "pod/steady", ".status.containerStatuses[0].restartCount"), "0");
        cluster.wait_for(&["get", "--raw", "/readyz"], "ok");
    });
}
