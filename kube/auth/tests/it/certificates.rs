//! Requests for certificates: checked, approved, signed, and the certificate used.

use std::net::IpAddr;
use std::sync::Arc;

use auth::authn::{Authorities, identity};
use auth::csr::{
    CLIENT, CLIENT_KUBELET, IssueError, KUBELET_SERVING, NodeClient, Outcome, Signer, Wanted, approve,
    approve_serving, ask, check_approve, check_sign, check_subject, sign, validate_create, validate_update,
    validity,
};
use auth::pki::Pki;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_object::cluster::Fixed;
use kube_object::resource::GroupResource;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::clock::{Scratch, at, authorizer, user};
use crate::pki::names;

fn request(name: &str, group: &str, dns: &[&str]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    let name = |name: &&str| match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName((*name).try_into().unwrap()),
    };
    params.subject_alt_names = dns.iter().map(name).collect();
    let key = KeyPair::generate().unwrap();
    STANDARD.encode(params.serialize_request(&key).unwrap().pem().unwrap())
}

fn object(signer: &str, request: &str, usages: &[&str]) -> Value {
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"},
        "spec": {"signerName": signer, "request": request, "usages": usages, "username": "system:node:n1",
            "groups": ["system:nodes", "system:authenticated"]}})
}

fn approved(mut object: Value) -> Value {
    object["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    object
}

fn pki(scratch: &Scratch) -> Pki {
    auth::pki::ensure(scratch.path(), &names(), at(0)).unwrap()
}

const CLIENT_USAGES: &[&str] = &["client auth", "digital signature"];

#[test]
fn signs_what_is_approved() {
    let scratch = Scratch::new();
    let pki = pki(&scratch);
    let clients = Authorities::from_pem(pki.client_ca.certificate.as_bytes()).unwrap();
    let signer =
        Signer::from_pem(pki.client_ca.certificate.as_bytes(), pki.client_ca.key.as_bytes()).unwrap();
    let mut wanted = approved(object(CLIENT, &request("ann", "dev", &["x.example"]), CLIENT_USAGES));
    wanted["spec"]["expirationSeconds"] = json!(3600);
    let Outcome::Signed(signed) = sign(&wanted, &signer, 365 * 24 * 3600, [0xff; 16], at(0)).unwrap() else {
        panic!("not signed")
    };
    let pem = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    let chain = [der.clone()];
    assert_eq!(clients.verify(&chain, at(0)), Ok(()));
    assert_eq!(clients.verify(&chain, at(3599)), Ok(()));
    assert!(clients.verify(&chain, at(3601)).is_err());
    let found = identity(&der).unwrap();
    assert_eq!((found.user.name.as_str(), found.user.groups), ("ann", vec!["dev".to_owned()]));
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(parsed.basic_constraints().unwrap().is_some_and(|found| !found.value.ca));
    assert!(parsed.key_usage().unwrap().unwrap().value.digital_signature());
    assert!(parsed.extended_key_usage().unwrap().unwrap().value.client_auth);
    assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 1);
    // Once only, and never without approval or for others' signers.
    for object in [
        signed,
        object(CLIENT, &request("ann", "", &[]), CLIENT_USAGES),
        approved(object("example.com/own", &request("ann", "", &[]), CLIENT_USAGES)),
    ] {
        assert_eq!(sign(&object, &signer, 3600, [1; 16], at(0)).unwrap(), Outcome::Nothing);
    }
}

