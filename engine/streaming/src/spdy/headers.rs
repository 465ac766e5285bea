//! Header blocks: names and values, compressed with one dictionary and one window a direction.

use std::collections::BTreeMap;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::SpdyError;
use super::dictionary::DICTIONARY;

/// What one block may inflate to. Ours have a handful of short fields.
const BLOCK_MAX: usize = 64 * 1024;

/// The header fields of a stream, by their names in lower case.
pub type Headers = BTreeMap<String, String>;

/// Reads the blocks of one direction, in order.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn read(&mut self, block: &[u8]) -> Result<Headers, SpdyError> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let mut out = Vec::new();
        loop {
            out.reserve(1024);
            let (read, written) = (self.0.total_in(), out.len());
            let mut known = false;
            match self.0.decompress_vec(block, &mut out, FlushDecompress::Sync) {
                Ok(Status::Ok | Status::BufError) => {}
                Ok(Status::StreamEnd) => return Err(SpdyError::Headers("the compressed stream ends")),
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.0.set_dictionary(&DICTIONARY);
                    set.map_err(|_| SpdyError::Headers("another dictionary is asked for"))?;
                    known = true;
                }
                Err(_) => return Err(SpdyError::Headers("the block cannot be inflated")),
            }
            let used = usize::try_from(self.0.total_in() - read).unwrap_or(usize::MAX);
            block = block.get(used..).unwrap_or_default();
            if out.len() > BLOCK_MAX {
                return Err(SpdyError::Headers("the block is too large"));
            }
            if block.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
            if used == 0 && out.len() == written && !known {
                return Err(SpdyError::Headers("the block cannot be inflated"));
            }
        }
    }
}

/// Writes the blocks of one direction, in order.
pub(super) struct Deflater(Option<Compress>);

impl Deflater {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn write(&mut self, headers: &Headers) -> Result<Vec<u8>, SpdyError> {
        let compress = match &mut self.0 {
            Some(compress) => compress,
            none => {
                let mut compress = Compress::new(Compression::fast(), true);
                let set = compress.set_dictionary(&DICTIONARY);
                set.map_err(|_| SpdyError::Headers("the dictionary is refused"))?;
                none.insert(compress)
            }
        };
        let plain = print(headers);
        let mut rest = plain.as_slice();
        let mut out = Vec::with_capacity(plain.len() + 64);
        loop {
            let read = compress.total_in();
            let done = compress.compress_vec(rest, &mut out, FlushCompress::Sync);
            done.map_err(|_| SpdyError::Headers("the block cannot be deflated"))?;
            let used = usize::try_from(compress.total_in() - read).unwrap_or(usize::MAX);
            rest = rest.get(used..).unwrap_or_default();
            // Place left over means that the flush is complete.
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(256);
        }
    }
}

fn print(headers: &Headers) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = u32::try_from(headers.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    for (name, value) in headers {
        for part in [name.as_bytes(), value.as_bytes()] {
            out.extend_from_slice(&length(part));
            out.extend_from_slice(part);
        }
    }
    out
}

fn parse(mut block: &[u8]) -> Result<Headers, SpdyError> {
    let count = number(&mut block)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text(&mut block)?.to_ascii_lowercase();
        let value = text(&mut block)?;
        if name.is_empty() || headers.insert(name, value).is_some() {
            return Err(SpdyError::Headers("a field without a name, or twice"));
        }
    }
    if block.is_empty() { Ok(headers) } else { Err(SpdyError::Headers("bytes behind the last field")) }
}

fn number(block: &mut &[u8]) -> Result<u32, SpdyError> {
    let (head, rest) = block.split_first_chunk::<4>().ok_or(SpdyError::Headers("the block is cut short"))?;
    *block = rest;
    Ok(u32::from_be_bytes(*head))
}

fn text(block: &mut &[u8]) -> Result<String, SpdyError> {
    let length = usize::try_from(number(block)?).unwrap_or(usize::MAX);
    let (head, rest) = block.split_at_checked(length).ok_or(SpdyError::Headers("the block is cut short"))?;
    *block = rest;
    String::from_utf8(head.to_vec()).map_err(|_| SpdyError::Headers("a field is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn blocks_go_and_come() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let long = "x".repeat(5000);
        for block in [
            headers(&[("streamtype", "error")]),
            headers(&[]),
            headers(&[("streamtype", "stdin"), ("port", "8080"), ("requestid", "0")]),
            headers(&[("long", &long)]),
            headers(&[("streamtype", "stdin"), ("port", "8080"), ("requestid", "1")]),
        ] {
            let packed = deflater.write(&block).unwrap();
            assert_eq!(inflater.read(&packed).unwrap(), block);
        }
    }

    #[test]
    fn reads_what_other_implementations_write() {
        // zlib level 9 with the dictionary: {"streamtype": "error"}.
        let block = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];
        assert!(Deflater::new().write(&headers(&[("streamtype", "error")])).unwrap().starts_with(&[0x78]));
        assert_eq!(Deflater::new().write(&headers(&[])).unwrap()[2..6], block[2..6]);
    }

    #[test]
    fn refuses_bombs() {
        let mut deflater = Deflater::new();
        let packed = deflater.write(&headers(&[("a", &"0".repeat(BLOCK_MAX + 1))])).unwrap();
        assert!(packed.len() < 1000);
        assert!(Inflater::new().read(&packed).is_err());
    }

    #[test]
    fn refuses_nonsense() {
        for block in [
            &[0, 0, 0, 1][..],
            &[0, 0, 0, 1, 0, 0, 0, 9, b'a'],
            &[0, 0, 0, 0, 1],
            &[0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 1, b'A', 0, 0, 0, 0],
            &[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0],
        ] {
            assert!(parse(block).is_err(), "{block:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(block in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Inflater::new().read(&block);
            let _ = parse(&block);
        }
    }
}
