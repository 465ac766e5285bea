//! `cargo xtask install`: lays the static binaries, man pages, completions, and what starts
//! containers at boot down: a systemd unit and an OpenRC script.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
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
    boot_files(&args.prefix, &bin)?;
    println!(
        "installed into {}: try `{}/strake run --rm strake.local/tools id`",
        args.prefix.display(),
        bin.display()
    );
    println!(
        "for containers that come back at boot: `systemctl enable strake.service`, or `rc-update add strake`"
    );
    Ok(())
}

/// Lays down what an init system runs at boot. Both look below /usr/local, too.
fn boot_files(prefix: &Path, bin: &Path) -> Result<()> {
    for (dir, name, text, mode) in [
        ("lib/systemd/system", "strake.service", SYSTEMD_UNIT, 0o644),
        ("etc/init.d", "strake", OPENRC_SCRIPT, 0o755),
    ] {
        let dir = prefix.join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let path = dir.join(name);
        let text = text.replace("@BIN@", &bin.to_string_lossy());
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .with_context(|| format!("make {} runnable", path.display()))?;
    }
    Ok(())
}

const SYSTEMD_UNIT: &str = include_str!("../boot/strake.service");
const OPENRC_SCRIPT: &str = include_str!("../boot/strake.openrc");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn boot_files_call_the_installed_program() {
        let prefix = std::env::temp_dir().join(format!("strake-install-{}", std::process::id()));
        boot_files(&prefix, &prefix.join("bin")).unwrap();
        let command = format!("{}/bin/strake system start-all", prefix.display());
        for file in ["lib/systemd/system/strake.service", "etc/init.d/strake"] {
            let text = fs::read_to_string(prefix.join(file)).unwrap();
            assert!(text.contains(&command) && !text.contains('@'), "{file}:\n{text}");
        }
        let mode = fs::metadata(prefix.join("etc/init.d/strake")).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111);
        fs::remove_dir_all(&prefix).unwrap();
    }
}
