//! What a container may do and use, as the interface asks for it.

use rpc::cri::*;
use testkit::isolated;

use super::Node;
use crate::status;

/// A container's config with another security context.
fn secured(
    node: &Node,
    script: &str,
    change: impl FnOnce(&mut LinuxContainerSecurityContext),
) -> ContainerConfig {
    let mut config = node.container("app", script);
    change(config.linux.get_or_insert_default().security_context.get_or_insert_default());
    config
}

#[test]
fn users_groups_and_privileges_are_as_asked() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let value = |value| Some(Int64Value { value });
        let config = secured(&node, "exec sleep 600", |context| {
            context.run_as_user = value(1000);
            context.run_as_group = value(3000);
            context.supplemental_groups = vec![4000];
            context.no_new_privs = true;
            context.readonly_rootfs = true;
            context.seccomp = Some(SecurityProfile::default());
            context.capabilities =
                Some(Capability { drop_capabilities: vec!["ALL".to_owned()], ..Capability::default() });
            context.masked_paths = vec!["/proc/kcore".to_owned()];
            context.readonly_paths = vec!["/proc/sys".to_owned()];
        });
        let app = node.run(&sandbox, &pod, &config);
        assert_eq!(
            node.exec(&app, "id -u; id -g; id -G | tr ' ' '\\n' | sort"),
            "1000\n3000\n2000\n3000\n4000"
        );
        let pid = node.pid(&app);
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp"), "2");
        assert_eq!(status(pid, "CapBnd"), "0000000000000000");
        assert_eq!(node.exec(&app, "touch /x 2>&1 || true"), "touch: /x: Read-only file system");
        let user = node.status(&app).user.unwrap().linux.unwrap();
        assert_eq!((user.uid, user.gid, user.supplemental_groups), (1000, 3000, vec![2000, 3000, 4000]));
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn strict_groups_leave_the_images_out() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let config = secured(&node, "exec sleep 600", |context| {
            context.run_as_user = Some(Int64Value { value: 1000 });
            context.supplemental_groups = vec![4000];
            context.set_supplemental_groups_policy(SupplementalGroupsPolicy::Strict);
        });
        let app = node.run(&sandbox, &pod, &config);
        assert_eq!(node.exec(&app, "grep ^Groups: /proc/1/status | xargs"), "Groups: 1000 4000");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn limits_change_while_a_container_runs() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let mut config = node.container("app", "exec sleep 600");
        config.linux.get_or_insert_default().resources = Some(LinuxContainerResources {
            cpu_shares: 512,
            cpu_quota: 50_000,
            cpu_period: 100_000,
            memory_limit_in_bytes: 64 << 20,
            ..LinuxContainerResources::default()
        });
        let app = node.run(&sandbox, &pod, &config);
        let read = |controller: &str, file: &str| -> String {
            let dir = node.strake.cgroup().dir(controller).join("pod-web").join(&app);
            std::fs::read_to_string(dir.join(file))
                .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        };
        assert_eq!(read("memory", "memory.limit_in_bytes").trim(), (64 << 20).to_string());
        assert_eq!(read("cpu", "cpu.shares").trim(), "512");
        let linux = Some(LinuxContainerResources {
            memory_limit_in_bytes: 128 << 20,
            cpu_quota: 25_000,
            ..LinuxContainerResources::default()
        });
        let request =
            UpdateContainerResourcesRequest { container_id: app.clone(), linux, ..Default::default() };
        node.ok(node.remote.update_container_resources(request));
        assert_eq!(read("memory", "memory.limit_in_bytes").trim(), (128 << 20).to_string());
        assert_eq!(read("cpu", "cpu.cfs_quota_us").trim(), "25000");
        assert_eq!(read("cpu", "cpu.shares").trim(), "512");
        let told = node.status(&app).resources.unwrap().linux.unwrap();
        assert_eq!((told.memory_limit_in_bytes, told.cpu_quota, told.cpu_shares), (128 << 20, 25_000, 512));
        let stats = node.ok(node.remote.container_stats(ContainerStatsRequest { container_id: app.clone() }));
        let stats = stats.stats.unwrap();
        assert!(stats.cpu.unwrap().usage_core_nano_seconds.is_some());
        assert!(stats.memory.unwrap().working_set_bytes.unwrap().value < 128 << 20);
        let stats = PodSandboxStatsRequest { pod_sandbox_id: sandbox.clone() };
        let linux = node.ok(node.remote.pod_sandbox_stats(stats)).stats.unwrap().linux.unwrap();
        assert_eq!(linux.containers.len(), 1);
        assert_eq!(linux.network.unwrap().default_interface.unwrap().name, "eth0");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_container_that_takes_too_much_memory_says_so() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let mut config = node.container("app", "exec tail /dev/zero");
        config.linux.get_or_insert_default().resources = Some(LinuxContainerResources {
            memory_limit_in_bytes: 16 << 20,
            ..LinuxContainerResources::default()
        });
        let app = node.run(&sandbox, &pod, &config);
        let ended = node.ended(&app);
        assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_pods_names_parameters_and_ports_are_its_own() {
    isolated(|| {
        let node = Node::new();
        let mut pod = node.pod("web");
        pod.dns_config = Some(DnsConfig {
            servers: vec!["10.43.0.10".to_owned()],
            searches: vec!["default.svc.cluster.local".to_owned()],
            options: vec!["ndots:5".to_owned()],
        });
        let linux = pod.linux.get_or_insert_default();
        linux.sysctls.insert("net.core.somaxconn".to_owned(), "777".to_owned());
        pod.port_mappings =
            vec![PortMapping { container_port: 8080, host_port: 18080, ..PortMapping::default() }];
        let sandbox = node.sandbox(&pod);
        let serve = "echo pod > /tmp/index.html; exec httpd -f -p 8080 -h /tmp";
        let app = node.run(&sandbox, &pod, &node.container("app", serve));
        let resolver = "search default.svc.cluster.local\nnameserver 10.43.0.10\noptions ndots:5";
        let mut wanted: Vec<&str> = resolver.lines().collect();
        let read = node.exec(&app, "cat /etc/resolv.conf");
        let mut lines: Vec<&str> =
            read.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        wanted.sort_unstable();
        lines.sort_unstable();
        assert_eq!(lines, wanted);
        assert_eq!(node.exec(&app, "cat /proc/sys/net/core/somaxconn"), "777");
        let address = node.sandbox_status(&sandbox).network.unwrap().ip;
        testkit::wait_for("an answer on the node's port", || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect("127.0.0.1:18080").ok()?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            text.ends_with("pod\n").then_some(())
        });
        assert!(!address.is_empty());
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_pod_on_the_nodes_network_has_the_nodes_names() {
    isolated(|| {
        let node = Node::new();
        let mut pod = node.pod("web");
        let of_node = || {
            Some(NamespaceOption {
                network: NamespaceMode::Node.into(),
                pid: NamespaceMode::Container.into(),
                ..NamespaceOption::default()
            })
        };
        let linux = pod.linux.get_or_insert_default();
        linux.security_context.get_or_insert_default().namespace_options = of_node();
        let sandbox = node.sandbox(&pod);
        let config = secured(&node, "exec sleep 600", |context| context.namespace_options = of_node());
        let app = node.run(&sandbox, &pod, &config);
        assert_eq!(crate::ns_inode(node.pid(&app), "net"), crate::ns_inode("self", "net"));
        assert_eq!(crate::ns_inode(node.pid(&app), "uts"), crate::ns_inode("self", "uts"));
        assert_eq!(node.sandbox_status(&sandbox).network.unwrap().ip, "");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn an_image_is_mounted_and_cannot_be_changed() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let mut config = node.container("app", "exec sleep 600");
        config.mounts = vec![Mount {
            container_path: "/tools".to_owned(),
            image: Some(ImageSpec { image: "busybox".to_owned(), ..ImageSpec::default() }),
            readonly: true,
            ..Mount::default()
        }];
        let app = node.run(&sandbox, &pod, &config);
        assert_eq!(node.exec(&app, "/tools/bin/busybox echo here"), "here");
        assert!(node.exec(&app, "touch /tools/x 2>&1 || true").contains("Read-only"));
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn pods_get_addresses_of_the_range_that_the_kubelet_tells() {
    isolated(|| {
        let mut node = Node::with(&["--cluster-cidr", "10.42.0.0/16"]);
        let ready = |node: &Node| {
            let status = node.ok(RuntimeService::status(&node.remote, StatusRequest::default()));
            let conditions = status.status.unwrap().conditions;
            conditions.into_iter().find(|condition| condition.r#type == "NetworkReady").unwrap()
        };
        let before = ready(&node);
        assert_eq!((before.status, before.reason.as_str()), (false, "NetworkPluginNotReady"));
        let pod = node.pod("web");
        let request = RunPodSandboxRequest { config: Some(pod.clone()), runtime_handler: String::new() };
        assert_eq!(node.fails(node.remote.run_pod_sandbox(request)).code(), Code::Unavailable);

        let tell = || UpdateRuntimeConfigRequest {
            runtime_config: Some(RuntimeConfig {
                network_config: Some(NetworkConfig { pod_cidr: "10.42.3.0/24".to_owned() }),
            }),
        };
        node.ok(node.remote.update_runtime_config(tell()));
        assert!(ready(&node).status);
        let other = node.pod("other");
        let (one, two) = (node.sandbox(&pod), node.sandbox(&other));
        let address = |id: &str| node.sandbox_status(id).network.unwrap().ip;
        let (first, second) = (address(&one), address(&two));
        assert!(first.starts_with("10.42.3.") && second.starts_with("10.42.3.") && first != second);
        let serve = "echo pod > /tmp/index.html; exec httpd -f -p 8080 -h /tmp";
        node.run(&one, &pod, &node.container("app", serve));
        let client = node.sleeper(&two, &other, "client");
        let ask = format!("until wget -q -O - http://{first}:8080/; do sleep 0.05; done");
        assert_eq!(node.exec(&client, &ask), "pod");

        // After a restart the addresses are known also before the range is told again.
        node.kill();
        node.start();
        assert_eq!([&one, &two].map(|id| node.sandbox_status(id).network.unwrap().ip), [first, second]);
        node.ok(node.remote.update_runtime_config(tell()));
        node.remove_sandbox(&one);
        node.remove_sandbox(&two);
    });
}
