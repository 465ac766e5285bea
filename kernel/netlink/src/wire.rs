//! The framing of `netlink(7)`: message headers and type-length-value attributes.
//!
//! Writers never wrap a length: an attribute that does not fit into its 16-bit
//! length marks the whole message as too long, and the socket refuses to send it
//! (CVE-2021-43784 was such a wrap). Readers take any bytes and stop at the first
//! that cannot be framed.

/// `nlmsg_flags`: the message asks for something.
pub const F_REQUEST: u16 = 0x1;
/// `nlmsg_flags`: one of several messages that end with `NLMSG_DONE`.
pub const F_MULTI: u16 = 0x2;
/// `nlmsg_flags`: answer with an acknowledgement.
pub const F_ACK: u16 = 0x4;
/// `nlmsg_flags` of an answer: the dump was disturbed by a change.
pub const F_DUMP_INTR: u16 = 0x10;
/// `nlmsg_flags` of a request: return all objects.
pub const F_DUMP: u16 = 0x300;
/// `nlmsg_flags` of a creation: replace what exists.
pub const F_REPLACE: u16 = 0x100;
/// `nlmsg_flags` of a creation: fail when it exists.
pub const F_EXCL: u16 = 0x200;
/// `nlmsg_flags` of a creation: create when missing.
pub const F_CREATE: u16 = 0x400;
/// `nlmsg_flags` of a creation: append to the list.
pub const F_APPEND: u16 = 0x800;

/// `nlmsg_type`: an error or an acknowledgement.
pub const TYPE_ERROR: u16 = 2;
/// `nlmsg_type`: the end of a dump.
pub const TYPE_DONE: u16 = 3;

/// The type bit that says "this attribute contains attributes".
pub const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;
const HEADER_LEN: usize = 16;
const ATTR_HEADER_LEN: usize = 4;

const fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// One netlink message that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    buf: Vec<u8>,
    too_long: bool,
}

impl Message {
    /// A message of `kind` with `flags` beside `NLM_F_REQUEST`, still without a body.
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut buf = Vec::with_capacity(256);
        buf.extend_from_slice(&0u32.to_ne_bytes());
        buf.extend_from_slice(&kind.to_ne_bytes());
        buf.extend_from_slice(&(flags | F_REQUEST).to_ne_bytes());
        buf.extend_from_slice(&[0; 8]);
        Self { buf, too_long: false }
    }

    /// Appends the family's fixed header, padded to four bytes.
    #[must_use]
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.buf.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Appends one attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, data: &[u8]) -> &mut Self {
        let length = ATTR_HEADER_LEN + data.len();
        let Ok(length) = u16::try_from(length) else {
            self.too_long = true;
            return self;
        };
        self.buf.extend_from_slice(&length.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(data);
        self.pad();
        self
    }

    /// An attribute without data: its presence is the value.
    pub fn flag(&mut self, kind: u16) -> &mut Self {
        self.bytes(kind, &[])
    }

    /// An attribute of one byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// An attribute in host byte order.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute in network byte order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute in host byte order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute in network byte order, as all of nfnetlink's are.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute in network byte order, as all of nfnetlink's are.
    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A string attribute, ended by a zero byte.
    pub fn str(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut data = Vec::with_capacity(value.len() + 1);
        data.extend_from_slice(value.as_bytes());
        data.push(0);
        self.bytes(kind, &data)
    }

    /// An attribute that contains what `fill` writes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.buf.len();
        self.buf.extend_from_slice(&[0; ATTR_HEADER_LEN]);
        fill(self);
        match u16::try_from(self.buf.len() - start) {
            Ok(length) => {
                self.buf[start..start + 2].copy_from_slice(&length.to_ne_bytes());
                self.buf[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
            }
            Err(_) => self.too_long = true,
        }
        self
    }

    /// Appends bytes that are themselves well-formed (a fixed header inside a nest).
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.buf.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// The message's type.
    pub fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.buf[4], self.buf[5]])
    }

    /// Sets `flags` in addition to those it has.
    #[must_use]
    pub fn with_flags(mut self, flags: u16) -> Self {
        let now = u16::from_ne_bytes([self.buf[6], self.buf[7]]) | flags;
        self.buf[6..8].copy_from_slice(&now.to_ne_bytes());
        self
    }

    /// The flags it will be sent with.
    pub fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.buf[6], self.buf[7]])
    }

    /// The finished bytes under sequence number `sequence`, or `None` when an
    /// attribute or the message is longer than its length field can say.
    pub fn finish(&self, sequence: u32) -> Option<Vec<u8>> {
        let length = u32::try_from(self.buf.len()).ok().filter(|_| !self.too_long)?;
        let mut out = self.buf.clone();
        out[0..4].copy_from_slice(&length.to_ne_bytes());
        out[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Some(out)
    }

    /// The body after the message header.
    pub fn body(&self) -> &[u8] {
        &self.buf[HEADER_LEN..]
    }

    fn pad(&mut self) {
        self.buf.resize(align(self.buf.len()), 0);
    }
}

