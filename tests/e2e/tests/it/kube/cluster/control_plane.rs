//! Rows CP-03, CP-06, CP-07, CP-08 on a cluster with a node: what is wanted is kept, explained and repaired.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};

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
        let cluster = Cluster::start_with(
            busybox(),
            &[&LIMITS[..], &["--enable-priority-and-fairness=false"]].concat(),
        );
        cluster.apply(&sleeper("steady", &["app"], ""));
        cluster.wait_pod("steady");
        cluster.apply(MAY_EDIT);
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
                    // They wait as long as the server says, and ask again. Administrators would not have to.
                    let file = file.to_string_lossy();
                    let mut command = cluster.kubectl_command(&["create", "--as=flood", "-v=6", "-f", &file]);
                    scope.spawn(move || run(command.stdin(Stdio::null())))
                })
                .collect();
            let ended: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
            for output in &ended {
                output.ok();
            }
            ended.iter().map(|output| output.stderr.matches("429 Too Many Requests").count()).sum::<usize>()
        });
        println!("{refused} requests were turned away");
        assert!(refused > 0, "nobody was turned away");
        let made = cluster.kubectl(&["get", "configmaps", "-o", "name"]);
        assert_eq!(made.ok().matches("/map-").count(), CLIENTS * OBJECTS);
        assert_eq!(member(&cluster, "pod/steady", ".status.containerStatuses[0].restartCount"), "0");
        cluster.wait_for(&["get", "--raw", "/readyz"], "ok");
    });
}

/// Few places for requests: one that writes and two that read, or three together.
const LIMITS: [&str; 4] = ["--max-mutating-requests-inflight", "1", "--max-requests-inflight", "2"];

const MAY_EDIT: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
    metadata: {name: editors}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}\n\
    subjects:\n- {apiGroup: rbac.authorization.k8s.io, kind: User, name: flood}\n\
    - {apiGroup: rbac.authorization.k8s.io, kind: User, name: quiet}\n";

/// A level with one seat, and queues of ten.
const NARROW: &str = "apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: PriorityLevelConfiguration\n\
    metadata: {name: narrow}\nspec:\n  type: Limited\n  limited:\n    nominalConcurrencyShares: 1\n    \
    borrowingLimitPercent: 0\n    limitResponse:\n      type: Queue\n      \
    queuing: {queues: 64, handSize: 1, queueLengthLimit: 10}\n---\n\
    apiVersion: flowcontrol.apiserver.k8s.io/v1\nkind: FlowSchema\nmetadata: {name: narrow}\nspec:\n  \
    matchingPrecedence: 50\n  priorityLevelConfiguration: {name: narrow}\n  \
    distinguisherMethod: {type: ByUser}\n  rules:\n  - subjects:\n    \
    - {kind: User, user: {name: flood}}\n    - {kind: User, user: {name: quiet}}\n    \
    resourceRules:\n    - {verbs: [create], apiGroups: [''], resources: [configmaps], namespaces: [default]}\n";

/// `kubectl proxy`: the administrator's connection, for requests in anybody's name.
struct Proxy(Child, String);

