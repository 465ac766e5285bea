//! Joining a cluster: from a server's URL and a token to a certificate of the node's own.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use auth::csr::Wanted;
use auth::join::JoinToken;
use auth::pki::KeyPair;
use client::http::{Credentials, Endpoint, Identity, Trust};
use client::{BoxFuture, HttpClient};
use jiff::Timestamp;

use super::identity::{Certificate, Holder, keep_new};
use crate::error::CliError;
use crate::files::write_secret;
use crate::notices::Notices;

/// How a node that has joined reaches its cluster.
pub struct Joined {
    server: String,
    /// The cluster's authority, as PEM.
    authority: String,
    token: Option<JoinToken>,
    certificate: Certificate,
    first: (KeyPair, bool),
    client: Arc<HttpClient>,
}

/// Joins, or comes back with what an earlier join left in `directory`.
pub async fn join(
    server: &str,
    token: Option<JoinToken>,
    node: &str,
    directory: &Path,
) -> Result<Joined, CliError> {
    let certificate = Certificate {
        directory: directory.to_owned(),
        name: "client",
        node: node.to_owned(),
        wanted: Wanted::Client,
    };
    let authority = authority(server, token.as_ref(), directory).await?;
    let endpoint_of = |pair: &KeyPair| endpoint(server, &authority, pair);
    let kept = certificate.load(Timestamp::now());
    let (endpoint, first) = match kept.and_then(|pair| Some((endpoint_of(&pair).ok()?, pair))) {
        Some((endpoint, pair)) => (endpoint, (pair, false)),
        None => {
            let token = token.as_ref().ok_or_else(no_token)?;
            let pair = certificate.obtain(&newcomer(server, &authority, token)?).await?;
            (endpoint_of(&pair)?, (pair, true))
        }
    };
    let client = Arc::new(HttpClient::new(endpoint));
    Ok(Joined { server: server.to_owned(), authority, token, certificate, first, client })
}

impl Joined {
    /// The API as this node.
    pub fn client(&self) -> &Arc<HttpClient> {
        &self.client
    }

    /// Renews the node's certificate in time, for ever; the client goes on with it.
    pub async fn keep_new(self, notices: Notices) -> Infallible {
        keep_new(&self, self.first.clone(), &notices).await
    }

    async fn renewed(&self) -> Result<KeyPair, CliError> {
        let refused = match self.certificate.obtain(self.client.as_ref()).await {
            Err(error) => error,
            renewed => return renewed,
        };
        // A certificate that has ended is no way in any more; a token is one.
        match &self.token {
            Some(token) if self.certificate.load(Timestamp::now()).is_none() => {
                self.certificate.obtain(&newcomer(&self.server, &self.authority, token)?).await
            }
            _ => Err(refused),
        }
    }
}

impl Holder for Joined {
    fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn obtain(&self) -> BoxFuture<'_, Result<KeyPair, CliError>> {
        Box::pin(self.renewed())
    }

    fn show(&self, pair: &KeyPair) -> Result<(), CliError> {
        self.client.go_on_with(endpoint(&self.server, &self.authority, pair)?);
        Ok(())
    }
}

/// The API as a node with this certificate.
fn endpoint(server: &str, authority: &str, pair: &KeyPair) -> Result<Endpoint, CliError> {
    let KeyPair { certificate, key } = pair.clone();
    let credentials = Credentials { identity: Some(Identity { certificate, key }), ..trusting(authority) };
    Ok(Endpoint::new(server, &credentials, AGENT)?)
}

/// The API as one who has a token only.
fn newcomer(server: &str, authority: &str, token: &JoinToken) -> Result<HttpClient, CliError> {
    let credentials = Credentials { token: Some(token.bearer()), ..trusting(authority) };
    Ok(HttpClient::new(Endpoint::new(server, &credentials, AGENT)?))
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
