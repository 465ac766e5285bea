//! What a process's seccomp filters really do, read out of the kernel.

use serde::Serialize;
use sys::seccomp::{Arch, Instruction, filters_of, verdicts};

use crate::error::Error;
use crate::procfs::Process;
use crate::sourced::Sourced;

/// What all filters of a process together do with the calls of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FilterSummary {
    /// How many filters are stacked.
    pub filters: usize,
    /// Calls that never get through, by name.
    pub denied: Vec<String>,
    /// Calls that get through with some arguments only.
    pub conditional: Vec<String>,
    /// How many calls there are.
    pub known: usize,
}

impl Process {
    /// Reads its filters by `ptrace(2)`.
    ///
    /// Unlike everything else in this crate this touches the process: it stands still for
    /// some microseconds, and a system call that it waits in may return `EINTR`. So it is
    /// for those who ask.
    pub fn filter_summary(&self) -> Result<Sourced<FilterSummary>, Error> {
        if !self.exists() {
            return Err(Error::NoProcess { pid: self.pid() });
        }
        let programs = filters_of(self.pid()).map_err(|errno| match errno.raw_os_error() {
            Some(1 | 13) => Error::Denied {
                path: SOURCE.to_owned(),
                needs: "it needs CAP_SYS_ADMIN, no filter on the reader, and no other tracer on the process",
                errno,
            },
            Some(3) => Error::NoProcess { pid: self.pid() },
            _ => Error::Read { path: SOURCE.to_owned(), errno },
        })?;
        let programs: Vec<&[Instruction]> = programs.iter().map(|program| program.as_slice()).collect();
        let found = verdicts(&programs, Arch::NATIVE);
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let summary = FilterSummary {
            filters: programs.len(),
            denied: owned(found.denied),
            conditional: owned(found.conditional),
            known: found.total,
        };
        Ok(Sourced::new(summary, format!("{SOURCE} of {}", self.pid())))
    }
}

const SOURCE: &str = "ptrace(PTRACE_SECCOMP_GET_FILTER)";
