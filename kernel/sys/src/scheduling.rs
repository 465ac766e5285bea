//! Execution domain, I/O priority and scheduler: `personality(2)`, `ioprio_set(2)`,
//! `sched_setattr(2)`, `sched_setaffinity(2)`.
#![allow(unsafe_code)]

use std::io;

/// Sets the execution domain, such as [`PER_LINUX32`].
pub fn set_personality(domain: u64) -> io::Result<()> {
    // SAFETY: an integer only.
    let rc = unsafe { libc::personality(domain) };
    if rc >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The plain 64-bit domain.
pub const PER_LINUX: u64 = 0;
/// `uname` says a 32-bit machine.
pub const PER_LINUX32: u64 = 8;

/// A class of I/O priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// First always.
    RealTime,
    /// The usual.
    BestEffort,
    /// Only when nobody else wants the disk.
    Idle,
}

/// Sets this process's I/O priority; `level` is 0 (high) to 7.
pub fn set_io_priority(class: IoClass, level: u16) -> io::Result<()> {
    let class: u32 = match class {
        IoClass::RealTime => 1,
        IoClass::BestEffort => 2,
        IoClass::Idle => 3,
    };
    let value = class << 13 | u32::from(level);
    // SAFETY: integers only; 1 is IOPRIO_WHO_PROCESS, 0 is this process.
    let rc = unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, value) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct sched_attr`, version 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// Filled in by [`set_scheduler`].
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value, for OTHER and BATCH.
    pub nice: i32,
    /// Static priority, for FIFO and RR.
    pub priority: u32,
    /// Nanoseconds, for DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for DEADLINE.
    pub period: u64,
    /// Utilisation clamp, lower.
    pub util_min: u32,
    /// Utilisation clamp, upper.
    pub util_max: u32,
}

/// Sets this thread's scheduling: `sched_setattr(2)`.
pub fn set_scheduler(attr: &SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` carries its own size and lives through the call.
    let rc = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Which NUMA nodes memory comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*`, with `MPOL_F_*`.
    pub mode: u32,
    /// The nodes.
    pub nodes: Vec<usize>,
}

/// Sets this thread's policy, which its children and programs inherit: `set_mempolicy(2)`.
pub fn set_memory_policy(policy: &MemoryPolicy) -> io::Result<()> {
    const BITS: usize = u64::BITS as usize;
    let words = policy.nodes.iter().max().map_or(0, |last| last / BITS + 1);
    let mut mask = vec![0u64; words];
    for node in &policy.nodes {
        mask[node / BITS] |= 1 << (node % BITS);
    }
    // The kernel reads one bit less than it is told.
    let (nodes, bits) = match words {
        0 => (std::ptr::null(), 0),
        _ => (mask.as_ptr(), words * BITS + 1),
    };
    // SAFETY: `mask` has `words` words and lives through the call; a null pointer is no nodes.
    let rc = unsafe { libc::syscall(libc::SYS_set_mempolicy, policy.mode, nodes, bits) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this thread use every CPU that its cgroup has.
pub fn reset_affinity() -> io::Result<()> {
    let every = [u8::MAX; size_of::<libc::cpu_set_t>()];
    // SAFETY: the kernel reads as many bytes of `every` as it has.
    let rc = unsafe { libc::sched_setaffinity(0, every.len(), every.as_ptr().cast()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Pins this thread to these CPUs: `sched_setaffinity(2)`.
pub fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus.iter().filter(|cpu| **cpu < rustix::thread::CpuSet::MAX_CPU) {
        set.set(*cpu);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
