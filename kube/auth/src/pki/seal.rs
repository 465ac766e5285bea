//! A secret kept where others may read: sealed with a key that a token makes.
//!
//! PBKDF2 with HMAC-SHA-256 over a random salt makes the key, AES-256-GCM seals. Salt and number of rounds
//! stand beside the sealed bytes in one JSON object, and are sealed against change with them.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

/// The key that a token and a salt make.
pub struct Seal {
    salt: [u8; SALT_LEN],
    rounds: NonZeroU32,
    key: LessSafeKey,
}

/// Nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes are none that this version of the program sealed.
    #[error("what is sealed there has a form that this version does not know")]
    Form,
    /// Another token sealed it, or somebody changed it.
    #[error("it was sealed with another token")]
    Token,
    /// The machine gave no randomness, or the cipher refused.
    #[error("the cipher refused")]
    Cipher,
}

impl Seal {
    /// Of a token, with a salt of its own. Slow on purpose: a token may be guessable.
    pub fn new(token: &str) -> Result<Self, SealError> {
        let mut salt = [0; SALT_LEN];
        SystemRandom::new().fill(&mut salt).map_err(|_| SealError::Cipher)?;
        Self::with(token, salt, ROUNDS)
    }

    /// The one that `sealed` was sealed with, if the token is right. As slow.
    pub fn of(sealed: &[u8], token: &str) -> Result<Self, SealError> {
        let Parts { salt, rounds, .. } = Parts::read(sealed)?;
        Self::with(token, salt, rounds)
    }

    fn with(token: &str, salt: [u8; SALT_LEN], rounds: NonZeroU32) -> Result<Self, SealError> {
        let mut key = [0; 32];
        derive(PBKDF2_HMAC_SHA256, rounds, &salt, token.as_bytes(), &mut key);
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealError::Cipher)?;
        Ok(Self { salt, rounds, key: LessSafeKey::new(key) })
    }

    /// Whether `sealed` has this salt: then another key need not be made for it.
    pub fn is_of(&self, sealed: &[u8]) -> bool {
        Parts::read(sealed).is_ok_and(|parts| parts.salt == self.salt && parts.rounds == self.rounds)
    }

    /// Seals.
    pub fn close(&self, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Cipher)?;
        let mut bytes = secret.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(unique, self.context(), &mut bytes)
            .map_err(|_| SealError::Cipher)?;
        let sealed = json!({
            "version": VERSION, "rounds": self.rounds, "salt": STANDARD.encode(self.salt),
            "nonce": STANDARD.encode(nonce), "sealed": STANDARD.encode(bytes),
        });
        Ok(sealed.to_string().into_bytes())
    }

    /// Opens.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let Parts { nonce, mut bytes, .. } = Parts::read(sealed)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let secret =
            self.key.open_in_place(nonce, self.context(), &mut bytes).map_err(|_| SealError::Token)?;
        Ok(secret.to_vec())
    }

    /// What is not secret and yet must not be changed.
    fn context(&self) -> Aad<Vec<u8>> {
        Aad::from([CONTEXT, &self.salt, &self.rounds.get().to_be_bytes()].concat())
    }
}

/// Never the key.
impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("rounds", &self.rounds).finish_non_exhaustive()
    }
}

struct Parts {
    salt: [u8; SALT_LEN],
    rounds: NonZeroU32,
    nonce: [u8; NONCE_LEN],
    bytes: Vec<u8>,
}

impl Parts {
    fn read(sealed: &[u8]) -> Result<Self, SealError> {
        let object: Value = serde_json::from_slice(sealed).map_err(|_| SealError::Form)?;
        let bytes = |name: &str| {
            let text = object.get(name).and_then(Value::as_str).ok_or(SealError::Form)?;
            STANDARD.decode(text).map_err(|_| SealError::Form)
        };
        if object.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(SealError::Form);
        }
        let rounds =
            object.get("rounds").and_then(Value::as_u64).and_then(|rounds| u32::try_from(rounds).ok());
        let rounds = rounds.and_then(NonZeroU32::new).filter(|rounds| *rounds <= ROUNDS_MAX);
        Ok(Self {
            salt: bytes("salt")?.try_into().map_err(|_| SealError::Form)?,
            rounds: rounds.ok_or(SealError::Form)?,
            nonce: bytes("nonce")?.try_into().map_err(|_| SealError::Form)?,
            bytes: bytes("sealed")?,
        })
    }
}

const VERSION: u64 = 1;
const SALT_LEN: usize = 16;
const CONTEXT: &[u8] = b"strake cluster keys 1";
/// What OWASP asks of PBKDF2 with HMAC-SHA-256.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");
/// Who can write to the datastore must not keep a server busy for ever.
const ROUNDS_MAX: NonZeroU32 = NonZeroU32::new(10_000_000).expect("not zero");

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(token: &str) -> Seal {
        Seal::with(token, [7; SALT_LEN], NonZeroU32::MIN).unwrap()
    }

    #[test]
    fn opens_with_the_same_token_only() {
        let seal = quick("right");
        let sealed = seal.close(b"secret").unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("secret"));
        assert_eq!(Seal::of(&sealed, "right").unwrap().open(&sealed).unwrap(), b"secret");
        assert_eq!(Seal::of(&sealed, "wrong").unwrap().open(&sealed), Err(SealError::Token));
        assert!(seal.is_of(&sealed));
        assert_ne!(seal.close(b"secret").unwrap(), sealed);
    }

    #[test]
    fn what_was_changed_is_refused() {
        let seal = quick("right");
        let sealed: Value = serde_json::from_slice(&seal.close(b"secret").unwrap()).unwrap();
        let open = |changed: Value| {
            let bytes = changed.to_string();
            Seal::of(bytes.as_bytes(), "right").and_then(|seal| seal.open(bytes.as_bytes()))
        };
        for (name, value, expected) in [
            ("version", json!(2), SealError::Form),
            ("rounds", json!(2), SealError::Token),
            ("rounds", json!(0), SealError::Form),
            ("rounds", json!(u32::MAX), SealError::Form),
            ("salt", json!(STANDARD.encode([8; SALT_LEN])), SealError::Token),
            ("salt", json!("AA=="), SealError::Form),
            ("nonce", json!(STANDARD.encode([0; NONCE_LEN])), SealError::Token),
            ("sealed", json!(STANDARD.encode([0; 40])), SealError::Token),
            ("sealed", json!(""), SealError::Token),
            ("sealed", json!("?"), SealError::Form),
        ] {
            let mut changed = sealed.clone();
            changed[name] = value.clone();
            assert_eq!(open(changed), Err(expected), "{name}: {value}");
        }
        assert_eq!(Seal::of(b"no JSON", "right").err(), Some(SealError::Form));
    }
}
