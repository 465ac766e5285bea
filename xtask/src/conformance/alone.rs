//! Runs a part of a suite where it can do no harm: in a PID and a mount namespace of its own, with its own `/run`
//! and temporary directory, all else of the disk read-only, and a limit of time.
//!
//! Of `/sys/fs/cgroup` it sees the hierarchies alone: directories that some runtime left beside them look to a suite like
//! controllers that the kernel has. It inherits no descriptor of the caller's but the standard ones.
//!
//! Whatever it leaves is thawed, killed and unmounted with them, so that a case which hangs a runtime does not take
//! the next along, and one that cleans up through a mount it forgot deletes nothing.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::TempDir;

/// A command of a suite, not started yet.
pub(super) struct Alone {
    command: Command,
    /// Its `TMPDIR`: short enough that the path of a socket in it fits into an address.
    scratch: TempDir,
}

impl Alone {
    /// Runs `line` with bash in `dir`. `cgroups` are patterns of the names that the suite gives to cgroups.
    pub(super) fn new(line: &str, dir: &Path, limit: Duration, cgroups: &[&str]) -> Self {
        let scratch = TempDir::new();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--propagation", "private", "--", "bash", "-c", SCRIPT]);
        command.current_dir(dir).stdin(Stdio::null());
        command.env("TMPDIR", scratch.path()).env("CASE", line).env("CGROUPS", cgroups.join(" "));
        command.env("LIMIT", limit.as_secs().to_string());
        Self { command, scratch }
    }

    /// Sets an environment variable.
    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its `TMPDIR`.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// What it printed, and its exit status on a line of its own (124: it took too long).
    pub(super) fn run(mut self) -> Result<String> {
        let output = self.command.output().context("start unshare")?;
        let stdout = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        Ok(stdout + &String::from_utf8_lossy(&output.stderr))
    }
}

/// The status that a run ended with, out of what it printed.
pub(super) fn status(text: &str) -> Option<i32> {
    text.lines().rev().find_map(|line| line.strip_prefix(STATUS)?.parse().ok())
}

const STATUS: &str = "exit status of the case: ";

/// Runs the case, then puts an end to what it left: all that this PID namespace still has is its, and so are the
/// cgroups of its names that were not there before.
const SCRIPT: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /run && mount --bind "$TMPDIR" "$TMPDIR" && mount -o remount,bind,ro / || exit
cd "$PWD"
for fd in /proc/$$/fd/*; do
  case ${fd##*/} in [012]) ;; *) eval "exec ${fd##*/}<&-";; esac
done
hierarchies() {
  new=$(mktemp -d) && mount -t tmpfs -o mode=755 tmpfs "$new" || return
  for at in /sys/fs/cgroup/*; do
    if [ -L "$at" ]; then cp -P "$at" "$new"
    elif mountpoint -q "$at"; then mkdir "$new/${at##*/}" && mount --rbind "$at" "$new/${at##*/}" || return
    fi
  done
  umount --recursive --lazy /sys/fs/cgroup && mount --move "$new" /sys/fs/cgroup
}
if [ "$(stat -fc %T /sys/fs/cgroup)" = tmpfs ]; then hierarchies || exit; fi
made() { for name in $CGROUPS; do ls -d /sys/fs/cgroup/*/$name /sys/fs/cgroup/$name; done 2>/dev/null; }
before=$(made)
timeout -k 5 "$LIMIT" bash -c "$CASE"
echo; echo "exit status of the case: $?"
left=
for process in /proc/[0-9]*; do
  pid=${process#/proc/}
  [ "$pid" = 1 ] || [ "$pid" = $$ ] && continue
  while IFS=: read -r _ controllers path; do
    [ -n "$path" ] && [ "$path" != / ] || continue
    case $controllers in
      freezer) echo THAWED >"/sys/fs/cgroup/freezer$path/freezer.state";;
      '') for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do
            [ -e "$root$path/cgroup.freeze" ] && echo 0 >"$root$path/cgroup.freeze"
          done;;
    esac
    left="$left $path"
  done 2>/dev/null <"$process/cgroup"
  kill -9 "$pid" 2>/dev/null
done
wait 2>/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
  for path in $left; do rmdir /sys/fs/cgroup/*"$path" /sys/fs/cgroup"$path"; done
  again=
  for dir in $(made); do
    case " $(echo $before) " in *" $dir "*) continue;; esac
    find "$dir" -depth -type d -exec rmdir {} + || again=1
  done
  [ -z "$again" ] && break
  sleep 0.1
done 2>/dev/null
exit 0
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_status_counts() {
        assert_eq!(status("exit status of the case: 3\n\nexit status of the case: 0\nwarning\n"), Some(0));
        assert_eq!(status("killed"), None);
    }
}
