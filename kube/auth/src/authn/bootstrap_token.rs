//! Bootstrap tokens: `ID.SECRET`, kept in secrets of `kube-system` for nodes that join.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::time::Time;
use kube_object::user::User;
use serde_json::Value;

use super::TokenError;
use crate::rbac::index::str_at;

/// The user of a bootstrap token; an error if it has the form of one but is none.
pub(super) fn authenticate(
    cluster: &dyn Cluster,
    token: &str,
    now: Timestamp,
) -> Option<Result<User, TokenError>> {
    let (id, secret) = token.split_once('.')?;
    if !is_word(id, ID_LEN) || !is_word(secret, SECRET_LEN) {
        return None;
    }
    let resource = GroupResource::new("", "secrets");
    let found = cluster.get(&resource, "kube-system", &format!("bootstrap-token-{id}"));
    let user = found.and_then(|found| user_of(&found, id, secret, now));
    Some(user.ok_or(TokenError::NotRecognised))
}

fn user_of(object: &Value, id: &str, secret: &str, now: Timestamp) -> Option<User> {
    let deleted = object.get("metadata").and_then(|meta| meta.get("deletionTimestamp")).is_some();
    if deleted || str_at(object, &["type"]) != "bootstrap.kubernetes.io/token" {
        return None;
    }
    let data = |key: &str| -> Option<String> {
        let bytes = STANDARD.decode(str_at(object, &["data", key])).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    if !same(data("token-secret")?.as_bytes(), secret.as_bytes()) || data("token-id")? != id {
        return None;
    }
    if let Some(expiration) = data("expiration") {
        let until = Time::parse(&expiration).ok()?;
        if now.as_second() >= until.unix() {
            return None;
        }
    }
    if data("usage-bootstrap-authentication")? != "true" {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in data("auth-extra-groups").unwrap_or_default().split(',').filter(|group| !group.is_empty()) {
        if !is_group(group) {
            return None;
        }
        groups.push(group.to_owned());
    }
    Some(User { name: format!("system:bootstrap:{id}"), groups, ..User::default() })
}

/// `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]`
fn is_group(group: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    group.strip_prefix("system:bootstrappers:").is_some_and(|rest| {
        (1..=256).contains(&rest.len())
            && rest.bytes().all(|byte| allowed(byte) || byte == b':' || byte == b'-')
            && rest.bytes().last().is_some_and(allowed)
    })
}

/// `[a-z0-9]` so many times.
pub(crate) fn is_word(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// In the same time whatever differs.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

pub(crate) const GROUP: &str = "system:bootstrappers";
pub(crate) const ID_LEN: usize = 6;
pub(crate) const SECRET_LEN: usize = 16;
