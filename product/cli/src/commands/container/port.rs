//! `strake port`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake port`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake port web\n  strake port web 80/tcp")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    pub port: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let record = engine.find(&args.container)?;
    let ports = engine.attachment(&record)?.map(|attachment| attachment.ports).unwrap_or_default();
    let Some(wanted) = &args.port else {
        for port in &ports {
            context.print_line(format_args!(
                "{}/{} -> {}:{}",
                port.container_port, port.protocol, port.host_ip, port.host_port
            ))?;
        }
        return Ok(Status::SUCCESS);
    };
    let key = if wanted.contains('/') { wanted.clone() } else { format!("{wanted}/tcp") };
    let mut found = false;
    for port in ports.iter().filter(|port| format!("{}/{}", port.container_port, port.protocol) == key) {
        found = true;
        context.print_line(format_args!("{}:{}", port.host_ip, port.host_port))?;
    }
    if found {
        Ok(Status::SUCCESS)
    } else {
        Err(CliError::message(format!("container {} does not publish port {key}", record.name)))
    }
}
