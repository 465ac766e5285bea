//! What is asked of a log.

use jiff::Timestamp;

/// Which lines, and how they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Of the container before this one.
    pub previous: bool,
    /// Wait for more.
    pub follow: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Nothing from before.
    pub since: Option<Timestamp>,
    /// So many lines from the end.
    pub tail: Option<u64>,
    /// So many bytes.
    pub limit: Option<u64>,
    /// `stdout` or `stderr`; else both.
    pub stream: Option<super::line::Stream>,
}

/// What is asked cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A value that is no number, or no time.
    #[error("unable to decode query")]
    Undecodable,
    /// A value out of its range.
    #[error("{0}")]
    Invalid(String),
}

impl Options {
    /// Of the query's pairs.
    pub fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, OptionsError> {
        let text = |name: &str| {
            let found = pairs.iter().find(|(found, _)| found == name);
            found.map(|(_, value)| value.as_str())
        };
        let flag = |name: &str| text(name).is_some_and(|value| !matches!(value, "false" | "0"));
        let number = |name: &str| match text(name).filter(|value| !value.is_empty()) {
            Some(value) => value.parse::<i64>().map(Some).map_err(|_| OptionsError::Undecodable),
            None => Ok(None),
        };
        let invalid = |field: &str, value: i64, least: i64| {
            let why = format!("{field}: Invalid value: {value}: must be greater than or equal to {least}");
            Err(OptionsError::Invalid(why))
        };
        let (tail, limit, seconds) = (number("tailLines")?, number("limitBytes")?, number("sinceSeconds")?);
        if let Some(tail) = tail.filter(|tail| *tail < 0) {
            return invalid("tailLines", tail, 0);
        }
        if let Some(limit) = limit.filter(|limit| *limit < 1) {
            return invalid("limitBytes", limit, 1);
        }
        if let Some(seconds) = seconds.filter(|seconds| *seconds < 1) {
            return invalid("sinceSeconds", seconds, 1);
        }
        let time = match text("sinceTime").filter(|value| !value.is_empty()) {
            Some(value) => Some(value.parse::<Timestamp>().map_err(|_| OptionsError::Undecodable)?),
            None => None,
        };
        if time.is_some() && seconds.is_some() {
            let why =
                "sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            return Err(OptionsError::Invalid(why.to_owned()));
        }
        let ago = seconds.map(|seconds| {
            let then = now.as_second().saturating_sub(seconds);
            Timestamp::new(then, now.subsec_nanosecond()).unwrap_or(Timestamp::MIN)
        });
        let stream = match text("stream") {
            Some("Stdout") => Some(super::line::Stream::Stdout),
            Some("Stderr") => Some(super::line::Stream::Stderr),
            _ => None,
        };
        Ok(Self {
            previous: flag("previous"),
            follow: flag("follow"),
            timestamps: flag("timestamps"),
            since: time.or(ago),
            tail: tail.and_then(|tail| u64::try_from(tail).ok()),
            limit: limit.and_then(|limit| u64::try_from(limit).ok()),
            stream,
        })
    }
}

/// The pairs of a query, decoded.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let value = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(hexadecimal);
        match (byte, value) {
            (_, Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hexadecimal(pair: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, OptionsError> {
        Options::parse(&query(text), "2026-01-02T03:04:05.5Z".parse().unwrap())
    }

    #[test]
    fn reads_what_is_asked() {
        let all =
            parse("follow=true&previous=1&timestamps=&tailLines=3&limitBytes=9&sinceSeconds=5").unwrap();
        assert_eq!((all.follow, all.previous, all.timestamps), (true, true, true));
        assert_eq!((all.tail, all.limit), (Some(3), Some(9)));
        assert_eq!(all.since.unwrap().to_string(), "2026-01-02T03:04:00.5Z");
        let time = parse("sinceTime=2026-01-01T00%3A00%3A00Z&follow=false").unwrap();
        assert_eq!((time.since.unwrap().to_string().as_str(), time.follow), ("2026-01-01T00:00:00Z", false));
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for (text, why) in [
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than or equal to 1"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than or equal to 1"),
            ("tailLines=x", "unable to decode query"),
            ("sinceTime=yesterday", "unable to decode query"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), why, "{text}");
        }
        assert!(parse("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z").is_err());
        assert!(parse("sinceSeconds=9223372036854775807").is_ok());
    }

    #[test]
    fn decodes_queries() {
        for (text, value) in [("a=b+c", "b c"), ("a=%2F%2f", "//"), ("a=%", "%"), ("a=%zz", "%zz"), ("a", "")]
        {
            assert_eq!(query(text), [("a".to_owned(), value.to_owned())], "{text}");
        }
        assert_eq!(query("command=ls&command=-l").len(), 2);
    }
}
