//! A process that dies at a failpoint: a test of the same binary, run again as a child.
//!
//! ```text
//! test ── Dying::at(…).run() ─▶ child test: Dying::here() arms the failpoint, works, is killed
//! ```

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// Where the child is to die, and what it does until then.
#[derive(Clone, Debug)]
pub struct Dying {
    /// The failpoint.
    pub point: String,
    /// How often it is passed before.
    pub skip: u32,
    /// The child's work, in its test's own words.
    pub work: String,
}

impl Dying {
    /// A child that is to die at this failpoint.
    pub fn at(point: &str, skip: u32, work: impl Into<String>) -> Self {
        Self { point: point.to_owned(), skip, work: work.into() }
    }

    /// What this process is to do if it is such a child, its failpoint armed; `None` when the test
    /// runs by itself and has nothing to do.
    ///
    /// # Panics
    /// When the plan is not one of [`Dying::command`]'s.
    #[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
    pub fn here() -> Option<Self> {
        let plan = std::env::var(PLAN).ok()?;
        let mut parts = plan.splitn(3, '|');
        let mut part = || parts.next().expect("a plan has three parts");
        let dying = Self::at(part(), part().parse().expect("a number"), part());
        base::failpoint::arm(&dying.point, dying.skip, die);
        Some(dying)
    }

    /// The child: the test `name` of this binary, not yet started. Its standard output is libtest's.
    ///
    /// # Panics
    /// When this binary has no path.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a binary has a path"));
        command.args([name, "--exact", "--nocapture", "--test-threads=1", "-q"]);
        command.env(PLAN, format!("{}|{}|{}", self.point, self.skip, self.work));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Runs the child; whether it was killed, else it came to the end of its work.
    ///
    /// # Panics
    /// When it failed in another way.
    pub fn is_killed(&self, name: &str) -> bool {
        let status = self.command(name).status().expect("the child runs");
        assert!(status.success() || status.signal() == Some(9), "{self:?}: {status}");
        !status.success()
    }
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

const PLAN: &str = "STRAKE_TEST_DYING";
