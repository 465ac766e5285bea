//! Messages against the requests that come of them.

use engine::request::{
    CreateRequest, ImageGroups, IpcMode, NetworkMode, PidMode, SandboxRole, SeccompRequest, UtsMode,
};
use rpc::cri::security_profile::ProfileType;
use rpc::cri::*;

use super::*;

fn pod() -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "web-0".to_owned(),
            uid: "u1".to_owned(),
            namespace: "shop".to_owned(),
            attempt: 1,
        }),
        hostname: "web-0".to_owned(),
        log_directory: "/var/log/pods/x".to_owned(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: "/kubepods/burstable/podu1".to_owned(),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

fn planned_sandbox(change: impl FnOnce(&mut RunPodSandboxRequest)) -> Result<CreateRequest, String> {
    let mut request = RunPodSandboxRequest { config: Some(pod()), runtime_handler: String::new() };
    change(&mut request);
    sandbox(&request, SandboxNetwork::Pod).map_err(|error| error.to_string())
}

fn planned(change: impl FnOnce(&mut ContainerConfig)) -> Result<CreateRequest, String> {
    let mut config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: "app".to_owned(), attempt: 2 }),
        image: Some(ImageSpec { image: "busybox".to_owned(), ..ImageSpec::default() }),
        log_path: "app/2.log".to_owned(),
        linux: Some(LinuxContainerConfig::default()),
        ..ContainerConfig::default()
    };
    change(&mut config);
    let sandbox = pod();
    let input = ContainerInput {
        config: &config,
        sandbox_id: "abc",
        sandbox: &sandbox,
        seccomp_profile: None,
        has_hugetlb: false,
    };
    container(&input).map_err(|error| error.to_string())
}

/// The container's request for a security context.
fn secured(change: impl FnOnce(&mut LinuxContainerSecurityContext)) -> Result<CreateRequest, String> {
    planned(|config| {
        let context = config.linux.get_or_insert_default().security_context.get_or_insert_default();
        change(context);
    })
}

fn modes(network: NamespaceMode, pid: NamespaceMode, ipc: NamespaceMode) -> Option<NamespaceOption> {
    let (network, pid, ipc) = (network.into(), pid.into(), ipc.into());
    Some(NamespaceOption { network, pid, ipc, ..NamespaceOption::default() })
}

#[test]
fn a_sandbox_holds_namespaces_of_its_own() {
    let request = planned_sandbox(|_| {}).unwrap();
    assert_eq!(request.name.as_deref(), Some("k8s_POD_web-0_shop_u1_1"));
    assert_eq!(request.sandbox, Some(SandboxRole::Holder));
    assert_eq!(request.network.hostname.as_deref(), Some("web-0"));
    assert_eq!(request.network.mode, NetworkMode::Pod);
    assert_eq!(request.namespaces.ipc, IpcMode::Shareable);
    assert_eq!(request.resources.cgroup_parent.as_deref(), Some("/kubepods/burstable/podu1"));
    assert!(!request.log.keep && request.files.read_only);
}

#[test]
fn a_sandbox_may_have_the_nodes_namespaces() {
    let request = planned_sandbox(|request| {
        let linux = request.config.get_or_insert_default().linux.get_or_insert_default();
        linux.security_context.get_or_insert_default().namespace_options =
            modes(NamespaceMode::Node, NamespaceMode::Node, NamespaceMode::Node);
    })
    .unwrap();
    assert_eq!(request.network.mode, NetworkMode::Host);
    assert_eq!(request.namespaces.uts, UtsMode::Host);
    assert_eq!((request.namespaces.pid, request.namespaces.ipc), (PidMode::Host, IpcMode::Host));
}

