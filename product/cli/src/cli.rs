//! The root of the command tree, and the way from arguments to an exit status.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser};

use crate::called;
use crate::commands::Command;
use crate::context::{Context, Environment};
use crate::error::{CliError, Status};
use crate::{usage, words};

/// Containers from the kernel up: run images, and see what the kernel really does.
#[derive(Debug, Parser)]
#[command(
    name = "strake",
    version,
    disable_version_flag = true,
    about = "Run containers, and see what the kernel really does with them",
    long_about = "Strake runs containers without a daemon: every command works on files under the data \
                  root, with one small supervisor per container. The commands and their options mean what \
                  they mean in docker.",
    after_help = "Examples:\n  strake run --rm -it debian bash      a shell in a fresh Debian\n  \
                  strake run -d -p 8080:80 nginx       a web server on port 8080\n  \
                  strake ps                            what runs\n  \
                  strake explain NAME                  what the kernel holds of it\n\n\
                  `strake COMMAND --help` explains a command with examples.",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = false,
    propagate_version = false,
    max_term_width = 100
)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: GlobalOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, before its name.
#[derive(Clone, Debug, Default, Args)]
pub struct GlobalOptions {
    /// Directory of what must survive a reboot: images, containers, volumes [default: /var/lib/strake, for an ordinary user $XDG_DATA_HOME/strake]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Directory of what ends with a reboot: sockets and locks [default: /run/strake, for an ordinary user $XDG_RUNTIME_DIR/strake]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Directory of CNI configurations, which are networks [default: /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Directories of CNI plugins, with `:` between them [default: /opt/cni/bin:/usr/lib/cni]
    #[arg(long, value_name = "DIRS")]
    pub cni_bin_dir: Option<String>,
    /// Print what is being done, the same as --log-level debug
    #[arg(short = 'D', long)]
    pub debug: bool,
    /// How much to say on standard error
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info", value_parser = ["debug", "info", "warn", "error"])]
    pub log_level: String,
}

/// The whole command tree, for man pages, completions and the reference.
pub fn command() -> clap::Command {
    let version = Arg::new("version").short('V').short_alias('v').long("version").display_order(1000);
    let version = version.action(ArgAction::Version).help("Print version");
    Cli::command().arg(version).args_override_self(true)
}

/// Runs the command line `args` (the first is the program's name).
pub fn main(args: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = match called::matches(&args) {
        Some(matches) => matches,
        None => {
            let tree = command();
            match words::normal(&tree, &args).map(|args| tree.try_get_matches_from(args)) {
                Ok(Ok(matches)) => matches,
                Ok(Err(error)) => return usage(&error),
                Err(wrong) => return not_a_bool(&wrong),
            }
        }
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut context = Context::new(&cli.global, environment);
    if let Err(error) = crate::rootless::go_in(&cli.command, &mut context) {
        return report(&context, &error.with_status(Status::DAEMON));
    }
    match cli.command.run(&context).and_then(|status| context.flush().map(|()| status)) {
        Ok(status) => status.into(),
        Err(error) => report(&context, &error),
    }
}

/// Help and version are answers; everything else is docker's 125 with one sentence.
fn usage(error: &clap::Error) -> ExitCode {
    let asked_for = !error.use_stderr();
    // Nobody is left to tell when this fails.
    let _ = match usage::sentence(error) {
        Some(sentence) => writeln!(std::io::stderr(), "strake: {sentence}"),
        None => error.print(),
    };
    if asked_for { ExitCode::SUCCESS } else { Status::DAEMON.into() }
}

fn not_a_bool(wrong: &words::NotABool) -> ExitCode {
    // Nobody is left to tell when this fails.
    let _ = writeln!(std::io::stderr(), "strake: {wrong}");
    Status::DAEMON.into()
}

fn report(context: &Context, error: &CliError) -> ExitCode {
    if !error.is_silent() {
        context.complain(format_args!("strake: {error}"));
    }
    let _ = context.flush();
    error.status().into()
}
