//! What a container may be called.

/// The text is not a container name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid container name ({raw}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed: begin it with a letter or digit"
)]
pub struct InvalidName {
    /// What was given.
    pub raw: String,
}

/// Docker's rule for names, but one character is enough; a leading `/` is dropped. The result
/// is a safe file name.
pub fn validate_name(raw: &str) -> Result<&str, InvalidName> {
    let name = raw.strip_prefix('/').unwrap_or(raw);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let good = (1..=255).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(allowed);
    if good { Ok(name) } else { Err(InvalidName { raw: raw.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_file_names() {
        for raw in ["web", "/web", "a", "a1", "a_b.c-d"] {
            assert!(validate_name(raw).is_ok(), "{raw}");
        }
        for raw in ["", "..", "-a", "_a", "a/b", "a b", "é1", "//a1"] {
            assert!(validate_name(raw).is_err(), "{raw}");
        }
    }
}
