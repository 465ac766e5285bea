use super::*;
use sys::Namespace;

fn spec(json: &str) -> Spec {
    serde_json::from_str(json).expect("a spec")
}

const MINIMAL: &str = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},
    "process":{"user":{"uid":0,"gid":0},"args":["/true"],"cwd":"/"} PROCESS LINUX }"#;

#[track_caller]
fn check_linux(linux: &str, expect: Result<(), &str>) -> Option<Plan> {
    let json = MINIMAL.replace("PROCESS", "").replace("LINUX", &format!(", \"linux\": {linux}"));
    match (plan(&spec(&json), Path::new("/b")), expect) {
        (Ok(plan), Ok(())) => Some(plan),
        (Err(error), Err(part)) => {
            assert!(error.to_string().contains(part), "{error}");
            None
        }
        (got, expect) => panic!("{:?} instead of {expect:?}", got.map(|_| ()).map_err(|e| e.to_string())),
    }
}

fn mount(options: &str) -> MountPlan {
    let json = MINIMAL.replace("PROCESS", "").replace(
        "LINUX",
        &format!(
            r#", "linux":{{"namespaces":[{{"type":"mount"}}]}}, "mounts":[{{"destination":"/m","type":"tmpfs","source":"/s","options":[{options}]}}]"#
        ),
    );
    plan(&spec(&json), Path::new("/b")).unwrap().mounts.remove(0)
}

#[test]
fn a_spec_without_linux_makes_nothing() {
    let json = MINIMAL.replace("PROCESS", "").replace("LINUX", "");
    let plan = plan(&spec(&json), Path::new("/b")).unwrap();
    assert!(plan.namespaces.make.is_empty());
    assert!(plan.mounts.is_empty());
    assert_eq!(plan.root.path, Path::new("/b/rootfs"));
}

#[test]
fn namespaces_are_made_or_joined_in_order() {
    let plan = check_linux(
        r#"{"namespaces":[{"type":"network","path":"/n"},{"type":"pid"},{"type":"user","path":"/u"},{"type":"mount","path":""}]}"#,
        Ok(()),
    )
    .unwrap();
    assert!(plan.namespaces.makes(Namespace::Pid));
    assert!(plan.namespaces.makes(Namespace::Mount));
    let joined: Vec<_> = plan.namespaces.join.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(joined, [Namespace::User, Namespace::Net]);
}

#[test]
fn new_file_systems_have_the_mount_label() {
    let json = MINIMAL.replace("PROCESS", "").replace(
        "LINUX",
        r#", "linux":{"mountLabel":"u:r:t:s0:c1,c2","namespaces":[{"type":"mount"}]}, "mounts":[{"destination":"/a","type":"tmpfs"},
            {"destination":"/b","type":"proc"}, {"destination":"/c","source":"/c","options":["bind"]},
            {"destination":"/d","type":"tmpfs","options":["context=own"]}]"#,
    );
    let plan = plan(&spec(&json), Path::new("/b")).unwrap();
    let context = |mount: &MountPlan| match &mount.kind {
        MountKind::Filesystem { options, .. } => options.clone(),
        _ => Vec::new(),
    };
    let labels: Vec<Vec<FsOption>> = plan.mounts.iter().map(context).collect();
    let label = |value: &str| vec![FsOption::Value("context".to_owned(), value.to_owned())];
    assert_eq!(labels, [label("u:r:t:s0:c1,c2"), vec![], vec![], label("own")]);
}

