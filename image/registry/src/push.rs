//! Uploads (distribution-spec, "Pushing blobs", "Pushing manifests").

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Digest;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use oci_spec::Reference;
use oci_spec::image::Descriptor;

use crate::auth::Scope;
use crate::client::{Client, Host};
use crate::error::{Error, Operation};
use crate::failure::{self, Subject};
use crate::transport::{Payload, Response};
use crate::url::{join, with_query};
use crate::wire::{Call, asked_wait, is_transient};

/// Content to push; opened again when a transfer must be repeated.
pub trait BlobSource: Send + Sync {
    /// Reads from `offset` on.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;
}

/// What became of a blob that was to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The registry had it.
    Exists,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// Tells how many bytes of a blob have been sent.
#[derive(Clone)]
pub(crate) struct Sent {
    so_far: Arc<AtomicU64>,
    report: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Sent {
    pub(crate) fn set(&self, bytes: u64) {
        self.so_far.store(bytes, Ordering::Relaxed);
        (self.report)(bytes);
    }

    pub(crate) fn add(&self, bytes: u64) {
        let before = self.so_far.fetch_add(bytes, Ordering::Relaxed);
        (self.report)(before + bytes);
    }
}

/// The least piece that a registry takes (distribution-spec, "Pushing a blob in chunks").
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";

struct Upload<'a> {
    client: &'a Client,
    host: &'a Host,
    scope: Scope,
    subject: Subject,
    path: &'a str,
    descriptor: &'a Descriptor,
    source: Arc<dyn BlobSource>,
    sent: Sent,
}

impl Client {
    /// Whether `reference`'s repository has the blob.
    pub async fn blob_exists(&self, reference: &Reference, descriptor: &Descriptor) -> Result<bool, Error> {
        let hosts = self.hosts(reference.domain(), Operation::Push, false)?;
        self.has(&hosts[0], &push_scope(reference, None), reference, &descriptor.digest).await
    }

    /// Makes sure that `reference`'s repository has the blob: by finding it there, by
    /// mounting it from `mount_from` (a repository of the same registry), or by
    /// sending it. `progress` is told the bytes sent so far; after a failure they
    /// count anew.
    pub async fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        source: Arc<dyn BlobSource>,
        mount_from: Option<&str>,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<PushOutcome, Error> {
        let hosts = self.hosts(reference.domain(), Operation::Push, false)?;
        let mount_from = mount_from.filter(|from| *from != reference.path());
        let scope = push_scope(reference, mount_from);
        if self.has(&hosts[0], &scope, reference, &descriptor.digest).await? {
            return Ok(PushOutcome::Exists);
        }
        let upload = Upload {
            client: self,
            host: &hosts[0],
            scope,
            subject: Subject::Blob { digest: descriptor.digest.clone(), repository: reference.repository() },
            path: reference.path(),
            descriptor,
            source,
            sent: Sent { so_far: Arc::default(), report: progress },
        };
        upload.run(mount_from).await
    }

