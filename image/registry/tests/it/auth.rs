//! Logins: basic, token by GET and POST, anonymous; secrets stay secret.

use std::io;
use std::sync::Arc;

use base::{Classified as _, ErrorClass};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use registry::{Client, Config, Credential, CredentialError, CredentialSource, Error, Secret};

use crate::server::{Reply, Request, Server};
use crate::setup::{chain, config, fetch, layer, manifest, noise, reference, run};

/// One credential for one registry.
struct One(String, Credential);

impl CredentialSource for One {
    fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok((registry == self.0).then(|| self.1.clone()))
    }
}

fn client_with(registry: &str, credential: Credential) -> Client {
    Client::new(Config { credentials: Arc::new(One(registry.to_owned(), credential)), ..config() })
}

/// A client with a user name and a password for one registry.
pub(crate) fn client_of(registry: &str, username: &str, password: &str) -> Client {
    let password = Secret::new(password);
    client_with(registry, Credential::Basic { username: username.to_owned(), password })
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{username}:{password}")))
}

/// A registry and its token server in one; tokens are `token-for-<scope>`.
fn token_registry(expected_login: Option<String>, raw: Vec<u8>) -> Server {
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&address);
    let server = Server::start(move |request| {
        let realm = format!("http://{}/token", own.get().unwrap());
        if request.path() == "/token" {
            return token(request, expected_login.as_deref());
        }
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"registry.test\",scope=\"repository:app:pull\"");
        match request.header("authorization") {
            Some("Bearer token-for-repository:app:pull") => Reply::new(200).body(&*raw),
            _ => Reply::new(401)
                .header("WWW-Authenticate", challenge)
                .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#),
        }
    });
    address.set(server.address.clone()).unwrap();
    server
}

