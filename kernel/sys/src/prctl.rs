//! `prctl(2)`: properties of this process.
#![allow(unsafe_code)]

use std::io;

use crate::signal::Signal;

/// From now on no exec gains privileges. Cannot be undone.
pub fn set_no_new_privs() -> io::Result<()> {
    call(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// The signal that we get when our parent (its thread that made us) ends; `None`: none.
pub fn set_parent_death_signal(signal: Option<Signal>) -> io::Result<()> {
    call(libc::PR_SET_PDEATHSIG, signal.map_or(0, Signal::number) as u64)
}

/// Orphans among our descendants become our children.
pub fn set_child_subreaper(on: bool) -> io::Result<()> {
    call(libc::PR_SET_CHILD_SUBREAPER, u64::from(on))
}

/// Keeps the permitted capabilities over a change of the user ids.
pub fn set_keep_caps(on: bool) -> io::Result<()> {
    call(libc::PR_SET_KEEPCAPS, u64::from(on))
}

/// Whether others with our user may trace us or look into `/proc/self`.
pub fn set_dumpable(on: bool) -> io::Result<()> {
    call(libc::PR_SET_DUMPABLE, u64::from(on))
}

/// The name in `/proc/PID/comm`, cut after 15 bytes.
pub fn set_name(name: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: `name` is a C string that lives through the call.
    let rc = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn call(option: libc::c_int, value: u64) -> io::Result<()> {
    // SAFETY: the options that come here take integers only.
    let rc = unsafe { libc::prctl(option, value, 0, 0, 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
