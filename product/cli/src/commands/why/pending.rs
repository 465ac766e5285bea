//! `strake why pending`.

use binder::look;
use client::{Api, Call};
use controllers::{known, object};
use scheduler::why;
use serde::Serialize;

use crate::commands::cluster::ask;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;

/// Arguments of `strake why pending`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Says why a pod has no node: everything that keeps it from each node, nearest to fitting first, and \
                  the least that would help. It asks the scheduler's own function about the cluster as it is now; \
                  beside it stands what the scheduler wrote when it last tried.",
    after_help = "Examples:\n  strake why pending web-7d9f8 -n shop\n  strake why pending web-7d9f8 --json"
)]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The pod
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Its namespace
    #[arg(short = 'n', long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Print JSON: {version, pod, node, said, everywhere, nodes: [{node, fits, reasons, remedies}], help}
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// The answer, in the form that `docs/reference/json-why-pending.md` promises.
#[derive(Debug, Serialize)]
struct Answer {
    /// The version of this form; it grows when a field changes its meaning or goes.
    version: u32,
    pod: String,
    /// Where it is, if it does not wait at all.
    node: Option<String>,
    /// What the scheduler wrote last: reason and message.
    said: Option<String>,
    /// What keeps it from all nodes.
    everywhere: Option<String>,
    nodes: Vec<Node>,
    /// The least that would help.
    help: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Node {
    node: String,
    fits: bool,
    reasons: Vec<String>,
    remedies: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let api = args.cluster.client(context, "why")?;
    let (mut world, value) = ask(async {
        let call = Call::get(known::pods(), &args.namespace, &args.pod);
        let found = api.call(call).await;
        let value = found.map_err(|status| {
            CliError::message(format!("get pod {}/{}: {status}", args.namespace, args.pod))
        })?;
        Ok((look(&api).await?, value))
    })?;
    let mut answer = Answer {
        version: VERSION,
        pod: format!("{}/{}", args.namespace, args.pod),
        node: Some(object::text(&value, &["spec", "nodeName"]).to_owned()).filter(|node| !node.is_empty()),
        said: said(&value),
        everywhere: None,
        nodes: Vec::new(),
        help: Vec::new(),
    };
    if answer.node.is_none() {
        let pod = world.read_pod(&value);
        let found = why(&mut world.snapshot, &pod);
        answer.help = found.remedies();
        answer.everywhere = found.everywhere;
        let nodes = found.nodes.iter().map(|(node, misfits)| Node {
            node: node.to_string(),
            fits: misfits.is_empty(),
            reasons: misfits.iter().flat_map(scheduler::Misfit::reasons).collect(),
            remedies: misfits.iter().map(|misfit| misfit.remedy(node)).collect(),
        });
        answer.nodes = nodes.collect();
    }
    if args.json {
        context.print_line(serde_json::to_string_pretty(&answer)?)?;
    } else {
        print(&answer, context)?;
    }
    Ok(Status::SUCCESS)
}

/// What the scheduler wrote into the pod's condition.
fn said(pod: &serde_json::Value) -> Option<String> {
    let conditions = object::items(pod, &["status", "conditions"]).iter();
    let mut scheduled = conditions.filter(|one| object::text(one, &["type"]) == "PodScheduled");
    let found = scheduled.find(|one| object::text(one, &["status"]) == "False")?;
    Some(format!("{}: {}", object::text(found, &["reason"]), object::text(found, &["message"])))
}

fn print(answer: &Answer, context: &Context) -> Result<(), CliError> {
    if let Some(node) = &answer.node {
        return context.print_line(format_args!("{} does not wait: it is on node {node}", answer.pod));
    }
    if let Some(said) = &answer.said {
        context.print_line(format_args!("the scheduler said  {said}"))?;
    }
    if let Some(everywhere) = &answer.everywhere {
        return context.print_line(format_args!("no node can take it: {everywhere}"));
    }
    if answer.nodes.is_empty() {
        return context.print_line("there is no node");
    }
    for node in &answer.nodes {
        match node.fits {
            true => context.print_line(format_args!("{}: fits now", node.node))?,
            false => context.print_line(format_args!("{}: {}", node.node, node.reasons.join(", ")))?,
        }
    }
    if !answer.help.is_empty() {
        context.print_line(format_args!("the least that would help: {}", answer.help.join("; and ")))?;
    }
    Ok(())
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use testkit::Documented;

    use super::*;

    #[test]
    fn the_form_is_the_documented_one() {
        let text = |text: &str| Some(text.to_owned());
        let node = Node {
            node: "small".to_owned(),
            fits: false,
            reasons: vec!["Insufficient cpu".to_owned()],
            remedies: vec!["add 1 cpu".to_owned()],
        };
        let waits = Answer {
            said: text("Unschedulable: 0/1"),
            everywhere: text("a claim is lost"),
            nodes: vec![node],
            help: vec!["add a node".to_owned()],
            ..answer()
        };
        let placed = Answer { node: text("small"), ..answer() };
        let documents = [&waits, &placed].map(|answer| serde_json::to_value(answer).unwrap());
        Documented::read("json-why-pending").check_all(&documents);
    }

    fn answer() -> Answer {
        Answer {
            version: VERSION,
            pod: "default/web".to_owned(),
            node: None,
            said: None,
            everywhere: None,
            nodes: Vec::new(),
            help: Vec::new(),
        }
    }
}
