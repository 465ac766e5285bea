//! What a container may be called.

/// The text is not a container name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid container name ({raw}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed: use two characters or more, \
     the first of them a letter or digit"
)]
pub struct InvalidName {
    /// What was given.
    pub raw: String,
}

/// Docker's rule for names of containers; a leading `/` is dropped. The result is a safe file name.
pub fn validate_name(raw: &str) -> Result<&str, InvalidName> {
    let name = raw.strip_prefix('/').unwrap_or(raw);
    if name.len() >= 2 && may_be_known(name) { Ok(name) } else { Err(InvalidName { raw: raw.to_owned() }) }
}

/// Whether a container may be kept under this name: versions before gave names of one character, too.
pub(super) fn may_be_known(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.len() <= 255 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_file_names() {
        for raw in ["web", "/web", "a1", "a_b.c-d", "0-", &"n".repeat(255)] {
            assert!(validate_name(raw).is_ok(), "{raw}");
        }
        for raw in ["", "a", "/a", "..", "-a", "_a", "a/b", "a b", "é1", "//a1", &"n".repeat(256)] {
            assert!(validate_name(raw).is_err(), "{raw}");
        }
        assert!(may_be_known("a") && !may_be_known("") && !may_be_known(".."));
    }
}
