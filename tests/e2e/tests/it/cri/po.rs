//! Rows PO-01…07: pods.

use rpc::cri::*;
use testkit::{isolated, wait_for};

use super::Node;
use crate::{ns_inode, status};

#[test]
fn po_01_an_app_and_a_logging_sidecar_in_one_pod() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let shared = node.strake.home().join("shared").to_string_lossy().into_owned();
        let mount = |readonly| Mount {
            container_path: "/var/log/app".to_owned(),
            host_path: shared.clone(),
            readonly,
            ..Mount::default()
        };
        let writes = "while true; do echo line >> /var/log/app/log; sleep 0.1; done";
        let app = ContainerConfig { mounts: vec![mount(false)], ..node.container("app", writes) };
        let reads = "until test -f /var/log/app/log; do sleep 0.1; done; exec tail -f /var/log/app/log";
        let sidecar = ContainerConfig { mounts: vec![mount(true)], ..node.container("sidecar", reads) };
        node.run(&sandbox, &pod, &app);
        node.run(&sandbox, &pod, &sidecar);
        wait_for("the app's lines in the sidecar's log", || {
            node.log("web", "sidecar").contains(" stdout F line\n").then_some(())
        });
        let filter = ContainerFilter { pod_sandbox_id: sandbox.clone(), ..ContainerFilter::default() };
        let request = ListContainersRequest { filter: Some(filter) };
        assert_eq!(node.ok(node.remote.list_containers(request)).containers.len(), 2);
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_02_pause_is_the_first_process_and_light() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let pause = node.pid(&sandbox);
        let comm = std::fs::read_to_string(format!("/proc/{pause}/comm")).unwrap();
        assert_eq!(comm.trim(), "pause");
        let resident = status(pause, "VmRSS");
        let kilobytes: u64 = resident.trim_end_matches(" kB").trim().parse().unwrap();
        assert!(kilobytes < 1024, "pause holds {resident}; a build for debugging has more code");
        assert_eq!(status(pause, "Uid").split_whitespace().next(), Some("65535"));
        let app = node.pid(&node.sleeper(&sandbox, &pod, "app"));
        let begun = |pid: i64| -> u64 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap()
        };
        assert!(begun(pause) <= begun(app), "pause is there before the app");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_03_containers_share_net_ipc_and_uts_but_not_mnt_and_pid() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let one = node.pid(&node.sleeper(&sandbox, &pod, "one"));
        let two = node.pid(&node.sleeper(&sandbox, &pod, "two"));
        for kind in ["net", "ipc", "uts"] {
            assert_eq!(ns_inode(one, kind), ns_inode(two, kind), "{kind}");
            assert_eq!(ns_inode(one, kind), ns_inode(node.pid(&sandbox), kind), "{kind}");
            assert_ne!(ns_inode(one, kind), ns_inode("self", kind), "{kind}");
        }
        for kind in ["mnt", "pid"] {
            assert_ne!(ns_inode(one, kind), ns_inode(two, kind), "{kind}");
        }
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_03_process_ids_are_shared_when_the_pod_says_so() {
    isolated(|| {
        let node = Node::new();
        let mut pod = node.pod("web");
        let shared = Some(NamespaceOption::default());
        let linux = pod.linux.get_or_insert_default();
        linux.security_context.get_or_insert_default().namespace_options = shared.clone();
        let sandbox = node.sandbox(&pod);
        let mut config = node.container("app", "exec sleep 600");
        let linux = config.linux.get_or_insert_default();
        linux.security_context.get_or_insert_default().namespace_options = shared;
        let app = node.run(&sandbox, &pod, &config);
        assert_eq!(ns_inode(node.pid(&app), "pid"), ns_inode(node.pid(&sandbox), "pid"));
        assert_eq!(node.exec(&app, "cat /proc/1/comm"), "pause");
        // What is left to process 1 is reaped by it.
        node.exec(&app, "sh -c 'sleep 0.01 & exit'");
        wait_for("no zombie", || (node.exec(&app, "ps | grep -c ' Z ' || true") != "1").then_some(()));
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_04_containers_talk_over_localhost() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let serve = "echo answer > /tmp/index.html; exec httpd -f -p 127.0.0.1:8080 -h /tmp";
        node.run(&sandbox, &pod, &node.container("app", serve));
        let sidecar = node.sleeper(&sandbox, &pod, "sidecar");
        let ask = "until wget -q -O - http://127.0.0.1:8080/; do sleep 0.05; done";
        assert_eq!(node.exec(&sidecar, ask), "answer");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_05_memory_shared_in_one_is_read_in_the_other() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let one = node.sleeper(&sandbox, &pod, "one");
        let two = node.sleeper(&sandbox, &pod, "two");
        node.exec(&one, "echo shared > /dev/shm/segment");
        assert_eq!(node.exec(&two, "cat /dev/shm/segment"), "shared");
        assert!(!std::path::Path::new("/dev/shm/segment").exists(), "the node's memory is another");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_06_an_app_that_is_started_again_finds_its_address_and_namespaces() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let app = node.sleeper(&sandbox, &pod, "app");
        let address = node.sandbox_status(&sandbox).network.unwrap().ip;
        assert!(!address.is_empty());
        let inode = ns_inode(node.pid(&app), "net");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(node.pid(&app) as i32).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        let ended = node.ended(&app);
        assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "Error"));
        let mut again = node.container("app", "exec sleep 600");
        again.metadata.get_or_insert_default().attempt = 1;
        again.log_path = "app/1.log".to_owned();
        let again = node.run(&sandbox, &pod, &again);
        assert_eq!(node.status(&again).metadata.unwrap().attempt, 1);
        assert_eq!(ns_inode(node.pid(&again), "net"), inode);
        assert_eq!(node.sandbox_status(&sandbox).network.unwrap().ip, address);
        assert!(node.exec(&again, "ip -4 addr show eth0").contains(&address));
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn po_07_all_containers_of_a_pod_print_one_hostname_and_one_address() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web-7");
        let sandbox = node.sandbox(&pod);
        let containers = ["one", "two", "three"].map(|name| node.sleeper(&sandbox, &pod, name));
        let address = node.sandbox_status(&sandbox).network.unwrap().ip;
        for id in &containers {
            assert_eq!(node.exec(id, "hostname; cat /etc/hostname; echo $HOSTNAME"), "web-7\nweb-7\nweb-7");
            assert!(node.exec(id, "ip -4 addr show eth0").contains(&format!("inet {address}/")));
        }
        // Several processes, as in a small machine.
        let both =
            "sleep 5 & until test $(ps -o comm | grep -c '^sleep$') = 2; do sleep 0.05; done; echo both";
        assert_eq!(node.exec(&containers[0], both), "both");
        node.remove_sandbox(&sandbox);
    });
}
