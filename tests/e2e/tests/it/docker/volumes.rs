//! Volumes, binds and what of them travels.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Strake, isolated, run};

use crate::{inspect, sleeper};

/// What `sh -c SCRIPT` says in a container with these flags.
fn inside(strake: &Strake, flags: &[&str], script: &str) -> String {
    let command = ["busybox", "sh", "-c", script];
    strake.ok(&[&["run", "--rm", "--network", "none"], flags, &command].concat())
}

fn volume(strake: &Strake, name: &str) -> Value {
    let all: Value = serde_json::from_str(&strake.ok(&["volume", "inspect", name])).unwrap();
    all[0].clone()
}

#[test]
fn they_are_made_listed_filtered_and_removed() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        assert_eq!(strake.ok(&["volume", "create", "--label", "a=1", "data"]), "data");
        assert_eq!(strake.ok(&["volume", "create", "data"]), "data", "a second time it is taken as it is");
        let made_up = strake.ok(&["volume", "create"]);
        assert_eq!(made_up.len(), 64);
        sleeper(&strake, "user", &["--network", "none", "-v", "used:/u", "-v", "/anonymous"]);
        let seen = volume(&strake, "data");
        assert_eq!(
            (&seen["Driver"], &seen["Scope"], &seen["Labels"]),
            (&json!("local"), &json!("local"), &json!({"a": "1"}))
        );
        assert!(seen["Mountpoint"].as_str().unwrap().ends_with("/data/_data"));
        let list = |filter: &str| strake.ok(&["volume", "ls", "-q", "-f", filter]);
        assert_eq!(list("label=a"), "data");
        assert_eq!(list("label=a=2"), "");
        assert_eq!(list("name=^use"), "used");
        assert_eq!(list("dangling=true").lines().count(), 2);
        assert_eq!(list("dangling=false").lines().count(), 2);
        assert_eq!(list("driver=nfs"), "");
        let table = strake.ok(&["volume", "ls"]);
        let heading: Vec<&str> =
            table.lines().next().unwrap().split("  ").filter(|w| !w.is_empty()).collect();
        assert_eq!(heading.iter().map(|w| w.trim()).collect::<Vec<_>>(), ["DRIVER", "VOLUME NAME"]);
        let row = strake.ok(&["volume", "ls", "-f", "name=data", "--format", "{{json .}}"]);
        let row: Value = serde_json::from_str(&row).unwrap();
        assert_eq!(
            (&row["Name"], &row["Links"], &row["Labels"]),
            (&json!("data"), &json!("N/A"), &json!("a=1"))
        );
        let user = inspect(&strake, "user")["Id"].as_str().unwrap().to_owned();
        let said = strake.run(&["volume", "rm", "used"]);
        said.exits(1).says(&format!("remove used: volume is in use - [{user}]"));
        strake.run(&["volume", "rm", "ghost"]).exits(1).says("get ghost: no such volume");
        assert_eq!(strake.ok(&["volume", "rm", "-f", "ghost"]), "ghost");
        let said = strake.run(&["volume", "inspect", "ghost", "data"]);
        assert!(said.stdout.contains("\"Name\": \"data\""), "{said:?}");
        said.exits(1).says("get ghost: no such volume");
        // Without --all only those that were made without a name go.
        let said = strake.ok(&["volume", "prune", "-f"]);
        assert!(said.contains(&made_up) && !said.contains("data"), "{said}");
        // With the container go those made for it.
        strake.ok(&["rm", "-f", "-v", "user"]);
        let left = strake.ok(&["volume", "ls", "-q"]);
        assert_eq!(left, "data\nused");
        assert!(strake.ok(&["volume", "prune", "-a", "-f"]).contains("Total reclaimed space"));
        assert_eq!(strake.ok(&["volume", "ls", "-q"]), "");
        inside(&strake, &["-v", "/gone"], "true");
        assert_eq!(strake.ok(&["volume", "ls", "-q"]), "", "--rm takes them along");
        for (args, text) in [
            (&["--opt", "frob=1"][..], "invalid option: \"frob\""),
            (&["--opt", "type=tmpfs"], "missing required option: \"device\""),
            (&["-d", "nfs"], "plugin \"nfs\" not found"),
            (&["x"], "volume name is too short"),
            (&["--name", "a1", "b1"], "conflicting options"),
        ] {
            strake.run(&[&["volume", "create"], args].concat()).exits(1).says(text);
        }
    });
}

