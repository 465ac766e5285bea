//! Protocol buffers, as much as CRIU's messages need
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A field's value as it lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed size, which no message here has.
    Other,
}

/// The bytes are no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message, in the order of the wire.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => self.take(8).map(|_| Wire::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Other)?,
            _ => return Err(Malformed),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(*self.take(1)?.first().ok_or(Malformed)?);
            number |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }
}

/// Appends a number, seven bits a byte, low ones first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, Malformed> {
        let mut fields = Fields(bytes);
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn reads_what_the_specification_shows() {
        assert_eq!(all(&[0x08, 0x96, 0x01]), Ok(vec![(1, Wire::Number(150))]));
        assert_eq!(all(b"\x12\x07testing"), Ok(vec![(2, Wire::Bytes(b"testing"))]));
        assert_eq!(
            all(&[0x0d, 1, 0, 0, 0, 0x11, 1, 0, 0, 0, 0, 0, 0, 0]),
            Ok(vec![(1, Wire::Other), (2, Wire::Other)])
        );
        // -1 as a 32-bit integer.
        let minus = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(all(&minus), Ok(vec![(1, Wire::Number(u64::MAX))]));
    }

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = vec![0x08];
            put_varint(&mut bytes, number);
            assert_eq!(all(&bytes), Ok(vec![(1, Wire::Number(number))]));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        for bytes in [&[0x08][..], &[0x08, 0x80], &[0x12, 2, 1], &[0x0d, 1], &[0x0b], &[0x08; 1], &[0xff; 12]]
        {
            assert_eq!(all(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}
