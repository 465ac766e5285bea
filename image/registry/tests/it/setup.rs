//! Clients and content that the tests share.

use std::time::Duration;

use base::Digest;
use oci_spec::Reference;
use oci_spec::image::{Descriptor, MediaType};
use registry::{Client, Config, Error, RetryPolicy, Timeouts};

/// Retries at once and gives up soon.
pub(crate) fn config() -> Config {
    Config {
        retry: RetryPolicy {
            attempts_max: 4,
            delay_first: Duration::from_millis(2),
            delay_max: Duration::from_millis(10),
            retry_after_max: Duration::from_secs(5),
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            response: Duration::from_secs(10),
            idle: Duration::from_millis(500),
        },
        ..Config::default()
    }
}

pub(crate) fn client() -> Client {
    Client::new(config())
}

/// Runs `work` in a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub(crate) fn reference(address: &str, name: &str) -> Reference {
    Reference::parse(&format!("{address}/{name}")).unwrap()
}

/// Bytes that look like nothing in particular.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

pub(crate) fn layer(content: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::OCI_LAYER_GZIP.into(), content)
}

pub(crate) fn other_digest() -> Digest {
    Digest::sha256_of(b"something else")
}

/// A manifest that names a configuration and a layer.
pub(crate) fn manifest(config: &[u8], content: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": Descriptor::of(MediaType::OCI_CONFIG.into(), config),
        "layers": [layer(content)],
    }))
    .unwrap()
}

/// Reads a blob to its end.
pub(crate) async fn fetch(
    client: &Client,
    reference: &Reference,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, Error> {
    let mut stream = client.blob(reference, descriptor, registry::Verify::Here)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The error and its causes, as a person sees it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
