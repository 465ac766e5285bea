//! Against Debian's `docker-registry`, open and with htpasswd.

use std::sync::Arc;

use oci_spec::image::{Descriptor, MediaType};
use registry::{Client, Config, Credential, Error, PushOutcome, Secret};
use testkit::registry::{BasicAuth, Registry};

use crate::auth::client_of;
use crate::push::source;
use crate::setup::{client, config, fetch, layer, manifest, noise, reference, run};

/// Pushes a small image, and pulls it again.
async fn round_trip(client: &Client, address: &str) {
    let asked = reference(address, "team/app:1");
    let (settings, content) = (br#"{"os":"linux"}"#.to_vec(), noise(700_000));
    let settings_descriptor = Descriptor::of(MediaType::OCI_CONFIG.into(), &settings);
    let quiet: Arc<dyn Fn(u64) + Send + Sync> = Arc::new(|_| {});
    let push = async |descriptor: &Descriptor, content: &[u8]| {
        client.push_blob(&asked, descriptor, source(content), None, Arc::clone(&quiet)).await.unwrap()
    };
    assert!(!client.blob_exists(&asked, &layer(&content)).await.unwrap());
    assert_eq!(push(&layer(&content), &content).await, PushOutcome::Uploaded);
    assert_eq!(push(&layer(&content), &content).await, PushOutcome::Exists);
    push(&settings_descriptor, &settings).await;
    let raw = manifest(&settings, &content);
    let digest = client.push_manifest(&asked, MediaType::OCI_MANIFEST, raw.clone().into()).await.unwrap();

    assert_eq!(client.resolve(&asked).await.unwrap().digest, digest);
    let fetched = client.manifest(&asked).await.unwrap();
    assert_eq!(fetched.document.raw(), raw);
    assert!(fetch(client, &asked, &layer(&content)).await.unwrap() == content);
    assert_eq!(client.blob_bytes(&asked, &settings_descriptor, 1000).await.unwrap(), settings);
    assert_eq!(client.tags(&asked).await.unwrap(), ["1"]);

    let mut rest = client.blob_from(&asked, &layer(&content), 600_000).unwrap();
    let mut tail = Vec::new();
    while let Some(chunk) = rest.next().await.unwrap() {
        tail.extend_from_slice(&chunk);
    }
    assert!(tail == content[600_000..]);

    let other = reference(address, "team/copy:1");
    let outcome =
        client.push_blob(&other, &layer(&content), source(&content), Some("team/app"), quiet).await.unwrap();
    assert_eq!(outcome, PushOutcome::Mounted);
}

#[test]
fn pushes_and_pulls_anonymously() {
    let registry = Registry::start();
    run(round_trip(&client(), registry.address()));
    // In pieces that the registry must put together.
    let pieces = Client::new(Config { push_chunk_bytes: Some(200_000), ..config() });
    let second = Registry::start();
    run(round_trip(&pieces, second.address()));
}

#[test]
fn pushes_and_pulls_with_a_password() {
    let registry = Registry::start_with(BasicAuth { user: "ann", password: "s3cret" });
    let address = registry.address();
    run(async {
        let error = client().manifest(&reference(address, "app")).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
        let wrong = Credential::Basic { username: "ann".into(), password: Secret::new("wrong") };
        assert!(matches!(client().login(address, &wrong).await, Err(Error::BadLogin { .. })));
        let right = Credential::Basic { username: "ann".into(), password: Secret::new("s3cret") };
        client().login(address, &right).await.unwrap();
        round_trip(&client_of(address, "ann", "s3cret"), address).await;
    });
}

#[test]
fn unknown_names_are_not_found() {
    let registry = Registry::start();
    run(async {
        let error = client().manifest(&reference(registry.address(), "no/such")).await.unwrap_err();
        assert!(matches!(error, Error::ManifestUnknown { .. }), "{error:?}");
        let error = client().tags(&reference(registry.address(), "no/such")).await.unwrap_err();
        assert!(matches!(error, Error::RepositoryUnknown { .. }), "{error:?}");
    });
}
