//! `/proc/net/{tcp,tcp6,udp,udp6}`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6 (and mapped IPv4).
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
}

impl Protocol {
    /// Below `/proc/PID`.
    pub fn file(self) -> &'static str {
        match self {
            Self::Tcp => "net/tcp",
            Self::Tcp6 => "net/tcp6",
            Self::Udp => "net/udp",
            Self::Udp6 => "net/udp6",
        }
    }

    /// `tcp` or `udp`.
    pub fn transport(self) -> &'static str {
        match self {
            Self::Tcp | Self::Tcp6 => "tcp",
            Self::Udp | Self::Udp6 => "udp",
        }
    }
}

/// What the socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketState {
    /// TCP that accepts, or UDP bound without a peer.
    Listening,
    /// With a peer.
    Connected,
    /// On its way up or down.
    Other,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Socket {
    /// Its table.
    pub protocol: Protocol,
    /// Own address and port.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// What it does.
    pub state: SocketState,
    /// Who made it.
    pub uid: u32,
    /// Its inode, as in `/proc/PID/fd`.
    pub inode: u64,
}

/// Reads a table; lines that are none are left out.
pub fn parse_sockets(text: &str, protocol: Protocol) -> Vec<Socket> {
    text.lines().skip(1).filter_map(|line| parse_line(line, protocol)).collect()
}

fn parse_line(line: &str, protocol: Protocol) -> Option<Socket> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, remote, state, _, _, _, uid, _, inode, ..] = words.as_slice() else { return None };
    // The numbers of TCP's states serve UDP too: 7 is bound, 1 is connected.
    let state = match (u8::from_str_radix(state, 16).ok()?, protocol.transport()) {
        (0x0A, "tcp") | (0x07, "udp") => SocketState::Listening,
        (0x01, _) => SocketState::Connected,
        _ => SocketState::Other,
    };
    Some(Socket {
        protocol,
        local: address(local)?,
        remote: address(remote)?,
        state,
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

fn address(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let bytes = address.as_bytes();
    let word = |index: usize| {
        let digits = std::str::from_utf8(bytes.get(index * 8..index * 8 + 8)?).ok()?;
        // Each 32-bit word is printed in the host's byte order.
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let address = match bytes.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut all = [0; 16];
            for (index, four) in all.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(index)?);
            }
            IpAddr::from(Ipv6Addr::from(all))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 505 1 0 100 0 0 10 0\n\
        \x20  1: 020200C0:0050 010200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 506 1 0\n";

    #[test]
    fn reads_ipv4() {
        let sockets = parse_sockets(TCP, Protocol::Tcp);
        assert_eq!(sockets[0].local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((sockets[0].state, sockets[0].uid, sockets[0].inode), (SocketState::Listening, 101, 505));
        assert_eq!(
            (sockets[1].remote, sockets[1].state),
            ("192.0.2.1:50000".parse().unwrap(), SocketState::Connected)
        );
    }

    #[test]
    fn reads_ipv6() {
        let text = "head\n 0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7\n";
        assert_eq!(parse_sockets(text, Protocol::Tcp6)[0].local, "[::1]:22".parse().unwrap());
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..TCP.len() {
            let _ = parse_sockets(&TCP[..end], Protocol::Udp);
        }
        for word in ["", ":", "é00000:1", "ZZZZZZZZ:0050", "0100007F:", "0100007F", "01:1", "éééé:1"] {
            assert_eq!(address(word), None, "{word:?}");
        }
    }

    #[test]
    fn sees_a_listener_of_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let this = crate::Proc::open().unwrap().this().unwrap();
        let local = listener.local_addr().unwrap();
        assert!(
            this.sockets()
                .unwrap()
                .value
                .iter()
                .any(|s| s.local == local && s.state == SocketState::Listening)
        );
    }
}
