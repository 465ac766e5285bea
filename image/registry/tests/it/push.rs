//! Uploads against a scripted server.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{BlobSource, Client, Config, Error, PushOutcome};

use crate::server::{Reply, Server};
use crate::setup::{client, config, layer, manifest, noise, reference, run};

pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl BlobSource for Bytes {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0[offset as usize..].to_vec())))
    }
}

pub(crate) fn source(content: &[u8]) -> Arc<dyn BlobSource> {
    Arc::new(Bytes(content.to_vec()))
}

fn quiet() -> Arc<dyn Fn(u64) + Send + Sync> {
    Arc::new(|_| {})
}

/// A registry that keeps what is uploaded; `troubles` answers are 503 before that.
fn upload_server(stored: Arc<Mutex<Vec<u8>>>, troubles: usize) -> Server {
    let left = AtomicUsize::new(troubles);
    Server::start(move |request| {
        let length = |stored: &[u8]| format!("0-{}", stored.len().max(1) - 1);
        match request.method.as_str() {
            "HEAD" => Reply::new(404),
            "POST" => {
                stored.lock().unwrap().clear();
                Reply::new(202).header("Location", "/v2/app/blobs/uploads/7?state=a")
            }
            "PATCH" => {
                let mut stored = stored.lock().unwrap();
                // It takes half of a piece and fails.
                if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
                {
                    let half = request.body.len() / 2;
                    stored.extend_from_slice(&request.body[..half]);
                    return Reply::new(503);
                }
                let begin: usize =
                    request.header("content-range").unwrap().split('-').next().unwrap().parse().unwrap();
                if begin != stored.len() {
                    return Reply::new(416).header("Range", length(&stored));
                }
                stored.extend_from_slice(&request.body);
                Reply::new(202)
                    .header("Location", "/v2/app/blobs/uploads/7?state=b")
                    .header("Range", length(&stored))
            }
            "GET" => {
                let stored = stored.lock().unwrap();
                Reply::new(204)
                    .header("Location", "/v2/app/blobs/uploads/7?state=c")
                    .header("Range", length(&stored))
            }
            "PUT" => {
                if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
                {
                    return Reply::new(503);
                }
                stored.lock().unwrap().extend_from_slice(&request.body);
                Reply::new(201)
            }
            _ => Reply::new(405),
        }
    })
}

#[test]
fn sends_a_blob_in_one_piece_and_again_after_trouble() {
    let content = noise(300_000);
    let stored = Arc::new(Mutex::new(Vec::new()));
    let server = upload_server(Arc::clone(&stored), 1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let progress = Arc::new(move |done| heard.lock().unwrap().push(done));
    let asked = reference(&server.address, "app");
    let outcome = run(async {
        client().push_blob(&asked, &layer(&content), source(&content), None, progress).await.unwrap()
    });
    assert_eq!(outcome, PushOutcome::Uploaded);
    assert!(*stored.lock().unwrap() == content);
    assert_eq!(told.lock().unwrap().last(), Some(&300_000));
    let put = server.requests().into_iter().rfind(|request| request.method == "PUT").unwrap();
    assert!(put.target.contains("state=a&digest=sha256%3A"), "{}", put.target);
}

#[test]
fn sends_pieces_and_asks_where_to_go_on() {
    let content = noise(250_000);
    let stored = Arc::new(Mutex::new(Vec::new()));
    let server = upload_server(Arc::clone(&stored), 2);
    let client = Client::new(Config { push_chunk_bytes: Some(100_000), ..config() });
    let asked = reference(&server.address, "app");
    run(async { client.push_blob(&asked, &layer(&content), source(&content), None, quiet()).await.unwrap() });
    assert!(*stored.lock().unwrap() == content);
    let methods: Vec<_> = server.requests().iter().map(|request| request.method.clone()).collect();
    assert_eq!(methods.iter().filter(|method| *method == "GET").count(), 2, "{methods:?}");
    assert_eq!(methods.iter().filter(|method| *method == "POST").count(), 1, "{methods:?}");
}

#[test]
fn does_not_send_what_is_there_and_mounts_what_is_near() {
    let content = noise(100);
    let digest = layer(&content).digest.to_string().replace(':', "%3A");
    let there =
        Server::start(|request| if request.method == "HEAD" { Reply::new(200) } else { Reply::new(500) });
    let near = Server::start(move |request| match request.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST"
            if request.target.contains(&format!("mount={digest}"))
                && request.target.contains("from=base") =>
        {
            Reply::new(201).header("Location", "/v2/app/blobs/x")
        }
        _ => Reply::new(500),
    });
    run(async {
        let push = async |server: &Server| {
            let asked = reference(&server.address, "app");
            client()
                .push_blob(&asked, &layer(&content), source(&content), Some("base"), quiet())
                .await
                .unwrap()
        };
        assert_eq!(push(&there).await, PushOutcome::Exists);
        assert_eq!(push(&near).await, PushOutcome::Mounted);
    });
}

#[test]
fn a_manifest_that_is_stored_otherwise_is_an_error() {
    let raw = manifest(b"{}", b"x");
    let honest = Server::start(|_| Reply::new(201));
    let liar = Server::start(|_| {
        Reply::new(201).header("Docker-Content-Digest", crate::setup::other_digest().to_string())
    });
    run(async {
        let kind = oci_spec::image::MediaType::OCI_MANIFEST;
        let asked = reference(&honest.address, "app:1");
        let digest = client().push_manifest(&asked, kind, raw.clone().into()).await.unwrap();
        assert_eq!(digest, base::Digest::sha256_of(&raw));
        let asked = reference(&liar.address, "app:1");
        let error = client().push_manifest(&asked, kind, raw.into()).await.unwrap_err();
        assert!(matches!(error, Error::WrongDigest { .. }), "{error:?}");
    });
    assert_eq!(honest.requests()[0].header("content-type"), Some(oci_spec::image::MediaType::OCI_MANIFEST));
}

#[test]
fn a_refusal_to_push_says_what_to_do() {
    let server = Server::start(|_| {
        Reply::new(403)
            .body(r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#)
    });
    let asked = reference(&server.address, "app");
    let error = run(async {
        client().push_blob(&asked, &layer(b"x"), source(b"x"), None, quiet()).await.unwrap_err()
    });
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("strake login"), "{error}");
}
