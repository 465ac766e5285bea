//! Rows EN-08, RT-06: one binary, from nothing to a pod, with no Docker anywhere.

use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use testkit::cluster::Cluster;
use testkit::{Strake, isolated, run};

use super::{exec, member, sleeper};

#[test]
fn en_08_what_one_has_built_runs_in_a_cluster_with_no_step_between() {
    isolated(|| {
        let strake = busy_with("first");
        let begin = Instant::now();
        let cluster = Cluster::start(strake);
        let ready = begin.elapsed();
        cluster.apply(&sleeper("one", &["app"], "").replace("image: busybox", "image: first"));
        cluster.wait_pod("one");
        println!("node ready after {ready:?}, the first pod after {:?}", begin.elapsed());
        assert_eq!(exec(&cluster, "one", "app", &["cat", "/word"]), "first");
        // Also what is built while the cluster runs, and the same name again with other content.
        for word in ["second", "third"] {
            import(cluster.strake(), word, "mine");
            cluster.apply(&sleeper(word, &["app"], "").replace("image: busybox", "image: mine"));
            cluster.wait_pod(word);
            assert_eq!(exec(&cluster, word, "app", &["cat", "/word"]), word);
        }
        let images = member(&cluster, "node/n1", ".status.images[*].names");
        assert!(images.contains("first"), "{images}");
    });
}

/// A machine with an image of this name that nobody else has.
fn busy_with(name: &str) -> Strake {
    let strake = Strake::new();
    import(&strake, name, name);
    strake
}

/// Makes an image from what is on the developer's disk.
fn import(strake: &Strake, word: &str, name: &str) {
    let rootfs = strake.home().join(format!("build-{word}"));
    testkit::images::busybox_rootfs(&rootfs);
    std::fs::write(rootfs.join("word"), word).unwrap();
    let tar = strake.home().join(format!("{word}.tar"));
    let mut pack = std::process::Command::new("tar");
    run(pack.arg("-C").arg(&rootfs).arg("-cf").arg(&tar).arg(".")).ok();
    strake.ok(&["import", &tar.to_string_lossy(), name]);
}

#[test]
fn rt_06_pods_need_no_docker() {
    isolated(|| {
        // What a Docker on this machine has open is not here.
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        let cluster = super::cluster();
        let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
        assert!(!sockets.contains("docker"), "{sockets}");
        let runtime = member(&cluster, "node/n1", ".status.nodeInfo.containerRuntimeVersion");
        assert!(runtime.starts_with("strake://"), "{runtime}");
        cluster.apply(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
             selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
             containers:\n      - {name: app, image: strake.local/tools, imagePullPolicy: IfNotPresent, \
             command: [/whoami]}\n",
        );
        cluster.kubectl(&["expose", "deployment", "web", "--port=80"]).ok();
        cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
        ask(&cluster, "--image-pull-policy=IfNotPresent -- probe http http://web/");
        cluster.apply(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: sum}\nspec:\n  completions: 3\n  parallelism: 2\n  \
             template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {name: app, image: busybox, \
             imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo $((6 * 7))']}\n",
        );
        cluster.kubectl(&["wait", "job/sum", "--for=condition=Complete", "--timeout=60s"]).ok();
        let logs = cluster.kubectl(&["logs", "-l", "job-name=sum"]);
        assert_eq!(logs.ok(), "42\n42\n42");
    });
}

/// Asks from a pod until a pod of `web` answers: who types fast asks before there is one, and what a
/// pod says before kubectl has come to it is in its log alone.
fn ask(cluster: &Cluster, how: &str) {
    let line = format!("run ask --rm -i --restart=Never --image=strake.local/tools {how}");
    let command: Vec<&str> = line.split(' ').collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let asked = cluster.kubectl(&command);
        if asked.stdout.contains("Hostname: web-") {
            return;
        }
        assert!(Instant::now() < deadline, "{asked:?}\n{}", cluster.report());
    }
}

/// The commands of `docs/guides/cluster.md`, as they stand there.
#[test]
fn the_guide_is_followed_word_by_word() {
    isolated(|| {
        let cluster = Cluster::start(Strake::new());
        let types = |line: &str| cluster.kubectl(&line.split(' ').collect::<Vec<_>>());
        types("create deployment web --image=strake.local/tools --replicas=3 -- /whoami").ok();
        types("expose deployment web --port=80").ok();
        ask(&cluster, "-- probe http http://web/");
    });
}
