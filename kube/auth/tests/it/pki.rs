//! Keys and certificates on disk: made once, renewed in time, whatever a crash left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use auth::authn::Authorities;
use auth::pki::{Common, Item, Pki, PkiError, ServerNames, Why, ensure, ensure_by};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::clock::{NOW, Scratch, at};

const DAY: i64 = 24 * 3600;

pub(crate) fn names() -> ServerNames {
    ServerNames::standard(
        "https://127.0.0.1:6443",
        "10.96.0.1".parse().unwrap(),
        "cluster.local",
        &["host.example".to_owned(), "192.0.2.7".to_owned()],
    )
}

pub(crate) fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn made(pki: &Pki) -> Vec<(Item, Why)> {
    pki.made.clone()
}

/// Whether who trusts `authority` believes the server's certificate for a name.
fn believes(authority: &str, certificate: &str, name: &str, at_seconds: i64) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(authority));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at_seconds as u64));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain(certificate)[0], &[], &name, &[], now).is_ok()
}

#[test]
fn is_made_once() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("deep/pki");
    let first = ensure(&directory, &names(), at(0)).unwrap();
    assert!(first.made.iter().all(|(_, why)| *why == Why::Missing));
    assert_eq!(first.made.len(), Item::ALL.len());
    for name in [
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "10.96.0.1",
        "127.0.0.1",
        "::1",
        "host.example",
        "192.0.2.7",
    ] {
        assert!(believes(&first.server_ca.certificate, &first.serving.certificate, name, NOW), "{name}");
    }
    assert!(!believes(&first.server_ca.certificate, &first.serving.certificate, "other.example", NOW));
    assert!(!believes(&first.client_ca.certificate, &first.serving.certificate, "localhost", NOW));
    let clients = Authorities::from_pem(first.client_ca.certificate.as_bytes()).unwrap();
    assert!(clients.verify(&chain(&first.admin.certificate), at(0)).is_ok());
    assert!(clients.verify(&chain(&first.admin.certificate), at(400 * DAY)).is_err());
    assert!(clients.verify(&chain(&first.serving.certificate), at(0)).is_err());
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
    }
    let second = ensure(&directory, &names(), at(60)).unwrap();
    assert_eq!(second.made, []);
    assert_eq!(second.serving, first.serving);
    assert_eq!(second.service_account_key, first.service_account_key);
    assert_eq!(second.look_again_at, at(60 + DAY));
    let kubeconfig = fs::read_to_string(&second.admin_kubeconfig).unwrap();
    assert!(kubeconfig.contains("server: \"https://127.0.0.1:6443\""));
    assert!(!format!("{second:?} {:?}", second.admin).contains("PRIVATE KEY"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn is_renewed_in_time() {
    let scratch = Scratch::new();
    let first = ensure(scratch.path(), &names(), at(0)).unwrap();
    // Leaves after two thirds of their year.
    let second = ensure(scratch.path(), &names(), at(250 * DAY)).unwrap();
    let leaves = [Item::Serving, Item::Admin, Item::FrontProxyClient, Item::KubeletClient];
    assert_eq!(made(&second), leaves.map(|item| (item, Why::Expires)));
    assert_eq!(second.server_ca, first.server_ca);
    assert!(believes(
        &first.server_ca.certificate,
        &second.serving.certificate,
        "localhost",
        NOW + 400 * DAY
    ));
    // Authorities after two thirds of ten years; what the old ones signed is still believed.
    let late = 2500 * DAY;
    let third = ensure(scratch.path(), &names(), at(late)).unwrap();
    assert_eq!(third.made.len(), Item::ALL.len());
    assert_eq!(chain(&third.server_ca.certificate).len(), 2);
    assert!(believes(&third.server_ca.certificate, &third.serving.certificate, "localhost", NOW + late));
    assert!(believes(
        &third.server_ca.certificate,
        &second.serving.certificate,
        "localhost",
        NOW + 260 * DAY
    ));
    assert_eq!(third.service_account_key, first.service_account_key);
    assert_eq!(ensure(scratch.path(), &names(), at(late + 60)).unwrap().made, []);
    // Another name.
    let mut other = names();
    other.dns.push("zzz.example".to_owned());
    assert_eq!(made(&ensure(scratch.path(), &other, at(late)).unwrap()), [(Item::Serving, Why::Names)]);
}

#[test]
fn survives_what_a_crash_leaves() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path().join(name);
    let first = ensure(scratch.path(), &names(), at(0)).unwrap();
    for (damage, items) in [
        (&["serving.crt"][..], &[Item::Serving][..]),
        (&["serving.key"], &[Item::Serving]),
        (&["admin.crt", "admin.key"], &[Item::Admin]),
        (&["admin.kubeconfig"], &[]),
    ] {
        damage.iter().for_each(|name| fs::remove_file(path(name)).unwrap());
        let again = ensure(scratch.path(), &names(), at(0)).unwrap();
        assert_eq!(again.made.iter().map(|(item, _)| *item).collect::<Vec<_>>(), items, "{damage:?}");
        assert!(path("admin.kubeconfig").exists());
    }
    // A new key was written, its certificate was not: the old certificate is kept beside.
    fs::write(path("client-ca.key"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    fs::write(path(".client-ca.crt.new"), "half").unwrap();
    let again = ensure(scratch.path(), &names(), at(0)).unwrap();
    let made: Vec<_> = made(&again);
    assert_eq!(
        made,
        [(Item::ClientCa, Why::Missing), (Item::Admin, Why::Issuer), (Item::KubeletClient, Why::Issuer)]
    );
    let clients = Authorities::from_pem(again.client_ca.certificate.as_bytes()).unwrap();
    assert!(clients.verify(&chain(&first.admin.certificate), at(0)).is_ok());
    assert!(clients.verify(&chain(&again.admin.certificate), at(0)).is_ok());
    // Rubbish.
    fs::write(path("front-proxy-ca.crt"), [0xff, 0, 1]).unwrap();
    assert_eq!(ensure(scratch.path(), &names(), at(0)).unwrap().made.len(), 2);
    // A token key that we cannot read is not thrown away.
    fs::write(path("service-account.key"), "rubbish").unwrap();
    let error = ensure(scratch.path(), &names(), at(0)).unwrap_err();
    assert!(error.to_string().contains("service-account.key"));
}

#[test]
fn everything_fits_together() {
    use auth::Authenticator;
    use auth::authn::Credentials;
    use serde_json::json;

    let scratch = Scratch::new();
    let pki = ensure(scratch.path(), &names(), at(0)).unwrap();
    let audiences = ["https://kubernetes.default.svc".to_owned()];
    let config = pki.authentication(&audiences[0], &audiences).unwrap();
    let account = json!({"kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "b", "uid": "c"}});
    let cluster = crate::clock::cluster([account.clone()]);
    let maker = pki.token_maker(&audiences[0], &audiences).unwrap();
    let request = json!({"spec": {}});
    let first = maker.issue(&cluster, &account, None, &request, at(0)).unwrap();
    let second = maker.issue(&cluster, &account, None, &request, at(0)).unwrap();
    assert_ne!(first["status"]["token"], second["status"]["token"]);
    let authenticator = Authenticator::new(config, std::sync::Arc::new(cluster));
    let chain = chain(&pki.admin.certificate);
    let none: &[(&str, &str)] = &[];
    for (peer_certificates, bearer, name) in [
        (chain.as_slice(), None, "kubernetes-admin"),
        (&[], first["status"]["token"].as_str(), "system:serviceaccount:b:a"),
    ] {
        let credentials =
            Credentials { peer_certificates, bearer, headers: &none, path: "/", audiences: &[] };
        assert_eq!(authenticator.authenticate(&credentials, at(0)).unwrap().user.name, name);
    }
    let map = pki.extension_config_map();
    assert_eq!(map["data"]["requestheader-allowed-names"], "[\"front-proxy-client\"]");
    assert!(pki.signers(3600).is_ok());
}

#[test]
fn servers_of_one_cluster_have_one_authority_and_certificates_of_their_own() {
    let (first, second) = (Scratch::new(), Scratch::new());
    let common = Common::of_directory(first.path(), at(0)).unwrap();
    assert!(!Common::is_in(first.path()), "nothing is written before all agree");
    let kept = Common::read(&common.to_bytes()).unwrap();
    assert!(kept == common && !format!("{common:?}").contains("PRIVATE"));
    let one = ensure_by(&common, first.path(), &names(), at(0)).unwrap();
    let two = ensure_by(&kept, second.path(), &names(), at(0)).unwrap();
    assert_eq!((&one.server_ca, &one.client_ca), (&two.server_ca, &two.client_ca));
    assert_eq!(one.service_account_key, two.service_account_key);
    assert_ne!(one.serving, two.serving);
    assert!(believes(&one.server_ca.certificate, &two.serving.certificate, "localhost", NOW));
    assert_eq!(mode(&second.path().join("server-ca.key")), 0o600);
    assert!(Common::is_in(second.path()) && Common::of_directory(second.path(), at(0)).unwrap() == common);
    // A later start changes nothing.
    assert_eq!(ensure_by(&kept, second.path(), &names(), at(60)).unwrap().made, []);
    assert_eq!(ensure(second.path(), &names(), at(60)).unwrap().made, []);
}

#[test]
fn an_authority_is_renewed_for_all_servers_and_the_earlier_is_believed() {
    let scratch = Scratch::new();
    let common = Common::of_directory(scratch.path(), at(0)).unwrap();
    let old = ensure_by(&common, scratch.path(), &names(), at(0)).unwrap();
    assert!(common.renewed(at(2400 * DAY)).unwrap().is_none());
    let renewed = common.renewed(at(2500 * DAY)).unwrap().unwrap();
    let new = ensure_by(&renewed, scratch.path(), &names(), at(2500 * DAY)).unwrap();
    assert_ne!(new.server_ca.key, old.server_ca.key);
    assert_eq!(new.service_account_key, old.service_account_key);
    let later = NOW + 2500 * DAY;
    assert!(believes(&new.server_ca.certificate, &new.serving.certificate, "localhost", later));
    assert!(new.server_ca.certificate.ends_with(&old.server_ca.certificate));
}

#[test]
fn the_keys_of_another_cluster_are_left_alone() {
    let (own, other) = (Scratch::new(), Scratch::new());
    let before = ensure(own.path(), &names(), at(0)).unwrap();
    let common = Common::of_directory(other.path(), at(0)).unwrap();
    let refused = ensure_by(&common, own.path(), &names(), at(0));
    assert!(matches!(refused, Err(PkiError::OtherCluster { .. })));
    let after = ensure(own.path(), &names(), at(0)).unwrap();
    assert_eq!(after.server_ca, before.server_ca);
    // Its own are those that a cluster begins with.
    assert!(
        ensure_by(&Common::of_directory(own.path(), at(0)).unwrap(), own.path(), &names(), at(0)).is_ok()
    );
}
