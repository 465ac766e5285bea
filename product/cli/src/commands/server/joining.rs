//! The token that nodes join this server's cluster with, made at the first start.

use std::fs;
use std::path::{Path, PathBuf};

use auth::join::JoinToken;
use client::{Api, Call};
use kube_object::resource::GroupVersionResource;

use crate::commands::token::create::random;
use crate::error::CliError;
use crate::files::write_secret;

/// The token of the last start, or a new one; it is valid until `strake token rm` takes it back.
pub(super) async fn ensure(data: &Path, authority: &str, api: &dyn Api) -> Result<PathBuf, CliError> {
    let path = data.join(FILE_NAME);
    let kept = fs::read_to_string(&path).ok().and_then(|text| text.parse::<JoinToken>().ok());
    // An authority that was renewed is another one to trust.
    if kept.is_some_and(|token| token.trusts(authority)) {
        return Ok(path);
    }
    let token = random(authority)?;
    let secrets = GroupVersionResource::new("", "v1", "secrets");
    api.call(Call::create(&secrets, "kube-system", token.secret("nodes of this cluster", None))).await?;
    write_secret(&path, format!("{token}\n").as_bytes())
        .map_err(|error| CliError::message(format!("write {}: {error}", path.display())))?;
    Ok(path)
}

/// In the server's data directory.
const FILE_NAME: &str = "node-token";
