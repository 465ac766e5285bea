//! `strake capacity`: how many more pods of a kind fit, and what runs out first.

use std::collections::BTreeMap;
use std::sync::Arc;

use binder::{World, look};
use client::{Api, Call};
use controllers::known;
use scheduler::{Pod, capacity};
use serde::Serialize;
use serde_json::{Value, json};

use super::ask;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Table;
use crate::kubeconfig::Cluster;

/// Arguments of `strake capacity`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Says how many more pods of a kind the cluster takes, on which nodes, and what keeps the next one \
                  from each. It asks the scheduler's own function, so the answer is what would happen. Nothing is \
                  created.",
    after_help = "Examples:\n  strake capacity --like web-7d9f8 -n shop\n  strake capacity --cpu 250m --memory 256Mi\n  \
                  strake capacity --cpu 1 --json"
)]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// A pod whose like is meant: its requests, rules, ports and volumes
    #[arg(long, value_name = "POD", conflicts_with_all = ["cpu", "memory"])]
    pub like: Option<String>,
    /// The namespace of the pod
    #[arg(short = 'n', long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// CPU that each asks for, such as 250m
    #[arg(long, value_name = "AMOUNT", value_parser = quantity)]
    pub cpu: Option<String>,
    /// Memory that each asks for, such as 256Mi
    #[arg(long, value_name = "AMOUNT", value_parser = quantity)]
    pub memory: Option<String>,
    /// Look no further than this many pods
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub most: usize,
    /// Print JSON: {pods, atLeast, nodes: [{node, pods}], limits: [{limit, nodes}], resources: [{node,
    /// resource, used, capacity}]}
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    pods: usize,
    /// Whether the search ended before the room did.
    at_least: bool,
    nodes: Vec<Share>,
    limits: Vec<Limit>,
    resources: Vec<Use>,
}

#[derive(Debug, Serialize)]
struct Share {
    node: String,
    pods: usize,
}

#[derive(Debug, Serialize)]
struct Limit {
    limit: String,
    nodes: usize,
}

#[derive(Debug, Serialize)]
struct Use {
    node: String,
    resource: String,
    used: i64,
    capacity: i64,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let api = args.cluster.client(context, "capacity")?;
    let (mut world, pod) = ask(async {
        let world = look(&api).await?;
        let pod = pod(args, &api, &world).await?;
        Ok((world, pod))
    })?;
    let found = capacity(&mut world.snapshot, &pod, args.most);
    let answer = Answer {
        pods: found.pods,
        at_least: found.pods >= args.most,
        nodes: found
            .by_node
            .iter()
            .map(|(node, pods)| Share { node: node.to_string(), pods: *pods })
            .collect(),
        limits: found
            .limits
            .iter()
            .map(|(limit, nodes)| Limit { limit: limit.clone(), nodes: *nodes })
            .collect(),
        resources: used(&world),
    };
    if args.json {
        context.print_line(serde_json::to_string_pretty(&answer)?)?;
        return Ok(Status::SUCCESS);
    }
    print(&answer, context)?;
    Ok(Status::SUCCESS)
}

async fn pod(args: &Args, api: &dyn Api, world: &World) -> Result<Pod, CliError> {
    let value = match &args.like {
        Some(name) => {
            let found = api.call(Call::get(known::pods(), &args.namespace, name)).await;
            like(found.map_err(|status| {
                CliError::message(format!("get pod {}/{name}: {status}", args.namespace))
            })?)
        }
        None if args.cpu.is_none() && args.memory.is_none() => {
            let message = "what kind of pod is meant?";
            return Err(CliError::message(message).with_fix("say --like POD, or --cpu and --memory"));
        }
        None => {
            let given = [("cpu", &args.cpu), ("memory", &args.memory)];
            let requests: BTreeMap<_, _> =
                given.into_iter().filter_map(|(name, amount)| Some((name, amount.clone()?))).collect();
            let container = json!({"name": "c", "image": "any", "resources": {"requests": requests}});
            json!({"metadata": {"name": "like", "namespace": args.namespace, "uid": ""}, "spec": {"containers": [container]}})
        }
    };
    Ok(world.read_pod(&value))
}

/// One more of its kind: without the place that it has.
fn like(mut pod: Value) -> Value {
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("nodeName");
        spec.remove("schedulingGates");
    }
    pod
}

/// What each node has and what is asked of it, of all that the API counts.
fn used(world: &World) -> Vec<Use> {
    let mut all = Vec::new();
    for node in world.snapshot.nodes() {
        let name = node.name.to_string();
        let taken: BTreeMap<&str, i64> = node.requested.each().collect();
        let resource = |(resource, capacity): (&str, i64)| Use {
            node: name.clone(),
            resource: resource.to_owned(),
            used: taken.get(resource).copied().unwrap_or(0),
            capacity,
        };
        all.extend(node.allocatable.each().map(resource));
        let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
        all.push(Use {
            node: name.clone(),
            resource: "pods".to_owned(),
            used: pods,
            capacity: node.pods_max,
        });
    }
    all.sort_by(|one, other| one.node.cmp(&other.node));
    all
}

fn print(answer: &Answer, context: &Context) -> Result<(), CliError> {
    let more = if answer.at_least { "at least " } else { "" };
    context.print_line(format_args!("{more}{} more fit", answer.pods))?;
    for limit in &answer.limits {
        let nodes = if limit.nodes == 1 { "node" } else { "nodes" };
        context.print_line(format_args!("then the limit is {} on {} {nodes}", limit.limit, limit.nodes))?;
    }
    if !answer.nodes.is_empty() {
        let mut table = Table::new();
        table.row(["NODE", "MORE PODS"]);
        for share in &answer.nodes {
            table.row([share.node.clone(), share.pods.to_string()]);
        }
        context.print(format_args!("\n{table}"))?;
    }
    let mut table = Table::new();
    table.row(["NODE", "RESOURCE", "REQUESTED", "OF"]);
    for one in answer.resources.iter().filter(|one| one.capacity > 0) {
        let resource: Arc<str> = one.resource.as_str().into();
        let [used, capacity] = [one.used, one.capacity].map(|amount| scheduler::display(&resource, amount));
        table.row([one.node.clone(), one.resource.clone(), used, capacity]);
    }
    context.print(format_args!("\n{table}"))
}

fn quantity(text: &str) -> Result<String, String> {
    match base::quantity::Quantity::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("not an amount such as 250m, 2, 64Mi or 1Gi".to_owned()),
    }
}
