//! Fields of a protobuf message: tags, varints and lengths.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use crate::json::OverBudget;
use crate::resource::GroupVersionKind;

/// Bytes that are no object, or an object that has no message.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProtobuf {
    /// The envelope's first bytes are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix \"k8s\\0\"")]
    NoMagic,
    /// The bytes end within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A tag, a varint or a wire type that does not exist.
    #[error("a field's tag or number is malformed")]
    Malformed,
    /// A field of another type on the wire than in the schema.
    #[error("field {field} has the wrong wire type")]
    WrongType {
        /// The field's name.
        field: &'static str,
    },
    /// A string of bytes that are no text.
    #[error("a string is not UTF-8")]
    NotText,
    /// Messages within messages beyond reason.
    #[error("the message is nested too deeply")]
    TooDeep,
    /// More than a body may hold.
    #[error(transparent)]
    TooLarge(#[from] OverBudget),
    /// JSON within the message is malformed.
    #[error("JSON within the message")]
    Json(#[source] serde_json::Error),
    /// The kind has no message.
    #[error("no kind {:?} is registered for version {:?}", gvk.kind, gvk.api_version())]
    UnknownKind {
        /// Which.
        gvk: GroupVersionKind,
    },
    /// JSON that cannot stand in the message.
    #[error("the object does not fit its message")]
    Unfit(#[source] serde_json::Error),
}

/// A field's value as it lies on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], InvalidProtobuf> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(InvalidProtobuf::Malformed) }
    }

    pub(super) fn text(self) -> Result<String, InvalidProtobuf> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| InvalidProtobuf::NotText)?;
        Ok(text.to_owned())
    }

    /// A signed number, however it was written.
    pub(super) fn number(self) -> Result<i64, InvalidProtobuf> {
        match self {
            Self::Varint(number) | Self::Fixed64(number) => Ok(number.cast_signed()),
            Self::Fixed32(number) => Ok(i64::from(number.cast_signed())),
            Self::Bytes(_) => Err(InvalidProtobuf::Malformed),
        }
    }
}

/// The fields of a message, in the order of the wire.
pub(super) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), InvalidProtobuf>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Wire<'a>), InvalidProtobuf> {
        let tag = varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| InvalidProtobuf::Malformed)?;
        let value = match tag & 7 {
            0 => Wire::Varint(varint(&mut self.rest)?),
            1 => Wire::Fixed64(u64::from_le_bytes(take(&mut self.rest)?)),
            2 => {
                let length =
                    usize::try_from(varint(&mut self.rest)?).map_err(|_| InvalidProtobuf::Truncated)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(InvalidProtobuf::Truncated)?;
                self.rest = rest;
                Wire::Bytes(bytes)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(take(&mut self.rest)?)),
            _ => return Err(InvalidProtobuf::Malformed),
        };
        if number == 0 {
            return Err(InvalidProtobuf::Malformed);
        }
        Ok((number, value))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], InvalidProtobuf> {
    let (bytes, after) = rest.split_first_chunk().ok_or(InvalidProtobuf::Truncated)?;
    *rest = after;
    Ok(*bytes)
}

/// At most ten bytes, low ones first.
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, InvalidProtobuf> {
    let mut number = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(InvalidProtobuf::Truncated)?;
        *rest = after;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return Err(InvalidProtobuf::Malformed);
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(InvalidProtobuf::Malformed)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The low seven bits fit.
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_number(out: &mut Vec<u8>, field: u32, number: i64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, number.cast_unsigned());
}

pub(super) fn put_double(out: &mut Vec<u8>, field: u32, number: f64) {
    put_varint(out, u64::from(field) << 3 | 1);
    out.extend(number.to_le_bytes());
}

/// The tag and the length of a field of bytes.
pub(super) fn put_head(out: &mut Vec<u8>, field: u32, length: usize) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, length as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_head(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Begins a field of bytes whose length comes out only as they are written; the place of its first
/// byte, for [`close`].
pub(super) fn open(out: &mut Vec<u8>, field: u32) -> usize {
    put_varint(out, u64::from(field) << 3 | 2);
    out.push(0);
    out.len()
}

/// Ends what [`open`] began: its length is put before it.
pub(super) fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if let (0..0x80, Some(place)) = (length, out.get_mut(start - 1)) {
        *place = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    put_varint(&mut prefix, length as u64);
    out.splice(start - 1..start, prefix);
}

/// Takes back what [`open`] began.
pub(super) fn undo(out: &mut Vec<u8>, field: u32, start: usize) {
    let mut tag = Vec::with_capacity(5);
    put_varint(&mut tag, u64::from(field) << 3 | 2);
    out.truncate(start - 1 - tag.len());
}
