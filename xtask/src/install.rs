//! `cargo xtask install`: lays the static binaries, man pages and completions down.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap_complete::Shell;

use crate::binaries;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where bin/ and share/ are
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
}

/// Builds and installs.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let built = binaries::build(root)?;
    let bin = args.prefix.join("bin");
    let made = |dir: PathBuf| {
        fs::create_dir_all(&dir).map(|()| dir.clone()).with_context(|| format!("make {}", dir.display()))
    };
    made(bin.clone())?;
    for name in ["strake", "strake-shim", "strake-runtime"] {
        binaries::place(&fs::read(built.binary(name))?, &bin.join(name))?;
    }
    let share = args.prefix.join("share");
    let man = made(share.join("man/man1"))?;
    clap_mangen::generate_to(cli::command(), &man)
        .with_context(|| format!("man pages in {}", man.display()))?;
    for (shell, dir) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/site-functions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        let dir = made(share.join(dir))?;
        clap_complete::generate_to(shell, &mut cli::command(), "strake", &dir)?;
    }
    println!(
        "installed into {}: try `{}/strake run --rm strake.local/tools id`",
        args.prefix.display(),
        bin.display()
    );
    Ok(())
}
