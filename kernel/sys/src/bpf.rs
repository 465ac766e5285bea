//! bpf(2), as far as the device rules of cgroup v2 need it: a device program is loaded,
//! attached to a cgroup, found again and replaced.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// One eBPF instruction: `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low four bits, source in the high four.
    pub registers: u8,
    /// Offset of a jump or of memory.
    pub offset: i16,
    /// Immediate operand.
    pub immediate: i32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`. Needs `CAP_SYS_ADMIN`, or
/// `CAP_BPF` since Linux 5.8.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let length = u32::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let mut name = [0u8; 16];
    name[..14].copy_from_slice(b"strake_devices");
    let attributes = LoadAttributes {
        program_type: PROGRAM_TYPE_CGROUP_DEVICE,
        instruction_count: length,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        name,
        expected_attach_type: ATTACH_CGROUP_DEVICE,
        ..LoadAttributes::default()
    };
    // SAFETY: `instructions` and `license` point to memory that outlives the call and that
    // the kernel only reads; unset fields are zero, as bpf(2) asks.
    let fd = unsafe { bpf(PROG_LOAD, &attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup beside those that are there, or instead of
/// `replaced`. An access must satisfy every program on the way to the root.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        flags: FLAG_ALLOW_MULTI | if replaced.is_some() { FLAG_REPLACE } else { 0 },
        replaced: replaced.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: the attributes hold descriptors only, borrowed for the whole call.
    unsafe { bpf(PROG_ATTACH, &attributes) }.map(drop)
}

/// Takes a device program off a cgroup.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        ..AttachAttributes::default()
    };
    // SAFETY: the attributes hold descriptors only, borrowed for the whole call.
    unsafe { bpf(PROG_DETACH, &attributes) }.map(drop)
}

/// The device programs attached to a cgroup itself (not to its parents).
pub fn device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; PROGRAMS_MAX];
    let mut attributes = QueryAttributes {
        target: cgroup.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        program_ids: ids.as_mut_ptr() as u64,
        program_count: PROGRAMS_MAX as u32,
        ..QueryAttributes::default()
    };
    let pointer: *mut QueryAttributes = &mut attributes;
    // SAFETY: the kernel writes at most `program_count` ids to `ids` and the result fields
    // of `attributes`; both are ours and outlive the call.
    unsafe { bpf(PROG_QUERY, pointer.cast_const()) }?;
    let count = (attributes.program_count as usize).min(PROGRAMS_MAX);
    ids[..count].iter().map(|id| program_by_id(*id)).collect()
}

fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let attributes = IdAttributes { id, ..IdAttributes::default() };
    // SAFETY: the attributes hold plain numbers.
    let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &attributes) }?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// `attributes` is what bpf(2) wants for `command`, and the memory it points to is valid.
unsafe fn bpf<T>(command: libc::c_long, attributes: *const T) -> io::Result<i32> {
    // SAFETY: by the caller's promise; the kernel reads (for queries also writes)
    // `size_of::<T>()` bytes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))
}

#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    program_count: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct IdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;

const PROGRAM_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const FLAG_ALLOW_MULTI: u32 = 1 << 1;
const FLAG_REPLACE: u32 = 1 << 2;

/// The kernel's own limit for one cgroup and attach type is 64.
const PROGRAMS_MAX: usize = 64;