#[test]
fn an_empty_one_gets_what_the_image_has() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let build = "mkdir -p /srv/d && echo x > /srv/d/f && chown 7:8 /srv/d/f && chmod 640 /srv/d/f && chmod 2750 /srv/d";
        strake.ok(&["run", "--name", "maker", "--network", "none", "busybox", "sh", "-c", build]);
        strake.ok(&["commit", "maker", "filled"]);
        let look = |flags: &[&str]| {
            let script = "cd /srv/d 2>/dev/null && stat -c '%a %u:%g' . f && cat f || echo empty";
            let args =
                [&["run", "--rm", "--network", "none"], flags, &["filled", "sh", "-c", script]].concat();
            strake.ok(&args)
        };
        let copied = "2750 0:0\n640 7:8\nx";
        assert_eq!(look(&["-v", "one:/srv/d"]), copied);
        assert_eq!(look(&["--mount", "src=two,dst=/srv/d"]), copied);
        assert_eq!(look(&["-v", "/srv/d"]), copied);
        assert!(!look(&["-v", "three:/srv/d:nocopy"]).contains('x'));
        assert!(!look(&["--mount", "src=four,dst=/srv/d,volume-nocopy"]).contains('x'));
        // One with files in it stays as it is.
        inside(&strake, &["-v", "five:/v"], "touch /v/own");
        let said =
            strake.ok(&["run", "--rm", "--network", "none", "-v", "five:/srv/d", "filled", "ls", "/srv/d"]);
        assert_eq!(said, "own");
    });
}

#[test]
fn volumes_from_takes_over_and_ro_holds() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "first", &["--network", "none", "-v", "data:/data", "-v", "/own"]);
        strake.ok(&["exec", "first", "sh", "-c", "echo 1 > /data/f; echo 2 > /own/f"]);
        assert_eq!(inside(&strake, &["--volumes-from", "first"], "cat /data/f /own/f"), "1\n2");
        // A place alone makes nothing new where something is; a name does.
        let both = ["--volumes-from", "first", "-v", "/own", "-v", "other:/data"];
        assert_eq!(inside(&strake, &both, "cat /own/f; ls /data"), "2");
        let said = inside(&strake, &["--volumes-from", "first:ro"], "touch /data/g 2>&1 || echo refused");
        assert!(said.contains("Read-only file system") && said.ends_with("refused"), "{said}");
        strake.ok(&["exec", "first", "test", "-e", "/own/f"]);
        sleeper(&strake, "second", &["--network", "none", "--volumes-from", "first:ro"]);
        assert_eq!(inspect(&strake, "second")["HostConfig"]["VolumesFrom"], json!(["first:ro"]));
    });
}

#[test]
fn the_driver_mounts_memory_or_a_directory() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let opt = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=64k,uid=7,mode=700"];
        strake.ok(&[&["volume", "create"], &opt[..], &["memory"]].concat());
        assert_eq!(volume(&strake, "memory")["Options"]["o"], "size=64k,uid=7,mode=700");
        let script = "stat -f -c %T /m; df -k /m | awk 'END{print $2}'; stat -c '%a %u' /m";
        assert_eq!(inside(&strake, &["-v", "memory:/m"], script), "tmpfs\n64\n700 7");
        // Who has it at the same time shares it; when the last has gone, so has what was in it.
        sleeper(&strake, "first", &["--network", "none", "-v", "memory:/m"]);
        strake.ok(&["exec", "first", "touch", "/m/shared"]);
        assert_eq!(inside(&strake, &["-v", "memory:/elsewhere"], "ls /elsewhere"), "shared");
        sleeper(&strake, "second", &["--network", "none", "-v", "memory:/x"]);
        strake.ok(&["rm", "-f", "first"]);
        assert_eq!(strake.ok(&["exec", "second", "ls", "/x"]), "shared");
        assert_eq!(inside(&strake, &["-v", "memory:/m:ro"], "touch /m/y 2>/dev/null || ls /m"), "shared");
        strake.ok(&["rm", "-f", "second"]);
        assert_eq!(inside(&strake, &["-v", "memory:/m"], "ls /m"), "");
        // A directory of the host, made by nobody.
        let host = strake.home().join("host");
        let device = format!("device={}", host.display());
        strake.ok(&["volume", "create", "--opt", "type=none", "--opt", &device, "--opt", "o=bind", "bound"]);
        let missing = strake.run(&["run", "--rm", "--network", "none", "-v", "bound:/b", "busybox", "true"]);
        missing.exits(125).says("No such file or directory");
        std::fs::create_dir(&host).unwrap();
        inside(&strake, &["-v", "bound:/b"], "touch /b/made");
        assert!(host.join("made").exists());
        strake.ok(&["volume", "rm", "bound"]);
        assert!(host.join("made").exists(), "what is the host's stays");
        // The same asked for with the container.
        let mount =
            "type=volume,src=asked,dst=/m,volume-label=a=b,volume-opt=type=tmpfs,volume-opt=device=tmpfs";
        assert_eq!(inside(&strake, &["--mount", mount], "stat -f -c %T /m"), "tmpfs");
        assert_eq!(volume(&strake, "asked")["Labels"], json!({"a": "b"}));
    });
}

