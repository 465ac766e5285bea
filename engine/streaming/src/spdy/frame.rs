//! Frames of SPDY/3.1 and their bytes: no sockets here.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::SpdyError;
use super::headers::{Deflater, Headers, Inflater};

/// Largest control frame that is read: a header block's worth.
const CONTROL_MAX: usize = 64 * 1024;
const VERSION: u16 = 3;
const HEAD: usize = 8;

const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;

/// The setting that carries the window of new streams.
const INITIAL_WINDOW: u32 = 7;

/// `RST_STREAM`: the peer broke the rules.
pub const PROTOCOL_ERROR: u32 = 1;
/// `RST_STREAM`: no more streams are taken.
pub const REFUSED: u32 = 3;
/// `RST_STREAM`: nobody wants it any more.
pub const CANCEL: u32 = 5;
/// `RST_STREAM`: more data than the window allows.
pub const FLOW_CONTROL_ERROR: u32 = 7;

/// A frame. Data frames come and go in pieces of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    Open {
        /// The stream.
        id: u32,
        /// The opener sends no data.
        fin: bool,
        /// The opener wants none.
        unidirectional: bool,
        /// What the stream is about.
        headers: Headers,
    },
    /// Takes a stream that the other end opened.
    Reply {
        /// The stream.
        id: u32,
        /// The taker sends no data.
        fin: bool,
        /// Anything about it.
        headers: Headers,
    },
    /// Ends a stream at once.
    Reset {
        /// The stream.
        id: u32,
        /// Why.
        status: u32,
    },
    /// The window that streams begin with, where the frame has one.
    Settings {
        /// Bytes.
        initial_window: Option<u32>,
    },
    /// Wants the same back.
    Ping(u32),
    /// No more streams.
    GoAway {
        /// The last stream that counts.
        last: u32,
        /// Why: 0 for the usual end, 1 for a broken rule.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// The stream.
        id: u32,
        /// No data follows.
        fin: bool,
        /// The fields.
        headers: Headers,
    },
    /// More may be sent.
    Window {
        /// The stream; 0 for the session.
        id: u32,
        /// Bytes.
        delta: u32,
    },
    /// Bytes of a stream.
    Data {
        /// The stream.
        id: u32,
        /// The last ones.
        fin: bool,
        /// The bytes.
        bytes: Bytes,
    },
}

/// Reads frames from bytes as they come.
pub struct Decoder {
    buffer: BytesMut,
    inflater: Inflater,
    /// A data frame that has not come in full: the stream, whether it is its last, what is missing.
    open: Option<(u32, bool, usize)>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), inflater: Inflater::new(), open: None }
    }
}

impl Decoder {
    /// Where what is received goes.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next frame, or piece of a data frame, if it is there.
    pub fn frame(&mut self) -> Result<Option<Frame>, SpdyError> {
        loop {
            if let Some(open) = self.open.take() {
                return Ok(self.piece(open));
            }
            let Some(head) = self.buffer.first_chunk::<HEAD>().copied() else { return Ok(None) };
            let [b0, b1, b2, b3, flags, l0, l1, l2] = head;
            let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
            if b0 & 0x80 == 0 {
                let id = u32::from_be_bytes([b0, b1, b2, b3]);
                self.buffer.advance(HEAD);
                self.open = Some((nonzero(id)?, flags & FIN != 0, length));
                continue;
            }
            if length > CONTROL_MAX {
                return Err(SpdyError::Frame("a control frame is too large"));
            }
            if self.buffer.len() < HEAD + length {
                return Ok(None);
            }
            if u16::from_be_bytes([b0 & 0x7f, b1]) != VERSION {
                return Err(SpdyError::Frame("a frame of another version"));
            }
            self.buffer.advance(HEAD);
            let payload = self.buffer.split_to(length).freeze();
            if let Some(frame) = self.control(u16::from_be_bytes([b2, b3]), flags, payload)? {
                return Ok(Some(frame));
            }
        }
    }

    fn piece(&mut self, (id, fin, left): (u32, bool, usize)) -> Option<Frame> {
        if left == 0 {
            return Some(Frame::Data { id, fin, bytes: Bytes::new() });
        }
        if self.buffer.is_empty() {
            self.open = Some((id, fin, left));
            return None;
        }
        let bytes = self.buffer.split_to(left.min(self.buffer.len())).freeze();
        let left = left - bytes.len();
        if left > 0 {
            self.open = Some((id, fin, left));
        }
        Some(Frame::Data { id, fin: fin && left == 0, bytes })
    }

