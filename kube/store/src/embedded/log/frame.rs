//! Frames and rows: what a segment is made of. Pure.
//!
//! ```text
//! segment: head (a sector) · frame · frame · … · seal · zeros
//! frame:   head (64 bytes, on a multiple of 64) · row · row · … · zeros up to the next multiple
//! row:     length u32 · sub u32 · revision u64 · record or lease, with its own checksum
//! ```
//!
//! One frame is one commit. A frame's head covers its rows through their heads and checksums, is
//! bound to its place in its segment, and names the head before it: a chain that nothing can be
//! taken out of. It also counts the sectors of the frame that are nothing but zeros. Space is
//! zeroed before it is used, so a frame that did not arrive as a whole has more of them than that,
//! and one that did but is wrong has as many: that tells a torn write from damage.

use crate::types::Position;

/// What is written at once, or not.
pub(crate) const SECTOR: usize = 512;
/// Frames begin on multiples of it, so no head lies in two sectors.
pub(crate) const ALIGN: usize = 64;
/// A frame's head.
pub(crate) const HEAD: usize = 64;
/// A row's head.
pub(crate) const ROW_HEAD: usize = 16;
const ROW_TRAILER: usize = 4;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What one commit wrote.
    Rows,
    /// The same, and before it all leases that there are: what was said of leases before is void.
    Checkpoint,
    /// The log goes on in the next segment.
    Seal,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: Kind,
    /// Its number in the segment, from 0.
    pub number: u32,
    pub rows: u32,
    /// Bytes of rows.
    pub len: u32,
    /// Its sectors that are all zeros.
    pub zeros: u32,
    /// Where the store stands after it.
    pub revision: u64,
    pub compacted: u64,
    /// The checksum of the head before.
    pub previous: u32,
    /// The checksum of the rows' heads and checksums.
    pub body: u32,
}

/// What binds a head to its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub identity: u64,
    pub segment: u32,
    pub offset: u32,
}

impl Head {
    /// A head of a frame without rows.
    pub(crate) const EMPTY: Self = Self {
        kind: Kind::Rows,
        number: 0,
        rows: 0,
        len: 0,
        zeros: 0,
        revision: 0,
        compacted: 0,
        previous: 0,
        body: 0,
    };

    pub(crate) fn encode(&self, seat: Seat) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = self.kind as u8 + 1;
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.rows.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.len.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.zeros.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.revision.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.compacted.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.previous.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.body.to_le_bytes());
        let crc = seat.checksum(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head and its checksum; `None` when there is none for this place.
    pub(crate) fn decode(bytes: &[u8], seat: Seat) -> Option<(Self, u32)> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        let crc = u32_at(bytes, CRC_AT);
        if &bytes[..4] != MAGIC || crc != seat.checksum(&bytes[..CRC_AT]) {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Rows,
            2 => Kind::Checkpoint,
            3 => Kind::Seal,
            _ => return None,
        };
        let head = Self {
            kind,
            number: u32_at(bytes, 8),
            rows: u32_at(bytes, 12),
            len: u32_at(bytes, 16),
            zeros: u32_at(bytes, 20),
            revision: u64_at(bytes, 24),
            compacted: u64_at(bytes, 32),
            previous: u32_at(bytes, 40),
            body: u32_at(bytes, 44),
        };
        Some((head, crc))
    }
}

impl Seat {
    fn checksum(self, head: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.identity.to_le_bytes());
        hasher.update(&self.segment.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(head);
        hasher.finalize()
    }
}

/// A frame that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Room for the head, then rows; after [`Self::finish`] all of it.
    pub bytes: Vec<u8>,
    rows: u32,
    body: crc32fast::Hasher,
}

impl Frame {
    /// Begins anew; memory of a large one is given back.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_MAX {
            self.bytes.shrink_to(KEPT_MAX);
        }
        self.bytes.resize(HEAD, 0);
        self.rows = 0;
        self.body = crc32fast::Hasher::new();
    }

    /// Adds a row that `fill` writes, and whose checksum it returns; where what it wrote begins.
    pub(crate) fn row(&mut self, at: Position, fill: impl FnOnce(&mut Vec<u8>) -> u32) -> usize {
        let head = self.bytes.len();
        self.bytes.resize(head + ROW_HEAD, 0);
        let crc = fill(&mut self.bytes);
        let content = head + ROW_HEAD;
        let len = (self.bytes.len() - content) as u32;
        self.bytes[head..head + 4].copy_from_slice(&len.to_le_bytes());
        self.bytes[head + 4..head + 8].copy_from_slice(&at.sub.to_le_bytes());
        self.bytes[head + 8..content].copy_from_slice(&at.revision.to_le_bytes());
        self.body.update(&self.bytes[head..content]);
        self.body.update(&spread(crc));
        self.rows += 1;
        content
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Writes the head; what it says beside the rows comes from `head`. Returns its checksum.
    pub(crate) fn finish(&mut self, head: Head, seat: Seat) -> u32 {
        let zeros = zero_sectors(&self.bytes, seat.offset);
        let (rows, len) = (self.rows, (self.bytes.len() - HEAD) as u32);
        let head = Head { rows, len, zeros, body: self.body.clone().finalize(), ..head };
        let encoded = head.encode(seat);
        self.bytes[..HEAD].copy_from_slice(&encoded);
        u32_at(&encoded, CRC_AT)
    }
}

