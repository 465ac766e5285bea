//! Requests against the specification that comes of them.

use serde_json::{Value, json};

use super::*;
use crate::container::MountSource;
use crate::request::*;

fn host() -> HostFacts {
    HostFacts {
        capabilities: known_capabilities().collect(),
        apparmor: AppArmorHost::Off,
        selinux: None,
        cpus: 4,
        cgroup_v2: false,
        devices: vec![],
        rootless: None,
        delegated: None,
        block_devices: [("/dev/vda".into(), (254, 0))].into(),
        cpus_online: "0-3".to_owned(),
        memory_nodes: "0".to_owned(),
    }
}

fn image() -> ContainerConfig {
    serde_json::from_value(json!({
        "Env": ["PATH=/bin", "LANG=C"], "Entrypoint": ["/entry"], "Cmd": ["serve"], "WorkingDir": "/srv"
    }))
    .unwrap()
}

fn planned_with(
    host: &HostFacts,
    change: impl FnOnce(&mut CreateRequest, &mut Vec<MountRecord>),
) -> Result<Value, String> {
    plan_with(host, change).map(|planned| serde_json::to_value(planned.spec).unwrap())
}

fn plan_with(
    host: &HostFacts,
    change: impl FnOnce(&mut CreateRequest, &mut Vec<MountRecord>),
) -> Result<Planned, String> {
    let id = ContainerId::parse(&"ab".repeat(32)).unwrap();
    let mut request = CreateRequest::default();
    let mut mounts = Vec::new();
    change(&mut request, &mut mounts);
    let user =
        resolve_user(request.process.user.as_deref().unwrap_or(""), &[], ImageGroups::default(), &[], &[])
            .unwrap();
    let files = HostFilePaths { hosts: "/h".into(), hostname: "/n".into(), resolv_conf: "/r".into() };
    let own_program = request.process.init || request.sandbox == Some(SandboxRole::Holder);
    let init = own_program.then(|| PathBuf::from("/shim"));
    let input = SpecInput {
        id: &id,
        request: &request,
        image: &image(),
        user: &user,
        mounts: &mounts,
        volumes: &BTreeMap::new(),
        host_files: Some(&files),
        joined: &NamespacePaths::default(),
        hostname: "abab",
        devices: &[],
        own_program: init.as_ref(),
        cgroup_path: match &host.delegated {
            Some(delegated) => Some(delegated.path.as_str()),
            None => host.rootless.is_none().then_some("/strake/x"),
        },
        host,
    };
    plan(&input).map_err(|error| error.to_string())
}

fn planned(change: impl FnOnce(&mut CreateRequest)) -> Value {
    planned_with(&host(), |request, _| change(request)).unwrap()
}

#[track_caller]
fn check(pointer: &str, change: impl FnOnce(&mut CreateRequest), expected: impl Into<Value>) {
    let spec = planned(change);
    assert_eq!(spec.pointer(pointer).cloned().unwrap_or(Value::Null), expected.into(), "{pointer}");
}

fn mount_at(spec: &Value, target: &str) -> Option<Value> {
    let mounts = spec["mounts"].as_array().unwrap();
    mounts.iter().find(|mount| mount["destination"] == target).cloned()
}

#[test]
fn command_lines_merge_as_dockers() {
    check("/process/args", |_| {}, json!(["/entry", "serve"]));
    check("/process/args", |r| r.process.command = vec!["x".into()], json!(["/entry", "x"]));
    check("/process/args", |r| r.process.entrypoint = Some(vec!["/e".into()]), json!(["/e"]));
    check(
        "/process/args",
        |r| {
            r.process.entrypoint = Some(vec![]);
            r.process.command = vec!["x".into()];
        },
        json!(["x"]),
    );
    check("/process/args", |r| r.process.init = true, json!([INIT_TARGET, "init", "--", "/entry", "serve"]));
    check("/process/args", |r| r.sandbox = Some(SandboxRole::Holder), json!([PAUSE_TARGET, "pause"]));
    let holder = planned(|r| r.sandbox = Some(SandboxRole::Holder));
    assert_eq!(mount_at(&holder, PAUSE_TARGET).unwrap()["source"], "/shim");
    let nothing = planned_with(&host(), |r, _| r.process.entrypoint = Some(vec![]));
    assert!(nothing.unwrap_err().contains("no command"));
}

