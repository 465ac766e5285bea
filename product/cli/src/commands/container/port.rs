//! `strake port`.

use attach::{PublishedPort, Way};
use engine::ReachedPort;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake port`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Lists the published ports of a container, as docker does. With --who it also says who may \
                  reach each one and which rule decides: one packet of each kind of client is taken through \
                  all rules that the kernel holds now, the host's and ours.",
    after_help = "Examples:\n  strake port web\n  strake port web 80/tcp\n  strake port web --who\n  \
                  strake port web --explain 80"
)]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    pub port: Option<String>,
    /// Also say who may reach it, and which rule decides
    #[arg(long)]
    pub who: bool,
    /// Also list the rules that a packet meets, in order
    #[arg(long)]
    pub explain: bool,
    /// Print JSON, with all of that
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let record = engine.find(&args.container)?;
    let wanted = args.port.as_deref().map(|port| match port.contains('/') {
        true => port.to_owned(),
        false => format!("{port}/tcp"),
    });
    let fits = |port: &PublishedPort| {
        wanted.as_ref().is_none_or(|wanted| format!("{}/{}", port.container_port, port.protocol) == *wanted)
    };
    let mut ports = engine.published_ports(&record)?;
    ports.retain(fits);
    if let (Some(wanted), true) = (&wanted, ports.is_empty()) {
        return Err(CliError::message(format!("no public port '{wanted}' published for {}", args.container)));
    }
    if !args.who && !args.explain && !args.json {
        for port in &ports {
            context.print_line(line(port, wanted.is_some()))?;
        }
        return Ok(Status::SUCCESS);
    }
    let mut reached = engine.reached_ports(&record)?;
    reached.retain(|reached| fits(&reached.port));
    if args.json {
        let all: Vec<Value> = reached.iter().map(json).collect();
        context.print_line(serde_json::to_string_pretty(&all)?)?;
        return Ok(Status::SUCCESS);
    }
    for ReachedPort { port, ways } in &reached {
        context.print_line(line(port, false))?;
        let width = ways.iter().map(|way| way.audience.to_string().len()).max().unwrap_or(0);
        for way in ways {
            let (audience, path) = (way.audience.to_string(), &way.path);
            let answer = if path.arrives() { "yes" } else { "no" };
            context.print_line(format_args!("    {audience:width$}  {answer:3}  {}", path.sentence()))?;
            if args.explain {
                for text in steps(way) {
                    context.print_line(format_args!("        {text}"))?;
                }
            }
        }
    }
    Ok(Status::SUCCESS)
}

/// As docker prints it; the host's half alone where the container's was asked for.
fn line(port: &PublishedPort, host_only: bool) -> String {
    match host_only {
        true => port.host().to_string(),
        false => format!("{}/{} -> {}", port.container_port, port.protocol, port.host()),
    }
}

/// The rules that a packet meets, numbered.
fn steps(way: &Way) -> Vec<String> {
    let mut hook = "";
    let mut lines = Vec::new();
    for (number, step) in way.path.steps.iter().enumerate() {
        let place = if hook == step.hook { String::new() } else { step.hook.to_owned() };
        hook = step.hook;
        let may = if step.maybe { "may " } else { "" };
        let place = format!("{:>2}. {place:<12}", number + 1);
        lines.push(match (step.priority, step.rule) {
            (Some(priority), _) => {
                format!("{place} {} {}, priority {priority}: {}", step.table, step.chain, step.text)
            }
            (None, _) => {
                format!("{place}   {} {}: {} → {may}{}", step.table, step.chain, step.text, step.effect)
            }
        });
    }
    lines
}

fn json(reached: &ReachedPort) -> Value {
    let ReachedPort { port, ways } = reached;
    let who: Vec<Value> = ways
        .iter()
        .map(|way| {
            let mut value = json!(way);
            value["reachable"] = json!(way.path.arrives());
            value["why"] = json!(way.path.sentence());
            value["decided_by"] = json!(way.path.decider());
            value
        })
        .collect();
    json!({
        "container_port": port.container_port, "protocol": port.protocol, "host_ip": port.host_ip,
        "host_port": port.host_port, "policy": port.policy, "shared": port.shared, "who": who,
    })
}
