//! Row CP-01: the API is what kubectl talks to, and the audit log has every word of it.
//!
//! kubectl says with `-v=8` which requests it makes and how they are answered; all of them are in the
//! log, with the verb that method and path mean, the user, and the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::{TempDir, isolated, wait_until};

use super::{busybox, sleeper};

/// As many commands as the row wants to see make requests.
const COMMANDS_MIN: usize = 60;

const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n";

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: applied, labels: {app: applied}}\nspec:\n  \
                   replicas: 0\n  selector: {matchLabels: {app: applied}}\n  template:\n    metadata: {labels: {app: \
                   applied}}\n    spec: {containers: [{name: app, image: busybox}]}\n";

/// A secret's value, which no event of this level may have.
const SECRET: &str = "nobody-may-read-this";

/// Commands, in order. What fails is asked too, and recorded like the rest.
const COMMANDS: &[&str] = &[
    "version",
    "cluster-info",
    "api-resources",
    "api-versions",
    "auth whoami",
    "auth can-i create pods",
    "auth can-i --list",
    "get --raw /livez?verbose",
    "get --raw /metrics",
    "explain pods.spec.containers",
    "get nodes -o wide",
    "describe node n1",
    "top node",
    "create namespace shop",
    "create quota few --hard=pods=9 -n shop",
    "create configmap settings --from-literal=a=b",
    "create secret generic hidden --from-literal=word=nobody-may-read-this",
    "create serviceaccount robot",
    "create token robot --duration=10m",
    "create role reader --verb=get,list --resource=pods",
    "create rolebinding readers --role=reader --serviceaccount=default:robot",
    "create clusterrole looker --verb=get --resource=nodes",
    "create clusterrolebinding lookers --clusterrole=looker --user=eve",
    "create deployment web --image=busybox --replicas=0",
    "create service clusterip quiet --tcp=80:8080",
    "create service nodeport loud --tcp=80:8080",
    "create ingress front --rule=example.org/*=quiet:80",
    "create poddisruptionbudget some --selector=app=web --min-available=1",
    "create priorityclass high --value=1000",
    "create job once --image=busybox",
    "create cronjob often --image=busybox --schedule=0_0_1_1_*",
    "apply -f applied.yaml",
    "apply -f applied.yaml --server-side --force-conflicts",
    "diff -f applied.yaml",
    "get deployments,services -A",
    "get deployment web -o yaml",
    "get pods -l app=web --field-selector=status.phase=Running",
    "get configmap missing",
    "get pods -w --request-timeout=2s",
    "label configmap settings tier=one",
    "annotate configmap settings note=two",
    "patch configmap settings --type=merge -p {\"data\":{\"c\":\"d\"}}",
    "replace -f applied.yaml",
    "set image deployment/web busybox=busybox:2",
    "set env deployment/web A=B",
    "set resources deployment/web --limits=cpu=1",
    "set serviceaccount deployment web robot",
    "set selector service quiet app=web",
    "scale deployment web --replicas=0",
    "autoscale deployment web --min=1 --max=2 --cpu=80%",
    "expose deployment web --port=80 --name=exposed",
    "rollout status deployment/web",
    "rollout history deployment/web",
    "rollout restart deployment/web",
    "rollout pause deployment/web",
    "rollout undo deployment/applied",
    "logs talker",
    "logs talker -f --since=1h --limit-bytes=5",
    "exec talker -- echo hello",
    "cp talker:/etc/hostname copied",
    "describe pod talker",
    "get pod talker -o jsonpath={.status.podIP}",
    "wait pod/talker --for=condition=Ready --timeout=30s",
    "events --for=pod/talker",
    "get events",
    "debug talker --image=busybox --image-pull-policy=IfNotPresent -- true",
    "taint node n1 hot=yes:PreferNoSchedule",
    "cordon n1",
    "drain n1 --dry-run=server --ignore-daemonsets --force",
    "uncordon n1",
    "get pods --as=bob",
    "get secrets --as=eve --as-group=dev -n shop",
    "delete configmap settings",
    "delete job once --cascade=orphan",
    "delete configmaps --all -n shop",
    "delete -f applied.yaml --wait=false",
    "delete pod talker --now",
];

/// What kubectl says of one request, or of one answer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Request { method: String, uri: String },
    Response { id: String, code: u64 },
}

/// The requests and answers in what kubectl prints with `-v=8`.
fn said(text: &str) -> Vec<Said> {
    let quoted = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let mut all = Vec::new();
    let mut code = None;
    for line in text.lines() {
        if line.contains("] \"Request\" verb=") {
            let url = quoted(line, "url").expect("a URL");
            let uri =
                url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
            all.push(Said::Request {
                method: quoted(line, "verb").expect("a method"),
                uri: uri.unwrap_or("/".into()),
            });
        } else if line.contains("] \"Response\" status=") {
            let status = quoted(line, "status").expect("a status");
            code = status.split(' ').next().and_then(|code| code.parse().ok());
        } else if let (Some(seen), Some(id)) = (code, line.trim().strip_prefix("Audit-Id: ")) {
            all.push(Said::Response { id: id.to_owned(), code: seen });
            code = None;
        }
    }
    all
}

