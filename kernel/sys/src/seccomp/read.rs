//! Reads the filters of any process: `PTRACE_SECCOMP_GET_FILTER` of ptrace(2).
#![allow(unsafe_code)]

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use super::program::{Instruction, LENGTH_MAX, Program};

/// The filters on a thread, oldest first; none when it has none. All of them must agree for
/// a call to get through.
///
/// The thread is stopped for some tens of microseconds. Needs `CAP_SYS_ADMIN`, a kernel with
/// `CONFIG_CHECKPOINT_RESTORE`, and a caller without filters of its own; somebody else's
/// debugger on the thread makes it fail with `EPERM`.
pub fn filters_of(pid: i32) -> io::Result<Vec<Program>> {
    let tracee = Tracee::seize(pid)?;
    let mut filters = Vec::new();
    while let Some(program) = tracee.filter(filters.len())? {
        filters.push(program);
    }
    Ok(filters)
}

/// A thread that we have stopped. It goes on when this is dropped.
struct Tracee {
    pid: i32,
    /// The signal that it was about to get when it stopped.
    signal: libc::c_long,
}

impl Tracee {
    fn seize(pid: i32) -> io::Result<Self> {
        // SEIZE, unlike ATTACH, sends no SIGSTOP that others could see.
        ptrace(libc::PTRACE_SEIZE, pid, 0, ptr::null_mut())?;
        let deadline = Instant::now() + STOP_LIMIT;
        ptrace(libc::PTRACE_INTERRUPT, pid, 0, ptr::null_mut())?;
        loop {
            let mut status = 0;
            // SAFETY: `status` is ours; WNOHANG and __WALL ask for this one thread only.
            let result = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG | libc::__WALL) };
            if result == -1 {
                return Err(io::Error::last_os_error());
            }
            if result == pid && libc::WIFSTOPPED(status) {
                // An event stop has its number above the signal; a plain stop means that a
                // signal is on its way, which must not get lost.
                let is_event = status >> 16 != 0;
                let signal = if is_event { 0 } else { libc::WSTOPSIG(status).into() };
                return Ok(Self { pid, signal });
            }
            if result == pid {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            if Instant::now() > deadline {
                // In an uninterruptible wait. It is ours until it stops or we exit; neither
                // changes what it does.
                return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn filter(&self, index: usize) -> io::Result<Option<Program>> {
        let length = match ptrace(GET_FILTER, self.pid, index, ptr::null_mut()) {
            Ok(length) => usize::try_from(length).unwrap_or(0).min(LENGTH_MAX),
            // No more of them, or none at all.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut program = vec![Instruction::new(0, 0); length];
        // The kernel writes `length` instructions: a filter never changes.
        ptrace(GET_FILTER, self.pid, index, program.as_mut_ptr().cast())?;
        Ok(Some(program))
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // Fails only when it has been killed meanwhile.
        let _ = ptrace(libc::PTRACE_DETACH, self.pid, 0, ptr::without_provenance_mut(self.signal as usize));
    }
}

fn ptrace(request: Request, pid: i32, address: usize, data: *mut libc::c_void) -> io::Result<libc::c_long> {
    let address: *mut libc::c_void = ptr::without_provenance_mut(address);
    // SAFETY: the requests of this module take plain numbers, but for GET_FILTER, which
    // writes the filter's instructions to `data` when that is not null: its caller gives
    // room for as many as the kernel has said that there are.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The C libraries do not agree about its type.
#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

const GET_FILTER: Request = 0x420c;

/// A thread that runs or sleeps stops within microseconds.
const STOP_LIMIT: Duration = Duration::from_millis(500);
