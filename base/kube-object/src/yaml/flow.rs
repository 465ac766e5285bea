//! A look at a text before the parser sees it: how large its flow collections are.
//!
//! The parser keeps a flow collection (`{…}`, `[…]`) in its queue until it closes, since it could be
//! a key: some hundred bytes for each of its tokens. What is large and in that form is JSON, for which
//! there is another reader. This look need not be exact, for it refuses only what nobody writes.

/// Whether a flow collection has more than `max` marks: commas, colons and brackets.
pub(super) fn has_more_marks(text: &str, max: usize) -> bool {
    let mut look = Look { depth: 0, marks: 0, quote: None };
    // The indentation of the line that begins a block scalar, whose lines are further in.
    let mut block: Option<usize> = None;
    for line in text.split('\n') {
        let content = line.trim_start_matches(' ');
        if content.trim_ascii().is_empty() {
            continue;
        }
        let indent = line.len() - content.len();
        if block.is_some_and(|above| indent > above) {
            continue;
        }
        block = None;
        look.line(content.as_bytes());
        if look.marks > max {
            return true;
        }
        if look.depth == 0 && look.quote.is_none() && begins_block_scalar(content) {
            block = Some(indent);
        }
    }
    false
}

struct Look {
    /// How many collections are open.
    depth: usize,
    /// Marks in the outermost one.
    marks: usize,
    /// The quote that ends the text that is open.
    quote: Option<u8>,
}

impl Look {
    fn line(&mut self, line: &[u8]) {
        let mut at = if line.starts_with(b"--- ") { 4 } else { 0 };
        // Whether a value may begin here.
        let mut begins = true;
        while let Some(&byte) = line.get(at) {
            at += 1;
            if let Some(quote) = self.quote {
                match byte {
                    b'\\' if quote == b'"' => at += 1,
                    b'\'' if quote == byte && line.get(at) == Some(&byte) => at += 1,
                    byte if byte == quote => self.quote = None,
                    _ => {}
                }
                begins = false;
                continue;
            }
            if begins && matches!(byte, b'&' | b'!') {
                // What follows an anchor or a tag is what they are of.
                let rest = line.get(at..).unwrap_or_default();
                at += rest.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
                continue;
            }
            let blank_next = line.get(at).is_none_or(|next| matches!(next, b' ' | b'\t' | b'\r'));
            match byte {
                b'{' | b'[' if begins || self.depth > 0 => {
                    if self.depth == 0 {
                        self.marks = 0;
                    }
                    self.depth += 1;
                    self.marks += 1;
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    self.marks += 1;
                }
                b',' | b':' if self.depth > 0 => self.marks += 1,
                b'"' | b'\'' if begins => self.quote = Some(byte),
                b'#' if at == 1 || line.get(at.wrapping_sub(2)).is_some_and(u8::is_ascii_whitespace) => {
                    return;
                }
                _ => {}
            }
            begins = match byte {
                b' ' | b'\t' => begins,
                b'{' | b'[' | b',' => self.depth > 0,
                b':' => self.depth > 0 || blank_next,
                b'-' | b'?' => begins && blank_next,
                _ => false,
            };
        }
    }
}

/// Whether a line ends with the head of a block scalar: `a: |`, `- >-`, `b: !!str |2+ # why`.
fn begins_block_scalar(line: &str) -> bool {
    let line = match line.find(" #") {
        Some(comment) => line.get(..comment).unwrap_or_default(),
        None => line,
    };
    let mut words = line.split_ascii_whitespace().rev();
    let head = words.next().is_some_and(|word| {
        let rest = word.strip_prefix(['|', '>']);
        rest.is_some_and(|rest| rest.len() <= 2 && rest.bytes().all(|byte| b"+-123456789".contains(&byte)))
    });
    let before = words.find(|word| !word.starts_with(['&', '!']));
    head && !line.starts_with('#')
        && before.is_none_or(|word| word.ends_with(':') || matches!(word, "-" | "?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_marks_of_flow_collections() {
        for (text, marks) in [
            ("a: 1\nb: [1, 2]\n", 3),
            ("{a: 1,\n b: [x,y]}", 8),
            ("{\"a,b\": 'c,''d'}", 3),
            ("- {a: 1}\n- {a: 1}\n", 3),
            ("a: &x !!seq [1,2,3]", 4),
            ("--- [1,2,3]", 4),
            ("\"a: {\": [1,2,3]", 4),
            ("a: 'it''s, [{'\nb: '{\n {\n'\nc: [1]", 2),
            ("[1, 'x'',\"', 2]", 4),
            ("a: plain {text, with [marks]\nb: c, d: e\n", 0),
            ("a: |\n  {\"j\": [1,2,3]}\n  {\nb: [1]\n", 2),
            ("a: | # why, [\n  [1,2,3,4]\n", 0),
            ("a:\n- >-\n  [1,2,3,4]\n", 0),
            ("# a: |\n [1,2,3]\n", 4),
            ("a: # b: |\n  [1,2,3]\n", 4),
            ("{a: |\n  1,2,3}", 5),
            ("? [1, 2]\n: {b: c}", 3),
        ] {
            assert!(!has_more_marks(text, marks), "{text}");
            assert!(marks == 0 || has_more_marks(text, marks - 1), "{text}");
        }
    }
}
