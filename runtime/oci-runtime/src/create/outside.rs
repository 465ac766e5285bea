//! What the runtime does to a process from outside, where the privileges of the host are.

use std::os::fd::OwnedFd;
use std::path::Path;

use sys::procfs::Procfs;
use sys::rlimit::{self, Limit};

use crate::error::Error;
use crate::plan::RlimitPlan;

/// Raises hard limits from outside, where the privileges of the host are: root of a user
/// namespace has none of them. What is refused, init tells.
pub(super) fn raise_hard_limits(pid: i32, rlimits: &[RlimitPlan]) {
    for wanted in rlimits {
        let Ok(now) = rlimit::prlimit(pid, wanted.resource, None) else { continue };
        if wanted.limit.hard > now.hard {
            let raised = Limit { soft: now.soft, hard: wanted.limit.hard };
            let _ = rlimit::prlimit(pid, wanted.resource, Some(raised));
        }
    }
}

/// The master of a terminal, before the program can print. Where another terminal ends the lines, and
/// where output is no terminal at all, this one must not.
pub(crate) fn relay(master: OwnedFd, relayed: bool) -> OwnedFd {
    if relayed {
        // Output with a carriage return too many is better than none.
        let _ = sys::tty::disable_crlf(&master);
    }
    master
}

/// Set from outside as well: lowering it is the host's privilege, too.
pub(crate) fn set_oom_score(pid: i32, score: Option<i32>, warnings: &mut Vec<String>) -> Result<(), Error> {
    let Some(score) = score else { return Ok(()) };
    let file = format!("{pid}/oom_score_adj");
    let proc = Procfs::host().map_err(Error::system("open /proc"))?;
    match proc.write(Path::new(&file), score.to_string().as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            warnings.push(format!(
                "oomScoreAdj {score} is left out: lowering it needs CAP_SYS_RESOURCE, which the runtime does not have"
            ));
            Ok(())
        }
        result => result.map_err(Error::system(format!("set oomScoreAdj to {score}"))),
    }
}
