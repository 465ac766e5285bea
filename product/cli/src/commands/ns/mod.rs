//! `strake ns`: namespaces by hand, as lsns, unshare and nsenter do.

pub mod enter;
pub mod ls;
mod process;
pub mod run;

use inspect::NamespaceKind;
use sys::namespace::Namespace;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs on namespaces.
#[derive(Debug, clap::Subcommand)]
pub enum NsCommand {
    /// List namespaces and who is in them, as lsns does
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Run a command in new namespaces, as unshare does
    Run(run::Args),
    /// Run a command in the namespaces of a container or process, as nsenter does
    Enter(enter::Args),
}

impl NsCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Ls(args) => ls::run(&args, context),
            Self::Run(args) => run::run(&args, context),
            Self::Enter(args) => enter::run(&args, context),
        }
    }
}

/// The kinds of namespace as options, with the letters of unshare and nsenter.
#[derive(Debug, Default, clap::Args)]
pub struct Kinds {
    /// Mounts: what / and everything below it is
    #[arg(short, long)]
    pub mount: bool,
    /// Host name
    #[arg(short, long)]
    pub uts: bool,
    /// System V IPC and POSIX message queues
    #[arg(short, long)]
    pub ipc: bool,
    /// Interfaces, addresses, routes, ports
    #[arg(short, long)]
    pub net: bool,
    /// Process numbers
    #[arg(short, long)]
    pub pid: bool,
    /// User ids and capabilities
    #[arg(short = 'U', long)]
    pub user: bool,
    /// Root of the cgroup tree
    #[arg(short = 'C', long)]
    pub cgroup: bool,
    /// Monotonic and boot clocks
    #[arg(short = 'T', long)]
    pub time: bool,
}

impl Kinds {
    /// The kinds that were asked for.
    fn asked(&self) -> impl Iterator<Item = Namespace> {
        let all = [
            (self.mount, Namespace::Mount),
            (self.uts, Namespace::Uts),
            (self.ipc, Namespace::Ipc),
            (self.net, Namespace::Net),
            (self.pid, Namespace::Pid),
            (self.user, Namespace::User),
            (self.cgroup, Namespace::Cgroup),
            (self.time, Namespace::Time),
        ];
        all.into_iter().filter_map(|(asked, kind)| asked.then_some(kind))
    }
}

/// A kind as the option `-t` names it.
fn parse_kind(text: &str) -> Result<NamespaceKind, String> {
    NamespaceKind::parse(text).ok_or_else(|| {
        let known: Vec<&str> = NamespaceKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("use one of {}", known.join(", "))
    })
}