#[test]
fn environments_merge() {
    check("/process/env", |_| {}, json!(["PATH=/bin", "HOSTNAME=abab", "LANG=C", "HOME=/root"]));
    check(
        "/process/env",
        |r| {
            r.process.env = vec!["LANG=de".into(), "HOME=/h".into(), "PATH".into()];
            r.process.tty = true;
        },
        json!(["HOSTNAME=abab", "TERM=xterm", "LANG=de", "HOME=/h"]),
    );
    check("/process/cwd", |_| {}, json!("/srv"));
    check("/process/cwd", |r| r.process.workdir = Some("/w".into()), json!("/w"));
}

#[test]
fn se_01_defaults_are_as_safe_as_dockers() {
    let spec = planned(|_| {});
    assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 14);
    assert!(spec["process"]["capabilities"].get("inheritable").is_none());
    assert!(!spec["linux"]["maskedPaths"].as_array().unwrap().is_empty());
    assert!(!spec["linux"]["readonlyPaths"].as_array().unwrap().is_empty());
    assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(spec["linux"]["resources"]["devices"][0]["allow"], false);
    let kinds: Vec<&str> =
        spec["linux"]["namespaces"].as_array().unwrap().iter().map(|n| n["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["mount", "pid", "ipc", "uts", "network", "cgroup"]);
    assert_eq!(spec["linux"]["cgroupsPath"], "/strake/x");
    assert!(mount_at(&spec, "/sys").unwrap()["options"].as_array().unwrap().contains(&json!("ro")));
    assert!(
        mount_at(&spec, "/dev/shm").unwrap()["options"].as_array().unwrap().contains(&json!("size=67108864"))
    );
    assert_eq!(mount_at(&spec, "/etc/hosts").unwrap()["source"], "/h");
}

#[test]
fn se_07_containers_get_our_profile_where_apparmor_is_on() {
    let on = HostFacts { apparmor: AppArmorHost::On, ..host() };
    let missing = HostFacts { apparmor: AppArmorHost::NoProfile { why: "no parser".into() }, ..host() };
    let check = |host: &HostFacts, change: fn(&mut SecurityRequest), expected: Value| {
        let spec = planned_with(host, |request, _| change(&mut request.security)).unwrap();
        assert_eq!(spec["process"].get("apparmorProfile").cloned().unwrap_or_default(), expected);
    };
    let unasked: fn(&mut SecurityRequest) = |_| {};
    let privileged: fn(&mut SecurityRequest) = |security| security.privileged = true;
    let unconfined: fn(&mut SecurityRequest) = |security| security.apparmor = AppArmor::Unconfined;
    let named: fn(&mut SecurityRequest) = |security| {
        security.privileged = true;
        security.apparmor = AppArmor::Profile("mine".into());
    };
    check(&on, unasked, "strake-default".into());
    for nothing in [privileged, unconfined] {
        check(&on, nothing, Value::Null);
    }
    for without in [&host(), &missing] {
        check(without, unasked, Value::Null);
    }
    for any in [&on, &host(), &missing] {
        check(any, named, "mine".into());
    }
}

#[test]
fn labels_of_selinux_are_handed_on_where_it_is_on() {
    let on = HostFacts {
        selinux: Some(SelinuxHost {
            process: "system_u:system_r:container_t:s0".to_owned(),
            file: "system_u:object_r:container_file_t:s0".to_owned(),
        }),
        ..host()
    };
    let labelled = |host: &HostFacts, labels: &[&str]| {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let spec = planned_with(host, |request, _| request.security.labels = labels).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        (text(&spec["process"]["selinuxLabel"]), text(&spec["linux"]["mountLabel"]))
    };
    let asked = ["type:spc_t", "level:s0:c1,c2"];
    let expected = (
        Some("system_u:system_r:spc_t:s0:c1,c2".to_owned()),
        Some("system_u:object_r:container_file_t:s0:c1,c2".to_owned()),
    );
    assert_eq!(labelled(&on, &asked), expected);
    assert_eq!(labelled(&on, &["disable"]).0, None);
    assert_eq!(labelled(&on, &[]), (None, None), "who asks for nothing has none");
    assert_eq!(labelled(&host(), &asked), (None, None), "without SELinux they are ignored");
    let wrong = |r: &mut CreateRequest, _: &mut _| r.security.labels = vec!["frob".to_owned()];
    assert!(planned_with(&on, wrong).is_err());
}

#[test]
fn another_user_has_no_effective_capabilities() {
    let spec = planned(|r| r.process.user = Some("1000:7".into()));
    assert_eq!(spec["process"]["user"]["uid"], 1000);
    assert_eq!(spec["process"]["user"]["gid"], 7);
    assert_eq!(spec["process"]["capabilities"]["effective"], json!([]));
    assert_eq!(spec["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 14);
}

#[test]
fn capabilities_are_added_and_dropped() {
    let caps = |add: &[&str], drop: &[&str]| {
        let security = SecurityRequest {
            cap_add: add.iter().map(|c| capability_name("--cap-add", c).unwrap()).collect(),
            cap_drop: drop.iter().map(|c| capability_name("--cap-drop", c).unwrap()).collect(),
            ..Default::default()
        };
        capabilities(&security, &host().capabilities, &mut Vec::new())
    };
    assert_eq!(caps(&["net_admin"], &[]).len(), 15);
    assert_eq!(caps(&["chown"], &["all"]), ["CAP_CHOWN"]);
    assert_eq!(caps(&["ALL"], &["sys_admin"]).len(), 40);
    assert!(!caps(&[], &["CAP_MKNOD"]).contains(&"CAP_MKNOD".to_owned()));
    let mut warnings = Vec::new();
    let security = SecurityRequest { cap_add: vec!["CAP_SYS_RESOURCE".into()], ..Default::default() };
    let poor: Vec<String> = known_capabilities().filter(|cap| cap != "CAP_SYS_RESOURCE").collect();
    assert_eq!(capabilities(&security, &poor, &mut warnings).len(), 14);
    assert!(warnings[0].contains("CAP_SYS_RESOURCE"), "{warnings:?}");
}

#[test]
fn se_03_privileged_has_everything() {
    let mut rich = host();
    rich.devices.push(HostDevice {
        path: "/dev/fuse".into(),
        is_block: false,
        major: 10,
        minor: 229,
        mode: 0o666,
        uid: 0,
        gid: 0,
    });
    let spec = planned_with(&rich, |r, _| r.security.privileged = true).unwrap();
    assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 41);
    assert!(spec["linux"].get("seccomp").is_none());
    assert!(spec["linux"].get("maskedPaths").is_none());
    assert_eq!(spec["linux"]["devices"][0]["path"], "/dev/fuse");
    assert_eq!(spec["linux"]["resources"]["devices"][0]["allow"], true);
    assert!(mount_at(&spec, "/sys").unwrap()["options"].as_array().unwrap().contains(&json!("rw")));
}

#[test]
fn ns_10_every_namespace_can_be_shared() {
    let spec = planned(|r| {
        r.namespaces.pid = PidMode::Host;
        r.namespaces.ipc = IpcMode::Host;
        r.namespaces.uts = UtsMode::Host;
        r.namespaces.cgroup = CgroupMode::Host;
        r.network.mode = NetworkMode::Host;
    });
    assert_eq!(spec["linux"]["namespaces"].as_array().unwrap().len(), 1);
    assert!(spec.get("hostname").is_none());
    assert_eq!(mount_at(&spec, "/dev/shm").unwrap()["source"], "/dev/shm");
    let spec = planned(|r| r.namespaces.user = UserMode::Private { base: 100_000, size: 65536 });
    assert_eq!(spec["linux"]["uidMappings"], json!([{"hostID": 100_000, "containerID": 0, "size": 65536}]));
    assert!(spec["linux"]["namespaces"].as_array().unwrap().iter().any(|n| n["type"] == "user"));
}

#[test]
fn resources_become_settings() {
    check(
        "/linux/resources/memory",
        |r| r.resources.memory_bytes = Some(64 << 20),
        json!({"limit": 67108864, "swap": 134217728}),
    );
    check(
        "/linux/resources/cpu",
        |r| r.resources.nano_cpus = Some(500_000_000),
        json!({"period": 100000, "quota": 50000}),
    );
    check("/linux/resources/pids", |r| r.resources.pids_limit = Some(100), json!({"limit": 100}));
    check("/linux/resources/cpu", |r| r.resources.cpu_shares = Some(512), json!({"shares": 512}));
    check("/linux/resources/memory", |_| {}, Value::Null);
    let error = planned_with(&host(), |r, _| r.resources.nano_cpus = Some(5_000_000_000)).unwrap_err();
    assert!(error.contains("as there are only 4 CPUs available"), "{error}");
    check(
        "/process/rlimits",
        |r| r.resources.ulimits = vec![Ulimit::parse("nofile=10:20").unwrap()],
        json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]),
    );
}

