//! Running a task again in namespaces of its own: what it makes there (bridges, mounts, firewall rules) the machine does
//! not keep.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::run_quietly;

const MARK: &str = "STRAKE_BENCH_ISOLATED";

/// Whether this is the run in namespaces of its own.
#[allow(clippy::disallowed_methods, reason = "xtask stands on the roof")]
pub(crate) fn is_isolated() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs `program` with this task's arguments in namespaces of its own, `before` first, over the binaries in `built`.
pub(crate) fn again(program: &Path, before: Option<&str>, built: &Path) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["--propagation", "private"]);
    let before = before.map(|before| format!("{before} && ")).unwrap_or_default();
    let script = format!("ip link set lo up && {before}exec \"$0\" \"$@\"");
    command.args(["--", "sh", "-c", &script]).arg(program).args(std::env::args_os().skip(1));
    // Without the directory testkit would build, and we would use, a debug binary.
    command.env(MARK, "1").env(testkit::ISOLATED, "1");
    run_quietly(command.env("STRAKE_BIN_DIR", built))
}
