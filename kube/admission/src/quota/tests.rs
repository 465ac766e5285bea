//! Tables of requests against quotas, and reservations against a store that others write to.
#![expect(clippy::needless_pass_by_value, reason = "tables read better without borrows")]

use std::sync::Arc;

use kube_object::cluster::{Cluster, Fixed};
use kube_object::resource::GroupVersionResource;
use serde_json::json;

use super::*;
use crate::host::{BoxFuture, Writer};
use crate::testing::{Allowed, host};

fn quota(name: &str, hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"},
        "status": {"hard": hard, "used": used}})
}

fn create(resource: &str, object: Value) -> Request {
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    Request {
        resource: GroupVersionResource::new(group, "v1", resource),
        namespace: "n".to_owned(),
        name: "x".to_owned(),
        object: Some(object),
        ..Request::default()
    }
}

fn pod(cpu: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn check(quotas: &[Value], request: &Request) -> String {
    let quotas: Vec<_> = quotas.iter().cloned().map(Arc::new).collect();
    match charge(&quotas, request, &[]) {
        Ok(charges) => {
            let texts: Vec<_> =
                charges.iter().map(|charge| format!("{}: {}", charge.index, charge.used)).collect();
            texts.join("; ")
        }
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn requests_fit_or_not() {
    let service = json!({"spec": {"type": "NodePort", "ports": [{"port": 1}]}});
    for (quota, request, expected) in [
        (quota("q", json!({"pods": "2"}), json!({"pods": "1"})), create("pods", pod("1")), "0: pods=2"),
        (
            quota("q", json!({"pods": "1"}), json!({"pods": "1"})),
            create("pods", pod("1")),
            "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
        ),
        (
            quota(
                "q",
                json!({"requests.cpu": "1", "pods": "5"}),
                json!({"requests.cpu": "500m", "pods": "1"}),
            ),
            create("pods", pod("600m")),
            "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=500m, limited: requests.cpu=1",
        ),
        (
            quota("q", json!({"limits.memory": "1Gi"}), json!({"limits.memory": "0"})),
            create("pods", pod("1")),
            "failed quota: q: must specify limits.memory for: c",
        ),
        (
            quota("q", json!({"pods": "1", "secrets": "1"}), json!({})),
            create("pods", pod("1")),
            "status unknown for quota: q, resources: pods",
        ),
        (quota("q", json!({"secrets": "1"}), json!({})), create("pods", pod("1")), ""),
        (
            quota("q", json!({"services.nodeports": "0"}), json!({"services.nodeports": "0"})),
            create("services", service),
            "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0",
        ),
        (
            quota("q", json!({"count/foos.example.com": "3"}), json!({"count/foos.example.com": "2"})),
            create("foos.example.com", json!({})),
            "0: count/foos.example.com=3",
        ),
        (
            quota("q", json!({"requests.cpu": "1"}), json!({"requests.cpu": "0"})),
            create("pods", pod("-1")),
            "quota usage is negative for resource(s): cpu,requests.cpu",
        ),
    ] {
        assert_eq!(check(&[quota], &request), expected);
    }
}

#[test]
fn updates_pay_the_difference() {
    let service =
        |kind: &str| json!({"metadata": {"uid": "u"}, "spec": {"type": kind, "ports": [{"port": 1}]}});
    let quotas = [quota(
        "q",
        json!({"services": "1", "services.nodeports": "5"}),
        json!({"services": "1", "services.nodeports": "4"}),
    )];
    let mut update = create("services", service("NodePort"));
    update.operation = Operation::Update;
    update.old = Some(service("ClusterIP"));
    assert_eq!(check(&quotas, &update), "0: services=1,services.nodeports=5");
    update.old = Some(service("NodePort"));
    assert_eq!(check(&quotas, &update), "");
    update.old = None;
    assert!(check(&quotas, &update).starts_with("unable to get previous usage"));
}

#[test]
fn limited_resources_need_a_quota() {
    let limited = [LimitedResource {
        resource: GroupResource::new("", "pods"),
        match_contains: vec!["requests.cpu".to_owned()],
        match_scopes: vec![kube_api::quota::ScopeSelector {
            scope: "PriorityClass".to_owned(),
            operator: "In".to_owned(),
            values: vec!["high".to_owned()],
        }],
    }];
    let none: [Arc<Value>; 0] = [];
    let refusal = charge(&none, &create("pods", pod("1")), &limited).unwrap_err();
    assert_eq!(refusal.to_string(), "insufficient quota to consume: requests.cpu");
    let covering = [Arc::new(quota("q", json!({"requests.cpu": "5"}), json!({"requests.cpu": "0"})))];
    assert_eq!(charge(&covering, &create("pods", pod("1")), &limited).unwrap().len(), 1);
    let mut high = pod("1");
    high["spec"]["priorityClassName"] = json!("high");
    let refusal = charge(&covering, &create("pods", high), &limited).unwrap_err();
    assert_eq!(refusal.to_string(), "insufficient quota to match these scopes: [{PriorityClass In [high]}]");
}

/// A store in which someone else changes the quota before each of the first writes.
struct Contended {
    quota: Mutex<Value>,
    conflicts: Mutex<u64>,
}

impl Contended {
    fn revision(quota: &Value) -> u64 {
        text(quota, &["metadata", "resourceVersion"]).parse().unwrap()
    }
}

impl Writer for Contended {
    fn read<'a>(
        &'a self,
        _resource: &'a GroupResource,
        _namespace: &'a str,
        _name: &'a str,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async { Ok(self.quota.lock().unwrap().clone()) })
    }

    fn update_status<'a>(
        &'a self,
        resource: &'a GroupResource,
        mut object: Value,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async move {
            let mut quota = self.quota.lock().unwrap();
            let mut conflicts = self.conflicts.lock().unwrap();
            if *conflicts > 0 {
                *conflicts -= 1;
                let revision = Self::revision(&quota) + 1;
                quota["metadata"]["resourceVersion"] = json!(revision.to_string());
            }
            if Self::revision(&object) != Self::revision(&quota) {
                return Err(Status::conflict(resource, "q", "the object has been modified"));
            }
            let revision = Self::revision(&object) + 1;
            object["metadata"]["resourceVersion"] = json!(revision.to_string());
            *quota = object.clone();
            Ok(object)
        })
    }
}

