//! D-Bus values and their wire form: the D-Bus Specification, "Type System" and "Marshaling". Pure; what
//! others send gives a value or nothing, never a panic.

/// A value with its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n` and `q`, as they are read only.
    Short(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`
    Text(String),
    /// `o`
    Path(String),
    /// `g`
    Signature(String),
    /// `a`, with the signature of its elements.
    Array(String, Vec<Value>),
    /// `()`, and the entries of dictionaries.
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// `as`
    pub fn texts(texts: &[&str]) -> Self {
        Self::Array("s".to_owned(), texts.iter().map(|text| Self::text(*text)).collect())
    }

    /// Its type.
    pub fn signature(&self) -> String {
        match self {
            Self::Byte(_) => "y".to_owned(),
            Self::Bool(_) => "b".to_owned(),
            Self::Short(_) => "q".to_owned(),
            Self::I32(_) => "i".to_owned(),
            Self::U32(_) => "u".to_owned(),
            Self::I64(_) => "x".to_owned(),
            Self::U64(_) => "t".to_owned(),
            Self::F64(_) => "d".to_owned(),
            Self::Text(_) => "s".to_owned(),
            Self::Path(_) => "o".to_owned(),
            Self::Signature(_) => "g".to_owned(),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => {
                format!("({})", fields.iter().map(Self::signature).collect::<String>())
            }
            Self::Variant(_) => "v".to_owned(),
        }
    }

    /// What a text, a path or a signature says.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Path(text) | Self::Signature(text) => Some(text),
            Self::Variant(inner) => inner.as_text(),
            _ => None,
        }
    }
}

/// The signature of a body.
pub(super) fn signature_of(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

/// Bytes under construction, little endian. Alignment counts from the first.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn wide(&mut self, bytes: [u8; 8]) {
        self.align(8);
        self.bytes.extend_from_slice(&bytes);
    }

    fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(byte) => self.bytes.push(*byte),
            Value::Bool(on) => self.u32(u32::from(*on)),
            Value::Short(number) => {
                self.align(2);
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
            Value::I32(number) => self.u32(number.cast_unsigned()),
            Value::U32(number) => self.u32(*number),
            Value::I64(number) => self.wide(number.to_le_bytes()),
            Value::U64(number) => self.wide(number.to_le_bytes()),
            Value::F64(number) => self.wide(number.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => self.text(text),
            Value::Signature(text) => self.signature(text),
            Value::Array(element, values) => self.array(element, values),
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.value(field));
            }
            Value::Variant(inner) => {
                self.signature(&inner.signature());
                self.value(inner);
            }
        }
    }

    fn array(&mut self, element: &str, values: &[Value]) {
        self.u32(0);
        let at = self.bytes.len();
        // The space before the first element does not count to the length.
        self.align(alignment(element.as_bytes().first().copied().unwrap_or(b'y')));
        let begin = self.bytes.len();
        values.iter().for_each(|value| self.value(value));
        let count = length(self.bytes.len() - begin);
        self.bytes[at - 4..at].copy_from_slice(&count.to_le_bytes());
    }
}

/// What we write is far below 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn alignment(kind: u8) -> usize {
    match kind {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b's' | b'o' | b'a' | b'h' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

/// Bytes to be read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { bytes, at: 0, big_endian }
    }

    pub(super) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N);
        let mut bytes: [u8; N] = self.take(N)?.try_into().ok()?;
        if self.big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn string(&mut self, length: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        (self.byte()? == 0).then_some(text)
    }

    /// All values of a signature.
    pub(super) fn values(&mut self, signature: &str) -> Option<Vec<Value>> {
        let mut rest = signature.as_bytes();
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (one, after) = split_first(rest)?;
            values.push(self.value(one, 0)?);
            rest = after;
        }
        Some(values)
    }

    fn value(&mut self, signature: &[u8], depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        Some(match *signature.first()? {
            b'y' => Value::Byte(self.byte()?),
            b'b' => Value::Bool(self.u32()? != 0),
            b'n' | b'q' => Value::Short(self.number().map(u16::from_le_bytes)?),
            b'i' => Value::I32(self.u32()?.cast_signed()),
            b'u' | b'h' => Value::U32(self.u32()?),
            b'x' => Value::I64(self.number().map(i64::from_le_bytes)?),
            b't' => Value::U64(self.number().map(u64::from_le_bytes)?),
            b'd' => Value::F64(self.number().map(f64::from_le_bytes)?),
            b's' => Value::Text(self.text()?),
            b'o' => Value::Path(self.text()?),
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let inner = self.signature()?;
                let (one, rest) = split_first(inner.as_bytes())?;
                if !rest.is_empty() {
                    return None;
                }
                Value::Variant(Box::new(self.value(one, depth + 1)?))
            }
            b'a' => self.array(signature.get(1..)?, depth)?,
            b'(' | b'{' => {
                self.align(8);
                let mut rest = signature.get(1..signature.len().checked_sub(1)?)?;
                let mut fields = Vec::new();
                while !rest.is_empty() {
                    let (one, after) = split_first(rest)?;
                    fields.push(self.value(one, depth + 1)?);
                    rest = after;
                }
                Value::Struct(fields)
            }
            _ => return None,
        })
    }

    fn array(&mut self, element: &[u8], depth: usize) -> Option<Value> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.align(alignment(*element.first()?));
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let mut values = Vec::new();
        while self.at < end {
            let before = self.at;
            values.push(self.value(element, depth + 1)?);
            if self.at == before {
                return None;
            }
        }
        let element = String::from_utf8(element.to_vec()).ok()?;
        (self.at == end).then_some(Value::Array(element, values))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.string(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }
}

/// The first complete type, and what comes after it.
fn split_first(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut depth = 0usize;
    for (at, kind) in signature.iter().enumerate() {
        match kind {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.checked_sub(1)?,
            b'a' => continue,
            _ => {}
        }
        if depth == 0 {
            return Some(signature.split_at(at + 1));
        }
    }
    None
}

/// The specification's limit, of arrays and structs together.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Value> {
        let property = |name: &str, value: Value| {
            Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value))])
        };
        vec![
            Value::text("web.scope"),
            Value::Array(
                "(sv)".to_owned(),
                vec![
                    property("PIDs", Value::Array("u".to_owned(), vec![Value::U32(42)])),
                    property("Delegate", Value::Bool(true)),
                    property("MemoryMax", Value::U64(u64::MAX)),
                    property("Wants", Value::texts(&["a.slice"])),
                    property("AllowedCPUs", Value::Array("y".to_owned(), vec![Value::Byte(3)])),
                ],
            ),
            Value::Array("(sa(sv))".to_owned(), Vec::new()),
            Value::I32(-1),
            Value::I64(-2),
            Value::F64(0.5),
            Value::Path("/org".to_owned()),
            Value::Signature("a{sv}".to_owned()),
            Value::Short(7),
        ]
    }

    #[test]
    fn values_come_back_as_written() {
        let values = sample();
        let mut writer = Writer::default();
        values.iter().for_each(|value| writer.value(value));
        let signature = signature_of(&values);
        assert_eq!(signature, "sa(sv)a(sa(sv))ixdogq");
        assert_eq!(Reader::new(&writer.bytes, false).values(&signature), Some(values));
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let mut writer = Writer::default();
        writer.value(&Value::Array("t".to_owned(), vec![Value::U64(5)]));
        assert_eq!(writer.bytes, [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Reader::new(&[0, 0, 1, 2], true).values("u"), Some(vec![Value::U32(0x0102)]));
    }

    #[test]
    fn foreign_bytes_never_panic() {
        let mut writer = Writer::default();
        sample().iter().for_each(|value| writer.value(value));
        let whole = writer.bytes;
        for length in 0..whole.len() {
            assert_eq!(Reader::new(&whole[..length], false).values(&signature_of(&sample())), None);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = Reader::new(&bent, false).values(&signature_of(&sample()));
            }
        }
        for signature in ["(", ")", "a", "av", "a()", "z", "((((", "a{sv", "}"] {
            let _ = Reader::new(&[1; 64], false).values(signature);
        }
        let nested = "a".repeat(200) + "y";
        assert_eq!(Reader::new(&[1; 1024], false).values(&nested), None);
    }
}
