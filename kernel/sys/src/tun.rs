//! Network devices whose other end is a descriptor: `/dev/net/tun`
//! (Documentation/networking/tuntap.rst).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Length of the header before each packet: `struct virtio_net_hdr`.
pub const HEADER_LEN: usize = 10;

/// Makes the device `name` in the network namespace of this thread and gives the other end of it, which
/// does not block. The device goes with its descriptor.
///
/// It carries IP packets without an Ethernet header, each behind a `struct virtio_net_hdr`, since the
/// kernel may hand over, and takes, TCP segments far larger than any packet on a wire, and
/// such whose checksum is not filled in.
pub fn open(device: &Path, name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(device, flags, Mode::empty())?;
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags: 0, padding: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    request.flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
    // SAFETY: `request` has the size of `struct ifreq` and lives through the call; the kernel
    // writes the device's name back into it.
    let rc = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    let offloads = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    // SAFETY: the argument is a number, no memory is passed.
    let rc = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TUNSETOFFLOAD, offloads as libc::c_ulong) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// `struct ifreq` with the flags of its union.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    padding: [u8; 22],
}

const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_cut_are_refused() {
        for name in ["", "sixteen-letters-"] {
            let error = open(Path::new("/dev/null"), name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn another_device_makes_no_network() {
        assert!(open(Path::new("/dev/null"), "strake").is_err());
    }
}
