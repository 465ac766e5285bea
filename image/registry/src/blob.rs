//! Blobs as streams that survive broken connections (distribution-spec, "Pulling blobs").

use std::sync::Arc;

use base::{Digest, DigestHasher};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use oci_spec::Reference;
use oci_spec::image::Descriptor;

use crate::auth::Scope;
use crate::client::{Client, Host, pull_scope};
use crate::error::{Error, Operation};
use crate::failure::{self, Subject};
use crate::transport::Response;
use crate::wire::{Call, asked_wait, is_transient};

/// So much progress forgives earlier failures: a long transfer may break often, a
/// short one that never gets anywhere ends.
const FORGIVEN_AFTER_BYTES: u64 = 1 << 20;

/// Who checks the digest of a blob. Its size is always checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The stream: it ends with an error instead of the last bytes' success.
    Here,
    /// The reader, which hashes anyway, such as a writer of the content store.
    ByReader,
}

/// A blob while it is being fetched.
///
/// A broken transfer is taken up where it stopped, on the next host if the first
/// fails for good. Bytes come in order, each once.
pub struct BlobStream {
    client: Client,
    scope: Scope,
    path: String,
    subject: Subject,
    digest: Digest,
    size: u64,
    offset: u64,
    hosts: Vec<Arc<Host>>,
    host: usize,
    failures: u32,
    failed_at: u64,
    resumed: u32,
    response: Option<Response>,
    /// Bytes that a server without ranges sends again.
    skip: u64,
    hasher: Option<DigestHasher>,
    finished: bool,
}

