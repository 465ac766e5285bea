//! Terminal sizes, as JSON objects one behind the other.

use serde_json::Value;

use crate::backing::TerminalSize;

/// A size is some thirty bytes; what is longer is none.
const PENDING_MAX: usize = 4096;

/// Reads sizes from bytes as they come.
#[derive(Default)]
pub(crate) struct Sizes {
    pending: Vec<u8>,
}

impl Sizes {
    /// The sizes that are complete now; none at all when the bytes are nonsense.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<TerminalSize> {
        self.pending.extend_from_slice(bytes);
        let mut sizes = Vec::new();
        let mut values = serde_json::Deserializer::from_slice(&self.pending).into_iter::<Value>();
        let mut read = 0;
        let mut nonsense = false;
        loop {
            match values.next() {
                Some(Ok(value)) => {
                    read = values.byte_offset();
                    sizes.extend(size(&value));
                }
                Some(Err(error)) => {
                    nonsense = !error.is_eof();
                    break;
                }
                None => break,
            }
        }
        self.pending.drain(..read);
        if nonsense || self.pending.len() > PENDING_MAX {
            self.pending.clear();
        }
        sizes
    }
}

fn size(value: &Value) -> Option<TerminalSize> {
    // Go reads names of fields without regard to case.
    let field = |name: &str| {
        let fields = value.as_object()?;
        let found = fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        u16::try_from(found.1.as_u64()?).ok()
    };
    Some(TerminalSize { width: field("width")?, height: field("height")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes_in_pieces() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.read(br#"{"Width":80,"Hei"#), []);
        let (first, second) = (TerminalSize { width: 80, height: 24 }, TerminalSize { width: 1, height: 2 });
        assert_eq!(sizes.read(br#"ght":24}{"width":1,"height":2}"#), [first, second]);
        assert_eq!(sizes.read(b"nonsense"), []);
        assert_eq!(sizes.read(br#"{"Width":1,"Height":2}"#), [second]);
        assert_eq!(sizes.read(br#"{"Width":-1,"Height":99999999}"#), []);
        for _ in 0..10_000 {
            sizes.read(b"[[[[");
        }
        assert!(sizes.pending.len() <= PENDING_MAX);
    }
}