/// One received message: its header's fields and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// `nlmsg_pid`: the port of the socket that this is about; 0 is the kernel.
    pub port: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

/// The messages in one datagram, in order; ends at the first that is not whole.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads `datagram` as a sequence of messages.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let length = read_u32(self.rest, 0)? as usize;
        if length < HEADER_LEN || length > self.rest.len() {
            return None;
        }
        let frame = Frame {
            kind: read_u16(self.rest, 4)?,
            flags: read_u16(self.rest, 6)?,
            sequence: read_u32(self.rest, 8)?,
            port: read_u32(self.rest, 12)?,
            body: &self.rest[HEADER_LEN..length],
        };
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some(frame)
    }
}

/// One received attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type without its flag bits.
    pub kind: u16,
    /// The payload.
    pub data: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The payload as attributes.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.data)
    }

    /// The payload as text up to its first zero byte; foreign bytes are replaced.
    pub fn text(&self) -> String {
        let end = self.data.iter().position(|b| *b == 0).unwrap_or(self.data.len());
        String::from_utf8_lossy(&self.data[..end]).into_owned()
    }

    /// The payload as a host-order integer of exactly four bytes.
    pub fn u32(&self) -> Option<u32> {
        self.data.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The payload as a network-order integer of exactly four bytes.
    pub fn be32(&self) -> Option<u32> {
        self.data.try_into().ok().map(u32::from_be_bytes)
    }

    /// The payload as a network-order integer of exactly eight bytes.
    pub fn be64(&self) -> Option<u64> {
        self.data.try_into().ok().map(u64::from_be_bytes)
    }

    /// The payload as an IPv4 address.
    pub fn ipv4(&self) -> Option<std::net::Ipv4Addr> {
        <[u8; 4]>::try_from(self.data).ok().map(Into::into)
    }
}

/// A run of attributes; ends at the first that is not whole.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Reads `bytes` as attributes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Those after a fixed header of `length` bytes; none when the body is shorter.
    pub fn after(body: &'a [u8], length: usize) -> Self {
        Self { rest: body.get(align(length)..).unwrap_or_default() }
    }

    /// The first attribute of `kind`.
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut { *self }, |attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let length = usize::from(read_u16(self.rest, 0)?);
        if length < ATTR_HEADER_LEN || length > self.rest.len() {
            return None;
        }
        let kind = read_u16(self.rest, 2)? & TYPE_MASK;
        let data = &self.rest[ATTR_HEADER_LEN..length];
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some(Attribute { kind, data })
    }
}

/// A host-order 16-bit integer at `at`.
pub fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// A host-order 32-bit integer at `at`.
pub fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attributes_come_back_as_written(values in proptest::collection::vec((1u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..80)), 0..20)) {
            let mut message = Message::new(24, 0).fixed(&[1, 2, 3, 4]);
            message.nest(7, |m| for (kind, data) in &values { m.bytes(*kind, data); });
            let bytes = message.finish(9).expect("short enough");
            let frames: Vec<_> = Messages::new(&bytes).collect();
            prop_assert_eq!(frames.len(), 1);
            prop_assert_eq!((frames[0].kind, frames[0].sequence), (24, 9));
            let outer = Attributes::after(frames[0].body, 4).find(7).expect("the nest");
            let read: Vec<_> = outer.nested().map(|a| (a.kind, a.data.to_vec())).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for frame in Messages::new(&bytes) {
                for attribute in Attributes::new(frame.body) {
                    let _ = (attribute.text(), attribute.u32(), attribute.be64(), attribute.ipv4());
                    prop_assert!(attribute.nested().count() <= attribute.data.len());
                }
            }
            prop_assert!(Attributes::new(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn cve_2021_43784_a_length_never_wraps() {
        let mut message = Message::new(1, 0);
        message.bytes(1, &vec![0; 65532]);
        assert!(message.finish(0).is_none());

        let mut message = Message::new(1, 0);
        message.nest(1, |m| {
            for _ in 0..5 {
                m.bytes(2, &[0; 16000]);
            }
        });
        assert!(message.finish(0).is_none());
    }
}
