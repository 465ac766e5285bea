//! Several servers on one etcd: the second one is given nothing but the datastore and the servers' token.

use std::fs;
use std::process::{Command, Stdio};

use testkit::kube::{KubeServer, clients};
use testkit::{Output, TempDir, bin, run};

use super::etcd::{Etcd, TOKEN, leader, loops_work, server, until};

/// Who somebody is who comes to a server with nothing but a bearer token.
fn whoami(server: &KubeServer, token: &str) -> String {
    let authority = server.data().join("pki/server-ca.crt").display().to_string();
    let mut command = Command::new(clients().kubectl);
    command.env("HOME", server.home()).env("KUBECONFIG", "/dev/null").stdin(Stdio::null());
    command.arg(format!("--server=https://127.0.0.1:{}", server.port()));
    command.args([&format!("--certificate-authority={authority}"), &format!("--token={token}")]);
    run(command.args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])).ok().to_owned()
}

fn read(server: &KubeServer, file: &str) -> String {
    fs::read_to_string(server.data().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn servers_that_start_at_once_are_one_cluster_by_their_token() {
    let etcd = Etcd::start(1);
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| server(&etcd));
        (server(&etcd), other.join().expect("the other server"))
    });
    for file in
        ["pki/server-ca.crt", "pki/client-ca.key", "pki/front-proxy-ca.key", "pki/service-account.key"]
    {
        assert_eq!(read(&first, file), read(&second, file), "{file}");
    }
    assert_ne!(read(&first, "pki/serving.crt"), read(&second, "pki/serving.crt"));

    // Each takes the other's clients: certificates, tokens of service accounts, tokens of nodes.
    first.kubectl(&["create", "serviceaccount", "robot"]).ok();
    let at_second = format!("--server=https://127.0.0.1:{}", second.port());
    let seen = first.kubectl(&[&at_second, "get", "serviceaccount", "robot", "-o", "name"]);
    assert_eq!(seen.ok().trim(), "serviceaccount/robot");
    let token = first.kubectl(&["create", "token", "robot"]);
    assert_eq!(whoami(&second, token.ok().trim()), "system:serviceaccount:default:robot");
    let token = run(&mut second.command(&bin("strake"), &["token", "create"]));
    let (_, bearer) = token.ok().trim().split_once("::").expect("a token that names the authority");
    let id = bearer.split('.').next().expect("an id");
    assert_eq!(whoami(&first, bearer), format!("system:bootstrap:{id}"));

    // What is in the datastore, and what the servers say, tells nobody anything.
    let sealed = etcd.value("/strake/cluster-keys");
    assert!(sealed.contains("\"sealed\""), "{sealed}");
    for told in [sealed, first.messages(), second.messages()] {
        assert!(!told.contains(TOKEN) && !told.contains("PRIVATE"), "{told}");
    }

    // One of them leads; when it is killed the other one does.
    until("a leader", || !leader(&first).is_empty());
    loops_work(&second, "before");
    let leads = leader(&second);
    let (killed, rest) = if leads.ends_with(&format!(":{}", first.port())) {
        (first, second)
    } else {
        assert!(leads.ends_with(&format!(":{}", second.port())), "{leads}");
        (second, first)
    };
    drop(killed);
    until("another leader", || ![leads.as_str(), ""].contains(&leader(&rest).as_str()));
    loops_work(&rest, "after");
}

/// Pods find the API where there is a server, and nowhere else.
#[test]
fn the_service_kubernetes_has_the_servers_that_are_there() {
    let etcd = Etcd::start(1);
    let at = |address: &str| {
        let options = ["--datastore", &etcd.endpoints(), "--token", TOKEN, "--advertise-address", address]
            .map(str::to_owned);
        KubeServer::start_with(&options.each_ref().map(String::as_str))
    };
    let first = at("192.0.2.1");
    let second = at("192.0.2.2");
    let addresses = |kind: &str, path: &str| {
        let output = first.kubectl(&["get", kind, "-o", &format!("jsonpath={{.items[*]{path}}}")]);
        let mut found: Vec<String> = output.ok().split_whitespace().map(str::to_owned).collect();
        found.sort();
        found
    };
    let are = |expected: &[&str]| {
        until("the servers' addresses", || {
            addresses("endpointslices", ".endpoints[*].addresses[*]") == expected
                && addresses("endpoints", ".subsets[*].addresses[*].ip") == expected
        });
    };
    are(&["192.0.2.1", "192.0.2.2"]);
    // Without a word: its lease ends.
    drop(second);
    are(&["192.0.2.1"]);
    let _third = at("192.0.2.3");
    are(&["192.0.2.1", "192.0.2.3"]);
}

/// A server that is to fail; and its home.
fn refused(etcd: &Etcd, home: &TempDir, token: &[&str]) -> Output {
    let mut command = Command::new(bin("strake"));
    command.env_remove("STRAKE_TOKEN").env("HOME", home.path()).stdin(Stdio::null());
    command.args([
        "server",
        "--disable-agent",
        "--bind-address",
        "127.0.0.1",
        "--secure-port",
        "0",
        "--data-dir",
    ]);
    run(command.arg(home.join("data")).args(["--datastore", &etcd.endpoints()]).args(token))
}

#[test]
fn a_server_without_the_right_token_is_told_what_to_do() {
    let etcd = Etcd::start(1);
    // The first one is given none and makes one.
    let mut first = KubeServer::start_with(&["--datastore", &etcd.endpoints()]);
    let made = first.data().join("server-token").display().to_string();
    for (token, says) in [
        (&[][..], "no token was given"),
        (&["--token", "the-token-of-another-cluster"], "the token that was given is not the one"),
    ] {
        let home = TempDir::new();
        let output = refused(&etcd, &home, token);
        assert_ne!(output.code, 0);
        assert!(output.stderr.contains(says), "{}", output.stderr);
        assert!(output.stderr.contains("give its servers' token with --token"), "{}", output.stderr);
        assert!(!output.stderr.contains("the-token-of-another-cluster"));
        for file in ["server-token", "pki"] {
            assert!(!home.join("data").join(file).exists(), "{file} is left");
        }
    }
    // With the first one's, wherever it was given.
    let second = KubeServer::start_with(&["--datastore", &etcd.endpoints(), "--token-file", &made]);
    assert_eq!(read(&first, "server-token"), read(&second, "server-token"));
    first.kubectl(&["create", "namespace", "shop"]).ok();
    assert_eq!(second.kubectl(&["get", "namespace", "shop", "-o", "name"]).ok().trim(), "namespace/shop");
    // The first one knows its own.
    first.crash_and_restart();
    assert_eq!(first.kubectl(&["get", "namespace", "shop", "-o", "name"]).ok().trim(), "namespace/shop");
    // Whose keys are another cluster's keeps them.
    let home = TempDir::new();
    fs::create_dir(home.join("data")).expect("a directory");
    let other = KubeServer::start();
    run(Command::new("cp").arg("-a").arg(other.data().join("pki")).arg(home.join("data"))).ok();
    let output = refused(&etcd, &home, &["--token-file", &made]);
    assert!(output.stderr.contains("is the authority of another cluster"), "{}", output.stderr);
    let alone = run(Command::new(bin("strake")).args(["server", "--token", "a-token"]));
    assert!(alone.stderr.contains("--datastore"), "{}", alone.stderr);
}