/// How many sectors hold nothing of a frame but zeros. The first one, with the head, never counts.
pub(crate) fn zero_sectors(frame: &[u8], offset: u32) -> u32 {
    let first = (SECTOR - offset as usize % SECTOR).min(frame.len());
    frame[first..].chunks(SECTOR).filter(|sector| is_zero(sector)).count() as u32
}

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| *word == [0; 8]) && rest.iter().all(|byte| *byte == 0)
}

/// Where the next frame may begin.
pub(crate) fn align(offset: usize) -> usize {
    offset.next_multiple_of(ALIGN)
}

/// A row as it lies in a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRow<'a> {
    pub at: Position,
    /// The record or the lease, with its checksum.
    pub content: &'a [u8],
}

impl RawRow<'_> {
    /// With its head.
    pub(crate) fn bytes(&self) -> u32 {
        (ROW_HEAD + self.content.len()) as u32
    }
}

/// The head of a row: what it holds stands there, and is that long.
pub(crate) fn row_head(bytes: &[u8]) -> Option<(Position, usize)> {
    let head = bytes.first_chunk::<ROW_HEAD>()?;
    let at = Position { revision: u64_at(head, 8), sub: u32_at(head, 4) };
    Some((at, u32_at(head, 0) as usize))
}

/// All rows of a frame's body in order; an error when they are not what the head says, though
/// each row's own content is the caller's to check. Returns false where `take` did.
pub(crate) fn rows<'a, E>(
    head: &Head,
    body: &'a [u8],
    mut take: impl FnMut(usize, RawRow<'a>) -> Result<(), E>,
) -> Result<bool, E> {
    let (mut offset, mut seen) = (0, 0);
    let mut hasher = crc32fast::Hasher::new();
    while offset < body.len() {
        let Some((at, len)) = row_head(&body[offset..]) else { return Ok(false) };
        let content = offset + ROW_HEAD;
        let Some(bytes) = content.checked_add(len).and_then(|end| body.get(content..end)) else {
            return Ok(false);
        };
        let Some(crc) = bytes.last_chunk::<ROW_TRAILER>() else { return Ok(false) };
        hasher.update(&body[offset..content]);
        hasher.update(&spread(u32::from_le_bytes(*crc)));
        take(content, RawRow { at, content: bytes })?;
        offset = content + len;
        seen += 1;
    }
    Ok(seen == head.rows && hasher.finalize() == head.body)
}

/// A row's checksum as the frame's takes it in. As it is, what it says of the row's place could
/// cancel out with the row's head, which says it too: checksums of one kind are linear.
fn spread(crc: u32) -> [u8; 4] {
    crc.wrapping_mul(0x9e37_79b1).to_le_bytes()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

const MAGIC: &[u8; 4] = b"slf1";
const CRC_AT: usize = HEAD - 4;
/// Memory that is kept for the next frame.
const KEPT_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::encode_lease;
    use crate::types::LeaseId;

    const SEAT: Seat = Seat { identity: 7, segment: 3, offset: 640 };

    fn blank() -> Head {
        Head { number: 4, revision: 9, compacted: 2, previous: 77, ..Head::EMPTY }
    }

    fn sample() -> Frame {
        let mut frame = Frame::default();
        frame.clear();
        for sub in 0..3 {
            let at = Position { revision: 9, sub };
            frame.row(at, |out| {
                out.extend_from_slice(&[0; 1024]);
                encode_lease(LeaseId(i64::from(sub)), None, out)
            });
        }
        frame.finish(blank(), SEAT);
        frame
    }

    #[test]
    fn a_head_belongs_to_its_place() {
        let bytes = sample().bytes;
        let (head, _) = Head::decode(&bytes, SEAT).unwrap();
        assert_eq!((head.rows, head.len as usize, head.number), (3, bytes.len() - HEAD, 4));
        for other in [Seat { identity: 8, ..SEAT }, Seat { segment: 4, ..SEAT }, Seat { offset: 704, ..SEAT }]
        {
            assert_eq!(Head::decode(&bytes, other), None, "{other:?}");
        }
        for bit in 0..HEAD * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&flipped, SEAT), None, "bit {bit}");
        }
    }

    #[test]
    fn rows_come_back_and_none_can_go() {
        let bytes = sample().bytes;
        let (head, _) = Head::decode(&bytes, SEAT).unwrap();
        let places = |body: &[u8]| {
            let mut seen = Vec::new();
            let whole = rows(&head, body, |_, row| {
                seen.push(row.at.sub);
                Ok::<(), ()>(())
            });
            (seen, whole.unwrap())
        };
        let body = &bytes[HEAD..];
        assert_eq!(places(body), (vec![0, 1, 2], true));
        assert!(!places(&body[..body.len() / 3]).1);
        assert!(!places(&body[..body.len() - 1]).1);
        let mut swapped = body.to_vec();
        swapped.rotate_left(body.len() / 3);
        assert!(!places(&swapped).1);
    }

    #[test]
    fn a_sector_that_did_not_arrive_is_one_more_of_zeros() {
        let bytes = sample().bytes;
        let (head, _) = Head::decode(&bytes, SEAT).unwrap();
        assert!(head.zeros > 0, "the sample has sectors of zeros");
        assert_eq!(zero_sectors(&bytes, SEAT.offset), head.zeros);
        let first = SECTOR - SEAT.offset as usize % SECTOR;
        let mut more = 0;
        for sector in (first..bytes.len()).step_by(SECTOR) {
            let mut torn = bytes.clone();
            let end = bytes.len().min(sector + SECTOR);
            if !is_zero(&torn[sector..end]) {
                torn[sector..end].fill(0);
                assert_eq!(zero_sectors(&torn, SEAT.offset), head.zeros + 1);
                more += 1;
            }
        }
        assert!(more > 0);
    }
}