#[test]
fn fails_what_its_signer_does_not_sign() {
    let scratch = Scratch::new();
    let pki = pki(&scratch);
    let signer =
        Signer::from_pem(pki.client_ca.certificate.as_bytes(), pki.client_ca.key.as_bytes()).unwrap();
    let serving = &["server auth", "digital signature", "key encipherment"][..];
    let node = request("system:node:n1", "system:nodes", &[]);
    let node_dns = request("system:node:n1", "system:nodes", &["n1"]);
    for (name, text, usages, why) in [
        (CLIENT_KUBELET, &node, CLIENT_USAGES, ""),
        (CLIENT_KUBELET, &node_dns, CLIENT_USAGES, "DNS subjectAltNames are not allowed"),
        (
            CLIENT_KUBELET,
            &node,
            serving,
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            CLIENT_KUBELET,
            &request("system:node:n1", "x", &[]),
            CLIENT_USAGES,
            "subject organization is not system:nodes",
        ),
        (
            CLIENT_KUBELET,
            &request("n1", "system:nodes", &[]),
            CLIENT_USAGES,
            "subject common name does not begin with system:node: ",
        ),
        (KUBELET_SERVING, &node_dns, serving, ""),
        (KUBELET_SERVING, &node, serving, "DNS or IP subjectAltName is required"),
        (
            CLIENT,
            &node,
            serving,
            "expected usages to include \"client auth\", got [\"server auth\", \"digital signature\", \"key encipherment\"]",
        ),
    ] {
        let object = approved(object(name, text, usages));
        match sign(&object, &signer, 3600, [1; 16], at(0)).unwrap() {
            Outcome::Signed(_) => assert_eq!(why, "", "{name}"),
            Outcome::Failed(failed) => {
                let condition = &failed["status"]["conditions"][1];
                assert_eq!(
                    (condition["type"].as_str(), condition["message"].as_str()),
                    (Some("Failed"), Some(why))
                );
                assert_eq!(condition["reason"], "SignerValidationFailure");
            }
            Outcome::Nothing => panic!("{name} {usages:?}"),
        }
    }
}

#[test]
fn approves_nodes_that_may() {
    let grant = |role: &str, who: Value| {
        [
            json!({"kind": "ClusterRole", "metadata": {"name": role}, "rules": [{"verbs": ["create"],
                "apiGroups": ["certificates.k8s.io"], "resources": [format!("certificatesigningrequests/{role}")]}]}),
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": role},
                "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [who]}),
        ]
    };
    let group = |name: &str| json!({"kind": "Group", "name": name});
    let renews = authorizer(grant("selfnodeclient", group("system:nodes")));
    let joins = authorizer(grant("nodeclient", group("system:bootstrappers")));
    let own = object(CLIENT_KUBELET, &request("system:node:n1", "system:nodes", &[]), CLIENT_USAGES);
    let others = object(CLIENT_KUBELET, &request("system:node:n2", "system:nodes", &[]), CLIENT_USAGES);
    let mut joining = others.clone();
    joining["spec"]["username"] = json!("system:bootstrap:abcdef");
    joining["spec"]["groups"] = json!(["system:bootstrappers"]);
    let ok = approve(&own, &renews, at(0)).unwrap();
    assert_eq!(
        ok["status"]["conditions"][0],
        json!({"type": "Approved", "status": "True", "reason": "AutoApproved",
            "message": "Auto approving self kubelet client certificate after SubjectAccessReview.",
            "lastUpdateTime": "2026-05-28T20:26:40Z", "lastTransitionTime": "2026-05-28T20:26:40Z"})
    );
    assert!(approve(&joining, &joins, at(0)).is_some());
    assert_eq!(approve(&ok, &renews, at(0)), None);
    assert_eq!(approve(&others, &renews, at(0)), None);
    assert_eq!(approve(&own, &joins, at(0)), None);
    let serving =
        object(KUBELET_SERVING, &request("system:node:n1", "system:nodes", &["n1"]), &["server auth"]);
    assert_eq!(approve(&serving, &renews, at(0)), None);
}

#[test]
fn approves_serving_certificates_with_the_nodes_own_names() {
    let mut cluster = Fixed::default();
    for (name, addresses) in [("n1", ["10.0.0.1", "10.0.0.9"]), ("n2", ["10.0.0.2", "10.0.0.3"])] {
        let addresses = addresses.map(|address| json!({"type": "InternalIP", "address": address}));
        let node = json!({"metadata": {"name": name}, "status": {"addresses": addresses}});
        cluster.put(GroupResource::new("", "nodes"), node);
    }
    let the_servers = |address: IpAddr| address.to_string() == "10.0.0.9";
    let is_approved = |who: &str, names: &[&str]| {
        let asked = object(
            KUBELET_SERVING,
            &request(who, "system:nodes", names),
            &["digital signature", "server auth"],
        );
        approve_serving(&asked, &cluster, &the_servers, at(0)).is_some()
    };
    assert!(is_approved("system:node:n1", &["n1", "10.0.0.1"]));
    for (who, names) in [
        ("system:node:n1", &["n2"][..]),
        ("system:node:n1", &["n1", "kubernetes"]),
        ("system:node:n1", &["10.0.0.2"]),
        ("system:node:n1", &["10.0.0.9"]),
        ("system:node:n1", &["10.0.0.7"]),
        ("system:node:n1", &[]),
        ("system:node:n2", &["n2"]),
    ] {
        assert!(!is_approved(who, names), "{who} {names:?}");
    }
}

