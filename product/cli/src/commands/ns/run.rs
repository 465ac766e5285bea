//! `strake ns run`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sys::idmap::{IdMaps, IdRange, write_maps};
use sys::mount::{Change, FsContext, Propagation, attach_path, attr, set_attributes_of_path};
use sys::namespace::{self, Namespace, NamespaceSet};
use sys::procfs::Procfs;

use super::Kinds;
use super::process::{self, Plan};
use crate::context::Context;
use crate::error::{CliError, Status, chain};

/// Arguments of `strake ns run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    strake ns run --pid --mount-proc ps aux      a shell's view of an empty process tree\n  \
    strake ns run --net ip link                  a network with nothing but a loopback\n  \
    strake ns run --map-root-user id             root without being root\n\n\
    No engine, no image, no daemon: only the kernel. The command runs as a child; its exit status is ours.")]
pub struct Args {
    /// Which kinds.
    #[command(flatten)]
    pub kinds: Kinds,
    /// Be root inside and stay who you are outside (implies --user)
    #[arg(short = 'r', long)]
    pub map_root_user: bool,
    /// Map user ids as INSIDE,OUTSIDE,COUNT (implies --user)
    #[arg(long, value_name = "MAP", value_parser = parse_range)]
    pub map_users: Vec<IdRange>,
    /// Map group ids as INSIDE,OUTSIDE,COUNT (implies --user)
    #[arg(long, value_name = "MAP", value_parser = parse_range)]
    pub map_groups: Vec<IdRange>,
    /// Run the command as a child (always so; taken for unshare's sake)
    #[arg(short, long)]
    pub fork: bool,
    /// Mount a /proc that shows the new process tree (implies --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc")]
    pub mount_proc: Option<PathBuf>,
    /// Set the host name (implies --uts)
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Shift the monotonic clock by so many seconds (implies --time)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub monotonic: Option<i64>,
    /// Shift the boot clock by so many seconds (implies --time)
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub boottime: Option<i64>,
    /// The command; your shell when missing
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let mut new = args.namespaces();
    if new.is_empty() {
        return Err(CliError::message("no namespace was asked for: add --pid, --net, --mount or another"));
    }
    if args.monotonic.is_some() || args.boottime.is_some() {
        // Offsets can be set until somebody is inside, so this one is made apart:
        // our children will be in it (time_namespaces(7)).
        shift_clocks(args)?;
        new = new.without(Namespace::Time);
    }
    let shell = [OsString::from(context.environment.variable("SHELL").unwrap_or("/bin/sh"))];
    let command = if args.command.is_empty() { &shell[..] } else { &args.command[..] };
    let maps = args.maps();
    let prepare = |pid| match &maps {
        Some(maps) => map_ids(maps, pid),
        None => Ok(()),
    };
    process::run(&Plan { new, command, prepare: &prepare, enter: &|| args.enter() }, context)
}

impl Args {
    fn namespaces(&self) -> NamespaceSet {
        let mut set: NamespaceSet = self.kinds.asked().collect();
        let implied = [
            (self.maps().is_some(), Namespace::User),
            (self.mount_proc.is_some(), Namespace::Mount),
            (self.hostname.is_some(), Namespace::Uts),
            (self.monotonic.is_some() || self.boottime.is_some(), Namespace::Time),
        ];
        for (wanted, kind) in implied {
            if wanted {
                set = set.with(kind);
            }
        }
        set
    }

    fn maps(&self) -> Option<IdMaps> {
        let mut maps = IdMaps { uids: self.map_users.clone(), gids: self.map_groups.clone() };
        if self.map_root_user {
            let one = |outside| IdRange { inside: 0, outside, count: 1 };
            maps.uids.push(one(sys::user::effective_uid()));
            maps.gids.push(one(sys::user::effective_gid()));
        }
        (!maps.uids.is_empty() || !maps.gids.is_empty()).then_some(maps)
    }

