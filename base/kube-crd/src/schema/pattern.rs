//! Regular expressions in Go's syntax (RE2), compiled when they are first needed.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// A regular expression.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    regex: OnceLock<Result<Regex, InvalidPattern>>,
}

/// A text is no regular expression of Go's, or a program of it would be too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}")]
pub struct InvalidPattern {
    reason: String,
}

impl Pattern {
    /// A pattern that may yet turn out to be none.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: OnceLock::new() }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a part of `value` matches.
    pub fn is_match(&self, value: &str) -> Result<bool, &InvalidPattern> {
        let regex = self.regex.get_or_init(|| compile(&self.text));
        regex.as_ref().map(|regex| regex.is_match(value))
    }

    /// What is wrong with the pattern.
    pub fn error(&self) -> Option<InvalidPattern> {
        compile(&self.text).err()
    }
}

fn compile(text: &str) -> Result<Regex, InvalidPattern> {
    let ours = translate(text)?;
    RegexBuilder::new(&ours)
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SIZE_MAX)
        .nest_limit(NEST_MAX)
        .build()
        .map_err(|error| InvalidPattern { reason: in_go_s_words(text, &error) })
}

/// Rust's syntax differs from Go's in its classes: there `\d`, `\w` and `\s` are ASCII,
/// and brackets and `&&` have no meaning inside a class; a brace that counts nothing is itself.
fn translate(text: &str) -> Result<String, InvalidPattern> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut class: Option<usize> = None;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        rest = match (letter, class) {
            ('\\', _) => escape(after, class.is_some(), &mut out),
            ('[', None) => {
                class = Some(0);
                out.push('[');
                let negated = after.starts_with('^');
                if negated {
                    out.push('^');
                }
                // A bracket at once behind the opening one is a member.
                let body = after.strip_prefix('^').unwrap_or(after);
                match body.strip_prefix(']') {
                    Some(body) => {
                        out.push_str("\\]");
                        body
                    }
                    None => body,
                }
            }
            ('[', Some(_)) => match named_class(rest) {
                Some(name) => {
                    out.push_str(name);
                    &rest[name.len()..]
                }
                None => {
                    out.push_str("\\[");
                    after
                }
            },
            (']', Some(_)) => {
                class = None;
                out.push(']');
                after
            }
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(letter);
                after
            }
            ('-', Some(_)) if after.starts_with('-') => {
                out.push_str("\\-");
                after
            }
            ('{', None) => {
                let count = repetition(rest)?;
                out.push_str(count.unwrap_or("\\{"));
                count.map_or(after, |count| &rest[count.len()..])
            }
            _ => {
                out.push(letter);
                after
            }
        };
    }
    Ok(out)
}

/// Writes what follows a backslash; gives the rest.
fn escape<'a>(after: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(letter) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let members = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\x0C\\r ",
        _ => "",
    };
    match letter {
        'd' | 'w' | 's' if in_class => out.push_str(members),
        'd' | 'w' | 's' => out.push_str(&format!("[{members}]")),
        'D' | 'W' | 'S' => out.push_str(&format!("[^{members}]")),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'Q' => {
            let quoted = &after[1..];
            let (literal, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(literal));
            return rest;
        }
        _ => {
            out.push('\\');
            out.push(letter);
        }
    }
    &after[letter.len_utf8()..]
}

/// `[:alpha:]` at the head of a text.
fn named_class(text: &str) -> Option<&str> {
    let end = text.strip_prefix("[:")?.find(":]")? + 4;
    let name = &text[2..end - 2];
    let name = name.strip_prefix('^').unwrap_or(name);
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())).then(|| &text[..end])
}

/// `{2}`, `{2,}` or `{2,3}` at the head of a text.
fn repetition(text: &str) -> Result<Option<&str>, InvalidPattern> {
    let Some(end) = text.find('}') else { return Ok(None) };
    let (least, most) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if least.is_empty() || !digits(least) || !digits(most) {
        return Ok(None);
    }
    let too_many = |text: &str| !text.is_empty() && text.parse::<u32>().map_or(true, |n| n > REPEAT_MAX);
    if too_many(least) || too_many(most) {
        return Err(InvalidPattern { reason: format!("invalid repeat count: `{}`", &text[..=end]) });
    }
    Ok(Some(&text[..=end]))
}

fn in_go_s_words(text: &str, error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(_) = error {
        return "expression too large".to_owned();
    }
    let ours = error.to_string();
    let said = |words: &str| ours.contains(words);
    if said("look-around") || said("backreferences") || said("unrecognized flag") {
        let from = text.find("(?").map_or(text, |at| &text[at..]);
        let shown: String = from.chars().take(if from.starts_with("(?<") { 4 } else { 3 }).collect();
        format!("invalid or unsupported Perl syntax: `{shown}`")
    } else if said("unclosed group") {
        format!("missing closing ): `{text}`")
    } else if said("unopened group") {
        format!("unexpected ): `{text}`")
    } else if said("unclosed character class") {
        let from = text.rfind('[').map_or(text, |at| &text[at..]);
        format!("missing closing ]: `{from}`")
    } else if said("repetition operator missing") {
        let from = text.find(['*', '+', '?']).map_or(text, |at| &text[at..=at]);
        format!("missing argument to repetition operator: `{from}`")
    } else if said("invalid character class range") || said("invalid range") {
        format!("invalid character class range: `{text}`")
    } else if said("unrecognized escape") || said("incomplete escape") {
        let from = text.find('\\').map_or(text, |at| &text[at..]);
        let shown: String = from.chars().take(2).collect();
        format!("invalid escape sequence: `{shown}`")
    } else {
        format!("invalid syntax: `{text}`")
    }
}

/// Bytes of a compiled program: Go's own limits let about as much pass.
const SIZE_MAX: usize = 4 << 20;
const NEST_MAX: u32 = 200;
/// Go's limit of a repetition's count.
const REPEAT_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, value, expected) in [
            ("^a+$", "aaa", true),
            ("^\\d$", "٣", false),
            ("^[\\w-]+$", "a_b-9", true),
            ("^[^\\s]+$", "a b", false),
            ("^[[]$", "[", true),
            ("^[]]$", "]", true),
            ("^[^]]$", "]", false),
            ("^[a&&b]+$", "a&b", true),
            ("^a{$", "a{", true),
            ("^{a}$", "{a}", true),
            ("^a{2,3}$", "aa", true),
            ("^\\Qa.b\\E$", "axb", false),
            ("^[[:alpha:]]+$", "abc", true),
            ("\\bfoo\\b", "a foo b", true),
            ("^\\/x\\-$", "/x-", true),
            ("(?i)^abc$", "ABC", true),
            ("^(?P<n>a)$", "a", true),
            ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", "a.b-c", true),
            ("^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE])?$", "1.5Gi", true),
            ("^.{1,253}$", "é", true),
        ] {
            assert_eq!(Pattern::new(pattern).is_match(value), Ok(expected), "{pattern} {value}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (pattern, reason) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("(((a{1000}){1000}){1000})", "expression too large"),
        ] {
            let error = Pattern::new(pattern).error().map(|error| error.reason);
            assert_eq!(error.as_deref(), Some(reason), "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a\\[\\](){}\\\\^*+?|,:0-9dwsQEé-]{0,24}", value in ".{0,8}") {
            let _ = Pattern::new(&text).is_match(&value);
        }
    }
}
