//! A node's certificates: asked for, kept in files, renewed before they end.

use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use auth::csr::{Wanted, ask, validity};
use auth::pki::KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Api, BoxFuture, Call, EventKind, WatchOptions};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::Value;

use crate::error::CliError;
use crate::files::write_secret;
use crate::notices::Notices;

/// One certificate and its key in a directory, in one file that is replaced whole: `NAME.pem`.
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

/// When a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Renewal {
    /// In hundredths of its life.
    share: u8,
    /// Whether it was signed a moment ago.
    is_fresh: bool,
}

impl Certificate {
    /// What the file holds, if the certificate has not ended.
    pub fn load(&self, now: Timestamp) -> Option<KeyPair> {
        let pair = self.read()?;
        let (_, ends) = validity(&pair.certificate)?;
        (now.as_second() < ends).then_some(pair)
    }

    fn read(&self) -> Option<KeyPair> {
        if let Ok(text) = fs::read_to_string(self.path("pem")) {
            let key = text.find(KEY_BEGINS)?;
            let (certificate, key) = text.split_at(key);
            return Some(KeyPair { certificate: certificate.to_owned(), key: key.to_owned() });
        }
        // Earlier versions had two files.
        let read = |ending: &str| fs::read_to_string(self.path(ending)).ok();
        Some(KeyPair { certificate: read("crt")?, key: read("key")? })
    }

    /// Asks for a new one until it is signed, and keeps it.
    pub async fn obtain(&self, api: &dyn Api) -> Result<KeyPair, CliError> {
        let asked = ask(&self.node, &self.wanted)?;
        let made = api.call(Call::create(&requests(), "", asked.object)).await?;
        let name = made.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let certificate = signed(api, name).await?;
        let pair = KeyPair { certificate, key: asked.key };
        let path = self.path("pem");
        // In one file: whatever a crash leaves, the certificate is its key's.
        write_secret(&path, format!("{}{}", pair.certificate, pair.key).as_bytes())
            .map_err(|error| CliError::message(format!("write {}: {error}", path.display())))?;
        Ok(pair)
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }
}

/// Who holds a certificate: asks for the next one, and goes on with it.
pub trait Holder: Send + Sync {
    /// The certificate.
    fn certificate(&self) -> &Certificate;

    /// Asks for the next one and keeps it.
    fn obtain(&self) -> BoxFuture<'_, Result<KeyPair, CliError>>;

    /// Goes on with it.
    fn show(&self, pair: &KeyPair) -> Result<(), CliError>;
}

/// Renews a certificate in time, for ever. What fails is told and tried again. The first one comes with
/// whether it was signed a moment ago.
pub async fn keep_new(holder: &dyn Holder, first: (KeyPair, bool), notices: &Notices) -> Infallible {
    let (mut pair, mut is_fresh) = first;
    loop {
        let renewal = Renewal { share: random_share(), is_fresh };
        sleep_until(renewal.at(&pair.certificate, Timestamp::now())).await;
        let mut wait = RETRY_FIRST;
        pair = loop {
            let renewed = match holder.obtain().await {
                Ok(renewed) => holder.show(&renewed).map(|()| renewed),
                Err(error) => Err(error),
            };
            match renewed {
                Ok(renewed) => break renewed,
                Err(error) => {
                    let name = holder.certificate().name;
                    notices.warn(format_args!("renew the node's {name} certificate: {error}"));
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
        };
        is_fresh = true;
    }
}

impl Renewal {
    /// The moment, in seconds since 1970.
    fn at(self, certificate: &str, now: Timestamp) -> i64 {
        let Some((begins, ends)) = validity(certificate) else { return now.as_second() };
        let usual = begins + (ends - begins) / 100 * i64::from(self.share);
        // Signers let certificates begin a few minutes ago. Of a short life that is most: what was signed just
        // now is not asked for again at once.
        let fresh = now.as_second() + (ends - now.as_second()) / 2;
        if self.is_fresh { usual.max(fresh) } else { usual }
    }
}

/// Between 70 and 90, as upstream: the nodes of a cluster must not all ask at once.
fn random_share() -> u8 {
    let mut byte = [0];
    // Without randomness all ask at once, and have what they need.
    let _ = getrandom(&mut byte, GetRandomFlags::empty());
    70 + byte[0] % 21
}

/// Waits for a moment of the clock on the wall, which goes on while the machine sleeps.
async fn sleep_until(at: i64) {
    loop {
        let left = at.saturating_sub(Timestamp::now().as_second());
        let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else { return };
        tokio::time::sleep(Duration::from_secs(left).min(SLEEP_MAX)).await;
    }
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
/// After a renewal that failed; the next waits are twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// The longest of them.
const RETRY_LAST: Duration = Duration::from_secs(60);
/// The longest without a look at the clock.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// What comes after the certificate.
const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use auth::pki::{ServerNames, ensure};

    use super::*;

    fn certificate(directory: &Path) -> Certificate {
        Certificate {
            directory: directory.to_owned(),
            name: "client",
            node: "n1".to_owned(),
            wanted: Wanted::Client,
        }
    }

    fn pair(directory: &Path) -> KeyPair {
        ensure(directory, &ServerNames::default(), Timestamp::now()).unwrap().admin
    }

    #[test]
    fn is_renewed_late_in_its_life() {
        let home = Home::new("renewed");
        let KeyPair { certificate, .. } = pair(&home.0);
        let (begins, ends) = validity(&certificate).unwrap();
        let at = |share, is_fresh, now| {
            let now = Timestamp::from_second(now).unwrap();
            (Renewal { share, is_fresh }.at(&certificate, now) - begins) * 100 / (ends - begins)
        };
        assert_eq!(at(70, true, begins + 300), 70);
        assert_eq!(at(90, false, begins + 300), 90);
        let nearly = begins + (ends - begins) / 10 * 9;
        assert_eq!(at(70, false, nearly), 70, "it is time");
        assert_eq!(at(70, true, nearly), 95, "it was signed with a short life");
        assert!((0..100).all(|_| (70..=90).contains(&random_share())));
    }

    #[test]
    fn is_found_as_it_was_kept() {
        let home = Home::new("kept");
        let (pair, own) = (pair(&home.0.join("pki")), certificate(&home.0));
        assert!(own.load(Timestamp::now()).is_none());
        fs::write(own.path("crt"), &pair.certificate).unwrap();
        fs::write(own.path("key"), &pair.key).unwrap();
        assert!(own.load(Timestamp::now()).unwrap() == pair, "as earlier versions kept it");
        fs::write(own.path("pem"), format!("{}{}", pair.certificate, pair.key)).unwrap();
        fs::write(own.path("key"), "another").unwrap();
        assert!(own.load(Timestamp::now()).unwrap() == pair);
        let ended = Timestamp::from_second(validity(&pair.certificate).unwrap().1).unwrap();
        assert!(own.load(ended).is_none());
    }

    struct Home(PathBuf);

    impl Home {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("strake-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
