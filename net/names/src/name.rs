//! Domain names as they are on the wire, without compression.

use std::fmt;

/// A name: labels with their lengths, and the root's empty one at the end. At most 255 bytes.
#[derive(Clone, Copy)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_MAX],
}

/// The text or the bytes are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// A label of no bytes, or of more than 63.
    #[error("a label has 1 to 63 bytes")]
    Label,
    /// More than 255 bytes together.
    #[error("a name has at most 255 bytes")]
    TooLong,
    /// The message ends within the name.
    #[error("the message ends within a name")]
    Cut,
    /// A pointer to somewhere behind itself, or too many of them.
    #[error("a compressed name that has no end")]
    Pointer,
}

impl Name {
    /// The root.
    pub const ROOT: Self = Self { len: 1, bytes: [0; NAME_MAX] };

    /// Reads `a.b.c`, with or without a dot at the end. Nothing is escaped.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let mut name = Self { len: 0, ..Self::ROOT };
        let text = text.strip_suffix('.').unwrap_or(text);
        if !text.is_empty() {
            for label in text.split('.') {
                name.push(label.as_bytes())?;
            }
        }
        name.end()
    }

    /// Labels, and then another name.
    pub fn join<'a>(labels: impl IntoIterator<Item = &'a [u8]>, rest: &'a Self) -> Result<Self, InvalidName> {
        let mut name = Self { len: 0, ..Self::ROOT };
        for label in labels.into_iter().chain(rest.labels()) {
            name.push(label)?;
        }
        name.end()
    }

    /// Reads the name at a place of a message, and tells where it ends there.
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), InvalidName> {
        let mut name = Self { len: 0, ..Self::ROOT };
        let (mut at, mut end, mut jumps) = (at, None, 0);
        loop {
            let first = *message.get(at).ok_or(InvalidName::Cut)?;
            match first {
                0 => return Ok((name.end()?, end.unwrap_or(at + 1))),
                1..=63 => {
                    let label = message.get(at + 1..at + 1 + usize::from(first)).ok_or(InvalidName::Cut)?;
                    name.push(label)?;
                    at += 1 + usize::from(first);
                }
                192..=255 => {
                    let second = *message.get(at + 1).ok_or(InvalidName::Cut)?;
                    let target = usize::from(first & 63) << 8 | usize::from(second);
                    jumps += 1;
                    if target >= at || jumps > JUMPS_MAX {
                        return Err(InvalidName::Pointer);
                    }
                    end.get_or_insert(at + 2);
                    at = target;
                }
                _ => return Err(InvalidName::Label),
            }
        }
    }

    fn push(&mut self, label: &[u8]) -> Result<(), InvalidName> {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len));
        let len = len.ok_or(InvalidName::Label)?;
        let start = usize::from(self.len);
        // The root's byte must fit too.
        let end = start + 1 + label.len();
        let place = self.bytes.get_mut(start..end).filter(|_| end < NAME_MAX).ok_or(InvalidName::TooLong)?;
        if let Some((first, rest)) = place.split_first_mut() {
            *first = len;
            rest.copy_from_slice(label);
        }
        self.len = u8::try_from(end).map_err(|_| InvalidName::TooLong)?;
        Ok(())
    }

    fn end(mut self) -> Result<Self, InvalidName> {
        let place = self.bytes.get_mut(usize::from(self.len)).ok_or(InvalidName::TooLong)?;
        *place = 0;
        self.len = self.len.checked_add(1).ok_or(InvalidName::TooLong)?;
        Ok(self)
    }

    /// As on the wire.
    pub fn wire(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The labels, the most specific first, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.wire();
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first().filter(|(len, _)| **len > 0)?;
            let (label, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(label)
        })
    }

    /// The same name in small letters.
    #[must_use]
    pub fn lowercase(mut self) -> Self {
        self.bytes.make_ascii_lowercase();
        self
    }

    /// The labels before `zone`, as a name of their own, if this name is in it; both in small letters.
    pub fn strip(&self, zone: &Self) -> Option<Self> {
        let at = self.wire().len().checked_sub(zone.wire().len())?;
        let (own, rest) = self.wire().split_at_checked(at)?;
        // The cut must be between labels.
        let mut place = 0;
        while place < own.len() {
            place += 1 + usize::from(*own.get(place)?);
        }
        if place != own.len() || rest != zone.wire() {
            return None;
        }
        Self::join(Self::labels_of(own), &Self::ROOT).ok()
    }

    fn labels_of(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = wire;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(label)
        })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.wire().eq_ignore_ascii_case(other.wire())
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len <= 1 {
            return f.write_str(".");
        }
        self.labels().try_for_each(|label| write!(f, "{}.", label.escape_ascii()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 1035, 2.3.4.
const NAME_MAX: usize = 255;
/// A name has at most 127 labels; a pointer each is more than anybody writes.
const JUMPS_MAX: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_names_and_back() {
        for (text, shown) in [("a.b.", "a.b."), ("a.b", "a.b."), ("", "."), (".", ".")] {
            assert_eq!(Name::parse(text).unwrap().to_string(), shown);
        }
        let long = "a".repeat(63);
        assert!(Name::parse(&long).is_ok());
        assert_eq!(Name::parse(&format!("{long}a")).unwrap_err(), InvalidName::Label);
        assert_eq!(Name::parse("a..b").unwrap_err(), InvalidName::Label);
        // 253 characters of text are 255 bytes; one more does not fit.
        let most = [long.as_str(), &long, &long, &"a".repeat(61)].join(".");
        assert_eq!((most.len(), Name::parse(&most).unwrap().wire().len()), (253, 255));
        assert_eq!(Name::parse(&format!("{most}a")).unwrap_err(), InvalidName::TooLong);
    }

    #[test]
    fn zones_have_names() {
        let zone = Name::parse("cluster.local").unwrap();
        let strip = |text: &str| Name::parse(text).unwrap().strip(&zone).map(|name| name.to_string());
        assert_eq!(strip("a.b.cluster.local").as_deref(), Some("a.b."));
        assert_eq!(strip("cluster.local").as_deref(), Some("."));
        assert_eq!(strip("xcluster.local"), None);
        assert_eq!(strip("local"), None);
        assert_eq!(Name::parse("A.b").unwrap(), Name::parse("a.B").unwrap());
    }

    #[test]
    fn compressed_names_end() {
        let message = b"\x01a\x02bc\x00\x01x\xC0\x00\xC0\x0A\xC0\x09";
        let read = |at| Name::read(message, at).map(|(name, end)| (name.to_string(), end));
        assert_eq!(read(0).unwrap(), ("a.bc.".to_owned(), 6));
        assert_eq!(read(6).unwrap(), ("x.a.bc.".to_owned(), 10));
        assert_eq!(read(10), Err(InvalidName::Pointer));
        assert!(Name::read(b"\x05ab", 0).is_err());
        assert!(Name::read(b"\x40ab", 0).is_err());
        assert!(Name::read(b"\xC0", 0).is_err());
    }
}
