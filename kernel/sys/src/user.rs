//! User and group ids of this process: `setresuid(2)`, `setresgid(2)`, `setgroups(2)`.
//!
//! The raw calls, which change this thread only: the C library's versions signal
//! all threads, and our callers have one.

use std::io;

use rustix::process::{Gid, Uid};

/// Sets all user ids.
pub fn set_uid(uid: u32) -> io::Result<()> {
    let uid = Uid::from_raw(valid(uid)?);
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

/// Sets all group ids.
pub fn set_gid(gid: u32) -> io::Result<()> {
    let gid = Gid::from_raw(valid(gid)?);
    Ok(rustix::thread::set_thread_res_gid(gid, gid, gid)?)
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups = groups.iter().map(|gid| valid(*gid).map(Gid::from_raw)).collect::<io::Result<Vec<_>>>()?;
    Ok(rustix::thread::set_thread_groups(&groups)?)
}

/// The effective user id.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// -1 means "leave as it is" to the kernel: as an id it would silently keep root.
fn valid(id: u32) -> io::Result<u32> {
    if id == u32::MAX { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(id) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn minus_one_is_no_id() {
        assert!(super::set_uid(u32::MAX).is_err());
        assert!(super::set_gid(u32::MAX).is_err());
        assert!(super::set_groups(&[0, u32::MAX]).is_err());
    }
}
