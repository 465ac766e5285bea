//! One 512-byte header block: field offsets, numbers, check sum.

use super::error::TarError;

/// Everything in an archive comes in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 512;

/// A header block as it stands in the archive.
pub(super) struct Block<'a> {
    bytes: &'a [u8; BLOCK_BYTES],
    /// Where it starts in the archive, for errors.
    offset: u64,
}

/// Which dialect a header block is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Before POSIX: no prefix, no names of owners.
    V7,
    /// POSIX.1-1988; the name continues in the prefix field.
    Ustar,
    /// Jörg Schilling's: a shorter prefix, then times.
    Star,
    /// GNU: times and a sparse map instead of the prefix.
    Gnu,
}

impl<'a> Block<'a> {
    /// Takes a block whose check sum is right.
    pub(super) fn new(bytes: &'a [u8; BLOCK_BYTES], offset: u64) -> Result<Self, TarError> {
        let block = Self { bytes, offset };
        let unsigned = checksum(bytes);
        // Some old programs summed signed characters.
        let negative: i64 =
            bytes.iter().enumerate().filter(|(at, b)| !in_checksum(*at) && **b >= 128).map(|_| 256).sum();
        match block.number(148..156, "check sum") {
            Ok(sum) if sum == unsigned || sum == unsigned - negative => Ok(block),
            _ => Err(TarError::Checksum { offset }),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match (&self.bytes[257..263], &self.bytes[263..265]) {
            (b"ustar\0", _) if &self.bytes[508..512] == b"tar\0" => Dialect::Star,
            (b"ustar\0", _) => Dialect::Ustar,
            (b"ustar ", b" \0") => Dialect::Gnu,
            _ => Dialect::V7,
        }
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.bytes[156]
    }

    /// The name, put together from the prefix where the dialect has one.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = self.text(0..100);
        let prefix = match self.dialect() {
            Dialect::Ustar => self.text(345..500),
            Dialect::Star => self.text(345..476),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        match prefix {
            [] => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        self.text(157..257)
    }

    pub(super) fn mode(&self) -> Result<u32, TarError> {
        Ok((self.natural(100..108, "mode")? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<u64, TarError> {
        self.natural(108..116, "owner")
    }

    pub(super) fn gid(&self) -> Result<u64, TarError> {
        self.natural(116..124, "group")
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        self.natural(124..136, "size")
    }

    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        self.number(136..148, "modification time")
    }

    pub(super) fn user(&self) -> &'a [u8] {
        if self.dialect() == Dialect::V7 { &[] } else { self.text(265..297) }
    }

    pub(super) fn group(&self) -> &'a [u8] {
        if self.dialect() == Dialect::V7 { &[] } else { self.text(297..329) }
    }

    pub(super) fn device(&self) -> Result<(u32, u32), TarError> {
        let part = |range, field| {
            let number = self.natural(range, field)?;
            u32::try_from(number).map_err(|_| TarError::Number { field, offset: self.offset })
        };
        Ok((part(329..337, "device major")?, part(337..345, "device minor")?))
    }

    /// A number that may be negative: octal digits, or base 256 when the top bit is set.
    pub(super) fn number(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<i64, TarError> {
        parse_number(&self.bytes[range]).ok_or(TarError::Number { field, offset: self.offset })
    }

    /// A number that must not be negative.
    pub(super) fn natural(
        &self,
        range: std::ops::Range<usize>,
        field: &'static str,
    ) -> Result<u64, TarError> {
        let number = self.number(range, field)?;
        u64::try_from(number).map_err(|_| TarError::Number { field, offset: self.offset })
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes[at]
    }

    fn text(&self, range: std::ops::Range<usize>) -> &'a [u8] {
        until_nul(&self.bytes[range])
    }
}

/// What stands before the first NUL byte.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|b| *b == 0).map_or(bytes, |end| &bytes[..end])
}

/// A numeric field: octal text, or GNU's base 256.
pub(super) fn parse_number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => parse_base256(field),
        _ => parse_octal(field),
    }
}

fn parse_base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        // The top bit marks the encoding; the next one is the sign.
        let byte = if at == 0 && !negative { byte & 0x7f } else { *byte };
        value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
    }
    Some(value)
}

fn parse_octal(field: &[u8]) -> Option<i64> {
    let text = until_nul(field).trim_ascii();
    let mut value: i64 = 0;
    for byte in text {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = value.checked_mul(8)?.checked_add(i64::from(digit))?;
    }
    Some(value)
}

/// The sum over a header block, its own field taken as spaces.
pub(super) fn checksum(bytes: &[u8; BLOCK_BYTES]) -> i64 {
    let value = |(at, byte): (usize, &u8)| i64::from(if in_checksum(at) { b' ' } else { *byte });
    bytes.iter().enumerate().map(value).sum()
}

fn in_checksum(at: usize) -> bool {
    (148..156).contains(&at)
}

/// How many bytes follow `size` bytes of content to fill a block.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers() {
        for (field, number) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777777\0", Some(0o77777777777)),
            (b"777777777777", Some(0o777777777777)),
            (b"8\0", None),
            (b"-1\0", None),
            (b"1 2\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\x00", Some(-256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x81\0\0\0\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(parse_number(field), number, "{field:?}");
        }
    }

    #[test]
    fn pads_to_blocks() {
        for (size, pad) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (u64::MAX, 1)] {
            assert_eq!(padding(size), pad, "{size}");
        }
    }
}
