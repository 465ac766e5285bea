//! The built static binaries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

/// The path of the static binary `name` (`"strake"`, `"strake-runtime"`, `"strake-shim"`).
///
/// `cargo xtask test` names the directory it built into by `STRAKE_BIN_DIR`. Without that the
/// binary is built here, once per test process, so that a plain `cargo test -p` works too.
///
/// # Panics
/// When the build fails.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
pub fn bin(name: &str) -> PathBuf {
    if let Ok(dir) = std::env::var("STRAKE_BIN_DIR") {
        let path = Path::new(&dir).join(name);
        assert!(path.is_file(), "{} is not built: run `cargo xtask build`", path.display());
        return path;
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    built.entry(name.to_owned()).or_insert_with(|| build(name)).clone()
}

/// Builds the debug binary, static where the musl target is installed.
fn build(name: &str) -> PathBuf {
    const TARGET: &str = "x86_64-unknown-linux-musl";
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", TARGET, "-p", name])
        .current_dir(workspace())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "cargo build -p {name} failed");
    target_dir().join(TARGET).join("debug").join(name)
}

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("tests/testkit lies two below the root").to_owned()
}

/// Where cargo builds, and where fixtures are kept between runs.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}