#[test]
fn an_ordinary_user_has_the_limits_that_were_given() {
    let given = |controllers: &str| cgroup::Delegated {
        path: "/user".to_owned(),
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
    };
    let rootless = Some(sys::user::Mapped { uids: 65536, gids: 65536 });
    let limited = |delegated: Option<cgroup::Delegated>| {
        let host = HostFacts { rootless, delegated, cgroup_v2: true, ..host() };
        let planned = plan_with(&host, |r, _| {
            r.resources.memory_bytes = Some(64 << 20);
            r.resources.pids_limit = Some(9);
            r.resources.cpuset_cpus = Some("0".to_owned());
            r.resources.nano_cpus = Some(500_000_000);
        });
        let planned = planned.unwrap();
        let spec = serde_json::to_value(planned.spec).unwrap();
        (spec["linux"].clone(), planned.warnings.join(" "))
    };
    let (linux, warnings) = limited(Some(given("cpuset cpu io memory pids")));
    let all = json!({"memory": {"limit": 67108864, "swap": 134217728}, "pids": {"limit": 9},
        "cpu": {"period": 100000, "quota": 50000, "cpus": "0"}});
    assert_eq!((&linux["resources"], &linux["cgroupsPath"]), (&all, &json!("/user")));
    assert_eq!(warnings, "");
    let (linux, warnings) = limited(Some(given("cpu memory")));
    let some =
        json!({"memory": {"limit": 67108864, "swap": 134217728}, "cpu": {"period": 100000, "quota": 50000}});
    assert_eq!(linux["resources"], some);
    assert!(warnings.contains("/user that was given to you has no controller pids, cpuset;"), "{warnings}");
    let (linux, warnings) = limited(None);
    assert_eq!((&linux["resources"], &linux["cgroupsPath"]), (&Value::Null, &Value::Null));
    assert!(warnings.contains("resource limits are left out"), "{warnings}");
    // Who asks for nothing is told nothing.
    let host = HostFacts { rootless, ..host() };
    assert_eq!(plan_with(&host, |_, _| {}).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn sysctls_stay_in_their_namespaces() {
    let set = |name: &str, host_network: bool| {
        planned_with(&host(), |r, _| {
            r.security.sysctls.insert(name.to_owned(), "1".to_owned());
            if host_network {
                r.network.mode = NetworkMode::Host;
            }
        })
    };
    assert_eq!(set("net.core.somaxconn", false).unwrap()["linux"]["sysctl"]["net.core.somaxconn"], "1");
    assert!(set("net.core.somaxconn", true).unwrap_err().contains("network namespace"));
    assert!(set("kernel.panic", false).unwrap_err().contains("would change the host"));
    assert!(set("net/../kernel.panic", false).is_err());
    assert!(set("kernel.shmmax", false).is_ok());
}

#[test]
fn mounts_are_ordered_and_replace_the_systems() {
    let spec = planned_with(&host(), |_, mounts| {
        mounts.push(MountRecord {
            target: "/a/b".into(),
            source: MountSource::Bind {
                path: "/src".into(),
                propagation: Some("rshared".into()),
                non_recursive: false,
                recursive_read_only: false,
            },
            read_only: true,
        });
        mounts.push(MountRecord {
            target: "/a".into(),
            source: MountSource::Tmpfs { options: vec!["size=1024".into()] },
            read_only: false,
        });
        mounts.push(MountRecord {
            target: "/dev/shm".into(),
            source: MountSource::Tmpfs { options: vec![] },
            read_only: false,
        });
    })
    .unwrap();
    let targets: Vec<&str> =
        spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect();
    let at = |target: &str| targets.iter().position(|t| *t == target).unwrap();
    assert!(at("/a") < at("/a/b"));
    assert_eq!(targets.iter().filter(|t| **t == "/dev/shm").count(), 1);
    assert_eq!(mount_at(&spec, "/a/b").unwrap()["options"], json!(["rbind", "ro", "rshared"]));
    assert_eq!(spec["linux"]["rootfsPropagation"], "shared");
    assert_eq!(
        mount_at(&spec, "/a").unwrap()["options"],
        json!(["nosuid", "nodev", "noexec", "rw", "size=1024"])
    );
}

#[test]
fn exec_takes_the_containers_process_over() {
    let spec: Spec = serde_json::from_value(planned(|_| {})).unwrap();
    let container = spec.process().clone().unwrap();
    let exec =
        ExecProcess { args: vec!["id".into()], env: vec!["A=1".into()], tty: true, ..Default::default() };
    let user = ResolvedUser { uid: 33, gid: 33, groups: vec![], home: "/var/www".into() };
    let process = serde_json::to_value(exec_process(&container, &exec, &user)).unwrap();
    assert_eq!(process["args"], json!(["id"]));
    assert_eq!(
        process["env"],
        json!(["PATH=/bin", "HOSTNAME=abab", "LANG=C", "TERM=xterm", "A=1", "HOME=/var/www"])
    );
    assert_eq!(process["user"]["uid"], 33);
    assert_eq!(process["cwd"], "/srv");
    assert_eq!(process["capabilities"]["effective"], json!([]));
    assert!(process["capabilities"].get("inheritable").is_none());
}