#[test]
fn what_a_node_asks_for_is_signed() {
    let scratch = Scratch::new();
    let pki = pki(&scratch);
    let signer =
        Signer::from_pem(pki.client_ca.certificate.as_bytes(), pki.client_ca.key.as_bytes()).unwrap();
    let serving = Wanted::Serving { dns: vec!["n1".to_owned()], ips: vec!["10.0.0.1".parse().unwrap()] };
    for wanted in [Wanted::Client, serving] {
        let asked = ask("n1", &wanted).unwrap();
        let approved = approved(asked.object);
        let Outcome::Signed(signed) = sign(&approved, &signer, 3600, [1; 16], at(0)).unwrap() else {
            panic!("{wanted:?} is not signed")
        };
        let pem = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
        let (begins, ends) = validity(&String::from_utf8(pem).unwrap()).unwrap();
        assert!(begins <= at(0).as_second() && ends == at(3600).as_second(), "{wanted:?}");
    }
    assert!(ask("n1", &Wanted::Serving { dns: vec!["\u{e9}".to_owned()], ips: vec![] }).is_err());
    assert_eq!(validity("no certificate"), None);
}

#[test]
fn asks_who_may_approve_and_sign() {
    let role = |verb: &str, name: &str| {
        json!({"kind": "ClusterRole", "metadata": {"name": verb}, "rules": [{"verbs": [verb],
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [name]}]})
    };
    let bind = |verb: &str| {
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": verb},
            "roleRef": {"kind": "ClusterRole", "name": verb}, "subjects": [{"kind": "User", "name": verb}]})
    };
    let authorizer = Arc::new(authorizer([
        role("approve", CLIENT),
        role("sign", "kubernetes.io/*"),
        bind("approve"),
        bind("sign"),
    ]));
    let old = object(CLIENT, &request("ann", "", &[]), CLIENT_USAGES);
    let mut new = old.clone();
    new["status"] = json!({"certificate": "eA=="});
    assert!(check_approve(&authorizer, &user("approve", &[]), &old).is_ok());
    assert!(check_sign(&authorizer, &user("sign", &[]), &new, &old).is_ok());
    assert!(check_sign(&authorizer, &user("approve", &[]), &old, &old).is_ok());
    let status = check_approve(&authorizer, &user("sign", &[]), &old).unwrap_err();
    assert_eq!(
        status.message,
        "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests \
         with signerName \"kubernetes.io/kube-apiserver-client\""
    );
    assert!(check_sign(&authorizer, &user("approve", &[]), &new, &old).is_err());
    assert!(check_subject(&old).is_ok());
    let masters = object(CLIENT, &request("ann", "system:masters", &[]), CLIENT_USAGES);
    let status = check_subject(&masters).unwrap_err();
    assert!(status.message.ends_with(
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    ));
}

