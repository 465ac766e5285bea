//! The tun device as smoltcp wants one: a packet in, packets out.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, OwnedFd};

use smoltcp::phy::{
    Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, SegmentationCapabilities, TxToken,
};
use smoltcp::time::Instant;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};
use sys::tun::HEADER_LEN;

use crate::packet::pseudo_sum;

/// The device, and room for one packet.
#[derive(Debug)]
pub(crate) struct Tun {
    fd: OwnedFd,
    room: Vec<u8>,
}

impl Tun {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, room: vec![0; HEADER_LEN + PACKET_MAX] }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Reads the next packet into `into`; its length without the header, `None` when there is none.
    pub(crate) fn read(&self, into: &mut [u8]) -> rustix::io::Result<Option<usize>> {
        match rustix::io::read(&self.fd, into) {
            Ok(count) => Ok(count.checked_sub(HEADER_LEN)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sends a packet whose checksums are right.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        let Some(room) = self.room.get_mut(..HEADER_LEN + packet.len()).filter(|_| !packet.is_empty()) else {
            return;
        };
        room[..HEADER_LEN].fill(0);
        room[HEADER_LEN..].copy_from_slice(packet);
        // Lost like any packet when the device is down; whoever sent it sends it again.
        let _ = rustix::io::write(&self.fd, room);
    }

    /// The device with `packet` in it.
    pub(crate) fn with<'a>(&'a mut self, packet: Option<&'a [u8]>) -> Port<'a> {
        Port { tun: self, packet }
    }
}

/// The device, and a packet that has arrived.
pub(crate) struct Port<'a> {
    tun: &'a mut Tun,
    packet: Option<&'a [u8]>,
}

impl Device for Port<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let packet = self.packet.take()?;
        Some((Received(packet), Sending { tun: self.tun, meta: PacketMeta::default() }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending { tun: self.tun, meta: PacketMeta::default() })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = PACKET_MAX;
        // The kernel is at the other end: what it hands over is whole.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.ipv4 = Checksum::Tx;
        let mut segmentation = SegmentationCapabilities::default();
        segmentation.tcpv4 = NonZeroUsize::new(PACKET_MAX);
        segmentation.tcpv6 = NonZeroUsize::new(PACKET_MAX);
        capabilities.segmentation = segmentation;
        capabilities
    }
}

pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Sending<'a> {
    tun: &'a mut Tun,
    meta: PacketMeta,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        if self.tun.room.len() < HEADER_LEN + length {
            self.tun.room.resize(HEADER_LEN + length, 0);
        }
        let room = &mut self.tun.room[..HEADER_LEN + length];
        let (header, packet) = room.split_at_mut(HEADER_LEN);
        let result = f(packet);
        let segment = self.meta.segmentation_offload_size.map(std::num::NonZeroU16::get);
        header.copy_from_slice(&offload(packet, segment));
        let _ = rustix::io::write(self.tun.fd.as_fd(), room);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

/// The `struct virtio_net_hdr` that has the kernel fill in the TCP checksum, and cut the packet into
/// segments with that many bytes of data. The packet's checksum becomes the pseudo header's.
fn offload(packet: &mut [u8], segment: Option<u16>) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let Some((at, sum, is_v4)) = tcp_at(packet) else { return header };
    let Some(field) = packet.get_mut(at + CHECKSUM_AT..at + CHECKSUM_AT + 2) else { return header };
    field.copy_from_slice(&sum.to_be_bytes());
    let data_at = at + usize::from(packet.get(at + 12).map_or(5, |byte| byte >> 4)) * 4;
    let word = |value: usize| u16::try_from(value).unwrap_or(0).to_ne_bytes();
    header[0] = NEEDS_CSUM;
    header[6..8].copy_from_slice(&word(at));
    header[8..10].copy_from_slice(&word(CHECKSUM_AT));
    if let Some(segment) = segment {
        header[1] = if is_v4 { GSO_TCPV4 } else { GSO_TCPV6 };
        header[2..4].copy_from_slice(&word(data_at));
        header[4..6].copy_from_slice(&segment.to_ne_bytes());
    }
    header
}

/// Where the TCP header begins, the pseudo header's sum, and the family.
fn tcp_at(packet: &[u8]) -> Option<(usize, u16, bool)> {
    let (at, source, destination): (usize, IpAddr, IpAddr) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            let tcp = ip.next_header() == IpProtocol::Tcp;
            tcp.then(|| (usize::from(ip.header_len()), ip.src_addr().into(), ip.dst_addr().into()))?
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            let tcp = ip.next_header() == IpProtocol::Tcp;
            tcp.then(|| (ip.header_len(), ip.src_addr().into(), ip.dst_addr().into()))?
        }
        _ => return None,
    };
    let length = u32::try_from(packet.len().checked_sub(at)?).ok()?;
    Some((at, pseudo_sum(source, destination, 6, length), source.is_ipv4()))
}

/// The longest packet there is.
pub(crate) const PACKET_MAX: usize = 65_535;

/// Offset of the checksum in a TCP header.
const CHECKSUM_AT: usize = 16;
/// `VIRTIO_NET_HDR_*` of `linux/virtio_net.h`.
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_where_the_checksum_is() {
        let mut packet = vec![0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0; 24]);
        packet[20 + 12] = 5 << 4;
        let header = offload(&mut packet, Some(1448));
        let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        assert_eq!((header[0], header[1]), (NEEDS_CSUM, GSO_TCPV4));
        assert_eq!((word(2), word(4), word(6), word(8)), (40, 1448, 20, 16));
        // 10.0.0.1 + 10.0.0.2 + 6 + 24
        assert_eq!(packet[36..38], [0x14, 0x21]);
    }

    #[test]
    fn other_packets_are_left_as_they_are() {
        for mut packet in [vec![], vec![0x45], vec![0x45; 40], vec![0; 60]] {
            let before = packet.clone();
            assert_eq!(offload(&mut packet, None), [0; HEADER_LEN]);
            assert_eq!(packet, before);
        }
    }
}
