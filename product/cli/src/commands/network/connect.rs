//! `strake network connect`.

use engine::request::{InvalidOption, NetworkJoin};

use crate::commands::container::foreign::{NO_LINK_LOCAL, NO_LINKS, refused};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake network connect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake network connect web db\n  strake network connect --alias cache --ip 10.20.0.7 lab redis"
)]
pub struct Args {
    /// Name or id of the network
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Further name of the container in the network
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// Address in the network
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// IPv6 address in the network
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,
    /// The highest among the container's networks has its default route
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub gw_priority: i32,
    /// Option of the driver
    #[arg(long, value_name = "KEY=VALUE")]
    pub driver_opt: Vec<String>,
    /// Another container under a name
    #[arg(long, value_name = "CONTAINER[:ALIAS]", hide = true)]
    pub link: Vec<String>,
    /// Further link-local address
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub link_local_ip: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    refused(!args.link.is_empty(), "--link", NO_LINKS)?;
    refused(!args.link_local_ip.is_empty(), "--link-local-ip", NO_LINK_LOCAL)?;
    let engine = context.engine()?;
    let id = engine.resolve(&args.container)?;
    let join = NetworkJoin {
        aliases: args.alias.clone(),
        ip: address("--ip", args.ip.as_deref())?,
        ip6: address("--ip6", args.ip6.as_deref())?,
        gateway_priority: args.gw_priority,
        driver_options: args
            .driver_opt
            .iter()
            .map(|text| text.split_once('=').unwrap_or((text, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        ..NetworkJoin::of(&args.network)
    };
    engine.join_network(&id, join)?;
    Ok(Status::SUCCESS)
}

fn address<T: std::str::FromStr>(
    option: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, InvalidOption> {
    let parse = |text: &str| {
        text.parse().map_err(|_| InvalidOption::new(option, text, "it is not an address of that kind"))
    };
    text.map(parse).transpose()
}
