//! Broken transfers, wrong content, overloaded servers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base::{Classified as _, ErrorClass};
use registry::{Client, Config, Error, RetryPolicy};

use crate::server::{Reply, Request, Server};
use crate::setup::{chain, client, config, fetch, layer, noise, other_digest, reference, run};

/// The bytes from the start of the request's range on.
fn ranged(request: &Request, content: &[u8]) -> Reply {
    match request.range_start() {
        None => Reply::new(200).body(content),
        Some(start) => Reply::new(206)
            .header("Content-Range", format!("bytes {start}-{}/{}", content.len() - 1, content.len()))
            .body(&content[start..]),
    }
}

#[test]
fn resumes_a_truncated_body_by_range() {
    let content = noise(300_000);
    let served = content.clone();
    let server = Server::start(move |request| {
        let reply = ranged(request, &served);
        // Each connection breaks after 100,000 bytes.
        if request.range_start().unwrap_or(0) < 200_000 { reply.cut_after(100_000) } else { reply }
    });
    let reference = reference(&server.address, "app");
    run(async {
        assert!(fetch(&client(), &reference, &layer(&content)).await.unwrap() == content);
    });
    let starts: Vec<_> = server.requests().iter().map(Request::range_start).collect();
    assert_eq!(starts, [None, Some(100_000), Some(200_000)], "nothing is transferred twice");
}

#[test]
fn takes_a_server_without_ranges() {
    let content = noise(50_000);
    let served = content.clone();
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let reply = Reply::new(200).body(&*served);
        if tries.fetch_add(1, Ordering::Relaxed) == 0 { reply.cut_after(30_000) } else { reply }
    });
    let reference = reference(&server.address, "app");
    run(async {
        assert!(fetch(&client(), &reference, &layer(&content)).await.unwrap() == content);
    });
    assert_eq!(server.requests()[1].range_start(), Some(30_000));
}

#[test]
fn refuses_another_range_than_asked_for() {
    let content = noise(50_000);
    let served = content.clone();
    let server = Server::start(move |request| match request.range_start() {
        None => Reply::new(200).body(&*served).cut_after(10_000),
        Some(_) => Reply::new(206).header("Content-Range", "bytes 20000-49999/50000").body(&served[20_000..]),
    });
    let reference = reference(&server.address, "app");
    let error = run(async { fetch(&client(), &reference, &layer(&content)).await.unwrap_err() });
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[test]
fn gives_up_on_a_transfer_that_gets_nowhere() {
    let content = noise(50_000);
    let server = Server::start(|_| Reply::new(200).announce(50_000).body(&b"x"[..]).cut_after(1));
    let reference = reference(&server.address, "app");
    let error = run(async { fetch(&client(), &reference, &layer(&content)).await.unwrap_err() });
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    assert!(error.to_string().contains(&server.address));
    assert_eq!(error.class(), ErrorClass::Unavailable);
}

#[test]
fn a_silent_server_is_left_and_taken_up_again() {
    let content = noise(50_000);
    let served = content.clone();
    let server = Server::start(move |request| {
        let reply = ranged(request, &served);
        if request.range_start().is_none() {
            // Some bytes, then nothing, on an open connection.
            let reply = Reply::new(200).announce(served.len()).body(&served[..20_000]);
            return reply;
        }
        reply
    });
    let reference = reference(&server.address, "app");
    run(async {
        assert!(fetch(&client(), &reference, &layer(&content)).await.unwrap() == content);
    });
}

#[test]
fn refuses_a_wrong_digest_and_names_both() {
    let content = noise(10_000);
    let mut wrong = content.clone();
    wrong[5_000] ^= 1;
    let server = Server::start(move |_| Reply::new(200).body(&*wrong));
    let reference = reference(&server.address, "app");
    let descriptor = layer(&content);
    let error = run(async { fetch(&client(), &reference, &descriptor).await.unwrap_err() });
    let Error::WrongDigest { expected, actual, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*expected, descriptor.digest);
    let text = error.to_string();
    assert!(
        text.contains(&expected.to_string())
            && text.contains(&actual.to_string())
            && text.contains(&server.address)
    );
    assert_eq!(server.requests().len(), 1, "wrong content is not asked for again");
}

#[test]
fn refuses_wrong_sizes() {
    let content = noise(10_000);
    for served in [noise(9_999), noise(10_001)] {
        let (announced, silent) = (served.clone(), served.clone());
        let plain = Server::start(move |_| Reply::new(200).body(&*announced));
        // Without a length the excess shows only while it comes.
        let chunked = Server::start(move |_| {
            let mut body = format!("{:x}\r\n", silent.len()).into_bytes();
            body.extend_from_slice(&silent);
            body.extend_from_slice(b"\r\n0\r\n\r\n");
            Reply::new(200).header("Transfer-Encoding", "chunked").header("content-length", "").body(body)
        });
        for server in [plain, chunked] {
            let reference = reference(&server.address, "app");
            let error = run(async { fetch(&client(), &reference, &layer(&content)).await.unwrap_err() });
            let is_size = matches!(error, Error::WrongSize { expected: 10_000, .. });
            assert!(is_size || matches!(error, Error::Broken { .. }), "{error:?}");
        }
    }
}

#[test]
fn waits_as_retry_after_asks() {
    let content = noise(1_000);
    let served = content.clone();
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(429).header("Retry-After", "1"),
        _ => Reply::new(200).body(&*served),
    });
    let reference = reference(&server.address, "app");
    let began = Instant::now();
    run(async {
        assert!(fetch(&client(), &reference, &layer(&content)).await.unwrap() == content);
    });
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn does_not_wait_for_ever() {
    let server = Server::start(|_| Reply::new(429).header("Retry-After", "100000"));
    let reference = reference(&server.address, "app");
    let error = run(async { fetch(&client(), &reference, &layer(b"x")).await.unwrap_err() });
    assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");
    assert!(error.to_string().contains("100000 s"), "{error}");
}

