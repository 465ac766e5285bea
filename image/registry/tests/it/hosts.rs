//! Mirrors and settings by `hosts.toml`.

use std::fs;

use registry::{Client, Config, Error, Hosts};
use testkit::TempDir;

use crate::server::{Reply, Server};
use crate::setup::{config, fetch, layer, manifest, noise, reference, run};

fn configured(registry: &str, text: &str) -> (Client, TempDir) {
    let directory = TempDir::new();
    let folder = directory.join(registry);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hosts.toml"), text).unwrap();
    let hosts = Hosts { directories: vec![directory.path().to_owned()], insecure: Vec::new() };
    (Client::new(Config { hosts, ..config() }), directory)
}

#[test]
fn mirrors_are_asked_in_order_and_told_whose_content() {
    let raw = manifest(b"{}", b"x");
    let served = raw.clone();
    let first = Server::start(|_| Reply::new(404));
    let second = Server::start(move |_| Reply::new(200).body(&*served));
    let upstream = Server::start(|_| Reply::new(500));
    let (client, _directory) = configured(
        "example.test",
        &format!(
            "server = \"http://{}\"\n[host.\"http://{}\"]\n[host.\"http://{}\"]\n",
            upstream.address, first.address, second.address
        ),
    );
    let fetched = run(async { client.manifest(&reference("example.test", "app:1")).await.unwrap() });
    assert_eq!(fetched.document.raw(), raw);
    assert_eq!(first.requests()[0].target, "/v2/app/manifests/1?ns=example.test");
    assert_eq!(second.requests().len(), 1);
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_dead_mirror_costs_one_look() {
    let raw = manifest(b"{}", b"x");
    let dead = testkit::registry::free_port();
    let upstream = Server::start(move |_| Reply::new(200).body(&*raw));
    let (client, _directory) = configured(
        "example.test",
        &format!("server = \"http://{}\"\n[host.\"http://127.0.0.1:{dead}\"]\n", upstream.address),
    );
    run(async { client.manifest(&reference("example.test", "app")).await.unwrap() });
    assert_eq!(upstream.requests()[0].target, "/v2/app/manifests/latest", "the server is no mirror");
}

#[test]
fn a_blob_goes_on_at_the_next_host() {
    let content = noise(90_000);
    let (half, whole) = (content.clone(), content.clone());
    let mirror = Server::start(move |request| match request.range_start() {
        None => Reply::new(200).body(&*half).cut_after(40_000),
        Some(_) => Reply::new(404),
    });
    let upstream = Server::start(move |request| {
        let start = request.range_start().unwrap();
        Reply::new(206).header("Content-Range", format!("bytes {start}-89999/90000")).body(&whole[start..])
    });
    let (client, _directory) = configured(
        "example.test",
        &format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", upstream.address, mirror.address),
    );
    run(async {
        assert!(
            fetch(&client, &reference("example.test", "app"), &layer(&content)).await.unwrap() == content
        );
    });
    assert_eq!(upstream.requests()[0].range_start(), Some(40_000));
}

#[test]
fn capabilities_are_kept_to() {
    let raw = manifest(b"{}", b"x");
    let digest = base::Digest::sha256_of(&raw);
    let (at_mirror, at_server) = (raw.clone(), raw);
    let mirror = Server::start(move |_| Reply::new(200).body(&*at_mirror));
    let upstream = Server::start(move |_| Reply::new(200).body(&*at_server));
    let (client, _directory) = configured(
        "example.test",
        &format!(
            "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\"]\n",
            upstream.address, mirror.address
        ),
    );
    run(async {
        client.manifest(&reference("example.test", "app:1")).await.unwrap();
        assert!(mirror.requests().is_empty(), "a mirror that may not resolve is not asked for a tag");
        client.manifest(&reference("example.test", "app").at(digest)).await.unwrap();
        assert_eq!(mirror.requests().len(), 1);
    });
    let (client, _directory) =
        configured("none.test", "server = \"http://127.0.0.1:9\"\ncapabilities = [\"push\"]\n");
    let error = run(async { client.manifest(&reference("none.test", "app")).await.unwrap_err() });
    assert!(matches!(error, Error::NoHost { .. }), "{error:?}");
}

#[test]
fn headers_and_paths_of_the_file_are_used() {
    let raw = manifest(b"{}", b"x");
    let server = Server::start(move |_| Reply::new(200).body(&*raw));
    let (client, _directory) = configured(
        "example.test",
        &format!(
            "[host.\"http://{}/proxy/hub\"]\noverride_path = true\n[host.\"http://{}/proxy/hub\".header]\nx-team = \"keel\"\n",
            server.address, server.address
        ),
    );
    run(async { client.manifest(&reference("example.test", "app:1")).await.unwrap() });
    let request = &server.requests()[0];
    assert_eq!(request.path(), "/proxy/hub/app/manifests/1");
    assert_eq!(request.header("x-team"), Some("keel"));
}

#[test]
fn a_broken_file_is_named() {
    let (client, directory) = configured("example.test", "server = ");
    let error = run(async { client.manifest(&reference("example.test", "app")).await.unwrap_err() });
    assert!(matches!(error, Error::Hosts(_)), "{error:?}");
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
}
