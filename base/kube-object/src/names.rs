//! Names of objects, labels and annotations: what the API accepts, in the
//! words in which it refuses.
//!
//! RFC 1123 section 2.1 and RFC 1035 section 2.3.1 say what a DNS label is. Each
//! check returns the list of what is wrong; an empty list is a valid name.

/// Longest DNS label.
pub const LABEL_LEN_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_LEN_MAX: usize = 253;
/// Longest prefix that `generateName` keeps of what was asked.
pub const GENERATE_PREFIX_LEN_MAX: usize = LABEL_LEN_MAX - SUFFIX_LEN;
/// All annotations of an object together.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// A label of RFC 1123: `my-name`, `123-abc`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut wrong = too_long(value, LABEL_LEN_MAX);
    if !is_label(value, lower_or_digit) {
        if subdomain_matches(value) {
            wrong.push("must not contain dots".to_owned());
        } else {
            wrong.push(pattern(LABEL_TEXT, &["my-name", "123-abc"], LABEL_PATTERN));
        }
    }
    wrong
}

/// A subdomain of RFC 1123: `example.com`.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut wrong = too_long(value, SUBDOMAIN_LEN_MAX);
    if !subdomain_matches(value) {
        wrong.push(pattern(SUBDOMAIN_TEXT, &["example.com"], SUBDOMAIN_PATTERN));
    }
    wrong
}

/// A label of RFC 1035, as names of services are: `my-name`, `abc-123`.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut wrong = too_long(value, LABEL_LEN_MAX);
    let starts = value.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !(starts && is_label(value, lower_or_digit)) {
        wrong.push(pattern(LABEL_1035_TEXT, &["my-name", "abc-123"], LABEL_1035_PATTERN));
    }
    wrong
}

/// A key of labels and annotations: a name, or `prefix/name` with a DNS subdomain.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((prefix, name)) if !name.contains('/') => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(dns1123_subdomain(prefix).into_iter().map(|text| format!("prefix part {text}")));
            }
            name
        }
        Some(_) => {
            let text = pattern(QUALIFIED_TEXT, &["MyName", "my.name", "123-abc"], QUALIFIED_PATTERN);
            wrong.push(format!(
                "a qualified name {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            return wrong;
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else {
        wrong.extend(too_long(name, LABEL_LEN_MAX).into_iter().map(|text| format!("name part {text}")));
    }
    if !is_label(name, qualified_char) {
        let text = pattern(QUALIFIED_TEXT, &["MyName", "my.name", "123-abc"], QUALIFIED_PATTERN);
        wrong.push(format!("name part {text}"));
    }
    wrong
}

/// A label's value: empty, or like the name part of a key.
pub fn label_value(value: &str) -> Vec<String> {
    let mut wrong = too_long(value, LABEL_LEN_MAX);
    if !value.is_empty() && !is_label(value, qualified_char) {
        wrong.push(pattern(LABEL_VALUE_TEXT, &["MyValue", "my_value", "12345"], LABEL_VALUE_PATTERN));
    }
    wrong
}

/// A name that is used as one segment of a URL's path.
pub fn path_segment(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    let unwanted = ["/", "%"].into_iter().filter(|part| value.contains(part));
    unwanted.map(|part| format!("may not contain '{part}'")).collect()
}

/// The name part of a check of `generateName`: a prefix may end with a dash.
pub fn mask_trailing_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(start) if !start.is_empty() => format!("{start}a"),
        _ => prefix.to_owned(),
    }
}

/// The name that `generateName` asks for: the prefix, cut to leave room, and
/// five characters chosen by `random`, of which each byte should be uniform.
pub fn generate(prefix: &str, random: [u8; SUFFIX_LEN]) -> String {
    let mut end = prefix.len().min(GENERATE_PREFIX_LEN_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let suffix =
        random.into_iter().map(|byte| char::from(SUFFIX_ALPHABET[usize::from(byte) % SUFFIX_ALPHABET.len()]));
    prefix[..end].chars().chain(suffix).collect()
}

/// Length of a generated suffix.
pub const SUFFIX_LEN: usize = 5;

fn lower_or_digit(byte: u8, inside: bool) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || (inside && byte == b'-')
}