#[test]
fn what_would_change_the_host_is_refused() {
    check_linux(
        r#"{"sysctl":{"net.ipv4.ip_forward":"1"}}"#,
        Err("the namespace that it belongs to is the host's"),
    );
    let net = r#""namespaces":[{"type":"network"},{"type":"ipc"}]"#;
    let plan = check_linux(
        &format!(
            r#"{{{net},"sysctl":{{"net.ipv4.ip_forward":"1","kernel.shmmax":"1","net/ipv4/conf/eth0.1/rp_filter":"0"}}}}"#
        ),
        Ok(()),
    );
    let paths: Vec<_> =
        plan.unwrap().sysctl.into_iter().map(|(path, _)| path.display().to_string()).collect();
    assert_eq!(paths, ["kernel/shmmax", "net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/ip_forward"]);
    for key in ["kernel.core_pattern", "vm.swappiness", "net..x", "net/../kernel/core_pattern", "kernel/../x"]
    {
        check_linux(&format!(r#"{{{net},"sysctl":{{"{key}":"1"}}}}"#), Err("linux.sysctl"));
    }
}

#[test]
fn odd_namespaces_and_maps_are_refused() {
    for (linux, part) in [
        (r#"{"namespaces":[{"type":"pid"},{"type":"pid"}]}"#, "listed once"),
        (r#"{"namespaces":[{"type":"pid","path":"x"}]}"#, "absolute"),
        (r#"{"namespaces":[{"type":"user"}]}"#, "needs both"),
        (r#"{"uidMappings":[{"containerID":0,"hostID":1,"size":1}]}"#, "no user namespace"),
        (
            r#"{"namespaces":[{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":1,"size":0}]}"#,
            "at least one id",
        ),
        (
            r#"{"namespaces":[{"type":"user"}],"uidMappings":[{"containerID":0,"hostID":1,"size":5},{"containerID":4,"hostID":9,"size":1}]}"#,
            "overlap",
        ),
        (r#"{"timeOffsets":{"monotonic":{"secs":1}}}"#, "no new time namespace"),
        (r#"{"rootfsPropagation":"sideways"}"#, "rootfsPropagation"),
        (r#"{"maskedPaths":[""]}"#, "absolute"),
    ] {
        check_linux(linux, Err(part));
    }
}

#[test]
fn hidden_paths_count_from_the_root() {
    let plan = check_linux(
        r#"{"maskedPaths":["proc/kcore","/a"],"readonlyPaths":["b/c"],"namespaces":[{"type":"mount"}]}"#,
        Ok(()),
    );
    let plan = plan.unwrap();
    assert_eq!((plan.masked, plan.readonly), (vec!["/proc/kcore".into(), "/a".into()], vec!["/b/c".into()]));
}

#[test]
fn hooks_that_could_not_run_in_their_turn_are_refused() {
    let check = |kind: &str, hook: &str, expect: Option<&str>| {
        let json =
            MINIMAL.replace("PROCESS", "").replace("LINUX", &format!(r#", "hooks":{{"{kind}":[{hook}]}}"#));
        let got = plan(&spec(&json), Path::new("/b")).err().map(|error| error.to_string());
        assert_eq!(got.is_some(), expect.is_some(), "{kind} {hook}: {got:?}");
        assert!(got.unwrap_or_default().contains(expect.unwrap_or_default()), "{kind} {hook}");
    };
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        check(kind, r#"{"path":"bin/hook"}"#, Some("absolute"));
        check(kind, r#"{"path":""}"#, Some("absolute"));
        check(kind, r#"{"path":"/hook","timeout":0}"#, Some("above zero"));
        check(kind, r#"{"path":"/hook","timeout":-1}"#, Some("above zero"));
        check(kind, r#"{"path":"/hook","timeout":1}"#, None);
    }
}

#[test]
fn mount_options_in_every_form() {
    use sys::mount::attr;
    let m = mount(r#""ro","nosuid","size=1m","huge""#);
    assert_eq!((m.set, m.clear), (attr::RDONLY | attr::NOSUID, 0));
    let MountKind::Filesystem { options, .. } = m.kind else { panic!("not a file system") };
    assert_eq!(options, [FsOption::Value("size".into(), "1m".into()), FsOption::Flag("huge".into())]);
    let m = mount(r#""ro","rw","noatime","strictatime""#);
    assert_eq!((m.set, m.clear & attr::RDONLY), (attr::STRICTATIME, attr::RDONLY));
    let m = mount(r#""rbind","rro","rnosuid","rslave","shared""#);
    assert_eq!(m.kind, MountKind::Bind { source: "/s".into(), recursive: true });
    assert_eq!(m.set_all, attr::RDONLY | attr::NOSUID);
    assert_eq!(m.propagation, [(Propagation::Slave, true), (Propagation::Shared, false)]);
    assert_eq!(mount(r#""relatime""#).set, 0);
    assert!(matches!(mount(r#""tmpcopyup""#).kind, MountKind::Filesystem { copy_up: true, .. }));
}

#[test]
fn destinations_are_cleaned() {
    let json = MINIMAL.replace("PROCESS", "").replace(
        "LINUX",
        r#", "linux":{"namespaces":[{"type":"mount"}]},"mounts":[{"destination":"a/../../b","type":"tmpfs"}]"#,
    );
    let plan = plan(&spec(&json), Path::new("/b")).unwrap();
    assert_eq!(plan.mounts[0].destination, Path::new("/b"));
    assert_eq!(plan.warnings.len(), 1);
}

#[test]
fn the_process_is_checked() {
    for (process, part) in [
        (r#"{"user":{"uid":0,"gid":0},"args":[],"cwd":"/"}"#, "process.args"),
        (r#"{"user":{"uid":0,"gid":0},"args":["x"],"cwd":"x"}"#, "must be an absolute path"),
        (r#"{"user":{"uid":2147483648,"gid":0},"args":["x"],"cwd":"/"}"#, "process.user.uid"),
        (r#"{"user":{"uid":0,"gid":0},"args":["x"],"cwd":"/","oomScoreAdj":-1001}"#, "oomScoreAdj"),
        (
            r#"{"user":{"uid":0,"gid":0},"args":["x"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","soft":2,"hard":1}]}"#,
            "above the hard one",
        ),
    ] {
        let json = format!(r#"{{"ociVersion":"1.0.2","root":{{"path":"r"}},"process":{process}}}"#);
        let error = plan(&spec(&json), Path::new("/b")).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn in_anothers_mount_namespace_nothing_is_mounted() {
    let with = |namespaces: &str, root: &str| {
        let linux = format!(
            r#", "linux":{{"maskedPaths":["/x"],{namespaces}}},"mounts":[{{"destination":"/b","type":"tmpfs"}}]"#
        );
        let json = MINIMAL.replace("PROCESS", "").replace("LINUX", &linux).replace("rootfs", root);
        plan(&spec(&json), Path::new("/b")).unwrap()
    };
    let user = r#""namespaces":[{"type":"user","path":"/u"}]"#;
    for (namespaces, root) in [
        (r#""namespaces":[{"type":"mount","path":"/m"}]"#, "rootfs"),
        (user, "rootfs"),
        (r#""namespaces":[]"#, "/"),
    ] {
        let plan = with(namespaces, root);
        assert!(
            !plan.mounts_here()
                && plan.mounts.is_empty()
                && plan.masked.is_empty()
                && plan.devices.is_empty()
        );
        assert!(plan.warnings[0].contains("1 mounts, 1 masked"));
    }
    let plan = with(r#""namespaces":[]"#, "rootfs");
    assert!(plan.mounts_here());
    assert_eq!((plan.mounts.len(), plan.masked.len(), plan.warnings.len()), (1, 1, 0));
}

#[test]
fn other_versions_are_refused() {
    let json = MINIMAL.replace("PROCESS", "").replace("LINUX", "").replace("1.0.2", "2.0.0");
    assert!(plan(&spec(&json), Path::new("/b")).unwrap_err().to_string().contains("ociVersion"));
}

#[test]
fn devices_default_and_override() {
    let plan = check_linux(
        r#"{"namespaces":[{"type":"mount"}],"devices":[{"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384},{"path":"/dev/ptmx","type":"c"},{"path":"/dev/p","type":"p"}]}"#,
        Ok(()),
    )
    .unwrap();
    let null: Vec<_> = plan.devices.iter().filter(|d| d.path == Path::new("/dev/null")).collect();
    assert_eq!((null.len(), null[0].mode), (1, 0o600));
    assert!(plan.devices.iter().any(|d| d.kind == DeviceKind::Fifo));
    assert!(!plan.devices.iter().any(|d| d.path == Path::new("/dev/ptmx")));
    check_linux(
        r#"{"namespaces":[{"type":"mount"}],"devices":[{"path":"/dev/../x","type":"c","major":1,"minor":3}]}"#,
        Err("without"),
    );
}
