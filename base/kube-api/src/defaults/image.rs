//! What an image's name says about pulling it.

/// The policy for an image whose author named none: a moving tag is always looked up.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag of an image reference: `latest` where neither tag nor digest is said; none where
/// only a digest is, or the reference is malformed.
fn tag(image: &str) -> Option<&str> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return None;
    }
    let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match name.get(path_start..).and_then(|last| last.find(':')) {
        Some(colon) => (name.get(..path_start + colon)?, name.get(path_start + colon + 1..)),
        None => (name, None),
    };
    if !is_repository(repository) || tag.is_some_and(|tag| !is_tag(tag)) {
        return None;
    }
    match (tag, digest) {
        (Some(tag), _) => Some(tag),
        (None, None) => Some("latest"),
        (None, Some(_)) => None,
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_LEN_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    !algorithm.is_empty() && hex.len() >= DIGEST_LEN_MIN && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A registry that may have upper case and a port, then lower-case components.
fn is_repository(name: &str) -> bool {
    let mut parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 1
        && let Some(first) = parts.first().copied()
        && (first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase))
    {
        if !is_registry(first) {
            return false;
        }
        parts.remove(0);
    }
    name.len() <= NAME_LEN_MAX && parts.into_iter().all(is_component)
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(']') || !port.is_empty() => (host, Some(port)),
        _ => (registry, None),
    };
    let host_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-.[]:".contains(&byte);
    !host.is_empty()
        && host.bytes().all(host_char)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_component(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(word) && part.bytes().next_back().is_some_and(word);
    let separated =
        !part.contains("..") && !part.contains("._") && !part.contains("_.") && !part.contains("___");
    ends && separated && part.bytes().all(|byte| word(byte) || b"._-".contains(&byte))
}

const TAG_LEN_MAX: usize = 128;
const NAME_LEN_MAX: usize = 255;
const DIGEST_LEN_MIN: usize = 32;

#[cfg(test)]
mod tests {
    use super::pull_policy;

    #[test]
    fn only_a_moving_tag_is_always_pulled() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry.k8s.io/pause", "Always"),
            ("localhost:5000/a/b", "Always"),
            ("localhost:5000/a/b:v1", "IfNotPresent"),
            (&format!("nginx@{digest}"), "IfNotPresent"),
            (&format!("nginx:latest@{digest}"), "Always"),
            ("Nginx", "IfNotPresent"),
            ("", "IfNotPresent"),
            (" ", "IfNotPresent"),
            ("nginx:", "IfNotPresent"),
            ("a//b", "IfNotPresent"),
            ("example.com/UPPER", "IfNotPresent"),
            ("ä:b@c", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
