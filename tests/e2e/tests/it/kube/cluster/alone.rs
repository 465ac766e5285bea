//! Each part alone against somebody else's API server: all of this server's own are switched off, so that what it
//! does is what any Kubernetes API does, and a part has nothing but a kubeconfig.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testkit::kube::KubeServer;
use testkit::{Strake, isolated, run, wait_until};

use super::curl;

/// A kubeconfig for a user with a certificate of the cluster's authority.
pub(super) fn kubeconfig(server: &KubeServer, name: &str, subject: &str) -> PathBuf {
    let at = |ending: &str| server.home().join(format!("{name}.{ending}")).display().to_string();
    let pki = |name: &str| server.data().join("pki").join(name).display().to_string();
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-addext",
        "extendedKeyUsage=clientAuth",
    ];
    let (key, request, certificate) = (at("key"), at("csr"), at("crt"));
    let asks = ["req", "-new", "-subj", subject, "-keyout", &key, "-out", &request];
    run(Command::new("openssl").args(asks).args(curve)).ok();
    let (ca, ca_key) = (pki("client-ca.crt"), pki("client-ca.key"));
    let signs =
        ["x509", "-req", "-days", "1", "-in", &request, "-out", &certificate, "-CA", &ca, "-CAkey", &ca_key];
    run(Command::new("openssl").args(signs).args(["-CAcreateserial", "-copy_extensions", "copy"])).ok();
    let file = format!("--kubeconfig={}", at("kubeconfig"));
    let set = |args: &[&str]| {
        server.kubectl(&[&["config", &file], args].concat()).ok();
    };
    let url = format!("--server=https://127.0.0.1:{}", server.port());
    set(&["set-cluster", "it", &url, &format!("--certificate-authority={}", pki("server-ca.crt"))]);
    let (certificate, key) = (format!("--client-certificate={certificate}"), format!("--client-key={key}"));
    set(&["set-credentials", name, &certificate, &key]);
    set(&["set-context", "it", "--cluster=it", &format!("--user={name}")]);
    set(&["use-context", "it"]);
    at("kubeconfig").into()
}

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    terminationGracePeriodSeconds: 1\n      containers:\n      - {name: app, image: strake.local/tools, \
    imagePullPolicy: IfNotPresent, command: [/whoami]}\n\
    ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n";

/// Looks until it is so.
#[track_caller]
fn until(what: &str, server: &KubeServer, done: impl FnMut() -> bool) {
    let told = || server.kubectl(&["get", "pods,nodes,events", "-A"]).stdout;
    assert!(wait_until(Duration::from_secs(60), done), "{what}\n{}{}", told(), server.messages());
}

/// The machine that the parts run on.
fn network() {
    for command in [
        "link add lan type bridge",
        "address add 192.168.77.1/24 dev lan",
        "link set lan up",
        "route add default via 192.168.77.254",
    ] {
        run(Command::new("ip").args(command.split(' '))).ok();
    }
}

#[test]
fn each_part_alone_makes_a_cluster_of_a_foreign_api() {
    isolated(|| {
        network();
        let server = KubeServer::start_with(&["--disable-controllers"]);
        let machine = Strake::new();
        let (root, state) = (machine.root().display().to_string(), machine.state().display().to_string());
        let on_machine = ["--root", &root, "--state", &state];
        std::fs::write(server.home().join("web.yaml"), WEB).unwrap();
        server.kubectl(&["apply", "-f", "web.yaml"]).ok();
        let pods = || server.kubectl(&["get", "pods", "--no-headers"]).stdout;
        assert_eq!(pods(), "", "an API alone makes no pods");

        // The loops make pods, which stay where they are.
        let authority = server.data().join("pki/server-ca.crt").display().to_string();
        let loops = kubeconfig(&server, "loops", "/O=system:masters/CN=loops");
        let _loops = server.part_as(&["controllers", "--root-ca-file", &authority], &loops, " runs");
        until("two pods", &server, || pods().matches("Pending").count() == 2);

        // The kubelet makes a node of this machine; services' names and addresses are left to the parts below.
        let logs = format!("{root}/pod-logs");
        let kubelet = [
            "agent",
            "--node-name",
            "n1",
            "--node-ip",
            "192.168.77.1",
            "--pod-logs",
            &logs,
            "--eviction-hard",
            "memory.available<1Mi",
            "--disable-service-proxy",
            "--disable-dns",
            "--pods-cgroup",
            machine.cgroup().path(),
        ];
        let node = kubeconfig(&server, "n1", "/O=system:nodes/CN=system:node:n1");
        let kubelet = [&on_machine[..], &kubelet].concat();
        let _kubelet = server.part_as(&kubelet, &node, "agent: node n1");
        let node = || server.kubectl(&["get", "node", "n1", "--no-headers"]).stdout;
        until("a node", &server, || node().contains(" Ready "));
        assert_eq!(pods().matches("Pending").count(), 2, "nobody has given them the node");

        let rights = kubeconfig(&server, "scheduler", "/CN=system:kube-scheduler");
        let _scheduler = server.part_as(&["scheduler"], &rights, " runs");
        until("two running", &server, || pods().matches("Running").count() == 2);

        // The Service's address leads to them when the proxy is there, and its name to the address.
        let address = server.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
        let ask = || curl(&format!("http://{}/", address.ok()));
        assert_ne!(ask().code, 0, "nobody has made a way to it");
        let rights = kubeconfig(&server, "proxy", "/CN=system:kube-proxy");
        let _proxy = server.part_as(&["proxy", "--node-name", "n1"], &rights, " runs");
        until("a way to the service", &server, || ask().stdout.contains("Hostname: web-"));
        let dns = ["dns", "--listen", "10.43.0.10:53", "--interface", "strake-dns"];
        let _dns = server.part_as(&dns, &loops, " runs");
        until("the name", &server, || {
            let asks = ["+short", "+time=1", "+tries=1", "@10.43.0.10", "web.default.svc.cluster.local"];
            run(Command::new("dig").args(asks)).stdout.trim() == address.ok()
        });
    });
}
