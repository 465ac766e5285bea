//! Questions that only a system call of its own answers: does this kernel have io_uring,
//! KVM, fs-verity, and is its clock kept right?
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Makes a queue of two entries and closes it: `io_uring_setup(2)`.
pub fn io_uring() -> io::Result<()> {
    let mut parameters = [0u8; IO_URING_PARAMS_LEN];
    // SAFETY: the kernel writes `struct io_uring_params`, which has this length, and
    // `parameters` lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2, parameters.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

/// The version of KVM's interface behind an open `/dev/kvm`; it has been 12 for ever.
pub fn kvm_version<Fd: AsFd>(kvm: Fd) -> io::Result<i32> {
    // SAFETY: the request takes no argument and writes to no memory.
    let version = unsafe { libc::ioctl(kvm.as_fd().as_raw_fd(), KVM_GET_API_VERSION as libc::Ioctl, 0) };
    if version < 0 { Err(io::Error::last_os_error()) } else { Ok(version) }
}

/// Makes a file, open for reading and by nobody for writing, unchangeable and measured by a
/// tree of SHA-256 digests: `FS_IOC_ENABLE_VERITY`.
pub fn enable_verity<Fd: AsFd>(file: Fd) -> io::Result<()> {
    let mut argument = [0u64; VERITY_ARG_WORDS];
    // struct fsverity_enable_arg: version 1, SHA-256 (1), then the block size of 4096.
    argument[0] = u64::from_ne_bytes(words(1, 1));
    argument[1] = u64::from_ne_bytes(words(4096, 0));
    // SAFETY: the kernel only reads the structure, which has the length that the request's
    // number tells; it lives through the call.
    let rc = unsafe {
        libc::ioctl(file.as_fd().as_raw_fd(), FS_IOC_ENABLE_VERITY as libc::Ioctl, argument.as_mut_ptr())
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether something keeps the kernel's clock right (NTP, PTP): `adjtimex(2)` without
/// `STA_UNSYNC`.
pub fn clock_is_kept() -> io::Result<bool> {
    // SAFETY: all of `timex` is integers, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: with `modes` 0 the kernel changes nothing and only writes to `timex`.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(timex.status & libc::STA_UNSYNC == 0)
}

/// Two 32-bit fields that stand beside each other.
fn words(first: u32, second: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    bytes
}

/// `sizeof(struct io_uring_params)`.
const IO_URING_PARAMS_LEN: usize = 120;
/// `_IO(KVMIO, 0)`.
const KVM_GET_API_VERSION: u32 = 0xae00;
/// `_IOW('f', 133, struct fsverity_enable_arg)`: 128 bytes.
const FS_IOC_ENABLE_VERITY: u32 = 0x4080_6685;
const VERITY_ARG_WORDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kvm_says_so() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(kvm_version(&null).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(enable_verity(&null).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }

    #[test]
    fn the_clock_can_be_asked() {
        clock_is_kept().unwrap();
    }
}
