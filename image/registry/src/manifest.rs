//! Manifests: by tag or digest (distribution-spec, "Pulling manifests").

use base::Digest;
use http::{HeaderValue, Method, header};
use oci_spec::Reference;
use oci_spec::image::{Descriptor, Document, MediaType};

use crate::client::{Client, pull_scope};
use crate::error::{Error, Operation};
use crate::failure::Subject;
use crate::transport::Response;
use crate::wire::Call;

/// What registries take at most, and so what they can have stored.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The registry's word for the digest of what it sends.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest or index as a registry sent it, with its digest verified.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What it says, with its raw bytes.
    pub document: Document,
    /// Its type, digest and size.
    pub descriptor: Descriptor,
    /// The host that sent it.
    pub host: String,
}

impl Client {
    /// Which manifest `reference` means now. Fetches no content where the registry
    /// answers HEAD with a digest.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let hosts = self.hosts(reference.domain(), Operation::Pull, reference.digest().is_none())?;
        let head = self.first(&hosts, async |host| {
            let call = |base: &_| accept(Call::new(Method::HEAD, host.address(base, &path(reference))));
            let response = self
                .request(host, &pull_scope(reference), Operation::Pull, &subject(reference), call)
                .await?;
            let found = described(&response);
            response.drain().await;
            Ok(found)
        });
        if let Some(descriptor) = head.await? {
            if let Some(expected) = reference.digest().filter(|expected| **expected != descriptor.digest) {
                return Err(Error::WrongDigest {
                    what: format!("manifest of {}", reference.familiar()),
                    host: reference.domain().to_owned(),
                    expected: expected.clone(),
                    actual: descriptor.digest,
                });
            }
            return Ok(descriptor);
        }
        Ok(self.manifest(reference).await?.descriptor)
    }

    /// Fetches the manifest or index that `reference` means.
    ///
    /// A reference with a digest gets exactly that; one with a tag gets what the
    /// registry says is there, and its digest is what the bytes have.
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, Error> {
        let hosts = self.hosts(reference.domain(), Operation::Pull, reference.digest().is_none())?;
        self.first(&hosts, async |host| {
            let call = |base: &_| accept(Call::new(Method::GET, host.address(base, &path(reference))));
            let response = self
                .request(host, &pull_scope(reference), Operation::Pull, &subject(reference), call)
                .await?;
            read(response, reference).await
        })
        .await
    }

    /// Fetches the manifest that an index or a caller describes.
    pub async fn manifest_of(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Fetched, Error> {
        let fetched = self.manifest(&reference.at(descriptor.digest.clone())).await?;
        if fetched.descriptor.size != descriptor.size {
            return Err(Error::WrongSize {
                what: format!("manifest {}", descriptor.digest),
                host: fetched.host,
                expected: descriptor.size,
                actual: fetched.descriptor.size,
            });
        }
        Ok(fetched)
    }
}

fn path(reference: &Reference) -> String {
    format!("/{}/manifests/{}", reference.path(), reference.manifest_reference())
}

fn subject(reference: &Reference) -> Subject {
    Subject::Manifest { reference: reference.familiar() }
}

/// Asks for every type that we can read; a registry that knows several forms of a
/// manifest picks by these headers.
fn accept(mut call: Call) -> Call {
    for media_type in MediaType::MANIFESTS {
        call = call.header(header::ACCEPT, HeaderValue::from_static(media_type));
    }
    call
}

/// The descriptor in the headers of a response, if it is complete.
fn described(response: &Response) -> Option<Descriptor> {
    let digest = Digest::parse(response.header(CONTENT_DIGEST)?).ok()?;
    let size = response.header(header::CONTENT_LENGTH)?.parse().ok()?;
    let media_type = MediaType::from(response.header(header::CONTENT_TYPE)?.split(';').next()?.trim());
    let known = media_type.is_manifest() || media_type.is_index();
    known.then(|| Descriptor::new(media_type, digest, size))
}

async fn read(mut response: Response, reference: &Reference) -> Result<Fetched, Error> {
    let host = response.host();
    let what = || format!("manifest of {}", reference.familiar());
    let content_type = response.header(header::CONTENT_TYPE).map(str::to_owned);
    let raw = response.bytes(MANIFEST_BYTES_MAX, &what()).await?;
    let digest = match reference.digest() {
        None => Digest::sha256_of(&raw),
        Some(expected) => {
            let mut hasher = base::DigestHasher::new(expected.algorithm());
            hasher.update(&raw);
            let actual = hasher.finish();
            if actual != *expected {
                return Err(Error::WrongDigest { what: what(), host, expected: expected.clone(), actual });
            }
            actual
        }
    };
    let size = raw.len() as u64;
    let document = Document::parse(raw, content_type.as_deref()).map_err(|source| Error::Document {
        reference: reference.familiar(),
        host: host.clone(),
        source,
    })?;
    let descriptor = Descriptor::new(document.media_type(), digest, size);
    Ok(Fetched { document, descriptor, host })
}
