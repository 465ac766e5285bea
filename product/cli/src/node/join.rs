//! Joining a cluster: from a server's URL and a token to a certificate of the node's own.

use std::fs;
use std::path::Path;

use auth::csr::Wanted;
use auth::join::JoinToken;
use client::HttpClient;
use client::http::{Credentials, Endpoint, Identity, Trust};
use jiff::Timestamp;

use super::identity::Certificate;
use crate::error::CliError;
use crate::files::write_secret;

/// How a node that has joined reaches its cluster.
pub struct Joined {
    /// The API as this node.
    pub endpoint: Endpoint,
    /// The cluster's authority, as PEM.
    pub authority: String,
    /// The node's certificate as a client, for its renewal.
    pub certificate: Certificate,
}

/// Joins, or comes back with what an earlier join left in `directory`.
pub async fn join(
    server: &str,
    token: Option<&JoinToken>,
    node: &str,
    directory: &Path,
) -> Result<Joined, CliError> {
    let certificate = Certificate {
        directory: directory.to_owned(),
        name: "client",
        node: node.to_owned(),
        wanted: Wanted::Client,
    };
    let authority = authority(server, token, directory).await?;
    let pair = match certificate.load(Timestamp::now(), true) {
        Some(pair) => pair,
        None => {
            let token = token.ok_or_else(no_token)?;
            let credentials = Credentials { token: Some(token.bearer()), ..trusting(&authority) };
            let client = HttpClient::new(Endpoint::new(server, &credentials, AGENT)?);
            certificate.obtain(&client).await?
        }
    };
    let identity = Identity { certificate: pair.certificate, key: pair.key };
    let credentials = Credentials { identity: Some(identity), ..trusting(&authority) };
    Ok(Joined { endpoint: Endpoint::new(server, &credentials, AGENT)?, authority, certificate })
}

fn trusting(authority: &str) -> Credentials {
    Credentials { trust: Trust::Authorities(authority.as_bytes().to_vec()), ..Credentials::default() }
}

/// The authority that the directory knows, or the one that the server tells of and the token trusts.
async fn authority(server: &str, token: Option<&JoinToken>, directory: &Path) -> Result<String, CliError> {
    let path = directory.join("server-ca.crt");
    if let Ok(known) = fs::read_to_string(&path)
        && token.is_none_or(|token| token.trusts(&known))
    {
        return Ok(known);
    }
    let token = token.ok_or_else(no_token)?;
    let credentials = Credentials { trust: Trust::Anybody, ..Credentials::default() };
    let client = HttpClient::new(Endpoint::new(server, &credentials, AGENT)?);
    let told = client.raw("/cacerts").await?;
    let told = String::from_utf8_lossy(&told).into_owned();
    if !token.trusts(&told) {
        let message =
            format!("{server} is not the server that the token was made for: its authority is another");
        return Err(CliError::message(message).with_fix("get a token there with `strake token create`"));
    }
    write_secret(&path, told.as_bytes())
        .map_err(|error| CliError::message(format!("write {}: {error}", path.display())))?;
    Ok(told)
}

fn no_token() -> CliError {
    CliError::message("this node has not joined a cluster yet").with_fix(
        "give --token; the server keeps one in its node-token file, `strake token create` makes others",
    )
}

/// What the node calls itself.
pub const AGENT: &str = concat!("strake-agent/", env!("CARGO_PKG_VERSION"));
