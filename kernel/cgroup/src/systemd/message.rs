//! D-Bus messages: the D-Bus Specification, "Message Format". Pure.

use super::value::{Reader, Value, Writer, signature_of};

/// A method call that is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

/// A message that has arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Incoming {
    /// 2 is a reply, 3 an error, 4 a signal.
    pub(super) kind: u8,
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) interface: String,
    pub(super) error: String,
    pub(super) body: Vec<Value>,
}

pub(super) const REPLY: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

impl Call<'_> {
    pub(super) fn encode(&self, serial: u32, body: &[Value]) -> Vec<u8> {
        let mut data = Writer::default();
        body.iter().for_each(|value| data.value(value));
        let field =
            |code: u8, value: Value| Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))]);
        let mut fields = vec![
            field(1, Value::Path(self.path.to_owned())),
            field(2, Value::text(self.interface)),
            field(3, Value::text(self.member)),
            field(6, Value::text(self.destination)),
        ];
        if !body.is_empty() {
            fields.push(field(8, Value::Signature(signature_of(body))));
        }
        let mut message = Writer::default();
        // Little endian, a call, no flags, version 1.
        message.bytes.extend_from_slice(b"l\x01\x00\x01");
        message.u32(u32::try_from(data.bytes.len()).unwrap_or(u32::MAX));
        message.u32(serial);
        message.value(&Value::Array("(yv)".to_owned(), fields));
        message.align(8);
        message.bytes.extend_from_slice(&data.bytes);
        message.bytes
    }
}

/// How long the message is whose first [`HEAD`] bytes these are; `None` when it is none, or larger
/// than anybody sends us.
pub(super) fn length(head: &[u8]) -> Option<usize> {
    let big_endian = big_endian(head)?;
    let mut reader = Reader::new(head, big_endian);
    let (_, body, _, fields) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
    let (body, fields) = (usize::try_from(body).ok()?, usize::try_from(fields).ok()?);
    let whole = HEAD.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (whole <= MESSAGE_MAX).then_some(whole)
}

fn big_endian(head: &[u8]) -> Option<bool> {
    match head.first()? {
        b'l' => Some(false),
        b'B' => Some(true),
        _ => None,
    }
}

/// Reads a whole message.
pub(super) fn decode(bytes: &[u8]) -> Option<Incoming> {
    let big_endian = big_endian(bytes)?;
    let mut message = Incoming { kind: *bytes.get(1)?, ..Incoming::default() };
    let mut reader = Reader::new(bytes, big_endian);
    let mut signature = String::new();
    let head = reader.values("yyyyuua(yv)")?;
    let Value::Array(_, fields) = head.get(6)? else { return None };
    for field in fields {
        let Value::Struct(pair) = field else { return None };
        let [Value::Byte(code), Value::Variant(value)] = &pair[..] else { return None };
        match (code, value.as_ref()) {
            (2, Value::Text(text)) => message.interface.clone_from(text),
            (3, Value::Text(text)) => message.member.clone_from(text),
            (4, Value::Text(text)) => message.error.clone_from(text),
            (5, Value::U32(serial)) => message.reply_to = *serial,
            (8, Value::Signature(text)) => signature.clone_from(text),
            _ => {}
        }
    }
    reader.align(8);
    // The body is aligned, so it can be read as if it began here.
    let body = bytes.get(reader.at()..)?;
    message.body = Reader::new(body, big_endian).values(&signature)?;
    Some(message)
}

/// The fixed part, up to the length of the fields.
pub(super) const HEAD: usize = 16;
/// systemd's answers to us are some hundred bytes.
const MESSAGE_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> =
        Call { destination: "org.x", path: "/org/x", interface: "org.x.Manager", member: "Do" };

    #[test]
    fn a_call_is_whole_and_says_how_long_it_is() {
        let bytes = CALL.encode(7, &[Value::text("a"), Value::U64(1)]);
        assert_eq!(length(&bytes[..HEAD]), Some(bytes.len()));
        let read = decode(&bytes).unwrap();
        assert_eq!((read.kind, read.member.as_str(), read.interface.as_str()), (1, "Do", "org.x.Manager"));
        assert_eq!(read.body, [Value::text("a"), Value::U64(1)]);
        assert_eq!(decode(&CALL.encode(8, &[])).unwrap().body, []);
    }

    #[test]
    fn foreign_messages_never_panic() {
        let whole = CALL.encode(7, &[Value::text("a"), Value::texts(&["b", "c"])]);
        for at in 0..whole.len() {
            let _ = (decode(&whole[..at]), length(&whole[..at]));
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = (decode(&bent), length(&bent));
            }
        }
        assert_eq!(length(b"l\x02\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff"), None);
    }
}