/// The verb that a method and a path mean, from the API's own grammar.
fn verb(method: &str, uri: &str) -> String {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] if !rest.is_empty() => rest,
        _ => return method.to_lowercase(),
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() && !matches!(rest[0], "status" | "finalize") => rest,
        rest => rest,
    };
    let named = rest.len() > 1;
    let watches = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    match (method, named) {
        ("GET", false) if watches => "watch",
        ("GET", false) => "list",
        ("GET", true) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => panic!("{method} {uri}"),
    }
    .to_owned()
}

struct Recorded {
    cluster: Cluster,
    directory: TempDir,
}

impl Recorded {
    fn start(policy: &str) -> Self {
        let directory = TempDir::new();
        let (file, log) = (directory.join("policy.yaml"), directory.join("log/audit.log"));
        fs::write(&file, policy).unwrap();
        let (file, log) = (file.to_string_lossy(), log.to_string_lossy());
        let options = ["--audit-policy-file", &file, "--audit-log-path", &log, "--audit-log-maxsize", "1"];
        let cluster = Cluster::start_with(busybox(), &options);
        Self { cluster, directory }
    }

    /// All that is recorded, in its file and in those before it.
    fn events(&self) -> Vec<Value> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.directory.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
        // By their times, the newest last, which has none.
        files.sort();
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let texts: Vec<String> = files.iter().map(|path| read(path)).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        // The last line may be on its way.
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// What is not recorded as kubectl tells it.
fn missing(heard: &[(String, Vec<Said>)], events: &[Value]) -> Vec<String> {
    let mut by_id: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for event in events {
        by_id.entry(event["auditID"].as_str().unwrap()).or_default().push(event);
    }
    let mut by_call: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for event in events {
        let call = (event["verb"].as_str().unwrap(), event["requestURI"].as_str().unwrap());
        by_call.entry(call).or_default().insert(event["auditID"].as_str().unwrap());
    }
    let mut lacks = Vec::new();
    let mut calls: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (command, all) in heard {
        let acts_as = command.split(' ').find_map(|word| word.strip_prefix("--as="));
        for one in all {
            match one {
                Said::Request { method, uri } => {
                    let call = (verb(method, uri), uri.clone());
                    let count = calls.entry(call.clone()).or_default();
                    *count += 1;
                    let found = by_call.get(&(call.0.as_str(), call.1.as_str())).map_or(0, BTreeSet::len);
                    if found < *count {
                        lacks.push(format!(
                            "{command}: {method} {uri}: {count} as {}, {found} recorded",
                            call.0
                        ));
                    }
                }
                Said::Response { id, code } => {
                    let events = by_id.get(id.as_str()).cloned().unwrap_or_default();
                    let fits = |event: &&Value| {
                        event["stage"] == "ResponseComplete"
                            && event["responseStatus"]["code"] == *code
                            && event["user"]["username"] == "kubernetes-admin"
                            && event["impersonatedUser"]["username"].as_str() == acts_as
                    };
                    if !events.iter().any(fits) {
                        lacks.push(format!("{command}: {id} answered {code}: {events:?}"));
                    }
                }
            }
        }
    }
    lacks
}

#[test]
fn cp_01_the_audit_log_has_every_call_that_kubectl_makes() {
    isolated(|| {
        let recorded = Recorded::start(POLICY);
        let cluster = &recorded.cluster;
        fs::write(cluster.home().join("applied.yaml"), WEB).unwrap();
        let talker =
            sleeper("talker", &["app"], "").replace("[sleep, '3600']", "[sh, -c, 'echo hello; sleep 3600']");
        cluster.apply(&talker);
        cluster.wait_pod("talker");
        let mut heard = Vec::new();
        for (at, command) in COMMANDS.iter().enumerate() {
            // What kubectl has kept of earlier answers it does not ask for, though it says so.
            let cache = format!("--cache-dir={}", recorded.directory.join(at.to_string()).display());
            let words: Vec<String> = command.split(' ').map(|word| word.replace('_', " ")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = cluster.kubectl(&[&["-v=8", &cache][..], &words].concat());
            heard.push(((*command).to_owned(), said(&output.stderr)));
        }
        let asking = heard.iter().filter(|(_, said)| !said.is_empty()).count();
        assert!(asking >= COMMANDS_MIN, "only {asking} commands asked the server");
        let mut lacks = Vec::new();
        // What takes long is recorded when it has ended, which kubectl may know first.
        let complete = || {
            lacks = missing(&heard, &recorded.events());
            lacks.is_empty()
        };
        assert!(wait_until(Duration::from_secs(30), complete), "{lacks:#?}");
        let events = recorded.events();
        let text: String = events.iter().map(Value::to_string).collect();
        for word in [SECRET, "bm9ib2R5LW1heS1yZWFkLXRoaXM", "Bearer", "requestObject", "responseObject"] {
            assert!(!text.contains(word), "{word}");
        }
        // Those who work in the server's own process are on the record too.
        for (user, agent) in [("system:kube-scheduler", "kube-scheduler"), ("system:node:n1", "kubelet")] {
            let own = |event: &Value| event["user"]["username"] == user && event["userAgent"] == agent;
            assert!(events.iter().any(own), "{user}");
        }
        let exec = events.iter().filter(|event| event["objectRef"]["subresource"] == "exec");
        let stages: BTreeSet<&str> = exec.map(|event| event["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, BTreeSet::from(["RequestReceived", "ResponseStarted", "ResponseComplete"]));
    });
}
