//! Session keyrings: `keyctl(2)`.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;

/// Joins a new session keyring of that name, so that the caller's keys are out of reach.
pub fn join_session(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a C string that lives through the call.
    let rc = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr(), 0, 0, 0) };
    if rc >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const KEYCTL_JOIN_SESSION_KEYRING: i64 = 1;
