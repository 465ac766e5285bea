//! `strake controllers` approves what nodes ask for and signs it with an authority in files, as the original's.

use std::process::Command;
use std::time::Duration;

use testkit::kube::KubeServer;
use testkit::{bin, run, wait_until};

use super::alone::kubeconfig;

fn openssl(server: &KubeServer, args: &str) -> String {
    run(Command::new("openssl").current_dir(server.home()).args(args.split(' '))).ok().to_owned()
}

/// Asks for a certificate in a node's name.
fn ask(server: &KubeServer, name: &str, signer: &str, subject: &str, more: &[&str]) {
    let key = format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key");
    openssl(server, &format!("{key} -subj {subject} -out {name}.csr"));
    let request =
        run(Command::new("base64").args(["-w0", &format!("{name}.csr")]).current_dir(server.home()));
    let object = format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  \
         signerName: kubernetes.io/{signer}\n  usages: [digital signature, client auth]\n  request: {}\n",
        request.ok()
    );
    std::fs::write(server.home().join(format!("{name}.yaml")), object).expect("scratch file");
    let file = format!("{name}.yaml");
    server.kubectl(&[&["create", "-f", &file], more].concat()).ok();
}

#[test]
fn controllers_alone_approve_nodes_and_sign() {
    let server = KubeServer::start_with(&["--disable-controllers"]);
    // As others' tools make them: RSA, in its own form of PEM.
    openssl(&server, "genrsa -traditional -out ca.key 2048");
    openssl(&server, "req -x509 -key ca.key -subj /CN=their-ca -days 2 -out ca.crt");
    openssl(&server, "genrsa -traditional -out other.key 2048");
    let files =
        |key| ["controllers", "--cluster-signing-cert-file", "ca.crt", "--cluster-signing-key-file", key];
    let wrong = run(&mut server.command(&bin("strake"), &files("other.key")));
    assert!(wrong.code != 0 && wrong.stderr.contains("is not the key of"), "{}", wrong.stderr);
    let _loops = server.part(&[&files("ca.key")[..], &["--cluster-signing-duration", "1h"]].concat());

    let node = kubeconfig(&server, "n1", "/O=system:nodes/CN=system:node:n1");
    let as_node = format!("--kubeconfig={}", node.display());
    let signer = "kube-apiserver-client-kubelet";
    ask(&server, "own", signer, "/O=system:nodes/CN=system:node:n1", &[&as_node]);
    ask(&server, "hers", "kube-apiserver-client", "/CN=ann", &[]);
    let member = |name: &str, path: &str| {
        server.kubectl(&["get", "csr", name, "-o", &format!("jsonpath={{{path}}}")]).ok().to_owned()
    };
    let until_signed = |name: &str| {
        let signed = || !member(name, ".status.certificate").is_empty();
        assert!(wait_until(Duration::from_secs(60), signed), "{}", member(name, ".status"));
        let pem = run(Command::new("sh")
            .current_dir(server.home())
            .args(["-c", &format!("echo {} | base64 -d > {name}.crt", member(name, ".status.certificate"))]));
        pem.ok();
        assert!(openssl(&server, &format!("verify -CAfile ca.crt {name}.crt")).contains("OK"));
        openssl(&server, &format!("x509 -noout -subject -enddate -in {name}.crt"))
    };
    let own = until_signed("own");
    assert!(own.contains("system:nodes") && own.contains("system:node:n1"), "{own}");
    assert_eq!(
        member("own", ".status.conditions[0].message"),
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    );
    // A person's waits for a person.
    assert_eq!(member("hers", ".status.conditions"), "");
    server.kubectl(&["certificate", "approve", "hers"]).ok();
    assert!(until_signed("hers").contains("ann"));
    openssl(&server, "x509 -checkend 1800 -noout -in hers.crt");
    let ends = run(Command::new("openssl")
        .current_dir(server.home())
        .args("x509 -checkend 7200 -noout -in hers.crt".split(' ')));
    assert_eq!(ends.code, 1, "it lives an hour");
}
