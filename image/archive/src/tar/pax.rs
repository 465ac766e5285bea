//! pax records: `length key=value\n` (POSIX.1-2001, `pax`, "pax Header Block").

use super::header::{Extent, Timestamp, Xattr};

/// What the records of one extended header say. `None`: they say nothing.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) user: Option<Vec<u8>>,
    pub(super) group: Option<Vec<u8>>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: SparseRecords,
}

/// GNU's records for sparse files, formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) map: Vec<Extent>,
    pub(super) has_map: bool,
    offset_pending: Option<u64>,
}

/// Reads the records; the error says what is wrong with them.
pub(super) fn parse(mut text: &[u8], records: &mut Records) -> Result<(), &'static str> {
    while !text.is_empty() {
        let space =
            text.iter().take(LENGTH_DIGITS_MAX).position(|b| *b == b' ').ok_or("a record has no length")?;
        let length = decimal(&text[..space]).ok_or("a record's length is no number")?;
        let length = usize::try_from(length).map_err(|_| "a record is longer than the header")?;
        if length <= space + 1 || length > text.len() {
            return Err("a record's length is wrong");
        }
        let (record, rest) = text.split_at(length);
        let body = record[space + 1..].strip_suffix(b"\n").ok_or("a record does not end with its line")?;
        let equals = body.iter().position(|b| *b == b'=').ok_or("a record has no value")?;
        let (key, value) = (&body[..equals], &body[equals + 1..]);
        if key.is_empty() || key.contains(&0) {
            return Err("a record has no valid key");
        }
        take(key, value, records)?;
        text = rest;
    }
    Ok(())
}

fn take(key: &[u8], value: &[u8], records: &mut Records) -> Result<(), &'static str> {
    // An empty value takes back what was said before: the header's own field counts.
    let text = || -> Result<Option<Vec<u8>>, &'static str> {
        if value.contains(&0) {
            return Err("a name has a NUL byte");
        }
        Ok((!value.is_empty()).then(|| value.to_vec()))
    };
    let number = || match value {
        [] => Ok(None),
        digits => decimal(digits).map(Some).ok_or("a record's number is not one"),
    };
    match key {
        b"path" => records.path = text()?,
        b"linkpath" => records.link = text()?,
        b"uname" => records.user = text()?,
        b"gname" => records.group = text()?,
        b"uid" => records.uid = number()?,
        b"gid" => records.gid = number()?,
        b"size" => records.size = number()?,
        b"mtime" if value.is_empty() => records.mtime = None,
        b"mtime" => records.mtime = Some(timestamp(value).ok_or("a time is not one")?),
        _ => match key.strip_prefix(XATTR_PREFIX) {
            Some(b"") => return Err("an attribute has no name"),
            Some(name) => {
                records.xattrs.retain(|xattr| xattr.name != name);
                records.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
            }
            None => return take_sparse(key, value, &mut records.sparse),
        },
    }
    Ok(())
}

fn take_sparse(key: &[u8], value: &[u8], sparse: &mut SparseRecords) -> Result<(), &'static str> {
    let number = || decimal(value).ok_or("a sparse record's number is not one");
    match key {
        b"GNU.sparse.major" => sparse.major = Some(number()?),
        b"GNU.sparse.minor" => sparse.minor = Some(number()?),
        b"GNU.sparse.name" if value.contains(&0) => return Err("a name has a NUL byte"),
        b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => sparse.real_size = Some(number()?),
        b"GNU.sparse.numblocks" => sparse.has_map = true,
        b"GNU.sparse.offset" if sparse.offset_pending.is_some() => {
            return Err("two sparse offsets follow each other");
        }
        b"GNU.sparse.offset" => sparse.offset_pending = Some(number()?),
        b"GNU.sparse.numbytes" => {
            let offset = sparse.offset_pending.take().ok_or("a sparse length has no offset")?;
            sparse.map.push(Extent { offset, length: number()? });
            sparse.has_map = true;
        }
        b"GNU.sparse.map" => {
            let numbers = value.split(|b| *b == b',').map(decimal).collect::<Option<Vec<_>>>();
            let numbers = numbers.ok_or("a sparse map's number is not one")?;
            let (pairs, rest) = numbers.as_chunks::<2>();
            if !rest.is_empty() {
                return Err("a sparse map has an odd number of numbers");
            }
            sparse.map = pairs.iter().map(|&[offset, length]| Extent { offset, length }).collect();
            sparse.has_map = true;
        }
        _ => {}
    }
    Ok(())
}

impl SparseRecords {
    /// Whether the file's data starts with its map (format 1.0).
    pub(super) fn map_is_in_data(&self) -> bool {
        self.major == Some(1) && self.minor == Some(0)
    }
}

/// A decimal number without sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with a sign and any number of decimals; digits beyond nanoseconds are cut.
fn timestamp(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let whole = i64::try_from(decimal(&text[..dot])?).ok()?;
    let decimals = text.get(dot + 1..).unwrap_or_default();
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + decimals.get(at).map_or(0, |b| u32::from(b - b'0')));
    Some(match (negative, nanos) {
        (false, nanos) => Timestamp { seconds: whole, nanos },
        (true, 0) => Timestamp { seconds: -whole, nanos: 0 },
        (true, nanos) => Timestamp { seconds: (-whole).checked_sub(1)?, nanos: 1_000_000_000 - nanos },
    })
}

/// One record, its length included in its length.
pub(super) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3; // space, equals sign, end of line
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// star's namespace of extended attributes, which GNU tar and Go use too.
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// More digits than a length of 64 bits has.
const LENGTH_DIGITS_MAX: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        for length in [1, 5, 90, 91, 92, 93, 94, 95, 96, 989, 990, 991, 9_990] {
            let value = vec![b'x'; length];
            let text = record(b"path", &value);
            let mut records = Records::default();
            parse(&text, &mut records).unwrap();
            assert_eq!(records.path.as_deref(), Some(&value[..]), "{length}");
        }
    }

    #[test]
    fn refuses_malformed_records() {
        for text in [
            "x",
            "5 a=",
            "99 a=b\n",
            "0 a=b\n",
            "6 a=b",
            "7 ab\nxx",
            "5 =b\n",
            "-6 a=b\n",
            "6  a=b\n",
            "18446744073709551616 a=b\n",
            "10 size=x\n",
            "11 size=-1\n",
            "4 a\n",
        ] {
            assert!(parse(text.as_bytes(), &mut Records::default()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn reads_times() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-1", Some((-1, 0))),
            ("12.1234567899", Some((12, 123_456_789))),
            ("", None),
            ("1.x", None),
            ("9223372036854775808", None),
        ] {
            let found = timestamp(text.as_bytes()).map(|time| (time.seconds, time.nanos));
            assert_eq!(found, expected, "{text}");
        }
    }
}
