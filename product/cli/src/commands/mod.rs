//! The commands: a folder a noun, a file a verb, `Args` beside `run`.
//!
//! `strake run` and `strake container run` are the same: the verbs that docker has
//! at the top level are flattened into [`Command`].

pub mod agent;
pub mod cgroup;
pub mod check;
pub mod cluster;
pub mod cni;
pub mod container;
pub mod cri;
pub mod explain;
pub mod image;
pub mod network;
pub mod ns;
mod pruned;
pub mod server;
pub mod store;
pub mod system;
pub mod token;
pub mod version;
pub mod volume;
pub mod why;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Everything that `strake` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// `run`, `ps`, `stop`… at the top level.
    #[command(flatten)]
    Run(container::ContainerCommand),
    /// `pull`, `images`, `rmi`… at the top level.
    #[command(flatten)]
    Pull(image::TopLevelCommand),
    /// Show what happens to containers, images, volumes and networks
    Events(system::events::Args),
    /// Show what there is on this host, and what the host is
    Info(system::info::Args),
    /// Show the version of strake
    Version(version::Args),
    /// Work with containers
    #[command(
        subcommand,
        after_help = "Examples:\n  strake container ls -a\n  strake container prune -f      remove all that have ended"
    )]
    Container(container::ContainerNounCommand),
    /// Work with images
    #[command(
        subcommand,
        after_help = "Examples:\n  strake image ls\n  strake image inspect nginx\n  strake image prune -a"
    )]
    Image(image::ImageCommand),
    /// Work with networks
    #[command(
        subcommand,
        after_help = "Examples:\n  strake network create web\n  strake run -d --network web --name db postgres\n  strake network connect web cache"
    )]
    Network(network::NetworkCommand),
    /// Work with volumes
    #[command(
        subcommand,
        after_help = "Examples:\n  strake volume create data\n  strake run --rm -v data:/data debian ls /data"
    )]
    Volume(volume::VolumeCommand),
    /// Find out what this host can do for containers, and what to do about the rest
    Check(check::Args),
    /// Show what the kernel really holds of a container or process, and what it means
    Explain(explain::Args),
    /// Say why something is as it is
    #[command(
        subcommand,
        after_help = "Examples:\n  strake why dead web\n  strake why pending web-7d9f8 -n shop"
    )]
    Why(why::WhyCommand),
    /// List, make and enter namespaces
    #[command(
        subcommand,
        after_help = "Examples:\n  strake ns ls web\n  strake ns run --pid --mount-proc ps aux\n  strake ns enter web --net ss -lnt"
    )]
    Ns(ns::NsCommand),
    /// Look at control groups
    #[command(subcommand, after_help = "Examples:\n  strake cgroup tree web")]
    Cgroup(cgroup::CgroupCommand),
    /// Look after strake itself
    #[command(
        subcommand,
        after_help = "Examples:\n  strake system df\n  strake system reconcile      after a crash"
    )]
    System(system::SystemCommand),
    /// Serve the containers of this machine to a kubelet of somebody else's
    Cri(cri::Args),
    /// Be a plugin: attach containers of other runtimes to networks (CNI)
    Cni(cni::Args),
    /// Run a Kubernetes cluster on this machine
    Server(Box<server::Args>),
    /// Join this machine to a Kubernetes cluster as a node
    Agent(Box<agent::Args>),
    /// Run the scheduler alone, for any Kubernetes cluster
    Scheduler(cluster::scheduler::Args),
    /// Run the loops of the control plane alone, for any Kubernetes cluster
    Controllers(cluster::controllers::Args),
    /// Answer for the names of a Kubernetes cluster
    Dns(cluster::dns::Args),
    /// Lead to services' addresses on a node of any Kubernetes cluster
    Proxy(cluster::proxy::Args),
    /// Say how many more pods of a kind a cluster takes, and what runs out first
    Capacity(cluster::capacity::Args),
    /// Look after the control plane's store
    #[command(
        subcommand,
        after_help = "Examples:\n  strake store check\n  strake store backup /backup/monday"
    )]
    Store(store::StoreCommand),
    /// Manage the tokens that nodes join with
    #[command(subcommand, after_help = "Examples:\n  strake token create\n  strake token ls")]
    Token(token::TokenCommand),
}

impl Command {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Run(command) => command.run(context),
            Self::Pull(command) => command.run(context),
            Self::Events(args) => system::events::run(&args, context),
            Self::Info(args) => system::info::run(&args, context),
            Self::Version(args) => version::run(&args, context),
            Self::Container(command) => command.run(context),
            Self::Image(command) => command.run(context),
            Self::Network(command) => command.run(context),
            Self::Volume(command) => command.run(context),
            Self::Check(args) => check::run(&args, context),
            Self::Explain(args) => explain::run(args, context),
            Self::Why(command) => command.run(context),
            Self::Ns(command) => command.run(context),
            Self::Cgroup(command) => command.run(context),
            Self::System(command) => command.run(context),
            Self::Cri(args) => cri::run(&args, context),
            Self::Cni(args) => cni::run(&args, context),
            Self::Server(args) => server::run(&args, context),
            Self::Agent(args) => agent::run(&args, context),
            Self::Scheduler(args) => cluster::scheduler::run(&args, context),
            Self::Controllers(args) => cluster::controllers::run(&args, context),
            Self::Dns(args) => cluster::dns::run(&args, context),
            Self::Proxy(args) => cluster::proxy::run(&args, context),
            Self::Capacity(args) => cluster::capacity::run(&args, context),
            Self::Store(command) => command.run(context),
            Self::Token(command) => command.run(context),
        }
    }
}