fn token(request: &Request, expected_login: Option<&str>) -> Reply {
    if expected_login != request.header("authorization") {
        return Reply::new(401).body(r#"{"details":"incorrect username or password"}"#);
    }
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let scope = query.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or("");
    let scope = scope.replace("%3A", ":").replace("%2C", ",").replace("%2F", "/");
    Reply::new(200).body(format!(r#"{{"token":"token-for-{scope}","expires_in":300}}"#))
}

#[test]
fn anonymous_tokens_are_fetched_once_for_parallel_requests() {
    let content = noise(1_000);
    let server = token_registry(None, content.clone());
    let client = Client::new(config());
    let asked = reference(&server.address, "app");
    run(async {
        let descriptor = layer(&content);
        let fetches = (0..5).map(|_| fetch(&client, &asked, &descriptor));
        for outcome in futures_util::future::join_all(fetches).await {
            assert!(outcome.unwrap() == content);
        }
        assert!(fetch(&client, &asked, &descriptor).await.unwrap() == content);
    });
    let tokens = server.requests().iter().filter(|request| request.path() == "/token").count();
    assert_eq!(tokens, 1);
    let asked = server.requests().into_iter().find(|request| request.path() == "/token").unwrap();
    assert!(asked.target.contains("service=registry.test"), "{}", asked.target);
    assert!(asked.target.contains("scope=repository%3Aapp%3Apull"));
}

#[test]
fn a_password_gets_a_token() {
    let raw = manifest(b"{}", b"x");
    let server = token_registry(Some(basic("ann", "pass:word")), raw);
    let client = client_of(&server.address, "ann", "pass:word");
    run(async { client.manifest(&reference(&server.address, "app")).await.unwrap() });
    let asked = server.requests().into_iter().find(|request| request.path() == "/token").unwrap();
    assert!(asked.target.contains("account=ann"));
}

#[test]
fn a_wrong_password_is_said() {
    let server = token_registry(Some(basic("ann", "right")), Vec::new());
    let client = client_of(&server.address, "ann", "wrong");
    let error = run(async { client.manifest(&reference(&server.address, "app")).await.unwrap_err() });
    assert!(matches!(error, Error::BadLogin { .. }), "{error:?}");
    assert!(error.to_string().contains("incorrect username or password"));
    assert_eq!(error.class(), ErrorClass::Unauthenticated);
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let raw = manifest(b"{}", b"x");
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&address);
    let server = Server::start(move |request| match (request.path(), request.header("authorization")) {
        ("/token", _) if request.method == "POST" => Reply::new(200).body(r#"{"access_token":"fresh"}"#),
        ("/token", _) => Reply::new(405),
        (_, Some("Bearer fresh")) => Reply::new(200).body(&*raw),
        _ => Reply::new(401).header(
            "WWW-Authenticate",
            format!("Bearer realm=\"http://{}/token\",service=\"s\"", own.get().unwrap()),
        ),
    });
    address.set(server.address.clone()).unwrap();
    let client = client_with(&server.address, Credential::Identity(Secret::new("refresh-me")));
    run(async { client.manifest(&reference(&server.address, "app")).await.unwrap() });
    let post = server.requests().into_iter().find(|request| request.method == "POST").unwrap();
    let form = String::from_utf8(post.body).unwrap();
    for part in
        ["grant_type=refresh_token", "refresh_token=refresh-me", "service=s", "scope=repository%3Aapp%3Apull"]
    {
        assert!(form.contains(part), "{form}");
    }
}

#[test]
fn a_token_server_does_not_send_a_password_elsewhere() {
    let elsewhere = Server::start(|_| Reply::new(200).body(r#"{"token":"t"}"#));
    let target = format!("http://{}/token", elsewhere.address);
    let realm = Server::start(move |_| Reply::new(307).header("Location", target.clone()));
    let challenge = format!("Bearer realm=\"http://{}/token\"", realm.address);
    let server = Server::start(move |_| Reply::new(401).header("WWW-Authenticate", challenge.clone()));
    let client = client_with(&server.address, Credential::Identity(Secret::new("refresh")));
    let error = run(async { client.manifest(&reference(&server.address, "app")).await.unwrap_err() });
    assert!(chain(&error).contains("credentials to another host"), "{error}");
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
}

#[test]
fn basic_registries_get_the_password() {
    let raw = manifest(b"{}", b"x");
    let login = basic("ann", "p");
    let server = Server::start(move |request| match request.header("authorization") {
        Some(given) if given == login => Reply::new(200).body(&*raw),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"here\""),
    });
    let asked = reference(&server.address, "app");
    run(async {
        client_of(&server.address, "ann", "p").manifest(&asked).await.unwrap();
        let error = client_of(&server.address, "ann", "no").manifest(&asked).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
        let error = Client::new(config()).manifest(&asked).await.unwrap_err();
        assert!(error.to_string().contains(&format!("strake login {}", server.address)), "{error}");
    });
}

#[test]
fn a_stale_token_is_renewed_once() {
    let raw = manifest(b"{}", b"x");
    let address = Arc::new(std::sync::OnceLock::<String>::new());
    let own = Arc::clone(&address);
    let issued = std::sync::atomic::AtomicU32::new(0);
    let server = Server::start(move |request| {
        use std::sync::atomic::Ordering::Relaxed;
        if request.path() == "/token" {
            let number = issued.fetch_add(1, Relaxed) + 1;
            return Reply::new(200).body(format!(r#"{{"token":"t{number}","expires_in":3600}}"#));
        }
        // The first token counts once; the server forgets it early.
        let seen = request.header("authorization").unwrap_or_default().to_owned();
        let valid = format!("Bearer t{}", issued.load(Relaxed));
        if seen == valid && (issued.load(Relaxed) > 1 || request.path().ends_with("/one")) {
            return Reply::new(200).body(&*raw);
        }
        let realm = format!("Bearer realm=\"http://{}/token\",error=\"invalid_token\"", own.get().unwrap());
        Reply::new(401).header("WWW-Authenticate", realm)
    });
    address.set(server.address.clone()).unwrap();
    let client = Client::new(config());
    run(async {
        client.manifest(&reference(&server.address, "app:one")).await.unwrap();
        client.manifest(&reference(&server.address, "app:two")).await.unwrap();
    });
    assert_eq!(server.requests().iter().filter(|request| request.path() == "/token").count(), 2);
}

#[test]
fn login_asks_the_registry() {
    let login = basic("ann", "p");
    let server = Server::start(move |request| match request.header("authorization") {
        Some(given) if given == login => Reply::new(200).body("{}"),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"here\""),
    });
    let client = Client::new(config());
    let credential =
        |password: &str| Credential::Basic { username: "ann".into(), password: Secret::new(password) };
    run(async {
        let done = client.login(&server.address, &credential("p")).await.unwrap();
        assert!(done.plain_http);
        let error = client.login(&server.address, &credential("q")).await.unwrap_err();
        assert!(matches!(error, Error::BadLogin { .. }), "{error:?}");
    });
    assert_eq!(server.requests()[0].target, "/v2/");
}

#[test]
fn secrets_appear_in_no_error_and_no_debug_output() {
    const CANARY: &str = "canary-7d1f";
    let server = token_registry(Some(basic("ann", "right")), Vec::new());
    let broken = Server::start(|_| Reply::new(200).body(format!("{{\"token\": {CANARY}}}")));
    let realm = format!("Bearer realm=\"http://{}/token\"", broken.address);
    let malformed = Server::start(move |_| Reply::new(401).header("WWW-Authenticate", realm.clone()));
    for address in [&server.address, &malformed.address] {
        let client = client_of(address, "ann", CANARY);
        let error = run(async { client.manifest(&reference(address, "app")).await.unwrap_err() });
        let encoded = BASE64.encode(format!("ann:{CANARY}"));
        for text in [format!("{error:?}"), chain(&error), format!("{client:?}")] {
            assert!(!text.contains(CANARY) && !text.contains(&encoded), "{text}");
        }
    }
    let failed = io::Error::other("x");
    assert!(!format!("{:?}{failed:?}", Secret::new(CANARY)).contains(CANARY));
}
