//! Reading legacy iptables tables: `getsockopt(2)` with `IPT_SO_GET_INFO` and
//! `IPT_SO_GET_ENTRIES` (`linux/netfilter_ipv4/ip_tables.h`).
//!
//! Asking for a table makes the kernel create it, so callers look into
//! `/proc/net/ip_tables_names` first.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

const IPT_SO_GET_INFO: libc::c_int = 64;
const IPT_SO_GET_ENTRIES: libc::c_int = 65;
const NAME_LEN: usize = 32;
/// `struct ipt_getinfo`.
const INFO_LEN: usize = 84;
/// `struct ipt_get_entries` before its entries: the name, the size, and padding.
const ENTRIES_HEADER_LEN: usize = 40;
/// Larger tables than this are not read: `size` comes from the kernel, but is used to
/// allocate.
const ENTRIES_LEN_MAX: u32 = 64 * 1024 * 1024;

/// A table as the kernel keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyTable {
    /// Where the chain of each of the five hooks begins, as an offset into `entries`.
    pub hook_entry: [u32; 5],
    /// Where its policy is.
    pub underflow: [u32; 5],
    /// A run of `struct ipt_entry`.
    pub entries: Vec<u8>,
}

/// Reads the IPv4 table of this name; needs `CAP_NET_ADMIN`.
pub fn ipv4_table(name: &str) -> io::Result<LegacyTable> {
    if name.len() >= NAME_LEN {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let raw = Some(ipproto::RAW);
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, raw)?;
    let mut info = vec![0; INFO_LEN];
    info[..name.len()].copy_from_slice(name.as_bytes());
    read(&socket, IPT_SO_GET_INFO, &mut info)?;
    let word = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    let words = |at: usize| std::array::from_fn(|index| word(at + 4 * index));
    let (hook_entry, underflow, size) = (words(36), words(56), word(80));
    if size > ENTRIES_LEN_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    let mut entries = vec![0; ENTRIES_HEADER_LEN + size as usize];
    entries[..name.len()].copy_from_slice(name.as_bytes());
    entries[NAME_LEN..NAME_LEN + 4].copy_from_slice(&size.to_ne_bytes());
    read(&socket, IPT_SO_GET_ENTRIES, &mut entries)?;
    entries.drain(..ENTRIES_HEADER_LEN);
    Ok(LegacyTable { hook_entry, underflow, entries })
}

fn read(socket: &impl AsRawFd, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is borrowed for the call; both options only write into the
    // buffer, at most `length` bytes of it, and the kernel refuses any other length.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