impl Client {
    /// Streams a blob of `reference`'s repository from its start. Connects at the first read.
    pub fn blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        verify: Verify,
    ) -> Result<BlobStream, Error> {
        let mut stream = self.blob_from(reference, descriptor, 0)?;
        if verify == Verify::Here {
            stream.hasher = Some(DigestHasher::new(descriptor.digest.algorithm()));
        }
        Ok(stream)
    }

    /// Streams the rest of a blob of which the first `offset` bytes are there. Its
    /// digest is the reader's to check.
    pub fn blob_from(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, Error> {
        let repository = reference.repository();
        Ok(BlobStream {
            client: self.clone(),
            scope: pull_scope(reference),
            path: format!("/{}/blobs/{}", reference.path(), descriptor.digest),
            subject: Subject::Blob { digest: descriptor.digest.clone(), repository },
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            offset: offset.min(descriptor.size),
            hosts: self.hosts(reference.domain(), Operation::Pull, false)?,
            host: 0,
            failures: 0,
            failed_at: 0,
            resumed: 0,
            response: None,
            skip: 0,
            hasher: None,
            finished: false,
        })
    }

    /// Fetches a short blob, such as an image's configuration, with its digest verified.
    pub async fn blob_bytes(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        if descriptor.size > limit {
            let what = format!("blob {}", descriptor.digest);
            return Err(Error::TooLarge { what, host: reference.domain().to_owned(), limit });
        }
        let mut stream = self.blob(reference, descriptor, Verify::Here)?;
        let mut bytes = Vec::with_capacity(usize::try_from(descriptor.size).unwrap_or_default());
        while let Some(chunk) = stream.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl BlobStream {
    /// How many bytes have been handed out, counted from the blob's start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How long the blob is.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How often the transfer was taken up again.
    pub fn resumed(&self) -> u32 {
        self.resumed
    }

    /// The next bytes; `None` when all have come and they are right.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.finished {
                return Ok(None);
            }
            if self.response.is_none() {
                if self.offset == self.size && self.size > 0 {
                    return self.finish();
                }
                self.open().await?;
            }
            let Some(response) = &mut self.response else { continue };
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    if let Some(chunk) = self.take(chunk)? {
                        return Ok(Some(chunk));
                    }
                }
                Ok(None) => return self.finish(),
                Err(error) => {
                    self.response = None;
                    self.pause(error, None).await?;
                }
            }
        }
    }

    fn host(&self) -> &Arc<Host> {
        &self.hosts[self.host]
    }

    /// Cuts off what is known already, counts and hashes the rest.
    fn take(&mut self, mut chunk: Bytes) -> Result<Option<Bytes>, Error> {
        let known = self.skip.min(chunk.len() as u64);
        self.skip -= known;
        let chunk = chunk.split_off(usize::try_from(known).unwrap_or_default());
        if chunk.is_empty() {
            return Ok(None);
        }
        self.offset += chunk.len() as u64;
        if self.offset > self.size {
            return Err(self.wrong_size(self.offset));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        Ok(Some(chunk))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, Error> {
        if self.offset != self.size {
            return Err(self.wrong_size(self.offset));
        }
        self.finished = true;
        self.response = None;
        if let Some(actual) = self.hasher.take().map(DigestHasher::finish)
            && actual != self.digest
        {
            let what = format!("blob {}", self.digest);
            return Err(Error::WrongDigest {
                what,
                host: self.host().name(),
                expected: self.digest.clone(),
                actual,
            });
        }
        Ok(None)
    }

    fn wrong_size(&self, actual: u64) -> Error {
        let what = format!("blob {}", self.digest);
        Error::WrongSize { what, host: self.host().name(), expected: self.size, actual }
    }

    /// Asks for the bytes from `offset` on, until some host starts to send them.
    async fn open(&mut self) -> Result<(), Error> {
        loop {
            let host = Arc::clone(self.host());
            let (path, offset) = (&self.path, self.offset);
            let make = |base: &_| {
                let call = Call::new(Method::GET, host.address(base, path));
                match HeaderValue::try_from(format!("bytes={offset}-")) {
                    Ok(range) if offset > 0 => call.header(header::RANGE, range),
                    _ => call,
                }
            };
            let (error, asked) = match self.client.attempt(&host, &self.scope, &make).await {
                Ok(response) if response.status().is_success() => {
                    self.resumed += u32::from(offset > 0);
                    return self.start(response);
                }
                Ok(response) => {
                    let asked = asked_wait(&response);
                    let transient = is_transient(response.status());
                    let error =
                        failure::error_of(response, Operation::Pull, &self.subject, &host.registry).await;
                    if !transient {
                        self.next_host(error)?;
                        continue;
                    }
                    (error, asked)
                }
                Err(error) => (error, None),
            };
            self.pause(error, asked).await?;
        }
    }

    /// Checks that a response starts where we stopped.
    fn start(&mut self, response: Response) -> Result<(), Error> {
        let length: Option<u64> =
            response.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let begin = if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.header(header::CONTENT_RANGE).and_then(content_range);
            let host = response.host();
            let odd = || Error::Protocol { host, what: "it answers a range with another one".to_owned() };
            let (begin, total) = range.filter(|(begin, _)| *begin <= self.offset).ok_or_else(odd)?;
            if let Some(total) = total.filter(|total| *total != self.size) {
                return Err(self.wrong_size(total));
            }
            begin
        } else {
            // A server that knows no ranges begins anew.
            if let Some(length) = length.filter(|length| *length != self.size) {
                return Err(self.wrong_size(length));
            }
            0
        };
        self.skip = self.offset - begin;
        self.response = Some(response);
        Ok(())
    }

    /// Waits before the next attempt, or goes to the next host, or gives up.
    async fn pause(&mut self, error: Error, asked: Option<std::time::Duration>) -> Result<(), Error> {
        if !error.is_transient() {
            return self.next_host(error);
        }
        if self.offset >= self.failed_at + FORGIVEN_AFTER_BYTES {
            self.failures = 0;
        }
        self.failed_at = self.offset;
        self.failures += 1;
        if self.client.wait(self.failures, asked).await { Ok(()) } else { self.next_host(error) }
    }

    fn next_host(&mut self, error: Error) -> Result<(), Error> {
        if self.host + 1 == self.hosts.len() {
            return Err(error);
        }
        self.host += 1;
        self.failures = 0;
        Ok(())
    }
}

/// Start and total of `bytes START-END/TOTAL` (RFC 9110, section 14.4).
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("digest", &self.digest)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_content_ranges() {
        for (value, range) in [
            ("bytes 5-9/10", Some((5, Some(10)))),
            ("bytes 5-9/*", Some((5, None))),
            ("bytes */10", None),
            ("items 1-2/3", None),
            ("", None),
        ] {
            assert_eq!(content_range(value), range, "{value}");
        }
    }
}