    /// Puts a manifest or index under `reference`'s tag or digest. Returns its digest.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        raw: Bytes,
    ) -> Result<Digest, Error> {
        let hosts = self.hosts(reference.domain(), Operation::Push, reference.digest().is_none())?;
        let host = &hosts[0];
        let path = format!("/{}/manifests/{}", reference.path(), reference.manifest_reference());
        let subject = Subject::Manifest { reference: reference.familiar() };
        let kind = HeaderValue::try_from(media_type)
            .unwrap_or_else(|_| HeaderValue::from_static("application/json"));
        let make = |base: &_| {
            Call::new(Method::PUT, host.address(base, &path))
                .header(header::CONTENT_TYPE, kind.clone())
                .body(Payload::Bytes(raw.clone()))
        };
        let response =
            self.request(host, &push_scope(reference, None), Operation::Push, &subject, make).await?;
        let told = response.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
        let name = response.host();
        response.drain().await;
        let actual = Digest::sha256_of(&raw);
        match told.filter(|told| told.algorithm() == actual.algorithm() && *told != actual) {
            Some(told) => {
                let what = format!("manifest of {} as stored", reference.familiar());
                Err(Error::WrongDigest { what, host: name, expected: actual, actual: told })
            }
            None => Ok(actual),
        }
    }

    async fn has(
        &self,
        host: &Host,
        scope: &Scope,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let path = format!("/{}/blobs/{digest}", reference.path());
        let subject = Subject::Blob { digest: digest.clone(), repository: reference.repository() };
        let make = |base: &_| Call::new(Method::HEAD, host.address(base, &path));
        match self.request(host, scope, Operation::Push, &subject, make).await {
            Ok(response) => {
                response.drain().await;
                Ok(true)
            }
            Err(Error::BlobUnknown { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn push_scope(reference: &Reference, mount_from: Option<&str>) -> Scope {
    Scope::Push { repository: reference.path().to_owned(), mount_from: mount_from.map(str::to_owned) }
}

/// Where an upload stands: the address for its next request and the bytes that the registry has.
struct Position {
    location: Uri,
    offset: u64,
}

impl Upload<'_> {
    async fn run(&self, mount_from: Option<&str>) -> Result<PushOutcome, Error> {
        let mut mount_from = mount_from;
        let mut attempt = 1;
        loop {
            let response = self.start(mount_from).await?;
            if response.status() == StatusCode::CREATED {
                response.drain().await;
                return Ok(PushOutcome::Mounted);
            }
            mount_from = None;
            let min_chunk =
                response.header(CHUNK_MIN_LENGTH).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let location = self.location(&response)?;
            response.drain().await;
            let outcome = match self.client.config().push_chunk_bytes.map(|chunk| chunk.max(min_chunk).max(1))
            {
                Some(chunk) if self.descriptor.size > chunk => self.chunks(location, chunk).await,
                _ => self.put(location, 0, self.descriptor.size).await.map(drop),
            };
            let (error, asked) = match outcome {
                Ok(()) => return Ok(PushOutcome::Uploaded),
                Err(Trouble { error, asked }) => (error, asked),
            };
            // The session may be gone with the connection: begin a new one.
            if !error.is_transient() || !self.client.wait(attempt, asked).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Opens an upload session, or mounts.
    async fn start(&self, mount_from: Option<&str>) -> Result<Response, Error> {
        let digest = self.descriptor.digest.to_string();
        let make = |base: &_| {
            let uri = self.host.address(base, &format!("/{}/blobs/uploads/", self.path));
            let uri = match mount_from {
                Some(from) => with_query(&uri, &[("mount", digest.as_str()), ("from", from)]).unwrap_or(uri),
                None => uri,
            };
            Call::new(Method::POST, uri).body(Payload::Bytes(Bytes::new()))
        };
        let outcome = self.client.request(self.host, &self.scope, Operation::Push, &self.subject, make).await;
        // A repository that does not exist cannot be pushed to; no blob is missing.
        outcome.map_err(|error| match error {
            Error::BlobUnknown { repository, host, .. } => Error::RepositoryUnknown { repository, host },
            other => other,
        })
    }

    fn location(&self, response: &Response) -> Result<Uri, Error> {
        let odd = || Error::Protocol {
            host: response.host(),
            what: "it opens an upload without a Location".to_owned(),
        };
        let base = self.host.address(&self.host.base(), &format!("/{}/blobs/uploads/", self.path));
        response.header(header::LOCATION).and_then(|location| join(&base, location)).ok_or_else(odd)
    }

    /// Sends all but the last bytes by PATCH, asking where to go on after a failure.
    async fn chunks(&self, location: Uri, chunk: u64) -> Result<(), Trouble> {
        let mut at = Position { location, offset: 0 };
        let mut attempt = 1;
        while at.offset < self.descriptor.size {
            let length = chunk.min(self.descriptor.size - at.offset);
            match self.patch(&at, length).await {
                Ok(next) => {
                    attempt = 1;
                    at = next;
                }
                Err(trouble) => {
                    if !trouble.error.is_transient() || !self.client.wait(attempt, trouble.asked).await {
                        return Err(trouble);
                    }
                    attempt += 1;
                    at = self.ask(at).await?;
                }
            }
        }
        self.put(at.location, at.offset, 0).await.map(drop)
    }

    async fn patch(&self, at: &Position, length: u64) -> Result<Position, Trouble> {
        let range = format!("{}-{}", at.offset, at.offset + length - 1);
        let range = HeaderValue::try_from(range).unwrap_or_else(|_| HeaderValue::from_static(""));
        let make = |_: &Uri| {
            Call::new(Method::PATCH, at.location.clone())
                .header(header::CONTENT_RANGE, range.clone())
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                .body(self.stretch(at.offset, length))
        };
        let response = self.send(make).await?;
        let next = Position {
            location: self.location(&response)?,
            offset: stored(&response).unwrap_or(at.offset + length),
        };
        response.drain().await;
        Ok(next)
    }

    /// Asks how much of an upload has arrived ("Pushing a blob in chunks", status GET).
    async fn ask(&self, at: Position) -> Result<Position, Trouble> {
        let response = self.send(|_: &Uri| Call::new(Method::GET, at.location.clone())).await?;
        let location = self.location(&response).unwrap_or(at.location);
        let offset = stored(&response).unwrap_or(0);
        response.drain().await;
        Ok(Position { location, offset })
    }

    /// Ends an upload with its last bytes and the digest of all.
    async fn put(&self, location: Uri, offset: u64, length: u64) -> Result<(), Trouble> {
        let uri =
            with_query(&location, &[("digest", &self.descriptor.digest.to_string())]).unwrap_or(location);
        let make = |_: &Uri| {
            let body = if length == 0 { Payload::Bytes(Bytes::new()) } else { self.stretch(offset, length) };
            Call::new(Method::PUT, uri.clone())
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
                .body(body)
        };
        let response = self.send(make).await?;
        response.drain().await;
        Ok(())
    }

    fn stretch(&self, offset: u64, length: u64) -> Payload {
        Payload::Stretch { source: Arc::clone(&self.source), offset, length, sent: self.sent.clone() }
    }

    async fn send(&self, make: impl Fn(&Uri) -> Call) -> Result<Response, Trouble> {
        let response = self.client.attempt(self.host, &self.scope, &make).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let asked = if is_transient(response.status()) { asked_wait(&response) } else { None };
        let error = failure::error_of(response, Operation::Push, &self.subject, &self.host.registry).await;
        Err(Trouble { error, asked })
    }
}

/// An error, and how long the registry asked to wait.
struct Trouble {
    error: Error,
    asked: Option<std::time::Duration>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { error, asked: None }
    }
}

/// How many bytes `Range: 0-N` says the registry has.
fn stored(response: &Response) -> Option<u64> {
    let range = response.header(header::RANGE)?;
    let (_, last) = range.trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    // `0-0` is what registries say of an empty upload too.
    Some(if last == 0 { 0 } else { last + 1 })
}
