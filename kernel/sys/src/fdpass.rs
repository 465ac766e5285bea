//! Passing descriptors over unix sockets (`SCM_RIGHTS`), and who the peer is (`unix(7)`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The kernel's limit for one message (`SCM_MAX_FD`).
pub const FDS_MAX: usize = 253;

/// Sends bytes with descriptors attached; at least one byte is needed to carry them.
///
/// On a stream socket fewer bytes than given may be taken: the count is the result,
/// and the descriptors went with the first byte.
pub fn send<Fd: AsFd>(socket: Fd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space =
        vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1)) + fds.len() * size_of::<i32>()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    loop {
        let slices = [IoSlice::new(bytes)];
        match rustix::net::sendmsg(socket.as_fd(), &slices, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Receives up to `buffer.len()` bytes and the descriptors that came with them
/// (at most `fds_max`; close-on-exec). 0 bytes: the peer closed.
pub fn receive<Fd: AsFd>(socket: Fd, buffer: &mut [u8], fds_max: usize) -> io::Result<(usize, Vec<OwnedFd>)> {
    let fds_max = fds_max.min(FDS_MAX);
    let mut space =
        vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1)) + fds_max * size_of::<i32>()];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket.as_fd(), &mut slices, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(message) => {
                let mut fds = Vec::new();
                for part in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = part {
                        fds.extend(received);
                    }
                }
                return Ok((message.bytes, fds));
            }
        }
    }
}

/// Waits for the next message of a socket that keeps borders, and tells how long it is. 0: the peer closed.
pub fn next_size<Fd: AsFd>(socket: Fd) -> io::Result<usize> {
    let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
    loop {
        match rustix::net::recv(socket.as_fd(), &mut [0u8; 1], flags) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?.1),
        }
    }
}

/// Who is at the other end of a connected unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id when it connected.
    pub pid: i32,
    /// Its user in our user namespace.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// The peer's credentials (`SO_PEERCRED`).
pub fn peer<Fd: AsFd>(socket: Fd) -> io::Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

/// A pair of connected sockets that keep message borders, close-on-exec.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?)
}

/// A pair of connected stream sockets, close-on-exec.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_travel() {
        let (a, b) = message_pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        send(&a, b"x", &[write.as_fd(), a.as_fd()]).unwrap();
        drop(write);
        let mut buffer = [0; 8];
        let (count, fds) = receive(&b, &mut buffer, 4).unwrap();
        assert_eq!((count, fds.len(), buffer[0]), (1, 2, b'x'));
        rustix::io::write(&fds[0], b"hello").unwrap();
        let mut text = [0; 5];
        rustix::io::read(&read, &mut text).unwrap();
        assert_eq!(&text, b"hello");
        assert_eq!(peer(&a).unwrap().pid, std::process::id() as i32);
    }

    #[test]
    fn the_end_is_zero_bytes() {
        let (a, b) = message_pair().unwrap();
        send(&a, b"four", &[a.as_fd()]).unwrap();
        assert_eq!(next_size(&b).unwrap(), 4);
        assert_eq!(receive(&b, &mut [0; 8], 1).unwrap().1.len(), 1);
        drop(a);
        assert_eq!(next_size(&b).unwrap(), 0);
        assert_eq!(receive(&b, &mut [0; 1], 0).unwrap().0, 0);
    }
}
