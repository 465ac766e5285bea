//! CBOR of strangers as values.

use base::{Classified, ErrorClass};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::major;
use crate::json::{Budget, DEPTH_MAX, OverBudget, text_len};
use crate::time::Time;

/// The bytes are not CBOR, or not such as an object can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCbor {
    /// They end within an item.
    #[error("unexpected end of CBOR")]
    End,
    /// Something follows the item.
    #[error("{0} bytes of extraneous data behind the CBOR item")]
    Behind(usize),
    /// Not well-formed (RFC 8949, 5.3.1).
    #[error("CBOR is not well-formed at byte {0}")]
    Malformed(usize),
    /// Well-formed, but nothing that an object has.
    #[error("{what} at byte {at} cannot be a part of an object")]
    Foreign {
        /// What it is.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// Not UTF-8.
    #[error("the string at byte {0} is not UTF-8")]
    Utf8(usize),
    /// A key twice.
    #[error("found duplicate map key {0:?} in CBOR")]
    DuplicateKey(String),
    /// An integer that no 64 bits with a sign hold.
    #[error("the integer at byte {0} overflows int64")]
    Overflow(usize),
    /// More than [`DEPTH_MAX`] levels.
    #[error("CBOR is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// More than a body may hold.
    #[error(transparent)]
    TooLarge(#[from] OverBudget),
}

impl Classified for InvalidCbor {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Reads one value and nothing behind it. What is announced is believed only when it is there.
pub fn decode(bytes: &[u8]) -> Result<Value, InvalidCbor> {
    let mut reader = Reader { bytes, at: 0, budget: Budget::default() };
    let value = reader.value(0)?;
    match bytes.len() - reader.at {
        0 => Ok(value),
        behind => Err(InvalidCbor::Behind(behind)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    budget: Budget,
}

/// The first byte of an item with its argument.
struct Head {
    major: u8,
    info: u8,
    argument: u64,
    /// Where it begins.
    at: usize,
}

impl Head {
    /// Whether no length was announced.
    fn is_indefinite(&self) -> bool {
        self.info == INDEFINITE
    }

    fn foreign(&self, what: &'static str) -> InvalidCbor {
        InvalidCbor::Foreign { what, at: self.at }
    }
}

const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xff;

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], InvalidCbor> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken =
            usize::try_from(count).ok().and_then(|count| rest.get(..count)).ok_or(InvalidCbor::End)?;
        self.at += taken.len();
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, InvalidCbor> {
        let at = self.at;
        let &[first] = self.take(1)? else { return Err(InvalidCbor::End) };
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                bytes.iter().fold(0, |argument, byte| argument << 8 | u64::from(*byte))
            }
            INDEFINITE if (major::BYTES..=major::MAP).contains(&major) => 0,
            _ => return Err(InvalidCbor::Malformed(at)),
        };
        Ok(Head { major, info, argument, at })
    }

    fn value(&mut self, depth: usize) -> Result<Value, InvalidCbor> {
        let mut head = self.head()?;
        while head.major == major::TAG {
            if let Some(value) = self.tagged(&head)? {
                return Ok(value);
            }
            head = self.head()?;
        }
        match head.major {
            major::ARRAY | major::MAP if depth >= DEPTH_MAX => Err(InvalidCbor::TooDeep),
            major::ARRAY => self.array(&head, depth),
            major::MAP => self.map(&head, depth),
            major::BYTES | major::TEXT => self.text(&head).map(Value::String),
            _ => plain(&head),
        }
    }

    /// Whether another item of `head` follows, of which `count` were read.
    fn goes_on(&mut self, head: &Head, count: u64) -> Result<bool, InvalidCbor> {
        if !head.is_indefinite() {
            return Ok(count < head.argument);
        }
        let ends = self.bytes.get(self.at) == Some(&BREAK);
        self.at += usize::from(ends);
        Ok(!ends)
    }

    fn array(&mut self, head: &Head, depth: usize) -> Result<Value, InvalidCbor> {
        let mut items = Vec::new();
        while self.goes_on(head, items.len() as u64)? {
            let item = self.value(depth + 1)?;
            self.budget.item(&item)?;
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, head: &Head, depth: usize) -> Result<Value, InvalidCbor> {
        let mut fields = Map::new();
        while self.goes_on(head, fields.len() as u64)? {
            let key = self.head()?;
            if !matches!(key.major, major::BYTES | major::TEXT) {
                return Err(key.foreign("a map key that is no string"));
            }
            let key = self.text(&key)?;
            if fields.contains_key(&key) {
                return Err(InvalidCbor::DuplicateKey(key));
            }
            let value = self.value(depth + 1)?;
            if fields.is_empty() {
                self.budget.object()?;
            }
            self.budget.value(key.len() + text_len(&value))?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }

    fn text(&mut self, head: &Head) -> Result<String, InvalidCbor> {
        let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| InvalidCbor::Utf8(head.at));
        self.chunks(head).and_then(utf8)
    }

    /// The bytes of a string, of which one without a length has several parts, each of its own kind.
    fn chunks(&mut self, head: &Head) -> Result<Vec<u8>, InvalidCbor> {
        if !head.is_indefinite() {
            return self.take(head.argument).map(<[u8]>::to_vec);
        }
        let mut bytes = Vec::new();
        while self.goes_on(head, 0)? {
            let chunk = self.head()?;
            if chunk.major != head.major || chunk.is_indefinite() {
                return Err(InvalidCbor::Malformed(chunk.at));
            }
            let part = self.take(chunk.argument)?;
            if head.major == major::TEXT && std::str::from_utf8(part).is_err() {
                return Err(InvalidCbor::Utf8(chunk.at));
            }
            bytes.extend_from_slice(part);
        }
        Ok(bytes)
    }

    /// The content of a tag that says what it means: a time, or how bytes are to be spelled. Others
    /// are passed over.
    fn tagged(&mut self, tag: &Head) -> Result<Option<Value>, InvalidCbor> {
        let spell: fn(&[u8]) -> String = match tag.argument {
            0 | 1 => return self.time(tag).map(Some),
            2 | 3 => return Err(tag.foreign("a bignum")),
            21 => |bytes| URL_SAFE_NO_PAD.encode(bytes),
            22 => |bytes| STANDARD.encode(bytes),
            23 => |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => return Ok(None),
        };
        if self.bytes.get(self.at).is_none_or(|first| first >> 5 != major::BYTES) {
            return Ok(None);
        }
        let head = self.head()?;
        self.chunks(&head).map(|bytes| Some(Value::String(spell(&bytes))))
    }

    /// A time as RFC 3339 has it: it is there as text, or as seconds since 1970.
    fn time(&mut self, tag: &Head) -> Result<Value, InvalidCbor> {
        let head = self.head()?;
        let text = match (tag.argument, head.major) {
            (0, major::TEXT) => Some(self.text(&head)?).filter(|text| Time::parse(text).is_ok()),
            (0, _) | (_, major::BYTES..=major::TAG) => None,
            _ => rfc3339(&plain(&head)?),
        };
        text.map(Value::String).ok_or_else(|| tag.foreign("a tagged value that is no time"))
    }
}

fn rfc3339(seconds: &Value) -> Option<String> {
    let (whole, part) = match (seconds.as_i64(), seconds.as_f64()?) {
        (Some(whole), _) => (whole, 0.0),
        (None, seconds) => (seconds.trunc() as i64, seconds.fract()),
    };
    let at = Timestamp::new(whole, (part * 1e9) as i32).ok()?;
    Time::from_unix(at.as_second()).map(|_| at.to_string())
}

/// A value that is whole with its head.
fn plain(head: &Head) -> Result<Value, InvalidCbor> {
    if !matches!(head.major, major::UNSIGNED | major::NEGATIVE) {
        return simple(head);
    }
    let value = i64::try_from(head.argument).map_err(|_| InvalidCbor::Overflow(head.at))?;
    Ok(Value::from(if head.major == major::NEGATIVE { !value } else { value }))
}

fn simple(head: &Head) -> Result<Value, InvalidCbor> {
    let float = match head.info {
        20 => return Ok(Value::Bool(false)),
        21 => return Ok(Value::Bool(true)),
        22 => return Ok(Value::Null),
        // Those of a byte of their own that have a shorter form.
        24 if head.argument < 32 => return Err(InvalidCbor::Malformed(head.at)),
        25 => half(head.argument as u16),
        26 => f64::from(f32::from_bits(head.argument as u32)),
        27 => f64::from_bits(head.argument),
        _ => return Err(head.foreign("a simple value")),
    };
    Number::from_f64(float).map(Value::Number).ok_or_else(|| head.foreign("a number that is not finite"))
}

/// The value of an IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 0 { size } else { -size }
}
