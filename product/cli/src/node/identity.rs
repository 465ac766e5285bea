//! A node's certificates: asked for, kept in files, renewed before they end.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use auth::csr::{Wanted, ask, validity};
use auth::pki::KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Api, Call, EventKind, WatchOptions};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use serde_json::Value;

use crate::error::CliError;
use crate::files::write_secret;

/// One certificate and its key in a directory: `NAME.crt`, `NAME.key`.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Where.
    pub directory: PathBuf,
    /// Under which name.
    pub name: &'static str,
    /// Whose.
    pub node: String,
    /// For what.
    pub wanted: Wanted,
}

impl Certificate {
    /// What the files hold, if most of its life is still to come, or some of it when `late`.
    pub fn load(&self, now: Timestamp, late: bool) -> Option<KeyPair> {
        let read = |ending: &str| fs::read_to_string(self.path(ending)).ok();
        let pair = KeyPair { certificate: read("crt")?, key: read("key")? };
        let until = if late { validity(&pair.certificate)?.1 } else { renew_at(&pair.certificate)? };
        (now.as_second() < until).then_some(pair)
    }

    /// Asks for a new one until it is signed, and keeps it.
    pub async fn obtain(&self, api: &dyn Api) -> Result<KeyPair, CliError> {
        let asked = ask(&self.node, &self.wanted)?;
        let made = api.call(Call::create(&requests(), "", asked.object)).await?;
        let name = made.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let certificate = signed(api, name).await?;
        let pair = KeyPair { certificate, key: asked.key };
        // The key first: a certificate that does not fit its key is asked for again.
        for (ending, text) in [("key", &pair.key), ("crt", &pair.certificate)] {
            let path = self.path(ending);
            write_secret(&path, text.as_bytes())
                .map_err(|error| CliError::message(format!("write {}: {error}", path.display())))?;
        }
        Ok(pair)
    }

    /// How long until it should be asked for anew.
    pub fn renew_in(pair: &KeyPair, now: Timestamp) -> Duration {
        let left = renew_at(&pair.certificate).unwrap_or(0).saturating_sub(now.as_second());
        Duration::from_secs(u64::try_from(left).unwrap_or(0)).max(RENEW_AGAIN)
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }
}

/// When four fifths of a certificate's life are over.
fn renew_at(certificate: &str) -> Option<i64> {
    let (begins, ends) = validity(certificate)?;
    Some(begins + (ends - begins) / 5 * 4)
}

/// Waits until a request has its certificate.
async fn signed(api: &dyn Api, name: &str) -> Result<String, CliError> {
    let refused = |why: &str| {
        CliError::message(format!("certificate signing request {name} {why}")).with_fix(format!(
            "see `kubectl describe csr {name}`; `kubectl certificate approve {name}` allows it"
        ))
    };
    let deadline = tokio::time::Instant::now() + SIGNED_WITHIN;
    loop {
        let options = WatchOptions {
            field_selector: Some(format!("metadata.name={name}")),
            timeout_seconds: Some(60),
            ..WatchOptions::default()
        };
        let mut events = api.watch(&requests(), options).await?;
        // A watch that ends at once, as one does on a server that ends, is not asked for again at once.
        let again = tokio::time::Instant::now() + WATCH_AGAIN;
        loop {
            let event = tokio::time::timeout_at(deadline, events.next()).await;
            let event = event.map_err(|_| refused("was not signed in time"))?;
            let Some(Ok(event)) = event else {
                tokio::time::sleep_until(again).await;
                break;
            };
            if event.kind == EventKind::Deleted {
                return Err(refused("was deleted"));
            }
            if event.kind == EventKind::Bookmark {
                continue;
            }
            let object = event.object.decode();
            if let Some(certificate) = object.pointer("/status/certificate").and_then(Value::as_str) {
                let pem = STANDARD.decode(certificate).ok().and_then(|pem| String::from_utf8(pem).ok());
                return pem.ok_or_else(|| refused("holds no certificate"));
            }
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
            let kinds = conditions.into_iter().flatten().filter_map(|one| one.get("type")?.as_str());
            if let Some(kind) = kinds.into_iter().find(|kind| ["Denied", "Failed"].contains(kind)) {
                return Err(refused(if kind == "Denied" { "was denied" } else { "cannot be signed" }));
            }
        }
    }
}

fn requests() -> GroupVersionResource {
    GroupVersionResource::new("certificates.k8s.io", "v1", "certificatesigningrequests")
}

/// How long a request may stay without its certificate.
const SIGNED_WITHIN: Duration = Duration::from_secs(300);
/// The least between two watches.
const WATCH_AGAIN: Duration = Duration::from_secs(1);
/// Between two renewals that failed.
const RENEW_AGAIN: Duration = Duration::from_secs(60);