    /// In the new namespaces, before the command.
    fn enter(&self) -> Result<(), CliError> {
        let set = self.namespaces();
        if set.contains(Namespace::Mount) {
            // Or every mount made inside would show up outside, where / is shared.
            let change =
                Change { propagation: Some(Propagation::Private), recursive: true, ..Change::default() };
            set_attributes_of_path(Path::new("/"), &change)
                .map_err(|errno| failed("make mounts private", &errno))?;
        }
        if let Some(name) = &self.hostname {
            sys::uts::set_hostname(name).map_err(|errno| failed("set the host name", &errno))?;
        }
        if let Some(target) = &self.mount_proc {
            let attributes = attr::NOSUID | attr::NODEV | attr::NOEXEC;
            let mounted = FsContext::open("proc").and_then(|context| context.mount(attributes));
            let attached = mounted.and_then(|mount| attach_path(mount, target));
            attached.map_err(|errno| failed(&format!("mount a procfs at {}", target.display()), &errno))?;
        }
        Ok(())
    }
}

fn map_ids(maps: &IdMaps, pid: i32) -> Result<(), CliError> {
    // Only root may keep setgroups(2) for the new namespace.
    let ordinary = sys::user::effective_uid() != 0;
    let written = Procfs::host().and_then(|proc| write_maps(&proc, pid, maps, ordinary));
    written.map_err(|errno| {
        failed("write the id maps", &errno)
            .with_fix("an ordinary user may map one id only, its own: --map-root-user does that")
    })
}

fn shift_clocks(args: &Args) -> Result<(), CliError> {
    namespace::unshare(NamespaceSet::EMPTY.with(Namespace::Time))
        .map_err(|errno| failed("make a time namespace", &errno).with_fix("it needs root (CAP_SYS_ADMIN)"))?;
    let offsets = [("monotonic", args.monotonic), ("boottime", args.boottime)];
    for (clock, seconds) in offsets {
        let Some(seconds) = seconds else { continue };
        let proc = Procfs::host()?;
        let line = format!("{clock} {seconds} 0");
        proc.write(Path::new(&format!("{}/timens_offsets", std::process::id())), line.as_bytes())
            .map_err(|errno| failed(&format!("shift the {clock} clock by {seconds} s"), &errno))?;
    }
    Ok(())
}

fn failed(what: &str, errno: &std::io::Error) -> CliError {
    CliError::message(format!("{what}: {}", chain(errno)))
}

/// `0,100000,65536`.
fn parse_range(text: &str) -> Result<IdRange, String> {
    let numbers: Vec<u32> = text.split(',').map_while(|word| word.trim().parse().ok()).collect();
    match (numbers.as_slice(), text.split(',').count()) {
        ([inside, outside, count], 3) if *count > 0 => {
            Ok(IdRange { inside: *inside, outside: *outside, count: *count })
        }
        _ => Err("use INSIDE,OUTSIDE,COUNT as in 0,100000,65536".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[track_caller]
    fn kinds(line: &str) -> String {
        let line = Line::parse_from(line.split(' '));
        line.args.namespaces().iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_imply_namespaces() {
        assert_eq!(kinds("x --pid --net true"), "net pid");
        assert_eq!(kinds("x -r true"), "user");
        assert_eq!(kinds("x -p --mount-proc sh -c --net"), "pid mnt");
        assert_eq!(kinds("x --hostname h --boottime -5 true"), "uts time");
        assert_eq!(kinds("x true"), "");
    }

    #[test]
    fn maps_are_three_numbers() {
        assert_eq!(parse_range("0,100000,65536"), Ok(IdRange { inside: 0, outside: 100_000, count: 65536 }));
        for bad in ["", "1", "1,2", "1,2,3,4", "a,b,c", "0,1,0", "-1,0,1"] {
            assert!(parse_range(bad).is_err(), "{bad:?}");
        }
    }
}