fn qualified_char(byte: u8, inside: bool) -> bool {
    byte.is_ascii_alphanumeric() || (inside && b"-_.".contains(&byte))
}

/// Whether the text is not empty and each byte is allowed where it stands:
/// at an end, or inside.
fn is_label(value: &str, allowed: fn(u8, bool) -> bool) -> bool {
    let last = value.len().wrapping_sub(1);
    !value.is_empty() && value.bytes().enumerate().all(|(at, byte)| allowed(byte, at != 0 && at != last))
}

fn subdomain_matches(value: &str) -> bool {
    value.split('.').all(|label| is_label(label, lower_or_digit))
}

fn too_long(value: &str, max: usize) -> Vec<String> {
    if value.len() > max { vec![format!("must be no more than {max} characters")] } else { Vec::new() }
}

fn pattern(text: &str, examples: &[&str], regex: &str) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}'")).collect();
    format!("{text} (e.g. {}, regex used for validation is '{regex}')", examples.join(",  or "))
}

/// No vowels and nothing that is read as another: no words appear.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

const LABEL_PATTERN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
     and must start and end with an alphanumeric character";
const SUBDOMAIN_PATTERN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
     '-' or '.', and must start and end with an alphanumeric character";
const LABEL_1035_PATTERN: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035_TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
     start with an alphabetic character, and end with an alphanumeric character";
const QUALIFIED_PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character";
const LABEL_VALUE_PATTERN: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
     '-', '_' or '.', and must start and end with an alphanumeric character";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
        for name in good {
            assert_eq!(test(name), Vec::<String>::new(), "{name}");
        }
        for name in bad {
            assert!(!test(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn tells_good_from_bad() {
        let (long, longest) = ("a".repeat(64), "a".repeat(63));
        check(
            dns1123_label,
            &["a", "1", "a-b", "0-0", &longest],
            &["", "A", "-a", "a-", "a.b", "a_b", "ä", &long],
        );
        check(
            dns1123_subdomain,
            &["a", "a.b.c", "1.2", &long],
            &["", ".", "a.", ".a", "a..b", "a.-b", "A.b", "a b"],
        );
        check(dns1035_label, &["a", "a1", "a-1"], &["", "1a", "-a", "a-", "a.b", &long]);
        check(
            qualified_name,
            &["a", "A_b.c", "example.com/Name", "1/2", "x/a-b"],
            &["", "/", "a/", "/a", "a/b/c", "-a", "a-", "A.b/c", "a b", &long],
        );
        check(label_value, &["", "a", "A_b.c", "1"], &["-", "a-", "a/b", " ", &long]);
        check(path_segment, &["a", "system:node", "..."], &[".", "..", "a/b", "a%b"]);
    }

    #[test]
    fn refuses_in_the_known_words() {
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
              and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns1123_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
              must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            label_value("_"),
            [
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
              must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
              used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ]
        );
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/")[0], "name part must be non-empty");
        assert_eq!(dns1035_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
    }

    #[test]
    fn generates_names_that_fit() {
        assert_eq!(generate("web-", [0, 1, 2, 26, 27]), "web-bcd9b");
        let name = generate(&"x".repeat(300), [255; 5]);
        assert_eq!(name.len(), 63);
        assert_eq!(dns1123_label(&name), Vec::<String>::new());
        assert!(generate(&"ä".repeat(60), [0; 5]).len() <= 63);
        assert_eq!(
            (mask_trailing_dash("web-"), mask_trailing_dash("-")),
            ("weba".to_owned(), "-".to_owned())
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value in "\\PC{0,80}") {
            for test in [dns1123_label, dns1123_subdomain, dns1035_label, qualified_name, label_value, path_segment] {
                let _ = test(&value);
            }
            let _ = generate(&value, [7; 5]);
        }
    }
}
