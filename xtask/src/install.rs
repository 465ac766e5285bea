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

    use std::process::Command;

    use super::*;

    /// A prefix with the boot files, and a program that writes down how it was called.
    fn installed() -> testkit::TempDir {
        let prefix = testkit::TempDir::new();
        let bin = prefix.join("bin");
        fs::create_dir(&bin).unwrap();
        let program = bin.join("strake");
        fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}/called\n", prefix.path().display()))
            .unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        boot_files(prefix.path(), &bin).unwrap();
        prefix
    }

    fn sh(script: &str) -> String {
        testkit::run(Command::new("sh").args(["-ec", script])).ok().to_owned()
    }

    #[test]
    fn rt_03_systemd_takes_the_unit() {
        let prefix = installed();
        let unit = prefix.join("lib/systemd/system/strake.service");
        let verify = || {
            let mut command = Command::new("systemd-analyze");
            testkit::run(command.args(["verify", "--man=no"]).arg(&unit))
        };
        let said = verify();
        assert!(said.code == 0 && said.stderr.is_empty(), "{said:?}");
        // It looks at the command, too.
        fs::remove_file(prefix.join("bin/strake")).unwrap();
        assert_ne!(verify().code, 0);
    }

    /// OpenRC is not installed here: the script is run as it does, by a shell that has its words.
    #[test]
    fn rt_03_the_openrc_script_brings_containers_back() {
        let prefix = installed();
        let script = prefix.join("etc/init.d/strake").display().to_string();
        sh(&format!("sh -n {script}; head -1 {script} | grep -qx '#!/sbin/openrc-run'"));
        let words = "need() { echo need $*; }; use() { echo use $*; }; after() { echo after $*; }; \
                     ebegin() { echo $*; }; eend() { return $1; }";
        let said = sh(&format!("{words}; . {script}; depend; start; stop; test -n \"$description\""));
        assert!(said.starts_with("need localmount\nuse net\nafter"), "{said}");
        let called = || fs::read_to_string(prefix.join("called")).unwrap();
        assert_eq!(called(), "system start-all\n", "start calls it, and stop leaves the containers alone");
        // A failure is told to who runs it.
        fs::write(prefix.join("bin/strake"), "#!/bin/sh\nexit 3\n").unwrap();
        sh(&format!("{words}; . {script}; if start; then exit 1; fi"));
    }

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