#[test]
fn the_driver_mounts_any_file_system_or_says_why_not() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let create = |name: &str, options: &[&str]| {
            let options = options.iter().flat_map(|option| ["--opt", option]);
            let args: Vec<&str> = ["volume", "create"].into_iter().chain(options).chain([name]).collect();
            strake.ok(&args);
        };
        // One that needs no disk: two directories as one.
        let [upper, lower] = ["upper", "lower"].map(|name| {
            let dir = strake.home().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join(name), name).unwrap();
            dir.display().to_string()
        });
        create("both", &["type=overlay", "device=overlay", &format!("o=lowerdir={upper}:{lower},ro")]);
        assert_eq!(
            inside(&strake, &["-v", "both:/b"], "cat /b/lower /b/upper; ls /b"),
            "lowerupperlower\nupper"
        );
        let failed = |name: &str| {
            let flag = format!("{name}:/x");
            let said = strake.run(&["run", "--rm", "--network", "none", "-v", &flag, "busybox", "true"]);
            said.exits(125);
            said.stderr
        };
        create("missing", &["type=ext4", "device=/dev/no-such"]);
        let said = failed("missing");
        assert!(said.contains("/dev/no-such") && said.contains("no such file or directory"), "{said}");
        create("unknown", &["type=frobfs", "device=x"]);
        let said = failed("unknown");
        assert!(said.contains("frobfs") && said.contains("no such device"), "{said}");
        // Nobody serves it there: an error, not a wait.
        create("remote", &["type=nfs", "device=:/srv", "o=addr=127.0.0.1,nolock,soft"]);
        let said = failed("remote");
        assert!(said.contains("mount nfs to /x"), "{said}");
        assert_eq!(strake.ok(&["ps", "-aq"]), "", "what was refused left nothing");
        let size = strake.run(&["volume", "create", "--opt", "size=1g", "sized"]);
        size.exits(1).says("quota size requested but no quota support");
        assert_eq!(strake.ok(&["volume", "ls", "-q"]), "both\nmissing\nremote\nunknown");
        strake.ok(&["volume", "rm", "both", "missing", "remote", "unknown"]);
    });
}

#[test]
fn a_part_of_a_volume_cannot_lead_out_of_it() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        inside(
            &strake,
            &["-v", "data:/d"],
            "mkdir -p /d/a/b; echo x > /d/a/b/f; ln -s /etc /d/out; ln -s a /d/in",
        );
        let part = |path: &str| {
            let mount = format!("type=volume,src=data,dst=/p,volume-subpath={path}");
            strake.run(&["run", "--rm", "--network", "none", "--mount", &mount, "busybox", "ls", "/p"])
        };
        assert_eq!(part("a/b").ok(), "f");
        assert_eq!(part("in").ok(), "b");
        part("a/missing").exits(125).says("failed to access volume subpath");
        part("out").exits(125).says("failed to access volume subpath");
        part("../x").exits(125).says("subpath must be a relative path within the volume");
    });
}

