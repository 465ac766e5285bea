//! What processes have used: `getrusage(2)`.
#![allow(unsafe_code)]

use std::time::Duration;

/// Processor time, user and system, of all children that were waited for, and of the
/// children that these waited for.
pub fn children_cpu_time() -> Duration {
    // SAFETY: `rusage` is plain numbers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one rusage to memory that lives through the call; it
    // cannot fail with a known `who` and a valid pointer.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), (time.tv_usec.unsigned_abs() as u32) * 1000)
}
