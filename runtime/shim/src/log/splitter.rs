//! Cuts a stream of bytes into log entries. Pure.
//!
//! docker's semantic: a line of at most 16 KiB is one entry that ends in a newline; of a
//! longer one each full 16 KiB are an entry without a newline, all with the time at which
//! the line began; what is left at the end of the stream is an entry without a newline.
//! A cut never falls inside a UTF-8 character (docker's may).

use super::entry::{LogStream, write_cri_entry, write_entry};
use crate::Timestamp;
use crate::protocol::LogDriver;

/// The most bytes of one line in one entry.
pub const PARTIAL_MAX: usize = 16 * 1024;

/// The cutter for one stream.
#[derive(Debug)]
pub struct Splitter {
    stream: LogStream,
    form: LogDriver,
    /// What each entry of docker's form carries.
    attributes: Option<String>,
    /// Bytes of a line whose end has not come.
    pending: Vec<u8>,
    /// When the unfinished line was cut for the first time.
    cut_at: Option<Timestamp>,
}

impl Splitter {
    /// A cutter for `stream`, whose entries are of that form.
    pub fn new(stream: LogStream, form: LogDriver) -> Self {
        Self { stream, form, attributes: None, pending: Vec::new(), cut_at: None }
    }

    /// The same, each of whose entries carries a JSON object.
    #[must_use]
    pub fn carrying(mut self, attributes: Option<&str>) -> Self {
        self.attributes = attributes.map(str::to_owned);
        self
    }

    /// Appends one entry; `ends_line`: it is a whole line, or the last part of one.
    fn entry(&self, out: &mut Vec<u8>, text: &[u8], ends_line: bool, time: Timestamp) {
        match self.form {
            LogDriver::Cri => write_cri_entry(out, text, ends_line, self.stream, time),
            LogDriver::JsonFile | LogDriver::None => {
                write_entry(out, text, ends_line, (self.stream, self.attributes.as_deref()), time);
            }
        }
    }

    /// Takes bytes that were read at `now` and appends whole entries to `out`.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(newline) = rest.iter().position(|b| *b == b'\n') {
            let (line, after) = (&rest[..newline], &rest[newline + 1..]);
            let line = self.cut(line, now, out);
            let time = self.cut_at.take().unwrap_or(now);
            if self.pending.is_empty() {
                self.entry(out, line, true, time);
            } else {
                self.pending.extend_from_slice(line);
                let whole = std::mem::take(&mut self.pending);
                self.entry(out, &whole, true, time);
            }
            rest = after;
        }
        let rest = self.cut(rest, now, out);
        self.pending.extend_from_slice(rest);
    }

    /// The stream has ended: what is left becomes an entry.
    pub fn finish(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        let time = self.cut_at.take().unwrap_or(now);
        if !self.pending.is_empty() {
            let left = std::mem::take(&mut self.pending);
            self.entry(out, &left, false, time);
        }
    }

    /// Writes out full parts of a line that does not fit; gives back what fits beside `pending`.
    fn cut<'a>(&mut self, mut line: &'a [u8], now: Timestamp, out: &mut Vec<u8>) -> &'a [u8] {
        while self.pending.len() + line.len() > PARTIAL_MAX {
            let (part, rest) = line.split_at(PARTIAL_MAX - self.pending.len());
            self.pending.extend_from_slice(part);
            line = rest;
            let keep = incomplete_tail(&self.pending);
            let tail = self.pending.split_off(self.pending.len() - keep);
            let time = *self.cut_at.get_or_insert(now);
            self.entry(out, &self.pending, false, time);
            self.pending = tail;
        }
        line
    }
}

/// Bytes at the end of `bytes` that begin a UTF-8 character without finishing it.
fn incomplete_tail(bytes: &[u8]) -> usize {
    for back in 1..=3.min(bytes.len()) {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return 0,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::parse_entry;

    /// Pushes the pieces at times 1, 2, 3 … and lists `time:length of text`, `$` for a newline.
    fn run(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::new(LogStream::Stdout, LogDriver::JsonFile);
        let mut out = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            splitter.push(piece, Timestamp::from_unix(at as i64 + 1, 0), &mut out);
        }
        splitter.finish(Timestamp::from_unix(99, 0), &mut out);
        assert!(splitter.pending.is_empty());
        out.split_inclusive(|b| *b == b'\n')
            .map(|line| {
                let entry = parse_entry(line).unwrap();
                let body = entry.text.trim_end_matches('\n');
                let shown = if body.len() < 10 { body.to_owned() } else { body.len().to_string() };
                format!(
                    "{}:{shown}{}",
                    entry.time.seconds(),
                    if entry.text.ends_with('\n') { "$" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn lines_in_any_pieces() {
        assert_eq!(run(&[b"a\nb\n"]), ["1:a$", "1:b$"]);
        assert_eq!(run(&[b"a", b"b\n", b"c"]), ["2:ab$", "99:c"]);
        assert_eq!(run(&[b"\n\n"]), ["1:$", "1:$"]);
        assert_eq!(run(&[b"", b""]), Vec::<String>::new());
    }

    #[test]
    fn what_has_no_end_is_a_part() {
        let mut splitter = Splitter::new(LogStream::Stdout, LogDriver::Cri);
        let mut out = Vec::new();
        splitter.push(b"a\nb", Timestamp::from_unix(0, 0), &mut out);
        splitter.finish(Timestamp::from_unix(0, 0), &mut out);
        let text = String::from_utf8(out).unwrap();
        let tagged: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(" stdout ")).map(|it| it.1).collect();
        assert_eq!(tagged, ["F a", "P b"]);
    }

    #[test]
    fn long_lines_are_cut_at_16_kib() {
        let exact = [b'x'; PARTIAL_MAX];
        assert_eq!(run(&[&exact, b"\n"]), ["2:16384$"]);
        assert_eq!(run(&[&exact, b"y\n"]), ["2:16384", "2:y$"]);
        let three = [b'x'; 3 * PARTIAL_MAX + 1];
        assert_eq!(run(&[&three, b"z\nq\n"]), ["1:16384", "1:16384", "1:16384", "1:xz$", "2:q$"]);
    }

    #[test]
    fn no_cut_inside_a_character() {
        let mut text = vec![b'x'; PARTIAL_MAX - 1];
        text.extend("€€\n".as_bytes());
        assert_eq!(run(&[&text]), ["1:16383", "1:€€$"]);
        let garbage = [0x80u8; PARTIAL_MAX + 5];
        assert_eq!(run(&[&garbage]).len(), 2);
    }
}
