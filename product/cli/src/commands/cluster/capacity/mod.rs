//! `strake capacity`: how many more pods of a kind fit, and what runs out first.

mod host;

use std::collections::BTreeMap;
use std::sync::Arc;

use binder::{World, look};
use client::{Api, Call};
use controllers::{known, object};
use scheduler::{Pod, capacity};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ask, host as this_host};
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
    /// Print JSON: {version, pods, atLeast, nodes: [{node, pods}], limits: [{limit, nodes}], resources:
    /// [{node, resource, used, capacity}]}
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// The answer, in the form that `docs/reference/json-capacity.md` promises.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The version of this form; it grows when a field changes its meaning or goes.
    version: u32,
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
    /// None where the kernel does not know.
    capacity: Option<i64>,
}

/// Addresses of a node's range: how many its pods have, and how many there are.
type Addresses = BTreeMap<String, (usize, usize)>;

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let api = args.cluster.client(context, "capacity")?;
    let (mut world, pod, addresses) = ask(async {
        let world = look(&api).await?;
        let pod = pod(args, &api, &world).await?;
        Ok((world, pod, addresses(&api).await?))
    })?;
    let mut found = capacity(&mut world.snapshot, &pod, args.most);
    // The scheduler does not count addresses; a pod without one does not start.
    for (node, pods) in &mut found.by_node {
        let Some((used, all)) = addresses.get(&**node) else { continue };
        let free = all.saturating_sub(*used);
        if free < *pods {
            found.pods -= *pods - free;
            *pods = free;
            found.limits.insert(0, (format!("addresses of {node}"), 1));
        }
    }
    let answer = Answer {
        version: VERSION,
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
        resources: used(&world, &addresses),
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

/// What of each node's range of addresses is taken.
async fn addresses(api: &dyn Api) -> Result<Addresses, CliError> {
    let list = async |resource| {
        let found = api.call(Call::list(resource, "")).await;
        found.map_err(|status| CliError::message(format!("list {}: {status}", resource.resource)))
    };
    let (nodes, pods) = (list(known::nodes()).await?, list(known::pods()).await?);
    let mut all = Addresses::new();
    for node in object::items(&nodes, &["items"]) {
        let range = object::text(node, &["spec", "podCIDR"]).split_once('/');
        let bits = range.and_then(|(_, length)| 32u32.checked_sub(length.parse().ok()?));
        if let Some(bits) = bits.filter(|bits| (2..=24).contains(bits)) {
            // The network's own, the bridge's, and the last one are nobody's.
            all.insert(object::name(node).to_owned(), (0, (1 << bits) - 3));
        }
    }
    for pod in object::items(&pods, &["items"]) {
        if !object::flag(pod, &["spec", "hostNetwork"])
            && !Pod::is_over(pod)
            && let Some((used, _)) = all.get_mut(object::text(pod, &["spec", "nodeName"]))
        {
            *used += 1;
        }
    }
    Ok(all)
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
fn used(world: &World, addresses: &Addresses) -> Vec<Use> {
    let mut all = Vec::new();
    for node in world.snapshot.nodes() {
        let name = node.name.to_string();
        let taken: BTreeMap<&str, i64> = node.requested.each().collect();
        let resource = |(resource, capacity): (&str, i64)| Use {
            node: name.clone(),
            resource: resource.to_owned(),
            used: taken.get(resource).copied().unwrap_or(0),
            capacity: Some(capacity),
        };
        all.extend(node.allocatable.each().map(resource));
        let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
        let mut more = vec![("pods", pods, Some(node.pods_max))];
        if let Some((used, range)) = addresses.get(&name) {
            more.push(("addresses", *used as i64, Some(*range as i64)));
        }
        // What only the node's own kernel knows can be told where this runs on it.
        if name.eq_ignore_ascii_case(&this_host()) {
            more.extend(host::bounds());
        }
        all.extend(more.into_iter().map(|(resource, used, capacity)| Use {
            node: name.clone(),
            resource: resource.to_owned(),
            used,
            capacity,
        }));
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
    for one in answer.resources.iter().filter(|one| one.capacity != Some(0)) {
        let resource: Arc<str> = one.resource.as_str().into();
        let used = scheduler::display(&resource, one.used);
        let capacity = one.capacity.map_or("?".to_owned(), |all| scheduler::display(&resource, all));
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

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use testkit::Documented;

    use super::*;

    #[test]
    fn the_form_is_the_documented_one() {
        let bound =
            |capacity| Use { node: "one".to_owned(), resource: "cpu".to_owned(), used: 250, capacity };
        let answer = Answer {
            version: VERSION,
            pods: 3,
            at_least: false,
            nodes: vec![Share { node: "one".to_owned(), pods: 3 }],
            limits: vec![Limit { limit: "cpu".to_owned(), nodes: 1 }],
            resources: vec![bound(Some(2000)), bound(None)],
        };
        Documented::read("json-capacity").check_all(&[serde_json::to_value(answer).unwrap()]);
    }
}
