//! The key that signs tokens of service accounts.

use super::files::Directory;
use super::{PkiError, TOKEN_KEY};
use crate::authn::jwt::SigningKey;

/// What the directory has, or a new one.
pub(super) fn ensure(directory: &Directory) -> Result<String, PkiError> {
    if let Some(pem) = read(directory)? {
        return Ok(pem);
    }
    let pem = make()?;
    directory.write(TOKEN_KEY, &pem)?;
    Ok(pem)
}

/// What the directory has. A key that others made stays, or the tokens that it signed would all end.
pub(super) fn read(directory: &Directory) -> Result<Option<String>, PkiError> {
    let Some(pem) = directory.read(TOKEN_KEY)? else { return Ok(None) };
    let wrong = |source| PkiError::Key { path: directory.path(TOKEN_KEY), source };
    SigningKey::from_pem(pem.as_bytes()).map_err(wrong)?;
    Ok(Some(pem))
}

/// A new one.
pub(super) fn make() -> Result<String, PkiError> {
    let wrong = |source| PkiError::Make { name: "service-account", source };
    Ok(rcgen::KeyPair::generate().map_err(wrong)?.serialize_pem())
}

/// Whether it can sign.
pub(super) fn check(pem: &str) -> Result<(), PkiError> {
    let wrong = |source| PkiError::Key { path: TOKEN_KEY.into(), source };
    SigningKey::from_pem(pem.as_bytes()).map(drop).map_err(wrong)
}