    fn control(&mut self, kind: u16, flags: u8, mut payload: Bytes) -> Result<Option<Frame>, SpdyError> {
        let fin = flags & FIN != 0;
        let frame = match kind {
            1 => {
                let id = nonzero(number(&mut payload)? & 0x7fff_ffff)?;
                let _associated = number(&mut payload)?;
                payload.try_get_u16().map_err(|_| SpdyError::Frame("a frame is cut short"))?;
                let headers = self.inflater.read(&payload)?;
                Frame::Open { id, fin, unidirectional: flags & UNIDIRECTIONAL != 0, headers }
            }
            2 => {
                let id = nonzero(number(&mut payload)? & 0x7fff_ffff)?;
                Frame::Reply { id, fin, headers: self.inflater.read(&payload)? }
            }
            3 => {
                let id = nonzero(number(&mut payload)? & 0x7fff_ffff)?;
                Frame::Reset { id, status: number(&mut payload)? }
            }
            4 => Frame::Settings { initial_window: settings(&mut payload)? },
            6 => Frame::Ping(number(&mut payload)?),
            7 => {
                let last = number(&mut payload)? & 0x7fff_ffff;
                Frame::GoAway { last, status: number(&mut payload)? }
            }
            8 => {
                let id = nonzero(number(&mut payload)? & 0x7fff_ffff)?;
                Frame::Headers { id, fin, headers: self.inflater.read(&payload)? }
            }
            9 => {
                let id = number(&mut payload)? & 0x7fff_ffff;
                Frame::Window { id, delta: number(&mut payload)? & 0x7fff_ffff }
            }
            // Kinds that are not known are passed over, as the protocol wants it.
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }
}

fn settings(payload: &mut Bytes) -> Result<Option<u32>, SpdyError> {
    let count = number(payload)?;
    let mut window = None;
    for _ in 0..count {
        let id = number(payload)? & 0x00ff_ffff;
        let value = number(payload)?;
        if id == INITIAL_WINDOW {
            window = Some(value);
        }
    }
    Ok(window)
}

fn number(payload: &mut Bytes) -> Result<u32, SpdyError> {
    payload.try_get_u32().map_err(|_| SpdyError::Frame("a frame is cut short"))
}

fn nonzero(id: u32) -> Result<u32, SpdyError> {
    if id == 0 { Err(SpdyError::Frame("stream 0")) } else { Ok(id) }
}

/// Writes frames as bytes, in the order in which they are sent.
pub struct Encoder {
    deflater: Deflater,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { deflater: Deflater::new() }
    }
}

impl Encoder {
    /// Appends a frame.
    pub fn put(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), SpdyError> {
        let flag = |fin: bool| if fin { FIN } else { 0 };
        match frame {
            Frame::Open { id, fin, unidirectional, headers } => {
                let block = self.deflater.write(headers)?;
                let flags = flag(*fin) | if *unidirectional { UNIDIRECTIONAL } else { 0 };
                head(out, 1, flags, 10 + block.len())?;
                out.put_u32(*id);
                out.put_u32(0);
                out.put_u16(0);
                out.put_slice(&block);
            }
            Frame::Reply { id, fin, headers } => self.with_headers(out, (2, *id, flag(*fin)), headers)?,
            Frame::Headers { id, fin, headers } => self.with_headers(out, (8, *id, flag(*fin)), headers)?,
            Frame::Reset { id, status } => pair(out, 3, *id, *status)?,
            Frame::Settings { initial_window } => {
                head(out, 4, 0, 4 + 8 * usize::from(initial_window.is_some()))?;
                out.put_u32(u32::from(initial_window.is_some()));
                if let Some(window) = initial_window {
                    out.put_u32(INITIAL_WINDOW);
                    out.put_u32(*window);
                }
            }
            Frame::Ping(id) => {
                head(out, 6, 0, 4)?;
                out.put_u32(*id);
            }
            Frame::GoAway { last, status } => pair(out, 7, *last, *status)?,
            Frame::Window { id, delta } => pair(out, 9, *id, *delta)?,
            Frame::Data { id, fin, bytes } => data(out, *id, *fin, bytes)?,
        }
        Ok(())
    }

    fn with_headers(
        &mut self,
        out: &mut BytesMut,
        (kind, id, flags): (u16, u32, u8),
        headers: &Headers,
    ) -> Result<(), SpdyError> {
        let block = self.deflater.write(headers)?;
        head(out, kind, flags, 4 + block.len())?;
        out.put_u32(id);
        out.put_slice(&block);
        Ok(())
    }
}

