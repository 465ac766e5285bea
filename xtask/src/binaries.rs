//! The static binaries: the four of the house as one file, and each alone.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{cargo, read, run};
use crate::{apt, carried};

/// What `strake` carries within itself.
const SMALL: &[&str] = &["strake-shim", "strake-runtime"];

const SMALL_PROFILE: &str = "small";

/// Finished binaries.
pub(crate) struct Built {
    /// The directory that has `strake`, `strake-shim` and `strake-runtime`.
    pub(crate) dir: PathBuf,
}

impl Built {
    /// One of them.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Builds release binaries into `target/dist`.
pub(crate) fn build(root: &Path) -> Result<Built> {
    apt::install(&[apt::BUILD])?;
    let target = Target::available(root)?;
    let make = |profile: &str, packages: &[&str]| {
        let mut command = cargo();
        command.current_dir(root).args([
            "build",
            "--locked",
            "--profile",
            profile,
            "--target",
            &target.triple,
        ]);
        for package in packages {
            command.args(["--package", package]);
        }
        if target.static_flag {
            command.env("RUSTFLAGS", "-C target-feature=+crt-static");
        } else if profile == SMALL_PROFILE {
            // Head, code and constants in one segment: a page of padding less, in the file and in memory.
            let flags = r#"["-C", "link-arg=-Wl,-z,noseparate-code"]"#;
            command.args(["--config", &format!("target.{}.rustflags={flags}", target.triple)]);
        }
        run(&mut command)?;
        Ok::<_, anyhow::Error>(target_dir(root).join(&target.triple).join(profile))
    };
    let from = make(SMALL_PROFILE, SMALL)?;
    let large = make("release", &["strake"])?;
    let dir = target_dir(root).join("dist");
    fs::create_dir_all(&dir)?;
    let small = |name: &&str| {
        let built = from.join(name);
        let bytes = if target.static_flag { fs::read(&built)? } else { without_unwinding(&built)? };
        Ok(((*name).to_owned(), bytes))
    };
    let parts = SMALL.iter().map(small).collect::<Result<Vec<_>>>()?;
    for (name, bytes) in &parts {
        place(bytes, &dir.join(name))?;
    }
    let mut strake = fs::read(large.join("strake"))?;
    carried::append(&mut strake, &parts);
    place(&strake, &dir.join("strake"))?;
    Ok(Built { dir })
}

/// The program without its tables for unwinding, an eighth of it. A panic ends it at once
/// (`panic = "abort"`), so nothing reads them but a backtrace, which has no names to print either. (A
/// static glibc registers them when a program starts, and keeps them.)
fn without_unwinding(program: &Path) -> Result<Vec<u8>> {
    let slim = program.with_extension("slim");
    let mut objcopy = std::process::Command::new("objcopy");
    for section in [".eh_frame", ".eh_frame_hdr", ".gcc_except_table"] {
        objcopy.args(["--remove-section", section]);
    }
    run(objcopy.arg(program).arg(&slim))?;
    fs::read(&slim).with_context(|| format!("read {}", slim.display()))
}

/// Puts `bytes` at `path` by rename: a running older one is left alone.
pub(crate) fn place(bytes: &[u8], path: &Path) -> Result<()> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial).with_context(|| format!("create {}", partial.display()))?;
    file.write_all(bytes).with_context(|| format!("write {}", partial.display()))?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    drop(file);
    fs::rename(&partial, path).with_context(|| format!("place {}", path.display()))
}

/// Where cargo builds.
#[allow(clippy::disallowed_methods, reason = "xtask stands on the roof")]
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// What we build for.
struct Target {
    triple: String,
    /// glibc is static only on demand.
    static_flag: bool,
}

impl Target {
    /// musl where it is installed or can be; else a static gnu build.
    fn available(root: &Path) -> Result<Self> {
        let host = read(std::process::Command::new("rustc").current_dir(root).arg("-vV"))?;
        let host =
            host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
        let arch = host.split('-').next().unwrap_or("x86_64");
        let musl = format!("{arch}-unknown-linux-musl");
        if musl_ready(root, &musl) {
            return Ok(Self { triple: musl, static_flag: false });
        }
        eprintln!(
            "the {musl} target cannot be added: building static against glibc instead (slower to start)"
        );
        Ok(Self { triple: host.to_owned(), static_flag: true })
    }
}

fn musl_ready(root: &Path, musl: &str) -> bool {
    let libdir = ["--print", "target-libdir", "--target", musl];
    let present = || {
        read(std::process::Command::new("rustc").current_dir(root).args(libdir))
            .is_ok_and(|dir| Path::new(dir.trim()).exists())
    };
    present()
        || (run(std::process::Command::new("rustup").current_dir(root).args(["target", "add", musl])).is_ok()
            && present())
}