impl Proxy {
    fn start(cluster: &Cluster) -> Self {
        let mut command = cluster.kubectl_command(&["proxy", "--port=0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit(' ').next().unwrap().to_owned();
        Self(child, address)
    }

    /// A request that creates an object: what is sent first, and the rest of its body.
    fn creation(&self, user: &str, round: usize) -> (String, String) {
        let rest = format!(
            "\"metadata\": {{\"generateName\": \"r-\", \"labels\": {{\"of\": \"{user}\", \"round\": \"{round}\"}}}}}}"
        );
        let first = "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", ";
        let head = format!(
            "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: {}\r\nImpersonate-User: {user}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{first}",
            self.1,
            first.len() + rest.len()
        );
        (head, rest)
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.1).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// A request that is not whole yet: the server waits for the rest of its body.
    fn begin(&self, user: &str, round: usize) -> Begun {
        let (first, rest) = self.creation(user, round);
        Begun { stream: self.send(&first), rest }
    }

    /// Creates objects; gives the answers' heads and bodies. A request is sent whole: one that is
    /// refused before its body is there loses its answer with the connection.
    fn create(&self, user: &str, round: usize, count: usize) -> Vec<JoinHandle<String>> {
        let (first, rest) = self.creation(user, round);
        (0..count)
            .map(|_| {
                let stream = self.send(&format!("{first}{rest}"));
                thread::spawn(|| answer(stream))
            })
            .collect()
    }

    /// A number of the server's metrics about the narrow schema; 0 if there is none.
    fn narrow(&self, metric: &str) -> usize {
        let metrics = answer(self.send(&format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.1)));
        assert!(metrics.starts_with("HTTP/1.0 200"), "{metrics}");
        let begin = format!("apiserver_flowcontrol_{metric}{{flow_schema=\"narrow\",");
        let line = metrics.lines().find(|line| line.starts_with(&begin));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Begun {
    stream: TcpStream,
    rest: String,
}

impl Begun {
    fn end(mut self) -> String {
        self.stream.write_all(self.rest.as_bytes()).unwrap();
        answer(self.stream)
    }
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What was made in a round, the oldest first: whose it is.
fn made(cluster: &Cluster, round: usize) -> Vec<String> {
    let listed = cluster.kubectl(&["get", "configmaps", "-l", &format!("round={round}"), "-o", "json"]);
    let list: Value = serde_json::from_str(listed.ok()).unwrap();
    let mut made: Vec<(u64, String)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let meta = &item["metadata"];
            let revision = meta["resourceVersion"].as_str().unwrap().parse().unwrap();
            (revision, meta["labels"]["of"].as_str().unwrap().to_owned())
        })
        .collect();
    made.sort();
    made.into_iter().map(|(_, of)| of).collect()
}

const QUEUE: usize = 10;
const REFUSED: usize = 6;
const QUIET: usize = 5;

/// While the only seat is taken, one user fills a queue and another comes after it; gives whose turn it
/// was, in order.
fn flooded(cluster: &Cluster, proxy: &Proxy, round: usize) -> Vec<String> {
    let held = proxy.begin("flood", round);
    wait_for("the seat to be taken", || (proxy.narrow("current_executing_seats") == 1).then_some(()));
    let flood = proxy.create("flood", round, QUEUE + REFUSED);
    wait_for("a full queue", || {
        let waiting = proxy.narrow("current_inqueue_requests") == QUEUE;
        let refused = proxy.narrow("rejected_requests_total") == (round + 1) * REFUSED;
        (waiting && refused).then_some(())
    });
    let quiet = proxy.create("quiet", round, QUIET);
    wait_for("the others behind them", || {
        (proxy.narrow("current_inqueue_requests") == QUEUE + QUIET).then_some(())
    });
    // Whoever is at another level does not notice.
    assert_eq!(cluster.kubectl(&["get", "pod", "steady", "-o", "name"]).ok(), "pod/steady");
    assert_eq!(made(cluster, round), [] as [&str; 0]);
    assert!(held.end().starts_with("HTTP/1.1 201"));
    let answers = |threads: Vec<JoinHandle<String>>| -> Vec<String> {
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    };
    let (flood, quiet) = (answers(flood), answers(quiet));
    assert!(quiet.iter().all(|answer| answer.starts_with("HTTP/1.1 201")), "{quiet:?}");
    let (refused, created): (Vec<&String>, Vec<&String>) =
        flood.iter().partition(|answer| answer.starts_with("HTTP/1.1 429 Too Many Requests"));
    assert_eq!((refused.len(), created.len()), (REFUSED, QUEUE), "{flood:?}");
    assert!(created.iter().all(|answer| answer.starts_with("HTTP/1.1 201")), "{created:?}");
    for answer in refused {
        assert!(answer.contains("Retry-After: ") && answer.contains("TooManyRequests"), "{answer}");
        assert!(answer.contains("X-Kubernetes-Pf-Flowschema-Uid: "), "{answer}");
    }
    let order = made(cluster, round);
    assert_eq!((order.len(), order[0].as_str()), (1 + QUEUE + QUIET, "flood"), "{order:?}");
    order
}

#[test]
fn cp_08_a_flood_of_one_user_leaves_others_their_turn() {
    isolated(|| {
        let cluster = Cluster::start_with(busybox(), &LIMITS);
        cluster.apply(&sleeper("steady", &["app"], ""));
        cluster.wait_pod("steady");
        cluster.apply(MAY_EDIT);
        cluster.apply(NARROW);
        let reason = ["get", "flowschema", "narrow", "-o", "jsonpath={.status.conditions[0].reason}"];
        cluster.wait_for(&reason, "Found");
        let proxy = Proxy::start(&cluster);
        // The quiet user came last, and had at least every second turn. Turns are of time: one of its
        // requests for which the disk took long counts for several, so that a round may be disturbed.
        let orders: Vec<Vec<String>> = (0..3).map(|round| flooded(&cluster, &proxy, round)).collect();
        let last = |order: &Vec<String>| order.iter().rposition(|of| of == "quiet").unwrap();
        assert!(orders.iter().any(|order| last(order) <= 2 * QUIET), "{orders:?}");
        assert_eq!(member(&cluster, "pod/steady", ".status.containerStatuses[0].restartCount"), "0");
        cluster.wait_for(&["get", "--raw", "/readyz"], "ok");
    });
}
