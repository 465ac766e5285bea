//! Writing DER: just the forms that a certificate has (ITU-T X.690, RFC 5280).

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One element: tag, length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend_from_slice(content);
    out
}

/// A sequence of elements.
pub(crate) fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &elements.concat())
}

/// A positive integer.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut trimmed = bytes;
    while let [0, rest @ ..] = trimmed
        && !rest.is_empty()
    {
        trimmed = rest;
    }
    match trimmed.first() {
        None => element(0x02, &[0]),
        Some(first) if *first >= 0x80 => element(0x02, &[&[0], trimmed].concat()),
        Some(_) => element(0x02, trimmed),
    }
}

/// An object identifier from its encoded content.
pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    element(0x06, content)
}

/// A bit string of whole bytes.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], content].concat())
}

/// A time as RFC 5280, 4.1.2.5 wants it: two digits of the year before 2050.
pub(crate) fn time(at: Timestamp) -> Vec<u8> {
    let utc = at.to_zoned(TimeZone::UTC);
    let rest =
        format!("{:02}{:02}{:02}{:02}{:02}Z", utc.month(), utc.day(), utc.hour(), utc.minute(), utc.second());
    let year = utc.year();
    if (1950..2050).contains(&year) {
        element(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        element(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

/// An extension of a certificate.
pub(crate) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut elements = vec![oid(id)];
    if critical {
        elements.push(element(0x01, &[0xff]));
    }
    elements.push(element(0x04, value));
    sequence(&elements)
}