/// How many pods of `asked` come in where `room` are free, with so many conflicts.
async fn admitted(room: u64, asked: usize, conflicts: u64) -> (usize, String) {
    let stored = quota("q", json!({"pods": room.to_string()}), json!({"pods": "0"}));
    let mut cluster = Fixed::default();
    cluster.put(quotas(), stored.clone());
    let contended = Arc::new(Contended { quota: Mutex::new(stored), conflicts: Mutex::new(conflicts) });
    let mut host = host(cluster, Allowed::default());
    host.writer = contended.clone();
    let step = Arc::new(Quota::new(Vec::new()));
    let tasks: Vec<_> = (0..asked)
        .map(|_| {
            let (step, host) = (step.clone(), host.clone());
            tokio::spawn(async move {
                let mut notes = Notes::default();
                step.reserve(&host, &create("pods", pod("1")), &mut notes).await.is_ok()
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += usize::from(task.await.unwrap());
    }
    let used = contended.quota.lock().unwrap()["status"]["used"]["pods"].to_string();
    (count, used)
}

#[tokio::test]
async fn the_last_of_something_is_given_away_once() {
    assert_eq!(admitted(5, 20, 0).await, (5, "\"5\"".to_owned()));
    assert_eq!(admitted(5, 20, 3).await, (5, "\"5\"".to_owned()));
    // More conflicts than one request takes: it is refused, and charged for nothing.
    assert_eq!(admitted(5, 1, 9).await, (0, "\"0\"".to_owned()));
}

#[tokio::test]
async fn a_dry_run_reserves_nothing_and_a_refusal_is_explained() {
    let mut cluster = Fixed::default();
    cluster.put(quotas(), quota("q", json!({"pods": "1"}), json!({"pods": "1"})));
    assert_eq!(cluster.list(&quotas(), Some("n")).len(), 1);
    let host = host(cluster, Allowed::default());
    let step = Quota::new(Vec::new());
    let mut notes = Notes::default();
    let status = step.reserve(&host, &create("pods", pod("1")), &mut notes).await.unwrap_err();
    assert_eq!(
        status.message,
        "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    );
    assert_eq!(notes.refusal().unwrap().rule, "n/q");
    let mut other = create("pods", json!({"status": {"phase": "Failed"}}));
    other.dry_run = true;
    assert!(step.reserve(&host, &other, &mut notes).await.is_ok());
}
