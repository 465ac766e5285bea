//! The `WWW-Authenticate` header: RFC 9110 section 11.6.1, with the parameters of
//! distribution's `auth/token.md`.

/// One way in which a registry lets itself be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
        /// Why the last token was not enough: `insufficient_scope`, `invalid_token`.
        error: Option<String>,
    },
    /// User name and password.
    Basic,
}

impl Challenge {
    /// All challenges of one header value; schemes that we do not know are left out.
    pub(crate) fn parse(header: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = header.trim_start_matches([' ', ',', '\t']);
        while !rest.is_empty() {
            let (scheme, after) = take_token(rest);
            if scheme.is_empty() {
                break;
            }
            let (parameters, after) = take_parameters(after);
            found.extend(Self::from_parts(scheme, &parameters));
            rest = after.trim_start_matches([' ', ',', '\t']);
        }
        found
    }

    fn from_parts(scheme: &str, parameters: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer {
                realm: get("realm")?,
                service: get("service"),
                scope: get("scope").filter(|scope| !scope.is_empty()),
                error: get("error"),
            });
        }
        None
    }
}

fn take_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// `name=value` pairs up to the next scheme or the end.
fn take_parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.trim_start_matches([' ', ',', '\t']);
        let (name, after) = take_token(at);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            return (pairs, at);
        };
        if name.is_empty() {
            return (pairs, "");
        }
        let (value, after) = take_value(value.trim_start());
        pairs.push((name.to_owned(), value));
        rest = after;
    }
}

/// A token or a quoted string.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope), error: None }
    }

    #[track_caller]
    fn check(header: &str, challenges: &[Challenge]) {
        assert_eq!(Challenge::parse(header), challenges, "{header}");
    }

    #[test]
    fn reads_what_registries_send() {
        check(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
            &[bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:a/b:pull,push"),
            )],
        );
        check(r#"Basic realm="Registry Realm""#, &[Challenge::Basic]);
        check("basic", &[Challenge::Basic]);
        check(r#"BEARER Realm="https://a/t" , service=x"#, &[bearer("https://a/t", Some("x"), None)]);
    }

    #[test]
    fn reads_several_and_skips_the_unknown() {
        check(
            r#"Negotiate, Bearer realm="https://a/t?x=1,2", Basic realm="x""#,
            &[bearer("https://a/t?x=1,2", None, None), Challenge::Basic],
        );
        check(r#"Bearer realm="a\"b""#, &[bearer("a\"b", None, None)]);
    }

    #[test]
    fn survives_nonsense() {
        for header in [
            "",
            " ",
            ",",
            "=",
            "Bearer",
            "Bearer realm",
            "Bearer realm=",
            "Bearer =x",
            "\"",
            "Bearer service=\"x",
            "é é",
        ] {
            let found = Challenge::parse(header);
            assert!(found.is_empty() || header.contains("realm="), "{header}: {found:?}");
        }
    }

    /// Whatever a server sends: challenges or none, never a panic or a loop.
    #[test]
    fn random_headers_never_panic() {
        const PARTS: [&str; 14] = [
            "Bearer",
            "Basic",
            " ",
            ",",
            "=",
            "\"",
            "\\",
            "realm",
            "scope",
            "é",
            "\t",
            "a",
            "=\"",
            "https://x",
        ];
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..20_000 {
            let mut header = String::new();
            for _ in 0..12 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                header.push_str(PARTS[usize::try_from(state >> 33).unwrap() % PARTS.len()]);
            }
            let _ = Challenge::parse(&header);
        }
    }
}