#[test]
fn binds_are_made_or_refused_and_read_only_reaches_below() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let missing = strake.home().join("missing");
        let text = missing.display().to_string();
        let mount = format!("type=bind,src={text},dst=/x");
        let said = strake.run(&["run", "--rm", "--network", "none", "--mount", &mount, "busybox", "true"]);
        let what = format!("invalid mount config for type \"bind\": bind source path does not exist: {text}");
        said.exits(125).says(&what);
        assert!(!missing.exists());
        inside(&strake, &["-v", &format!("{text}:/x")], "test -d /x");
        assert!(missing.is_dir());
        // A mount below the source.
        let below = missing.join("below");
        std::fs::create_dir(&below).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=1777", "tmpfs"]).arg(&below)).ok();
        let write = "touch /x/a 2>/dev/null && echo top; touch /x/below/a 2>/dev/null && echo below; true";
        let with = |flag: &str, value: String| inside(&strake, &[flag, &value], write);
        assert_eq!(with("-v", format!("{text}:/x")), "top\nbelow");
        assert_eq!(with("-v", format!("{text}:/x:ro")), "");
        assert_eq!(with("--mount", format!("{mount},ro")), "");
        assert_eq!(with("--mount", format!("{mount},ro,bind-recursive=writable")), "below");
        let strict = "ro,bind-recursive=readonly,bind-propagation=rprivate";
        assert_eq!(with("--mount", format!("{mount},{strict}")), "");
        let flat = format!("{mount},bind-recursive=disabled");
        assert_eq!(inside(&strake, &["--mount", &flat], "grep -c ' /x/below ' /proc/mounts || true"), "0");
        let twice = ["-v", "one:/x", "--tmpfs", "/x"];
        let said =
            strake.run(&[&["run", "--rm", "--network", "none"], &twice[..], &["busybox", "true"]].concat());
        said.exits(125).says("Duplicate mount point: /x");
    });
}

#[test]
fn mounts_travel_as_far_as_was_asked() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let host = strake.home().join("host");
        std::fs::create_dir(&host).unwrap();
        let mount = |args: &[&str], at: &std::path::Path| {
            run(Command::new("mount").args(args).arg(at)).ok().to_owned()
        };
        let source = host.display().to_string();
        mount(&["-t", "tmpfs", "tmpfs"], &host);
        mount(&["--make-private"], &host);
        for (mode, what) in [("rshared", "not a shared mount"), ("rslave", "not a shared or slave mount")] {
            let flag = format!("{source}:/x:{mode}");
            let said = strake.run(&["run", "--rm", "--network", "none", "-v", &flag, "busybox", "true"]);
            said.exits(125).says(&format!("is mounted on {source} but it is {what}"));
        }
        mount(&["--make-shared"], &host);
        for (mode, reaches_in, reaches_out) in
            [("rprivate", false, false), ("rslave", true, false), ("rshared", true, true)]
        {
            let (from_host, from_inside) = (format!("{mode}-host"), format!("{mode}-inside"));
            for name in [&from_host, &from_inside] {
                std::fs::create_dir(host.join(name)).unwrap();
            }
            let flag = format!("{source}:/x:{mode}");
            sleeper(
                &strake,
                mode,
                &[
                    "--network",
                    "none",
                    "--cap-add",
                    "SYS_ADMIN",
                    "--security-opt",
                    "seccomp=unconfined",
                    "-v",
                    &flag,
                ],
            );
            mount(&["-t", "tmpfs", "tmpfs"], &host.join(&from_host));
            let seen = strake.ok(&["exec", mode, "cat", "/proc/mounts"]);
            assert_eq!(seen.contains(&format!(" /x/{from_host} ")), reaches_in, "{mode}");
            strake.ok(&["exec", mode, "mount", "-t", "tmpfs", "tmpfs", &format!("/x/{from_inside}")]);
            let seen = std::fs::read_to_string("/proc/mounts").unwrap();
            assert_eq!(seen.contains(&format!("/{from_inside} ")), reaches_out, "{mode}");
            let mounts = inspect(&strake, mode)["Mounts"][0].clone();
            assert_eq!(mounts["Propagation"], mode);
        }
    });
}

#[test]
fn a_mount_of_an_image_is_read_only() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let script = "ls /i/passwd; touch /i/x 2>/dev/null || echo refused";
        let mount = "type=image,src=busybox,dst=/i,image-subpath=etc";
        assert_eq!(inside(&strake, &["--mount", mount], script), "/i/passwd\nrefused");
        let home = std::fs::metadata(strake.home()).unwrap();
        assert_eq!((home.uid(), home.permissions().mode() & 0o700), (0, 0o700));
    });
}
