//! The token that a node joins with: whom to trust, and who it is until it has a certificate.
//!
//! `K10<SHA-256 of the authority's PEM>::<id>.<secret>`: the second half is a bootstrap token, which any
//! kubelet can use; the first lets the node trust an authority that it was told without encryption.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use kube_object::time::Time;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::authn::bootstrap_token::{GROUP, ID_LEN, SECRET_LEN, is_word};

/// What `strake agent --token` takes.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The digest of the cluster's authority; a token without one trusts whom it meets.
    authority: Option<[u8; 32]>,
    id: String,
    secret: String,
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token is not of the form K10<digest>::<6 characters>.<16 characters>; `strake token create` prints one"
)]
pub struct InvalidJoinToken;

impl JoinToken {
    /// A token out of random bytes, for the cluster with this authority.
    pub fn new(authority_pem: &str, random: [u8; ID_LEN + SECRET_LEN]) -> Self {
        let letters: String = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
        let (id, secret) = letters.split_at(ID_LEN);
        Self { authority: Some(sha256(authority_pem)), id: id.to_owned(), secret: secret.to_owned() }
    }

    /// Whether an authority is the one that the token was made for.
    pub fn trusts(&self, authority_pem: &str) -> bool {
        self.authority.is_none_or(|expected| expected == sha256(authority_pem))
    }

    /// What is shown to the API server as a bearer token.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// What it is called: the part that is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret of `kube-system` that makes the token valid, until a time or for ever.
    pub fn secret(&self, description: &str, until: Option<Timestamp>) -> Value {
        let mut data = json!({
            "token-id": self.id, "token-secret": self.secret, "description": description,
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": format!("{GROUP}:strake:default-node-token"),
        });
        let until = until.and_then(|until| Time::from_unix(until.as_second()));
        if let (Some(until), Some(data)) = (until, data.as_object_mut()) {
            data.insert("expiration".to_owned(), json!(until.to_string()));
        }
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": secret_name(&self.id), "namespace": "kube-system"},
            "stringData": data,
        })
    }
}

/// The name of a token's secret.
pub fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

impl FromStr for JoinToken {
    type Err = InvalidJoinToken;

    fn from_str(text: &str) -> Result<Self, InvalidJoinToken> {
        let text = text.trim();
        let (authority, token) = match text.strip_prefix("K10") {
            None => (None, text),
            Some(rest) => {
                let (digest, token) = rest.split_once("::").ok_or(InvalidJoinToken)?;
                (Some(from_hex(digest).ok_or(InvalidJoinToken)?), token)
            }
        };
        let (id, secret) = token.split_once('.').ok_or(InvalidJoinToken)?;
        if !is_word(id, ID_LEN) || !is_word(secret, SECRET_LEN) {
            return Err(InvalidJoinToken);
        }
        Ok(Self { authority, id: id.to_owned(), secret: secret.to_owned() })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(authority) = &self.authority {
            f.write_str("K10")?;
            authority.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("::")?;
        }
        write!(f, "{}.{}", self.id, self.secret)
    }
}

/// Never with the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

fn sha256(pem: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, pem.as_bytes()).as_ref());
    bytes
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// 32 of them, so that each of a random byte's values is as likely as the others.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_printed() {
        let token = JoinToken::new("authority", [7; ID_LEN + SECRET_LEN]);
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert!(token.trusts("authority") && !token.trusts("another"));
        assert_eq!(token.bearer().len(), ID_LEN + 1 + SECRET_LEN);
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn a_bootstrap_token_alone_trusts_whom_it_meets() {
        let token: JoinToken = "abcdef.0123456789abcdef".parse().unwrap();
        assert!(token.trusts("anybody"));
        assert_eq!(token.to_string(), "abcdef.0123456789abcdef");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let digest = "0".repeat(64);
        for bad in [
            String::new(),
            "abcdef".to_owned(),
            "ABCDEF.0123456789abcdef".to_owned(),
            "abcdef.0123".to_owned(),
            format!("K10{digest}abcdef.0123456789abcdef"),
            "K10zz::abcdef.0123456789abcdef".to_owned(),
            format!("K10{}é::abcdef.0123456789abcdef", "0".repeat(62)),
        ] {
            assert_eq!(bad.parse::<JoinToken>(), Err(InvalidJoinToken), "{bad}");
        }
    }

    #[test]
    fn its_secret_says_until_when() {
        let token: JoinToken = "abcdef.0123456789abcdef".parse().unwrap();
        let secret = token.secret("for ever", None);
        assert_eq!(secret["metadata"]["name"], "bootstrap-token-abcdef");
        assert!(secret["stringData"].get("expiration").is_none());
        let until = Timestamp::from_second(0).unwrap();
        assert_eq!(token.secret("", Some(until))["stringData"]["expiration"], "1970-01-01T00:00:00Z");
    }
}
