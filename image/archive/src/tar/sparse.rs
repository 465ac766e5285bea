//! Maps of sparse files: old GNU in header blocks, 1.0 at the head of the data.
//! (GNU tar manual, "Storing Sparse Files".)

use std::io::Read;

use super::block::{BLOCK_BYTES, Block, parse_number};
use super::error::TarError;
use super::header::Extent;
use super::pax::decimal;
use super::source::Source;

/// Checks a map: in order, without overlap, within the file, and as much data as stored.
pub(super) fn validate(map: &[Extent], real_size: u64, stored: u64, offset: u64) -> Result<(), TarError> {
    let wrong = |why| TarError::Sparse { why, offset };
    let mut end: u64 = 0;
    let mut total: u64 = 0;
    for extent in map {
        if extent.offset < end {
            return Err(wrong("its pieces overlap or are not in order"));
        }
        end = extent.offset.checked_add(extent.length).ok_or_else(|| wrong("a piece ends beyond 64 bits"))?;
        total += extent.length; // Cannot wrap: pieces are disjoint below 2^64.
    }
    if end > real_size {
        return Err(wrong("a piece is beyond the end of the file"));
    }
    if total != stored {
        return Err(wrong("it does not account for the stored data"));
    }
    Ok(())
}

/// The map of old GNU's type `S`: four pieces in the header, more in following blocks.
pub(super) fn read_old_gnu<R: Read>(
    block: &Block<'_>,
    source: &mut Source<R>,
    extents_max: usize,
    offset: u64,
) -> Result<(Vec<Extent>, u64), TarError> {
    let real_size = block.natural(483..495, "real size")?;
    let mut map = Vec::new();
    let mut header = [0; 4 * PIECE_BYTES];
    for (at, byte) in header.iter_mut().enumerate() {
        *byte = block.byte(386 + at);
    }
    let mut more = block.byte(482) != 0;
    let mut ended = !take_pieces(&header, &mut map, offset)?;
    while more {
        let Some(extension) = source.block()? else {
            return Err(TarError::Truncated { what: "a sparse map", offset: source.offset });
        };
        if !ended {
            ended = !take_pieces(&extension[..21 * PIECE_BYTES], &mut map, offset)?;
        }
        if map.len() > extents_max {
            return Err(TarError::Limit {
                what: "pieces of a sparse file",
                limit: extents_max as u64,
                offset,
            });
        }
        more = extension[504] != 0;
    }
    Ok((map, real_size))
}

/// Takes pieces until an empty field; whether there was none.
fn take_pieces(fields: &[u8], map: &mut Vec<Extent>, offset: u64) -> Result<bool, TarError> {
    let wrong = || TarError::Sparse { why: "a number is not one", offset };
    let natural = |field: &[u8]| parse_number(field).and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong);
    for piece in fields.chunks_exact(PIECE_BYTES) {
        if piece[0] == 0 {
            return Ok(false);
        }
        map.push(Extent { offset: natural(&piece[..12])?, length: natural(&piece[12..])? });
    }
    Ok(true)
}

/// The map of format 1.0: decimal lines at the head of the data, filled up to a block.
/// Returns the map and how many bytes of the `stored` it took.
pub(super) fn read_in_data<R: Read>(
    source: &mut Source<R>,
    stored: u64,
    extents_max: usize,
    offset: u64,
) -> Result<(Vec<Extent>, u64), TarError> {
    let wrong = |why| TarError::Sparse { why, offset };
    let mut lines = Lines { source, taken: 0, stored, block: [0; BLOCK_BYTES], at: BLOCK_BYTES, offset };
    let count = lines.next_number()?;
    if count > extents_max as u64 {
        return Err(TarError::Limit { what: "pieces of a sparse file", limit: extents_max as u64, offset });
    }
    let mut map = Vec::new();
    for _ in 0..count {
        map.push(Extent { offset: lines.next_number()?, length: lines.next_number()? });
    }
    match lines.taken <= stored {
        true => Ok((map, lines.taken)),
        false => Err(wrong("it is longer than the stored data")),
    }
}

struct Lines<'a, R> {
    source: &'a mut Source<R>,
    taken: u64,
    stored: u64,
    block: [u8; BLOCK_BYTES],
    at: usize,
    offset: u64,
}

impl<R: Read> Lines<'_, R> {
    fn next_number(&mut self) -> Result<u64, TarError> {
        let offset = self.offset;
        let wrong = |why| TarError::Sparse { why, offset };
        let mut digits = [0; 20];
        for length in 0..=digits.len() {
            let byte = self.next_byte()?;
            if byte == b'\n' {
                return decimal(&digits[..length]).ok_or_else(|| wrong("a number is not one"));
            }
            *digits.get_mut(length).ok_or_else(|| wrong("a number is too long"))? = byte;
        }
        Err(wrong("a number is too long"))
    }

    fn next_byte(&mut self) -> Result<u8, TarError> {
        if self.at == BLOCK_BYTES {
            if self.taken + BLOCK_BYTES as u64 > self.stored {
                return Err(TarError::Sparse {
                    why: "it is longer than the stored data",
                    offset: self.offset,
                });
            }
            self.source.exactly(&mut self.block, "a sparse map")?;
            self.taken += BLOCK_BYTES as u64;
            self.at = 0;
        }
        self.at += 1;
        Ok(self.block[self.at - 1])
    }
}

/// Offset and length of a piece, 12 bytes each.
const PIECE_BYTES: usize = 24;
