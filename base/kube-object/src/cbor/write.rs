//! Values as CBOR.

use serde_json::{Map, Number, Value};

use super::{SELF_DESCRIBED, major};

/// An object, self-described.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = SELF_DESCRIBED.to_vec();
    write(value, &mut out);
    out
}

/// An item of a watch's `application/cbor-seq` (RFC 8742): the event's `type` and its `object`.
pub fn watch_event(kind: &str, object: &Value) -> Vec<u8> {
    let mut out = SELF_DESCRIBED.to_vec();
    head(major::MAP, 2, &mut out);
    bytes("type", &mut out);
    bytes(kind, &mut out);
    bytes("object", &mut out);
    out.extend(SELF_DESCRIBED);
    write(object, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(value) => out.push(0xf4 + u8::from(*value)),
        Value::Number(value) => number(value, out),
        Value::String(text) => bytes(text, out),
        Value::Array(items) => {
            head(major::ARRAY, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Object(fields) => map(fields, out),
    }
}

/// Keys in the order of their encoded bytes: a shorter one is first, for its head is less.
fn map(fields: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable_by_key(|(key, _)| (key.len(), *key));
    head(major::MAP, fields.len() as u64, out);
    for (key, value) in fields {
        bytes(key, out);
        write(value, out);
    }
}

fn bytes(text: &str, out: &mut Vec<u8>) {
    head(major::BYTES, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn number(number: &Number, out: &mut Vec<u8>) {
    match number.as_i64() {
        // -1 - n is the complement of n.
        Some(value) if value < 0 => head(major::NEGATIVE, !value as u64, out),
        Some(value) => head(major::UNSIGNED, value as u64, out),
        // A larger integer, which no reader of CBOR takes; upstream has it as a float from JSON on.
        None => float(number.as_f64().unwrap_or_default(), out),
    }
}

/// The shortest of 16, 32 and 64 bits that keeps the value.
fn float(value: f64, out: &mut Vec<u8>) {
    let single = value as f32;
    if f64::from(single) != value {
        out.push(0xfb);
        out.extend(value.to_be_bytes());
    } else if let Some(half) = half(single) {
        out.push(0xf9);
        out.extend(half.to_be_bytes());
    } else {
        out.push(0xfa);
        out.extend(single.to_be_bytes());
    }
}

/// The bits of the IEEE 754 binary16 of the same value, if there is one.
fn half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    let fraction = bits & 0x7f_ffff;
    match exponent {
        _ if bits << 1 == 0 => Some(sign),
        -14..=15 if fraction.trailing_zeros() >= 13 => {
            Some(sign | ((exponent + 15) as u16) << 10 | (fraction >> 13) as u16)
        }
        // Subnormal: the leading one is written out, with as many bits less behind it.
        -24..=-15 => {
            let shift = (-1 - exponent) as u32;
            let whole = fraction | 0x80_0000;
            (whole.trailing_zeros() >= shift).then(|| sign | (whole >> shift) as u16)
        }
        _ => None,
    }
}

/// The first byte with its argument, in the fewest bytes.
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let (info, rest) = match argument {
        0..=23 => (argument as u8, &bytes[8..]),
        24..=0xff => (24, &bytes[7..]),
        0x100..=0xffff => (25, &bytes[6..]),
        0x1_0000..=0xffff_ffff => (26, &bytes[4..]),
        _ => (27, &bytes[..]),
    };
    out.push(major | info);
    out.extend_from_slice(rest);
}