/// Appends a data frame without a copy of its bytes before.
pub(super) fn data(out: &mut BytesMut, id: u32, fin: bool, bytes: &[u8]) -> Result<(), SpdyError> {
    out.put_u32(id & 0x7fff_ffff);
    out.put_u8(if fin { FIN } else { 0 });
    out.put_uint(length(bytes.len())?, 3);
    out.put_slice(bytes);
    Ok(())
}

fn pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) -> Result<(), SpdyError> {
    head(out, kind, 0, 8)?;
    out.put_u32(first);
    out.put_u32(second);
    Ok(())
}

fn head(out: &mut BytesMut, kind: u16, flags: u8, bytes: usize) -> Result<(), SpdyError> {
    let bytes = length(bytes)?;
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u8(flags);
    out.put_uint(bytes, 3);
    Ok(())
}

fn length(bytes: usize) -> Result<u64, SpdyError> {
    match u64::try_from(bytes) {
        Ok(bytes) if bytes < 1 << 24 => Ok(bytes),
        _ => Err(SpdyError::Frame("a frame is too large")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn all() -> Vec<Frame> {
        let stdin = headers(&[("streamtype", "stdin")]);
        vec![
            Frame::Settings { initial_window: Some(1 << 20) },
            Frame::Settings { initial_window: None },
            Frame::Open { id: 1, fin: false, unidirectional: false, headers: stdin.clone() },
            Frame::Open { id: 3, fin: true, unidirectional: true, headers: headers(&[]) },
            Frame::Reply { id: 1, fin: false, headers: headers(&[]) },
            Frame::Headers { id: 1, fin: true, headers: stdin },
            Frame::Data { id: 1, fin: false, bytes: Bytes::from_static(b"hello") },
            Frame::Data { id: 1, fin: true, bytes: Bytes::new() },
            Frame::Window { id: 0, delta: 70_000 },
            Frame::Ping(7),
            Frame::Reset { id: 3, status: CANCEL },
            Frame::GoAway { last: 3, status: 0 },
        ]
    }

    fn encoded(frames: &[Frame]) -> BytesMut {
        let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
        frames.iter().for_each(|frame| encoder.put(frame, &mut out).unwrap());
        out
    }

    #[test]
    fn frames_go_and_come() {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&encoded(&all()));
        for expected in all() {
            assert_eq!(decoder.frame().unwrap(), Some(expected));
        }
        assert_eq!(decoder.frame().unwrap(), None);
    }

    #[test]
    fn frames_come_byte_by_byte() {
        let mut decoder = Decoder::default();
        let (mut frames, mut bytes) = (Vec::new(), Vec::new());
        for byte in encoded(&all()) {
            decoder.buffer().put_u8(byte);
            while let Some(frame) = decoder.frame().unwrap() {
                match frame {
                    Frame::Data { bytes: piece, .. } => bytes.extend_from_slice(&piece),
                    frame => frames.push(frame),
                }
            }
        }
        let expected: Vec<_> =
            all().into_iter().filter(|frame| !matches!(frame, Frame::Data { .. })).collect();
        assert_eq!((frames, bytes.as_slice()), (expected, b"hello".as_slice()));
    }

    #[test]
    fn known_bytes() {
        for (frame, bytes) in [
            (Frame::Ping(1), &[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1][..]),
            (Frame::Reset { id: 5, status: 3 }, &[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 3]),
            (
                Frame::Data { id: 2, fin: true, bytes: Bytes::from_static(b"a") },
                &[0, 0, 0, 2, 1, 0, 0, 1, b'a'],
            ),
        ] {
            assert_eq!(encoded(&[frame]), bytes);
        }
    }

    #[test]
    fn refuses_what_breaks_the_rules() {
        for bytes in [
            // Another version; stream 0 in data and in SYN_STREAM; too large; cut short.
            &[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1][..],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
            &[0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0],
            &[0x80, 3, 0, 7, 0, 0, 0, 4, 0, 0, 0, 0],
            &[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
            &[0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1],
        ] {
            let mut decoder = Decoder::default();
            decoder.buffer().extend_from_slice(bytes);
            assert!(decoder.frame().is_err(), "{bytes:?}");
        }
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&[0x80, 3, 0, 99, 0, 0, 0, 1, 0]);
        assert_eq!(decoder.frame().unwrap(), None, "other kinds are passed over");
        assert!(decoder.buffer().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(flips in proptest::collection::vec((0_usize..300, proptest::num::u8::ANY), 1..8)) {
            let mut bytes = encoded(&all());
            for (at, value) in flips {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let mut decoder = Decoder::default();
            decoder.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.frame() {}
        }
    }
}
