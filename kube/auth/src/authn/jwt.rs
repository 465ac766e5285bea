//! JSON Web Tokens: compact JWS with ES256 and RS256, and nothing else.
//!
//! The algorithm is the key's, never the token's: a header that says another one is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A key that tokens are verified with.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    id: String,
    algorithm: Algorithm,
    /// As ring wants it: the curve point, or the PKCS#1 key.
    raw: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Algorithm {
    Es256,
    Rs256 { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// A key that tokens are signed with: ECDSA on P-256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    public: VerifyingKey,
}

/// A token taken apart; nobody has looked at its signature yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Value,
    claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The PEM text has no such section, or a broken one.
    #[error("read key from PEM: {0}")]
    Pem(rustls_pki_types::pem::Error),
    /// The public key is not DER of RFC 5280.
    #[error("read public key")]
    PublicKey,
    /// The private key is refused.
    #[error("read private key: {0}")]
    PrivateKey(ring::error::KeyRejected),
    /// Neither ECDSA on P-256 nor RSA.
    #[error("public key is neither ECDSA P-256 nor RSA")]
    Unsupported,
    /// Signing failed.
    #[error("sign token")]
    Sign,
}

impl VerifyingKey {
    /// All public keys of a PEM text: `PUBLIC KEY` and `CERTIFICATE` sections, and the public
    /// halves of `PRIVATE KEY` sections.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            keys.push(Self::from_spki(key.map_err(KeyError::Pem)?.as_ref())?);
        }
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate.map_err(KeyError::Pem)?;
            let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| KeyError::PublicKey)?;
            keys.push(Self::from_spki(parsed.public_key().raw)?);
        }
        if keys.is_empty() {
            keys.push(SigningKey::from_pem(pem)?.public);
        }
        Ok(keys)
    }

    /// Of a `SubjectPublicKeyInfo` in DER.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::PublicKey)?;
        let raw = spki.subject_public_key.data.to_vec();
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(der));
        let algorithm = match spki.parsed().map_err(|_| KeyError::PublicKey)? {
            PublicKey::EC(point) if point.data().len() == P256_POINT_LEN => Algorithm::Es256,
            PublicKey::RSA(key) => Algorithm::Rs256 {
                modulus: trimmed(key.modulus).to_vec(),
                exponent: trimmed(key.exponent).to_vec(),
            },
            _ => return Err(KeyError::Unsupported),
        };
        Ok(Self { id, algorithm, raw })
    }

    /// The key's id: the hash of its DER, as upstream has it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `ES256` or `RS256`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 { .. } => "RS256",
        }
    }

    /// The key in a set of JSON Web Keys, RFC 7517.
    pub fn to_jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.algorithm {
            Algorithm::Es256 => {
                let (x, y) = self.raw.get(1..).unwrap_or_default().split_at(P256_FIELD_LEN);
                json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
                    "x": encode(x), "y": encode(y)})
            }
            Algorithm::Rs256 { modulus, exponent } => json!({"use": "sig", "kty": "RSA", "kid": self.id,
                "alg": "RS256", "n": encode(modulus), "e": encode(exponent)}),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Rs256 { .. } => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.raw).verify(message, signature).is_ok()
    }
}

impl SigningKey {
    /// Of a PKCS#8 `PRIVATE KEY` section.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(KeyError::Pem)?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    /// Of a PKCS#8 key in DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(KeyError::PrivateKey)?;
        let point = pair.public_key().as_ref();
        let spki = [P256_SPKI_HEAD, point].concat();
        let public = VerifyingKey::from_spki(&spki)?;
        Ok(Self { pair, random, public })
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let header = json!({"alg": self.public.algorithm(), "kid": self.public.id});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(&self.random, token.as_bytes()).map_err(|_| KeyError::Sign)?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

/// Never the key.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

impl<'a> Unverified<'a> {
    /// Takes a token apart; none if it is no JWT.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_LEN_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| -> Option<Value> {
            let value: Value = serde_json::from_slice(&decode(part)?).ok()?;
            value.is_object().then_some(value)
        };
        Some(Self { header: json(header)?, claims: json(claims)?, signed, signature: decode(signature)? })
    }

    /// What it claims, without any proof.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// Its claims, if one of the keys signed it.
    pub fn verify(self, keys: &[VerifyingKey]) -> Option<Value> {
        let named = self.header.get("kid").and_then(Value::as_str);
        let algorithm = self.header.get("alg").and_then(Value::as_str)?;
        // RFC 7515, 4.1.11: who does not understand a critical header must refuse.
        if self.header.get("crit").is_some() {
            return None;
        }
        let message = self.signed.as_bytes();
        let tries =
            |key: &&VerifyingKey| key.algorithm() == algorithm && key.verifies(message, &self.signature);
        let by_name = keys.iter().filter(|key| named == Some(key.id())).find(tries);
        // A key id that nobody knows may come from another server's naming of the same key.
        let found = by_name.or_else(|| keys.iter().find(tries));
        found.is_some().then_some(self.claims)
    }
}

