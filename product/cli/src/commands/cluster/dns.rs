//! `strake dns`: the cluster's names alone, for any cluster.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use client::{Api, Cache, Mirror};
use cluster_dns::{Config, PORT, Server, local};

use super::serve;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;
use crate::node::resolv;

/// Arguments of `strake dns`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        strake dns --kubeconfig node.conf --listen 10.43.0.10:53 --interface strake-dns\n  \
                        strake dns --listen 127.0.0.1:5353 --upstream 9.9.9.9 --stub corp.example=10.0.0.2")]
pub struct Args {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Address and port to answer at, by UDP and TCP; may be repeated
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5353")]
    pub listen: Vec<SocketAddr>,
    /// Put the addresses to listen at on this interface of the node, which is made if it is not there
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Domain of the cluster's names
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Server for all other names; may be repeated (default: those of --resolv-conf)
    #[arg(long, value_name = "IP[:PORT]", value_parser = server)]
    pub upstream: Vec<SocketAddr>,
    /// Servers for the names of one domain; may be repeated
    #[arg(long, value_name = "DOMAIN=IP[:PORT],…", value_parser = stub)]
    pub stub: Vec<(String, Vec<SocketAddr>)>,
    /// Where other servers and the node's search domains are read
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// Where to answer GET /health and GET /ready
    #[arg(long, value_name = "IP:PORT")]
    pub health: Option<SocketAddr>,
    /// Sockets for each address (default: one for each processor)
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let api: Arc<dyn Api> = Arc::new(args.cluster.client(context, "dns")?);
    if let Some(interface) = &args.interface {
        let addresses: Vec<IpAddr> = args.listen.iter().map(SocketAddr::ip).collect();
        local::assign(interface, &addresses)?;
    }
    let start = async |ended, _| {
        let mirror: Arc<dyn Mirror> = Cache::start(&api, &cluster_dns::resources());
        let resolv = resolv(&args.resolv_conf);
        let config = Config::of_node(Arc::clone(&mirror), &args.cluster_domain, args.listen.clone(), resolv);
        let upstream = if args.upstream.is_empty() { config.upstream.clone() } else { args.upstream.clone() };
        let server = Server::bind(&Config {
            shards: args.shards.unwrap_or_else(processors),
            upstream,
            stubs: args.stub.iter().cloned().collect::<BTreeMap<_, _>>(),
            health: args.health,
            ..config
        })?;
        for address in server.addresses() {
            context.say(format_args!("answers at {address}"));
        }
        Ok(server.run(mirror, ended))
    };
    serve("dns", start, context)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    alone.or_else(|_| text.parse()).map_err(|_| "not an address such as 9.9.9.9 or 10.0.0.2:5353".to_owned())
}

fn stub(text: &str) -> Result<(String, Vec<SocketAddr>), String> {
    let (domain, servers) = text.split_once('=').ok_or("not of the form corp.example=10.0.0.2")?;
    let servers: Result<Vec<_>, _> = servers.split(',').map(server).collect();
    Ok((domain.to_owned(), servers?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_have_ports() {
        assert_eq!(server("9.9.9.9"), Ok("9.9.9.9:53".parse().unwrap()));
        assert_eq!(server("fd00::1"), Ok("[fd00::1]:53".parse().unwrap()));
        let (domain, servers) = stub("corp.example=10.0.0.2,10.0.0.3:5353").unwrap();
        assert_eq!((domain.as_str(), servers.len(), servers[1].port()), ("corp.example", 2, 5353));
        assert!(stub("corp.example").is_err() && stub("a=b").is_err());
    }
}
