//! Names, types and digests of manifests; redirects.

use base::{Classified as _, ErrorClass};
use oci_spec::image::{Document, MediaType};
use registry::Error;

use crate::server::{Reply, Server};
use crate::setup::{chain, client, fetch, layer, manifest, noise, other_digest, reference, run};

#[test]
fn asks_for_all_types_and_takes_the_content_as_it_is() {
    let raw = manifest(b"{}", b"layer");
    let served = raw.clone();
    let server = Server::start(move |_| {
        Reply::new(200).header("Content-Type", MediaType::OCI_MANIFEST).body(&*served)
    });
    let fetched = run(async { client().manifest(&reference(&server.address, "a/b:x")).await.unwrap() });
    assert_eq!(fetched.document.raw(), raw);
    assert_eq!(fetched.descriptor.digest, base::Digest::sha256_of(&raw));
    assert!(matches!(fetched.document, Document::Manifest { .. }));
    let request = &server.requests()[0];
    assert_eq!(request.target, "/v2/a/b/manifests/x");
    for media_type in MediaType::MANIFESTS {
        assert!(request.header("accept").unwrap().contains(media_type));
    }
}

#[test]
fn resolves_by_head_alone_where_it_can() {
    let digest = other_digest();
    let told = digest.to_string();
    let server = Server::start(move |_| {
        Reply::new(200)
            .header("Content-Type", MediaType::OCI_INDEX)
            .header("Docker-Content-Digest", told.clone())
            .header("Content-Length", "77")
    });
    let found = run(async { client().resolve(&reference(&server.address, "app:1")).await.unwrap() });
    assert_eq!((found.digest, found.size), (digest, 77));
    assert_eq!(server.log(), ["HEAD /v2/app/manifests/1"]);
}

#[test]
fn resolves_by_content_where_head_says_nothing() {
    let raw = manifest(b"{}", b"layer");
    let served = raw.clone();
    let server = Server::start(move |_| Reply::new(200).body(&*served));
    let found = run(async { client().resolve(&reference(&server.address, "app:1")).await.unwrap() });
    assert_eq!(found.digest, base::Digest::sha256_of(&raw));
    assert_eq!(server.log(), ["HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"]);
}

#[test]
fn a_digest_gets_exactly_that() {
    let raw = manifest(b"{}", b"layer");
    let server = Server::start(move |_| Reply::new(200).body(&*raw));
    let asked = reference(&server.address, "app").at(other_digest());
    let error = run(async { client().manifest(&asked).await.unwrap_err() });
    assert!(
        matches!(&error, Error::WrongDigest { expected, .. } if *expected == other_digest()),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Corrupt);
}

#[test]
fn an_unknown_name_is_named() {
    let server = Server::start(|_| Reply::new(404).body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#));
    let error =
        run(async { client().manifest(&reference(&server.address, "no/such:thing")).await.unwrap_err() });
    assert!(matches!(error, Error::ManifestUnknown { .. }), "{error:?}");
    assert!(error.to_string().contains("no/such:thing"), "{error}");
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn an_ambiguous_or_foreign_document_is_refused() {
    for body in [
        r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
        r#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}"#,
        "<html>login here</html>",
    ] {
        let server = Server::start(move |_| Reply::new(200).body(body));
        let error = run(async { client().manifest(&reference(&server.address, "app")).await.unwrap_err() });
        assert!(matches!(error, Error::Document { .. }), "{body}: {error:?}");
    }
}

#[test]
fn a_huge_manifest_is_not_read() {
    let server = Server::start(|_| Reply::new(200).body(vec![b' '; 5 << 20]));
    let error = run(async { client().manifest(&reference(&server.address, "app")).await.unwrap_err() });
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[test]
fn redirects_lose_the_authorization_on_another_host() {
    let content = noise(5_000);
    let served = content.clone();
    let storage = Server::start(move |_| Reply::new(200).body(&*served));
    let target = format!("http://{}/bucket/x?sig=1", storage.address);
    let server = Server::start(move |request| match request.header("authorization") {
        None => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => Reply::new(307).header("Location", target.clone()),
    });
    let client = crate::auth::client_of(&server.address, "ann", "secret");
    let asked = reference(&server.address, "app");
    run(async {
        assert!(fetch(&client, &asked, &layer(&content)).await.unwrap() == content);
    });
    let seen = &storage.requests()[0];
    assert_eq!(seen.target, "/bucket/x?sig=1");
    assert_eq!(seen.header("authorization"), None);
    assert!(server.requests()[1].header("authorization").is_some());
}

#[test]
fn redirect_loops_end() {
    let server = Server::start(|_| Reply::new(302).header("Location", "/v2/app/manifests/latest"));
    let error = run(async { client().manifest(&reference(&server.address, "app")).await.unwrap_err() });
    assert!(chain(&error).contains("redirects more than"), "{error}");
    assert!(server.requests().len() < 20);
}

#[test]
fn tags_come_page_by_page() {
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/app/tags/list" => Reply::new(200)
            .header("Link", "</v2/app/tags/list?last=b&n=2>; rel=\"next\"")
            .body(r#"{"name":"app","tags":["a","b"]}"#),
        "/v2/app/tags/list?last=b&n=2" => Reply::new(200).body(r#"{"name":"app","tags":["c"]}"#),
        _ => Reply::new(404),
    });
    let tags = run(async { client().tags(&reference(&server.address, "app")).await.unwrap() });
    assert_eq!(tags, ["a", "b", "c"]);
}

#[test]
fn a_web_site_is_not_a_registry() {
    let server = Server::start(|_| Reply::new(403).body("\x1b[2JForbidden\nby nginx"));
    let error = run(async { client().manifest(&reference(&server.address, "app")).await.unwrap_err() });
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(!error.to_string().contains('\x1b'));
}