/// Without the zero byte that keeps an integer positive in DER.
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes
        && !rest.is_empty()
    {
        bytes = rest;
    }
    bytes
}

/// A header of HTTP does not carry more.
const TOKEN_LEN_MAX: usize = 64 * 1024;
const P256_FIELD_LEN: usize = 32;
const P256_POINT_LEN: usize = 1 + 2 * P256_FIELD_LEN;
/// RFC 5480: the head of the DER of a public key on P-256; the point follows.
const P256_SPKI_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, A.3.
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    /// RFC 7515, A.2.
    const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn es256_key() -> VerifyingKey {
        let point = [
            vec![4],
            decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        ]
        .concat();
        VerifyingKey::from_spki(&[P256_SPKI_HEAD, &point].concat()).unwrap()
    }

    /// DER: tag, length, content.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut out = vec![tag];
        if length < 128 {
            out.push(length as u8);
        } else {
            out.extend([0x82, (length >> 8) as u8, length as u8]);
        }
        out.extend(content);
        out
    }

    fn rs256_key() -> VerifyingKey {
        let modulus = [vec![0], decode(RSA_N)].concat();
        let key = der(0x30, &[der(2, &modulus), der(2, &[1, 0, 1])].concat());
        let oid = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let bits = der(3, &[vec![0], key].concat());
        VerifyingKey::from_spki(&der(0x30, &[oid.to_vec(), bits].concat())).unwrap()
    }

    #[test]
    fn verifies_the_vectors_of_rfc_7515() {
        let keys = [es256_key(), rs256_key()];
        for token in [ES256, RS256] {
            let claims = Unverified::parse(token).unwrap().verify(&keys).unwrap();
            assert_eq!(claims["iss"], "joe");
            let mut bad = token.to_owned();
            let middle = bad.find('.').unwrap() + 5;
            let other = if bad.as_bytes()[middle] == b'A' { "B" } else { "A" };
            bad.replace_range(middle..=middle, other);
            assert!(Unverified::parse(&bad).is_none_or(|token| token.verify(&keys).is_none()));
        }
        assert!(Unverified::parse(ES256).unwrap().verify(&keys[1..]).is_none());
        assert!(Unverified::parse(RS256).unwrap().verify(&keys[..1]).is_none());
        assert_eq!(keys[1].to_jwk()["n"], RSA_N);
        assert_eq!(keys[1].to_jwk()["e"], "AQAB");
        assert_eq!(keys[0].to_jwk()["x"], "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    }

    #[test]
    fn refuses_what_is_no_token() {
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let keys = [es256_key()];
        for text in ["", ".", "..", "a.b.c", "a.b", "e30.e30.!", &format!("{none}.e30."), "....", "e30.e30"] {
            assert!(Unverified::parse(text).is_none_or(|token| token.verify(&keys).is_none()), "{text}");
        }
    }

    #[test]
    fn verifies_what_it_signed() {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let key = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let token = key.sign(&json!({"sub": "a"})).unwrap();
        let keys = VerifyingKey::all_from_pem(pem.as_bytes()).unwrap();
        assert_eq!(Unverified::parse(&token).unwrap().verify(&keys), Some(json!({"sub": "a"})));
        assert!(Unverified::parse(&token).unwrap().verify(&[es256_key()]).is_none());
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }
}