#[test]
fn a_sandbox_publishes_only_ports_of_the_host() {
    let mapping = |host_port, container_port| PortMapping {
        host_port,
        container_port,
        protocol: Protocol::Udp.into(),
        host_ip: String::new(),
    };
    let published = |mappings: Vec<PortMapping>| {
        planned_sandbox(|request| request.config.get_or_insert_default().port_mappings = mappings)
            .map(|request| request.network.publish)
    };
    assert_eq!(published(vec![mapping(0, 80)]), Ok(vec![]));
    assert_eq!(published(vec![mapping(8080, 80)]).unwrap().len(), 1);
    assert!(published(vec![mapping(70000, 80)]).unwrap_err().contains("host_port"));
}

#[test]
fn a_sandbox_says_what_it_cannot_be() {
    for (change, word) in [
        ((|r| r.config = None) as fn(&mut RunPodSandboxRequest), "no sandbox config"),
        (|r| r.config.get_or_insert_default().metadata = None, "must include metadata"),
        (|r| r.runtime_handler = "kata".to_owned(), "kata"),
        (
            |r| {
                let dns = r.config.get_or_insert_default().dns_config.get_or_insert_default();
                dns.servers = vec!["one".to_owned()];
            },
            "dns_config.servers",
        ),
    ] {
        let error = planned_sandbox(change).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_container_lives_in_its_sandbox() {
    let request = planned(|_| {}).unwrap();
    assert_eq!(request.name.as_deref(), Some("k8s_app_web-0_shop_u1_2"));
    assert_eq!(request.network.mode, NetworkMode::Container("abc".to_owned()));
    assert_eq!(request.namespaces.uts, UtsMode::Container("abc".to_owned()));
    assert_eq!(request.namespaces.ipc, IpcMode::Container("abc".to_owned()));
    assert_eq!(request.log.cri_file.as_deref(), Some(std::path::Path::new("/var/log/pods/x/app/2.log")));
    assert_eq!(request.resources.cgroup_parent.as_deref(), Some("/kubepods/burstable/podu1"));
}

#[test]
fn process_ids_are_shared_as_asked() {
    let mode = |pid| {
        let options = modes(NamespaceMode::Pod, pid, NamespaceMode::Pod);
        let options = options.map(|options| NamespaceOption { target_id: "def".to_owned(), ..options });
        secured(|context| context.namespace_options = options).unwrap().namespaces.pid
    };
    assert_eq!(mode(NamespaceMode::Pod), PidMode::Container("abc".to_owned()));
    assert_eq!(mode(NamespaceMode::Container), PidMode::Private);
    assert_eq!(mode(NamespaceMode::Node), PidMode::Host);
    assert_eq!(mode(NamespaceMode::Target), PidMode::Container("def".to_owned()));
}

#[test]
fn command_and_args_replace_the_images() {
    let request = planned(|config| config.args = vec!["x".to_owned()]).unwrap();
    assert_eq!((request.process.entrypoint, request.process.command), (None, vec!["x".to_owned()]));
    let request = planned(|config| config.command = vec!["c".to_owned()]).unwrap();
    assert_eq!((request.process.entrypoint, request.process.command), (Some(vec!["c".to_owned()]), vec![]));
}

#[test]
fn users_and_groups() {
    let value = |value| Some(Int64Value { value });
    let user = |user, group| {
        secured(|context| (context.run_as_user, context.run_as_group) = (user, group))
            .map(|request| request.process.user.unwrap_or_default())
    };
    assert_eq!(user(None, None).as_deref(), Ok(""));
    assert_eq!(user(value(7), None).as_deref(), Ok("7"));
    assert_eq!(user(value(7), value(8)).as_deref(), Ok("7:8"));
    assert_eq!(user(None, value(8)).unwrap_err(), "user group is specified without user");
    assert!(user(value(-1), None).unwrap_err().contains("run_as_user"));
    let strict = secured(|context| {
        context.supplemental_groups = vec![5];
        context.set_supplemental_groups_policy(SupplementalGroupsPolicy::Strict);
    })
    .unwrap();
    assert_eq!(
        (strict.process.image_groups, strict.process.group_add),
        (ImageGroups::Never, vec!["5".to_owned()])
    );
}

#[test]
fn filters_of_system_calls() {
    let filter = |profile: Option<ProfileType>| {
        secured(|context| {
            context.seccomp = profile.map(|kind| SecurityProfile {
                profile_type: kind.into(),
                localhost_ref: "/p.json".to_owned(),
            });
        })
        .map(|request| request.security.seccomp)
    };
    assert_eq!(filter(None), Ok(SeccompRequest::Unconfined));
    assert_eq!(filter(Some(ProfileType::RuntimeDefault)), Ok(SeccompRequest::Default));
    assert_eq!(filter(Some(ProfileType::Unconfined)), Ok(SeccompRequest::Unconfined));
    assert!(filter(Some(ProfileType::Localhost)).unwrap_err().contains("/p.json"));
}

#[test]
fn paths_are_masked_as_the_caller_says() {
    assert_eq!(planned(|_| {}).unwrap().security.masked_paths, None);
    assert_eq!(secured(|_| {}).unwrap().security.masked_paths, Some(vec![]));
    let masked = secured(|context| context.masked_paths = vec!["/proc/kcore".to_owned()]).unwrap();
    assert_eq!(masked.security.masked_paths, Some(vec!["/proc/kcore".to_owned()]));
}

#[test]
fn privilege_is_the_pods_to_give() {
    let error = secured(|context| context.privileged = true).unwrap_err();
    assert_eq!(error, "no privileged container allowed in sandbox");
}

#[test]
fn stop_signals_have_their_names() {
    let signal = |signal: Signal| {
        planned(|config| config.stop_signal = signal.into())
            .unwrap()
            .process
            .stop_signal
            .map(|signal| signal.0)
    };
    assert_eq!(signal(Signal::RuntimeDefault), None);
    assert_eq!(signal(Signal::Sigusr1), Some(10));
    assert_eq!(signal(Signal::Sigiot), Some(6));
    assert_eq!(signal(Signal::Sigrtminplus3), Some(37));
    assert_eq!(signal(Signal::Sigrtmaxminus1), Some(63));
    let all = (1..=65).filter_map(|number| Signal::try_from(number).ok());
    assert!(all.into_iter().all(|number| signal(number).is_some()));
}

#[test]
fn limits_are_merged_over_what_is_there() {
    let first = LinuxContainerResources {
        cpu_shares: 512,
        memory_limit_in_bytes: 64 << 20,
        ..LinuxContainerResources::default()
    };
    let old = requested(&first, false);
    assert_eq!((old.cpu_shares, old.memory_bytes), (Some(512), Some(64 << 20)));
    assert_eq!(old.memory_swap_bytes, Some(64 << 20), "no swap unless it is asked for");
    let change = LinuxContainerResources { cpu_quota: 20_000, cpu_period: 100_000, ..Default::default() };
    let new = merged(&old, &change, false);
    assert_eq!(
        (new.cpu_shares, new.cpu_quota_us, new.memory_bytes),
        (Some(512), Some(20_000), Some(64 << 20))
    );
    assert_eq!(reported(&new).memory_limit_in_bytes, 64 << 20);
}

#[test]
fn mounts_are_checked() {
    let mounted = |mount: Mount| planned(|config| config.mounts = vec![mount]).map(|r| r.files.mounts.len());
    let good = Mount { container_path: "/data".to_owned(), host_path: "/d".to_owned(), ..Mount::default() };
    assert_eq!(mounted(good.clone()), Ok(1));
    assert!(mounted(Mount { host_path: "d".to_owned(), ..good.clone() }).unwrap_err().contains("host_path"));
    assert!(mounted(Mount { recursive_read_only: true, ..good }).unwrap_err().contains("recursive"));
}

#[test]
fn names_fit_a_file_name() {
    let long = "n".repeat(300);
    let (one, two) = (name(&[&long, "a"]), name(&[&long, "b"]));
    assert!(one.len() <= 255 && one != two, "{one}");
    assert_ne!(name(&["a/b"]), name(&["a-b"]));
}