#[test]
fn repeats_after_server_errors_a_few_times() {
    let content = noise(1_000);
    let served = content.clone();
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(503),
        1 => Reply::new(500).body("oops"),
        2 => Reply::new(504),
        _ => Reply::new(200).body(&*served),
    });
    let reference = reference(&server.address, "app");
    run(async {
        assert!(fetch(&client(), &reference, &layer(&content)).await.unwrap() == content);
    });

    let broken = Server::start(|_| Reply::new(502).body("<html>bad gateway"));
    let reference = crate::setup::reference(&broken.address, "app");
    let error = run(async { fetch(&client(), &reference, &layer(b"x")).await.unwrap_err() });
    assert!(matches!(error, Error::Server { status: 502, .. }), "{error:?}");
    assert_eq!(broken.requests().len(), 4, "as often as the policy says");
}

#[test]
fn a_missing_blob_is_an_error_at_once() {
    let server = Server::start(|_| {
        Reply::new(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#)
    });
    let reference = reference(&server.address, "app");
    let descriptor = layer(b"x");
    let error = run(async { fetch(&client(), &reference, &descriptor).await.unwrap_err() });
    assert!(matches!(error, Error::BlobUnknown { .. }), "{error:?}");
    assert!(error.to_string().contains(&descriptor.digest.to_string()));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_unreachable_registry_is_named_at_once() {
    // Nobody listens there: the port was given back.
    let port = testkit::registry::free_port();
    let slow = Config {
        retry: RetryPolicy { delay_first: Duration::from_secs(60), ..RetryPolicy::default() },
        ..config()
    };
    let reference = reference(&format!("127.0.0.1:{port}"), "app");
    let error = run(async { Client::new(slow).manifest(&reference).await.unwrap_err() });
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(chain(&error).contains(&format!("127.0.0.1:{port}")));
    assert_eq!(error.class(), ErrorClass::Unavailable);
}

#[test]
fn short_blobs_have_a_limit() {
    let reference = reference("127.0.0.1:1", "app");
    let error = run(async { client().blob_bytes(&reference, &layer(&noise(100)), 99).await.unwrap_err() });
    assert!(matches!(error, Error::TooLarge { limit: 99, .. }), "{error:?}");
    let _ = other_digest();
}

#[test]
fn an_empty_blob_is_a_blob() {
    let server = Server::start(|_| Reply::new(200));
    let reference = reference(&server.address, "app");
    run(async { assert!(fetch(&client(), &reference, &layer(b"")).await.unwrap().is_empty()) });
}
