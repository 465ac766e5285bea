//! Lines of the CRI's log format: `TIME STREAM TAG TEXT`.

use jiff::Timestamp;

use super::options::Options;

/// A line that is longer is cut where it stands in memory; runtimes write at most 16 KiB.
pub(super) const LINE_MAX: usize = 1 << 20;

/// What a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// The time as it stands in the file.
    pub written: &'a str,
    /// Where to.
    pub stream: Stream,
    /// More of the same line follows.
    pub partial: bool,
    /// The bytes, without the end of the line.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Of a line of the file, without its end; none if it is no such line.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let (time, rest) = word(raw)?;
        let (stream, rest) = word(rest)?;
        // A tag may have more parts behind colons. Nothing behind it is an empty line.
        let (tags, text) = word(rest).unwrap_or((rest, &[]));
        let written = std::str::from_utf8(time).ok()?;
        let stream = match stream {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let partial = match tags.split(|byte| *byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        Some(Self { time: written.parse().ok()?, written, stream, partial, text })
    }
}

fn word(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(raw, b' ')?;
    Some((raw.get(..at)?, raw.get(at + 1..)?))
}

fn memchr(raw: &[u8], byte: u8) -> Option<usize> {
    raw.iter().position(|found| *found == byte)
}

/// Turns a file's lines into what is shown.
#[derive(Debug)]
pub struct Shown {
    options: Options,
    /// The last line of either stream had an end.
    fresh: bool,
    left: Option<u64>,
}

impl Shown {
    /// Shows what is asked for.
    pub fn new(options: Options) -> Self {
        Self { left: options.limit, options, fresh: true }
    }

    /// Appends what is shown of a raw line.
    pub fn show(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(raw) else { return };
        if self.options.stream.is_some_and(|stream| stream != line.stream)
            || self.options.since.is_some_and(|since| line.time < since)
        {
            return;
        }
        let from = out.len();
        if self.options.timestamps && self.fresh {
            out.extend_from_slice(fixed(&line).as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.fresh = !line.partial;
        if let Some(left) = &mut self.left {
            let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len() - from);
            out.truncate(from + wanted);
            *left -= wanted as u64;
        }
    }

    /// Whether all that may be shown has been.
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }
}

/// The time with nine digits behind the point, in the zone in which it was written.
fn fixed(line: &Line<'_>) -> String {
    let written = line.written;
    let zone = written.find(['Z', '+']).or_else(|| written.rfind('-').filter(|at| *at > 10));
    let (time, zone) = written.split_at(zone.unwrap_or(written.len()));
    let (seconds, digits) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{digits:0<9}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[&[u8]] = &[
        b"2026-01-01T00:00:01.5Z stdout F one",
        b"2026-01-01T00:00:02.123456789Z stderr F two",
        b"2026-01-01T00:00:03+01:00 stdout P thr",
        b"2026-01-01T00:00:03Z stdout F ee",
        b"2026-01-01T00:00:04Z stdout F ",
        b"nonsense",
        b"2026-01-01T00:00:05Z stdin F x",
        b"2026-01-01T00:00:06Z stdout F:tag four",
    ];

    fn shown(options: Options) -> String {
        let (mut shown, mut out) = (Shown::new(options), Vec::new());
        FILE.iter().for_each(|raw| shown.show(raw, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shows_lines() {
        assert_eq!(shown(Options::default()), "one\ntwo\nthree\n\nfour\n");
        let stream = Some(Stream::Stderr);
        assert_eq!(shown(Options { stream, ..Options::default() }), "two\n");
        let since = "2026-01-01T00:00:03.5Z".parse().ok();
        assert_eq!(shown(Options { since, ..Options::default() }), "\nfour\n");
        assert_eq!(shown(Options { limit: Some(6), ..Options::default() }), "one\ntw");
        assert_eq!(
            shown(Options { timestamps: true, limit: Some(116), ..Options::default() }),
            "2026-01-01T00:00:01.500000000Z one\n2026-01-01T00:00:02.123456789Z two\n\
             2026-01-01T00:00:03.000000000+01:00 three\n2026"
        );
    }

    #[test]
    fn knows_its_format() {
        let line = Line::parse(b"2026-01-01T00:00:01Z stderr P  two words ").unwrap();
        assert_eq!((line.stream, line.partial, line.text), (Stream::Stderr, true, &b" two words "[..]));
        for raw in
            [&b""[..], b" ", b"x stdout F y", b"2026-01-01T00:00:01Z stdout", b"2026-01-01T00:00:01Z  F a"]
        {
            assert_eq!(Line::parse(raw), None, "{raw:?}");
        }
        assert_eq!(Line::parse(b"2026-01-01T00:00:01Z stdout F").map(|line| line.text), Some(&b""[..]));
    }
}
