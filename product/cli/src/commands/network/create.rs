//! `strake network create`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use attach::{Cidr, Cidr6, NewNetwork};
use engine::request::InvalidOption;

use crate::commands::container::foreign::refused;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake network create`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake network create web\n  strake network create --subnet 10.20.0.0/16 --gateway 10.20.0.254 lab\n  \
                  strake network create --internal --ipv6 back\n  strake run -d --network web --name db postgres"
)]
pub struct Args {
    /// Its name
    pub name: String,
    /// What carries it: bridge, macvlan (--opt parent=LINK), or cni (--opt config=FILE)
    #[arg(short = 'd', long, value_name = "DRIVER", default_value = "bridge")]
    pub driver: String,
    /// Range of addresses, IPv4 or IPv6; may be repeated for both
    #[arg(long, value_name = "CIDR")]
    pub subnet: Vec<String>,
    /// Address of the host in it [default: the first of the range]
    #[arg(long, value_name = "ADDRESS")]
    pub gateway: Vec<String>,
    /// Part of the range that containers get addresses from
    #[arg(long, value_name = "CIDR")]
    pub ip_range: Option<String>,
    /// Address that is never given, with a name for it: it is somebody else's
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub aux_address: Vec<String>,
    /// Nothing leads out of it
    #[arg(long)]
    pub internal: bool,
    /// IPv4 addresses, which every network has
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    pub ipv4: bool,
    /// IPv6 addresses too
    #[arg(long)]
    pub ipv6: bool,
    /// Label it
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub label: Vec<String>,
    /// Option of the driver, as in com.docker.network.driver.mtu=1400
    #[arg(short = 'o', long, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
    /// Accepted; every container may be connected to every network
    #[arg(long)]
    pub attachable: bool,
    /// Scope of the network; only local is known
    #[arg(long, value_name = "SCOPE", value_parser = ["local"], hide = true)]
    pub scope: Option<String>,
    /// IPAM driver; only default is known
    #[arg(long, value_name = "DRIVER", value_parser = ["default"], hide = true)]
    pub ipam_driver: Option<String>,
    /// Option of the IPAM driver; default has none, and docker's ignores them
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    pub ipam_opt: Vec<String>,
    /// Only a configuration, which others take over
    #[arg(long, hide = true)]
    pub config_only: bool,
    /// Network whose configuration is taken over
    #[arg(long, value_name = "NETWORK", hide = true)]
    pub config_from: Option<String>,
    /// A swarm's routing mesh
    #[arg(long, hide = true)]
    pub ingress: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let mut new = wanted(args)?;
    new.driver = engine
        .networks()?
        .driver(&args.driver, &args.name, &new.options)
        .map_err(engine::Error::of_network)?;
    let made = engine.create_network(new)?;
    context.print_line(made.id)?;
    Ok(Status::SUCCESS)
}

/// What only a swarm has, and what no network here is without.
fn refuse(args: &Args) -> Result<(), CliError> {
    let swarm = "it is for the networks of a swarm, and there is none here";
    refused(args.config_only, "--config-only", swarm)?;
    refused(args.config_from.is_some(), "--config-from", swarm)?;
    refused(args.ingress, "--ingress", swarm)?;
    refused(!args.ipv4, "--ipv4=false", "every network has IPv4 addresses; leave it out")
}

fn wanted(args: &Args) -> Result<NewNetwork, CliError> {
    refuse(args)?;
    let mut new = NewNetwork {
        name: args.name.clone(),
        ipv6: args.ipv6,
        internal: args.internal,
        attachable: args.attachable,
        labels: pairs(&args.label),
        options: pairs(&args.opt),
        ..NewNetwork::default()
    };
    for text in &args.subnet {
        let twice = || InvalidOption::new("--subnet", text, "one IPv4 and one IPv6 range are enough");
        match (text.parse::<Cidr>(), text.parse::<Cidr6>()) {
            (Ok(_), _) if new.subnet.is_some() => return Err(twice().into()),
            (_, Ok(_)) if new.subnet6.is_some() => return Err(twice().into()),
            (Ok(four), _) => new.subnet = Some(four),
            (_, Ok(six)) => new.subnet6 = Some(six),
            (Err(why), Err(_)) => return Err(InvalidOption::new("--subnet", text, why.to_string()).into()),
        }
    }
    for text in &args.gateway {
        match text.parse() {
            Ok(IpAddr::V4(four)) => new.gateway = Some(four),
            Ok(IpAddr::V6(six)) => new.gateway6 = Some(six),
            Err(_) => return Err(InvalidOption::new("--gateway", text, "it is not an IP address").into()),
        }
    }
    if let Some(text) = &args.ip_range {
        let range = text.parse::<Cidr>();
        new.ip_range = Some(range.map_err(|why| InvalidOption::new("--ip-range", text, why.to_string()))?);
    }
    for text in &args.aux_address {
        let why = "use NAME=ADDRESS, as in printer=10.20.0.9";
        let pair = text.split_once('=').and_then(|(name, ip)| Some((name.to_owned(), ip.parse().ok()?)));
        let (name, address) = pair.ok_or_else(|| InvalidOption::new("--aux-address", text, why))?;
        new.auxiliary.insert(name, address);
    }
    if new.subnet.is_none() && (new.gateway.is_some() || new.ip_range.is_some()) {
        let why = "every ip-range or gateway must have a corresponding subnet: give --subnet too";
        return Err(CliError::message(why));
    }
    Ok(new)
}

fn pairs(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = std::iter::once("create").chain(line.split(' '));
        let args = Line::try_parse_from(words).expect("a line").args;
        let said = match wanted(&args) {
            Ok(new) => format!("{:?} {:?} {:?} {:?}", new.subnet, new.subnet6, new.gateway, new.gateway6),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn both_families_are_told_apart() {
        check("web", "None None None None");
        check(
            "--subnet 10.0.0.0/8 --subnet fd00::/64 --gateway fd00::9 --gateway 10.0.0.9 web",
            "Some(10.0.0.9) Some(fd00::9)",
        );
        check("--subnet 10.0.0.0/8 --subnet 11.0.0.0/8 web", "one IPv4 and one IPv6 range are enough");
        check("--subnet 10.0.0.0 web", "is not an IPv4 network");
        check("--aux-address 10.0.0.1 web", "use NAME=ADDRESS");
        check("--ingress web", "--ingress cannot be done");
        check("--ipv4=false web", "every network has IPv4 addresses");
        check("--ipv4 --ipam-opt a=b web", "None None None None");
        check("--gateway 10.0.0.1 web", "every ip-range or gateway must have a corresponding subnet");
    }
}