#[test]
fn refuses_objects_in_upstreams_words() {
    let good = request("ann", "", &[]);
    let check = |signer: &str, text: &str, usages: &[&str], wrong: &[&str]| {
        let errors: Vec<_> =
            validate_create(&object(signer, text, usages)).iter().map(ToString::to_string).collect();
        assert_eq!(errors, wrong, "{signer} {usages:?}");
    };
    check(CLIENT, &good, CLIENT_USAGES, &[]);
    check("example.com/own", &good, &["any"], &[]);
    check(
        CLIENT,
        "",
        &["any"],
        &["spec.request: Invalid value: \"\": PEM block type must be CERTIFICATE REQUEST"],
    );
    check(CLIENT, &good, &[], &["spec.usages: Required value"]);
    check(CLIENT, &good, &["any", "any"], &["spec.usages[1]: Duplicate value: \"any\""]);
    check("", &good, &["any"], &["spec.signerName: Required value"]);
    check(
        "kubernetes.io/legacy-unknown",
        &good,
        &["any"],
        &[
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
        ],
    );
    check(
        "plain",
        &good,
        &["any"],
        &[
            "spec.signerName: Invalid value: \"plain\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ],
    );
    let old = object(CLIENT, &good, CLIENT_USAGES);
    let mut both = approved(old.clone());
    both["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "Denied", "status": "True"}));
    let errors = validate_update(&both, &old, "approval");
    assert_eq!(
        errors[0].to_string(),
        "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"
    );
    let errors = validate_update(&approved(old.clone()), &old, "status");
    assert_eq!(
        errors[0].to_string(),
        "status.conditions: Forbidden: updates may not modify a condition of type \"Approved\""
    );
    assert_eq!(validate_update(&approved(old.clone()), &old, "approval"), []);
    let scratch = Scratch::new();
    let good = STANDARD.encode(pki(&scratch).admin.certificate);
    for (certificate, subresource, wrong) in [
        (good.as_str(), "status", ""),
        ("", "status", ""),
        (
            "eA==",
            "status",
            "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block",
        ),
        (&good, "approval", "status.certificate: Forbidden: updates may not set certificate content"),
    ] {
        let mut new = old.clone();
        new["status"] = json!({"certificate": certificate});
        let errors = validate_update(&new, &old, subresource);
        assert_eq!(errors.first().map(ToString::to_string).unwrap_or_default(), wrong);
    }
}

#[test]
fn signers_sign_what_is_theirs() {
    let scratch = Scratch::new();
    let signers = pki(&scratch).signers(3600).unwrap();
    let own = object(CLIENT_KUBELET, &request("system:node:n1", "system:nodes", &[]), CLIENT_USAGES);
    assert_eq!(signers.signed(&own, at(0)), Ok(None), "nobody has approved it");
    let signed = signers.signed(&approved(own), at(0)).unwrap().unwrap();
    assert!(signed["status"]["certificate"].is_string());
    assert_eq!(signers.signed(&signed, at(0)), Ok(None));
    let foreign = approved(object("example.com/own", &request("a", "", &[]), &["any"]));
    assert_eq!(signers.signed(&foreign, at(0)), Ok(None));
}

#[test]
fn authorities_of_other_kinds_sign_too() {
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let signer = Signer::from_pem(authority.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let wanted = approved(object(CLIENT, &request("ann", "dev", &[]), CLIENT_USAGES));
        let Outcome::Signed(signed) = sign(&wanted, &signer, 3600, [1; 16], at(0)).unwrap() else { panic!() };
        let pem = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
        let chain = [CertificateDer::from_pem_slice(&pem).unwrap()];
        let clients = Authorities::from_pem(authority.as_bytes()).unwrap();
        assert_eq!(clients.verify(&chain, at(0)), Ok(()), "{algorithm:?}");
        let other = KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        let mismatch = Signer::from_pem(authority.as_bytes(), other.as_bytes());
        assert_eq!(mismatch.err(), Some(IssueError::Mismatch));
    }
}

#[test]
fn the_api_is_asked_what_a_node_may() {
    let own = object(CLIENT_KUBELET, &request("system:node:n1", "system:nodes", &[]), CLIENT_USAGES);
    let asked = NodeClient::of(&own);
    let parts: Vec<_> =
        asked.iter().map(|one| one.review(&own)["spec"]["resourceAttributes"].clone()).collect();
    assert_eq!(parts.len(), 2);
    for (part, subresource) in parts.iter().zip(["selfnodeclient", "nodeclient"]) {
        let expected = json!({"group": "certificates.k8s.io", "resource": "certificatesigningrequests",
            "verb": "create", "version": "*", "subresource": subresource});
        assert_eq!(*part, expected);
    }
    assert_eq!(asked[0].review(&own)["spec"]["user"], "system:node:n1");
    let message = |one: &NodeClient| one.approved(&own, at(0))["status"]["conditions"][0]["message"].clone();
    assert_eq!(
        message(&asked[0]),
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    );
    assert_eq!(message(&asked[1]), "Auto approving kubelet client certificate after SubjectAccessReview.");
    let mut foreign = own.clone();
    foreign["spec"]["username"] = json!("system:bootstrap:abcdef");
    assert_eq!(NodeClient::of(&foreign), asked[1..]);
    assert_eq!(NodeClient::of(&approved(own)), []);
    let serving = object(KUBELET_SERVING, &request("system:node:n1", "system:nodes", &["n1"]), CLIENT_USAGES);
    assert_eq!(NodeClient::of(&serving), []);
}
