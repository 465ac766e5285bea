//! Pods per second on 5,000 nodes, as upstream's `scheduler_perf` counts them, without the API.
#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::sync::Arc;
use std::time::Instant;

use scheduler::{Decision, Pod, Snapshot, schedule};
use serde_json::{Value, json};

const NODES: usize = 5_000;

fn main() {
    let anti = |key: &str| {
        let term = json!({"labelSelector": {"matchLabels": {"color": "green"}}, "topologyKey": key});
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    };
    let near = {
        let term = json!({"labelSelector": {"matchLabels": {"color": "green"}}, "topologyKey": "zone"});
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    };
    let spread = json!([{"maxSkew": 5, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"color": "green"}}}]);
    println!("| pods on {NODES} nodes | pods/s |\n|---|---|");
    for (name, pods, spec) in [
        ("plain", 10_000, json!({})),
        ("anti-affinity by host", 2_000, json!({"affinity": anti("kubernetes.io/hostname")})),
        ("affinity by zone", 5_000, json!({"affinity": near})),
        ("spread over zones", 5_000, json!({"topologySpreadConstraints": spread})),
    ] {
        println!("| {name}, {pods} | {:.0} |", rate(pods, &spec));
    }
}

fn rate(pods: usize, spec: &Value) -> f64 {
    let mut snapshot = Snapshot::default();
    for at in 0..NODES {
        let name = format!("node-{at}");
        snapshot.set_node(&json!({
            "metadata": {"labels": {"kubernetes.io/hostname": name, "zone": format!("z{}", at % 10)}, "name": name},
            "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}},
        }));
    }
    let objects: Vec<Value> = (0..pods)
        .map(|at| {
            let name = format!("pod-{at}");
            let mut object = json!({
                "metadata": {"name": name, "namespace": "bench", "uid": name, "labels": {"color": "green"}},
                "spec": {"containers": [{"name": "c", "image": "pause",
                    "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}]},
            });
            if let (Some(into), Some(more)) = (object["spec"].as_object_mut(), spec.as_object()) {
                into.extend(more.clone());
            }
            object
        })
        .collect();
    let started = Instant::now();
    for (turn, object) in objects.iter().enumerate() {
        let mut pod = Pod::read(object);
        let Decision::Place(placement) = schedule(&mut snapshot, &pod, turn) else {
            println!("pod {turn} fits nowhere");
            break;
        };
        pod.node = Some(placement.node);
        snapshot.set_pod(Arc::new(pod));
    }
    pods as f64 / started.elapsed().as_secs_f64()
}
