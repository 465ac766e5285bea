//! The world's example: nginx of Debian's, three of them behind a Service, asked by name from another Debian.

use testkit::registry::Registry;
use testkit::{Strake, images, isolated, wait_for};

use super::{exec, load, member};
use testkit::cluster::Cluster;

/// `nginx` from its registry, behind a Service with its name.
fn nginx(image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: nginx}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: nginx}}}}\n  template:\n    metadata: {{labels: {{app: nginx}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 5\n      containers:\n      - name: nginx\n        \
         image: {image}\n        ports: [{{containerPort: 80}}]\n        \
         readinessProbe: {{httpGet: {{port: 80}}, periodSeconds: 1}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: nginx}}\nspec:\n  selector: {{app: nginx}}\n  \
         ports: [{{port: 80}}]\n---\n"
    )
}

fn client(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: client}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - {{name: app, image: {image}, command: [sleep, '3600']}}\n"
    )
}

/// One request by bash alone, which is all that a minbase Debian has.
const ASK: &str =
    r"exec 3<>/dev/tcp/nginx/80 && printf 'GET / HTTP/1.0\r\nHost: nginx\r\n\r\n' >&3 && cat <&3";

const UPDATES: usize = 10;
/// Whether each endpoint is ready, a line each.
const READY_SLICES: [&str; 6] = [
    "get",
    "endpointslices",
    "-l",
    "kubernetes.io/service-name=nginx",
    "-o",
    "jsonpath={range .items[*].endpoints[*]}{.conditions.ready}{\"\\n\"}{end}",
];

#[test]
fn three_debian_nginx_answer_by_name_scale_heal_and_roll_under_load() {
    isolated(|| {
        let registry = Registry::start();
        let cluster = Cluster::start(Strake::new());
        let image = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        cluster.apply(&(nginx(&image, 3) + &client(&debian)));
        let ready = ["get", "deployment", "nginx", "-o", "jsonpath={.status.readyReplicas}"];
        cluster.wait_for(&ready, "3");
        cluster.wait_pod("client");
        let asked = || exec(&cluster, "client", "app", &["bash", "-c", ASK]);
        wait_for("an answer", || {
            let asked = cluster.kubectl(&["exec", "client", "--", "bash", "-c", ASK]);
            asked.stdout.contains("strake serves nginx").then_some(())
        });
        assert!(asked().starts_with("HTTP/1.1 200 OK\r\nServer: nginx"), "{}", asked());

        cluster.kubectl(&["scale", "deployment", "nginx", "--replicas=20"]).ok();
        cluster.wait_for(&ready, "20");
        cluster.wait_for(&READY_SLICES, &vec!["true"; 20].join("\n"));
        asked();

        // Killed from outside: the container is started anew in its pod.
        let pod = member(&cluster, "pods", ".items[?(@.metadata.labels.app==\"nginx\")].metadata.name");
        let pod = pod.split(' ').next().expect("a pod").to_owned();
        let status = format!("pod/{pod}");
        let id = member(&cluster, &status, ".status.containerStatuses[0].containerID");
        cluster.strake().ok(&["kill", id.rsplit('/').next().expect("an id")]);
        wait_for("another container", || {
            let now = member(&cluster, &status, ".status.containerStatuses[0].containerID");
            let restarts = member(&cluster, &status, ".status.containerStatuses[0].restartCount");
            (now != id && restarts == "1").then_some(())
        });
        // Deleted, all but a few at once: the Deployment makes others, and its Service goes on.
        let all = member(&cluster, "pods", ".items[?(@.metadata.labels.app==\"nginx\")].metadata.name");
        let victims: Vec<&str> = all.split(' ').take(15).collect();
        let mut delete = vec!["delete", "pod", "--wait=false"];
        delete.extend(&victims);
        cluster.kubectl(&delete).ok();
        for _ in 0..10 {
            assert!(asked().contains("strake serves nginx"));
        }
        wait_for("the deleted to be gone", || {
            let now = member(&cluster, "pods", ".items[*].metadata.name");
            (!victims.iter().any(|victim| now.contains(victim))).then_some(())
        });
        cluster.wait_for(&ready, "20");

        rolls_under_load(&cluster, &registry, &image);
        assert!(asked().contains("strake serves nginx"));
    });
}

/// Another image, ten times over, while clients ask; and back to the one before.
fn rolls_under_load(cluster: &Cluster, registry: &Registry, image: &str) {
    let second = registry.push_layout(&images::nginx_layout(), "latest", "nginx:2");
    let rollout = |args: &[&str]| cluster.kubectl(&[&["rollout"], args].concat());
    let images =
        || member(cluster, "pods", ".items[?(@.metadata.labels.app==\"nginx\")].spec.containers[0].image");
    let settled = |wanted: &str| {
        rollout(&["status", "deployment/nginx", "--timeout=180s"]).ok();
        wait_for("the wanted image alone", || images().split(' ').all(|image| image == wanted).then_some(()));
    };
    cluster.kubectl(&["scale", "deployment", "nginx", "--replicas=3"]).ok();
    cluster.wait_for(&READY_SLICES, &["true"; 3].join("\n"));
    let address = format!("{}:80", member(cluster, "service/nginx", ".spec.clusterIP"));
    load::without_a_failure(&address, || {
        for update in 0..UPDATES {
            let wanted = if update % 2 == 0 { &*second } else { image };
            cluster.kubectl(&["set", "image", "deployment/nginx", &format!("nginx={wanted}")]).ok();
            settled(wanted);
        }
        rollout(&["undo", "deployment/nginx"]).ok();
        settled(&second);
    });
}
