//! Names from an archive: what they mean below a root, and which are refused.

use crate::error::Refusal;

/// A path below a root: components without `.`, `..`, empty ones and NUL bytes, joined
/// with `/`. Empty for the root itself. Says nothing about symbolic links.
pub(crate) type RelPath = Vec<u8>;

/// Takes an entry's name.
pub(crate) fn entry(raw: &[u8], absolute_allowed: bool) -> Result<RelPath, Refusal> {
    if raw.starts_with(b"/") && !absolute_allowed {
        return Err(Refusal::Absolute);
    }
    normalise(raw)
}

/// Takes the target of a hard link, which is meant from the root whether it starts
/// with a slash or not.
pub(crate) fn link_target(raw: &[u8]) -> Result<RelPath, Refusal> {
    normalise(raw)
}

fn normalise(raw: &[u8]) -> Result<RelPath, Refusal> {
    if raw.is_empty() || raw.contains(&0) {
        return Err(Refusal::BadName);
    }
    let mut path = Vec::with_capacity(raw.len());
    for component in raw.split(|b| *b == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(Refusal::DotDot),
            _ if component.len() > NAME_MAX => return Err(Refusal::NameTooLong),
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    if path.len() > PATH_MAX {
        return Err(Refusal::NameTooLong);
    }
    Ok(path)
}

/// The directory of a path and its last name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// `directory/name`; the root's own name is empty.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> RelPath {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Whether `path` is `directory` or below it.
pub(crate) fn is_within(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path.strip_prefix(directory).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
}

/// All directories above `path`, the nearest first; the root (empty) comes last.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(path).filter(|path| !path.is_empty());
    std::iter::from_fn(move || {
        let parent = split(next?).0;
        next = Some(parent).filter(|parent| !parent.is_empty());
        Some(parent)
    })
}

/// What an entry's name says about deletion (OCI image-spec `layer.md`, "Whiteouts").
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whiteout<'a> {
    /// Nothing: an ordinary name.
    No,
    /// The entry of this name in the same directory is deleted from lower layers.
    Of(&'a [u8]),
    /// Everything in the same directory is deleted from lower layers.
    Opaque,
    /// Metadata of aufs that old layers carry: without meaning.
    Ignored,
}

/// Reads the last name of a path.
pub(crate) fn whiteout(name: &[u8]) -> Result<Whiteout<'_>, Refusal> {
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Whiteout::No),
        Some(b".wh..opq") => Ok(Whiteout::Opaque),
        Some(hidden) if hidden.starts_with(WHITEOUT) => Ok(Whiteout::Ignored),
        Some(b"" | b"." | b"..") => Err(Refusal::BadWhiteout),
        Some(target) => Ok(Whiteout::Of(target)),
    }
}

/// Whether a directory of the path has a whiteout's name.
pub(crate) fn has_whiteout_inside(directory: &[u8]) -> bool {
    directory.split(|b| *b == b'/').any(|name| name.starts_with(WHITEOUT))
}

/// How a whiteout's name starts.
pub(crate) const WHITEOUT: &[u8] = b".wh.";

const NAME_MAX: usize = 255;

/// The kernel's limit without the final NUL byte.
const PATH_MAX: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises() {
        for (raw, path) in [
            ("a", Ok("a")),
            ("./a//b/./c/", Ok("a/b/c")),
            (".", Ok("")),
            ("./", Ok("")),
            ("", Err(Refusal::BadName)),
            ("/a", Err(Refusal::Absolute)),
            ("/", Err(Refusal::Absolute)),
            ("..", Err(Refusal::DotDot)),
            ("a/../b", Err(Refusal::DotDot)),
            ("a/..", Err(Refusal::DotDot)),
            ("a\0b", Err(Refusal::BadName)),
            ("...", Ok("...")),
            ("..a", Ok("..a")),
        ] {
            assert_eq!(entry(raw.as_bytes(), false), path.map(|p| p.as_bytes().to_vec()), "{raw:?}");
        }
        assert_eq!(entry(b"/a", true), Ok(b"a".to_vec()));
        assert_eq!(entry(&[b'x'; 256], false), Err(Refusal::NameTooLong));
        assert_eq!(entry(&b"xy/".repeat(2000), false), Err(Refusal::NameTooLong));
    }

    #[test]
    fn reads_whiteouts() {
        for (name, meaning) in [
            ("a", Ok(Whiteout::No)),
            (".wh", Ok(Whiteout::No)),
            (".wh.a", Ok(Whiteout::Of(b"a"))),
            (".wh..a", Ok(Whiteout::Of(b".a"))),
            (".wh....", Ok(Whiteout::Of(b"..."))),
            (".wh..wh..opq", Ok(Whiteout::Opaque)),
            (".wh..wh.plnk", Ok(Whiteout::Ignored)),
            (".wh..wh.", Ok(Whiteout::Ignored)),
            (".wh.", Err(Refusal::BadWhiteout)),
            (".wh..", Err(Refusal::BadWhiteout)),
            (".wh...", Err(Refusal::BadWhiteout)),
        ] {
            assert_eq!(whiteout(name.as_bytes()), meaning, "{name}");
        }
    }

    #[test]
    fn walks_up() {
        let up: Vec<_> = ancestors(b"a/b/c").collect();
        assert_eq!(up, [&b"a/b"[..], b"a", b""]);
        assert_eq!(ancestors(b"").count(), 0);
        assert!(is_within(b"a/b", b"a") && is_within(b"a", b"a") && is_within(b"a", b""));
        assert!(!is_within(b"ab", b"a"));
    }
}
