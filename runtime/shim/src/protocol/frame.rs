//! The frame codec: bytes in, whole frames out. No I/O.

use serde::Serialize;

use super::FRAME_MAX;

const HEADER: usize = 4;

/// The JSON of one message.
pub type Frame = Vec<u8>;

/// The peer does not speak frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is over the limit.
    #[error("frame of {length} bytes is over the limit of {FRAME_MAX}")]
    TooLong {
        /// The length announced.
        length: usize,
    },
    /// The length is zero, which no message has.
    #[error("empty frame")]
    Empty,
    /// The message cannot be written as JSON.
    #[error("encode message")]
    Encode(#[source] serde_json::Error),
}

/// One message as a frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Encode)?;
    let length = bytes.len() - HEADER;
    if length > FRAME_MAX {
        return Err(FrameError::TooLong { length });
    }
    bytes[..HEADER].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Collects bytes as they arrive and gives out whole frames.
///
/// Memory grows with what arrived, never with what a header promises.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
}

impl FrameDecoder {
    /// Takes bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > FRAME_MAX {
            return Err(FrameError::TooLong { length });
        }
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        let rest = self.buffer.split_off(HEADER + length);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.drain(..HEADER);
        if self.buffer.is_empty() {
            self.buffer = Vec::new(); // an idle connection holds no memory
        }
        Ok(Some(frame))
    }

    /// Whether a frame has begun and is not whole yet.
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
        let mut decoder = FrameDecoder::default();
        let mut out = Vec::new();
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(frame) = decoder.next_frame()? {
                out.push(frame);
            }
        }
        Ok(out)
    }

    #[test]
    fn round_trips_in_any_pieces() {
        let mut wire = encode(&"one").unwrap();
        wire.extend(encode(&vec![1, 2]).unwrap());
        for size in 1..wire.len() {
            let chunks: Vec<&[u8]> = wire.chunks(size).collect();
            let got = frames(&chunks).unwrap();
            assert_eq!(got, [b"\"one\"".to_vec(), b"[1,2]".to_vec()], "pieces of {size}");
        }
    }

    #[test]
    fn refuses_hostile_lengths() {
        assert!(matches!(frames(&[&[0, 0, 0, 0]]), Err(FrameError::Empty)));
        assert!(matches!(frames(&[&[255, 255, 255, 255]]), Err(FrameError::TooLong { length: 0xffff_ffff })));
        let over = (FRAME_MAX as u32 + 1).to_le_bytes();
        assert!(matches!(frames(&[&over]), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn holds_only_what_arrived() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&(FRAME_MAX as u32).to_le_bytes());
        assert!(decoder.next_frame().unwrap().is_none());
        assert!(decoder.is_partial());
        assert!(decoder.buffer.capacity() < 1024);
    }

    #[test]
    fn refuses_to_send_too_much() {
        assert!(matches!(encode(&"x".repeat(FRAME_MAX)), Err(FrameError::TooLong { .. })));
    }
}
