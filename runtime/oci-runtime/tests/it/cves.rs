//! The lessons of others: each test is named after the CVE that it would be.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use testkit::isolated;

use crate::bundle::Bundle;

/// A file of the host that nothing in a container may change.
fn canary(bundle: &Bundle) -> PathBuf {
    let path = bundle.dir.join("canary");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), "untouched").unwrap();
    path
}

#[track_caller]
fn assert_untouched(bundle: &Bundle) {
    let path = bundle.dir.join("canary");
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "untouched");
    let names: Vec<_> = fs::read_dir(&path).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["file"], "something was made on the host");
}

#[test]
fn cve_2019_5736_the_runtime_cannot_be_overwritten_through_proc_self_exe() {
    isolated(|| {
        // A process that stops the runtime as soon as it comes into its PID namespace, where it can tell
        // which number that will have, and writes to its program once it has ended. It is the container's
        // first: whoever waited for it would execute the file, and that alone would forbid to write it.
        let attacker = "while test ! -e /tmp/enough; do
              : & wait; next=$(($! + 1)); tries=0
              until kill -STOP $next 2>/dev/null || test $tries -ge 5000; do tries=$((tries + 1)); done
              case $(readlink /proc/$next/exe) in *strake-runtime*) echo SAW
                (exec 9</proc/$next/exe; kill -CONT $next; while test -e /proc/$next; do :; done; tries=0
                 until echo broken >> /proc/self/fd/9 || test $tries -ge 20000; do tries=$((tries + 1)); done
                 test $tries -ge 20000 || echo WROTE > /tmp/wrote) 2>/dev/null;;
              esac
              kill -CONT $next 2>/dev/null
            done";
        let bundle = Bundle::new().script(attacker).with(|spec| {
            for set in ["bounding", "effective", "permitted"] {
                spec["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_PTRACE"));
            }
        });
        let runtime = testkit::bin("strake-runtime");
        let before = fs::read(&runtime).unwrap();
        // A program that is the runtime itself, opened again by its interpreter line.
        fs::write(bundle.in_root("bin/evil"), "#!/proc/self/exe\n").unwrap();
        fs::set_permissions(bundle.in_root("bin/evil"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        bundle.start();
        bundle.runtime(&["exec", "c", "evil"]);
        let caught = testkit::wait_until(Duration::from_secs(60), || {
            bundle.runtime(&["exec", "c", "true"]);
            bundle.printed().matches("SAW").count() >= 5
        });
        fs::write(bundle.in_root("tmp/enough"), "").unwrap();
        assert!(caught, "the attacker never saw the runtime: nothing was tried");
        assert!(testkit::wait_until(Duration::from_secs(60), || bundle.state()["status"] == "stopped"));
        assert!(!bundle.in_root("tmp/wrote").exists());
        assert_eq!(fs::read(&runtime).unwrap(), before);
    });
}

#[test]
fn cve_2019_5736_a_container_whose_program_is_the_runtime_cannot_write_it() {
    isolated(|| {
        let runtime = testkit::bin("strake-runtime");
        let before = fs::read(&runtime).unwrap();
        for program in ["/proc/self/exe", "/bin/link"] {
            let bundle = Bundle::new().with(|spec| {
                spec["process"]["args"] = json!([program, "features"]);
                // The hook is run by init, while its program is still the runtime.
                let script = "(echo broken >> /proc/1/exe) 2>/dev/null && echo WROTE > /tmp/wrote; true";
                let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] });
                spec["hooks"] = json!({ "startContainer": [hook] });
            });
            symlink("/proc/self/exe", bundle.in_root("bin/link")).unwrap();
            bundle.run();
            assert!(!bundle.in_root("tmp/wrote").exists(), "{program}");
            assert_eq!(fs::read(&runtime).unwrap(), before);
        }
    });
}

#[test]
fn cve_2019_5736_the_running_copy_is_sealed() {
    isolated(|| {
        let copy = sys::exe::sealed_of(&testkit::bin("strake-runtime")).unwrap();
        assert!(sys::exe::is_sealed(&copy));
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
        assert!(fs::OpenOptions::new().write(true).open(&path).is_err());
        let original = rustix::fs::open(
            testkit::bin("strake-runtime"),
            rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
        );
        assert!(!sys::exe::is_sealed(original.unwrap()));
    });
}

#[test]
fn cve_2024_21626_no_descriptor_leaks_and_cwd_cannot_use_one() {
    isolated(|| {
        let bundle = Bundle::new().script(
            "ls -l /proc/self/fd | awk '{print $NF}' | grep -v '^0$'; ls /proc/self/fd | tr '\\n' ' '",
        );
        let output = bundle.run();
        // 0, 1, 2 and the directory that ls itself has open.
        assert!(output.ok().ends_with("0 1 2 3") || output.ok().ends_with("0 1 2 3 "), "{}", output.stdout);
        for number in 3..20 {
            for cwd in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../..")] {
                let bundle = Bundle::new().with(|spec| spec["process"]["cwd"] = json!(cwd)).script("pwd; ls");
                let output = bundle.run();
                assert_ne!(output.code, 0, "{cwd}: {}", output.stdout);
            }
        }
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        for number in 3..20 {
            let cwd = format!("/proc/self/fd/{number}");
            bundle.runtime(&["exec", "--cwd", &cwd, "c", "pwd"]).exits(255);
        }
        // The image brings the link.
        symlink("/proc/self/fd/7", bundle.in_root("link")).unwrap();
        bundle.runtime(&["exec", "--cwd", "/link", "c", "pwd"]).exits(255);
    });
}

#[test]
fn cve_2021_30465_a_destination_that_is_exchanged_stays_inside() {
    isolated(|| {
        let bundle = Bundle::new();
        let canary = canary(&bundle);
        let volume = bundle.dir.join("volume");
        fs::create_dir_all(&volume).unwrap();
        let up: String = "../".repeat(20) + canary.strip_prefix("/").unwrap().to_str().unwrap();
        fs::create_dir_all(volume.join("dir")).unwrap();
        symlink(&up, volume.join("link")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let racer = {
            let (stop, volume) = (stop.clone(), volume.clone());
            std::thread::spawn(move || {
                let at =
                    rustix::fs::open(&volume, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                while !stop.load(Ordering::Relaxed) {
                    let _ = rustix::fs::renameat_with(&at, "dir", &at, "link", exchange);
                }
            })
        };
        let bundle = bundle
            .mount(json!({ "destination": "/v", "type": "bind", "source": volume, "options": ["rbind"] }))
            .mount(json!({ "destination": "/v/dir/made", "type": "tmpfs", "source": "tmpfs" }))
            .mount(json!({ "destination": "/v/dir/file", "type": "bind", "source": "/etc/passwd", "options": ["bind"] }));
        for _ in 0..40 {
            // It may fail or succeed; it may not reach the host.
            let _ = bundle.run();
        }
        stop.store(true, Ordering::Relaxed);
        racer.join().unwrap();
        assert_untouched(&bundle);
        bundle.assert_nothing_left();
    });
}

#[test]
fn cve_2019_16884_and_2019_19921_and_2023_27561_and_2023_28642_proc_is_a_procfs_at_proc() {
    isolated(|| {
        // A volume over /proc.
        let bundle = Bundle::new();
        let fake = bundle.dir.join("fake");
        fs::create_dir_all(fake.join("self/attr")).unwrap();
        let bundle = bundle
            .mount(json!({ "destination": "/proc", "type": "bind", "source": fake, "options": ["bind"] }));
        bundle.run().exits(1).says("only a procfs");
        // A tmpfs over it, or a file system inside it.
        let bundle =
            Bundle::new().mount(json!({ "destination": "/proc", "type": "tmpfs", "source": "tmpfs" }));
        bundle.run().exits(1).says("/proc");
        let bundle =
            Bundle::new().mount(json!({ "destination": "/proc/self/attr", "type": "tmpfs", "source": "x" }));
        bundle.run().exits(1).says("inside /proc");
        // A symlink in the image.
        let bundle = Bundle::new();
        fs::remove_dir(bundle.in_root("proc")).unwrap();
        fs::create_dir_all(bundle.in_root("evil/level1")).unwrap();
        symlink("/evil/level1", bundle.in_root("proc")).unwrap();
        bundle.run().exits(1).says("must be mounted on ordinary directory");
        bundle.assert_nothing_left();
        // What lxcfs does is still possible.
        let bundle = Bundle::new();
        fs::write(bundle.dir.join("meminfo"), "mine").unwrap();
        let source = bundle.dir.join("meminfo");
        let bundle = bundle
            .mount(json!({ "destination": "/proc/meminfo", "type": "bind", "source": source, "options": ["bind"] }))
            .script("cat /proc/meminfo");
        assert_eq!(bundle.run().ok(), "mine");
    });
}

#[test]
fn cve_2022_29162_and_2022_27650_and_2025_27612_the_inheritable_set_is_empty() {
    isolated(|| {
        let bundle = Bundle::new().script("grep CapInh /proc/self/status; sleep 1000");
        bundle.start();
        assert!(testkit::wait_until(Duration::from_secs(5), || !bundle.printed().is_empty()));
        assert_eq!(bundle.printed().trim(), "CapInh:\t0000000000000000");
        for args in [&["exec", "c"][..], &["exec", "--cap", "CAP_NET_ADMIN", "c"]] {
            let all: Vec<&str> =
                args.iter().copied().chain(["grep", "-E", "CapInh|CapAmb", "/proc/self/status"]).collect();
            let output = bundle.runtime(&all);
            assert_eq!(output.ok(), "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000");
        }
    });
}

#[test]
fn cve_2019_18837_and_2024_45310_nothing_is_made_on_the_host_by_mkdir() {
    isolated(|| {
        let bundle = Bundle::new();
        let canary = canary(&bundle);
        let up: String = "../".repeat(20) + canary.strip_prefix("/").unwrap().to_str().unwrap();
        symlink(&up, bundle.in_root("up")).unwrap();
        symlink(&canary, bundle.in_root("abs")).unwrap();
        let bundle = bundle
            .mount(json!({ "destination": "/up/a/b", "type": "tmpfs", "source": "tmpfs" }))
            .mount(json!({ "destination": "/abs/c", "type": "bind", "source": "/etc/passwd", "options": ["bind"] }))
            .with(|spec| spec["process"]["cwd"] = json!("/abs/cwd"));
        bundle.run().ok();
        assert_untouched(&bundle);
    });
}

#[test]
fn cve_2025_31133_a_masked_path_is_covered_by_a_real_null_device() {
    isolated(|| {
        // The image's /dev/null is a link to what an attacker wants to write.
        let bundle = Bundle::new();
        fs::write(bundle.in_root("etc/secret"), "secret").unwrap();
        symlink("/proc/sysrq-trigger", bundle.in_root("dev/null")).unwrap();
        let bundle = bundle
            .with(|spec| {
                spec["mounts"].as_array_mut().unwrap().retain(|mount| {
                    mount["destination"] != "/dev" && mount["destination"] != "/dev/pts"
                });
                spec["linux"]["maskedPaths"] = json!(["/etc/secret", "/proc/timer_list"]);
            })
            .script("for f in /etc/secret /proc/timer_list; do stat -c '%F %t:%T' $f; wc -c < $f; done; stat -c '%F %t:%T' /dev/null");
        let output = bundle.run();
        let null = "character special file 1:3";
        assert_eq!(output.ok(), format!("{null}\n0\n{null}\n0\n{null}"));
    });
}

#[test]
fn cve_2025_52565_the_console_is_the_terminal_itself() {
    isolated(|| {
        let far = "../".repeat(20);
        for by in ["/", far.as_str(), "/proc/self/root/"] {
            let bundle = Bundle::new();
            let target = canary(&bundle).join("file");
            symlink(
                format!("{by}{}", target.strip_prefix("/").unwrap().display()),
                bundle.in_root("dev/console"),
            )
            .unwrap();
            let bundle = bundle
                .with(|spec| {
                    spec["process"]["terminal"] = json!(true);
                    spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
                })
                .script("echo broken > /dev/console; true");
            bundle.write_config();
            let path = bundle.dir.path().display().to_string();
            // The link may be refused; followed it is not.
            testkit::Terminal::spawn(&bundle.command(&["run", "--bundle", &path, "c"]), 25, 80).wait();
            assert_untouched(&bundle);
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn cve_2025_52881_writes_to_proc_cannot_be_redirected() {
    isolated(|| {
        // An image without /proc that brings a look-alike tree for sysctl.
        let bundle = Bundle::new();
        fs::create_dir_all(bundle.in_root("proc/sys/kernel")).unwrap();
        fs::write(bundle.in_root("proc/sys/kernel/msgmax"), "fake").unwrap();
        let bundle = bundle
            .with(|spec| {
                spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
                spec["linux"]["sysctl"] = json!({ "kernel.msgmax": "12321" });
                spec["linux"]["maskedPaths"] = json!([]);
                spec["linux"]["readonlyPaths"] = json!([]);
            })
            .script("cat /proc/sys/kernel/msgmax");
        assert_eq!(bundle.run().ok(), "fake");
        assert_eq!(fs::read_to_string(bundle.in_root("proc/sys/kernel/msgmax")).unwrap(), "fake");
    });
}

#[test]
fn cve_2025_52881_nothing_is_mounted_into_proc_by_way_of_a_link() {
    isolated(|| {
        for (destination, kind) in [
            ("/link/self/attr", "tmpfs"),
            ("/link/sys/kernel", "bind"),
            ("/link/thread-self/attr/exec", "bind"),
        ] {
            let bundle = Bundle::new();
            symlink("/proc", bundle.in_root("link")).unwrap();
            let source = canary(&bundle);
            let source = if destination.ends_with("exec") { source.join("file") } else { source };
            let bundle = bundle.mount(
                json!({ "destination": destination, "type": kind, "source": source, "options": ["rw"] }),
            );
            bundle.run().exits(1).says("inside /proc");
            assert_untouched(&bundle);
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn cve_2026_41579_and_2026_47766_a_dev_link_does_not_lead_device_set_up_out() {
    isolated(|| {
        let bundle = Bundle::new();
        let canary = canary(&bundle);
        fs::remove_dir(bundle.in_root("dev")).unwrap();
        let up: String = "../".repeat(20) + canary.strip_prefix("/").unwrap().to_str().unwrap();
        symlink(&up, bundle.in_root("dev")).unwrap();
        let bundle = bundle
            .with(|spec| {
                spec["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            })
            .script("test -c /dev/null && echo inside");
        assert_eq!(bundle.run().ok(), "inside");
        assert_untouched(&bundle);
    });
}

#[test]
fn cve_2024_40635_large_ids_are_refused_not_wrapped() {
    isolated(|| {
        for id in [2_147_483_648_u32, u32::MAX] {
            let bundle = Bundle::new().with(|spec| spec["process"]["user"]["uid"] = json!(id));
            bundle.run().exits(1).says("process.user.uid");
        }
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        for user in ["2147483648", "4294967295:0"] {
            bundle.runtime(&["exec", "-u", user, "c", "id"]).exits(255).says("process.user.uid");
        }
    });
}

#[test]
fn cve_2026_30892_a_further_process_runs_as_the_user_that_was_named() {
    isolated(|| {
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        for (user, expected) in [
            ("0", "0 0"),
            ("1000", "1000 0"),
            ("1000:1000", "1000 1000"),
            ("0:7", "0 7"),
            ("65534:65534", "65534 65534"),
            ("2147483647:1", "2147483647 1"),
        ] {
            let output = bundle.runtime(&["exec", "-u", user, "c", "sh", "-c", "echo $(id -u) $(id -g)"]);
            assert_eq!(output.ok(), expected, "{user}");
        }
        // What is no number is an error, never root.
        for user in ["nobody", "1000x", "-1", "1:", ":1", "", " 1", "0x10", "1:1:1", "1,1"] {
            bundle.runtime(&["exec", "-u", user, "c", "id"]).exits(255);
        }
    });
}

#[test]
fn cve_2016_9962_exec_cannot_be_traced_while_it_enters() {
    isolated(|| {
        // Until its exec, the entering process is not dumpable: its descriptors cannot be
        // opened by root of the container.
        let bundle = Bundle::new().script("sleep 1000");
        bundle.start();
        let watcher = "for i in $(seq 400); do for p in /proc/[0-9]*; do
              for f in $p/fd/*; do case $(readlink $f) in *strake-runtime*|*state*) echo LEAK $(readlink $f);; esac; done;
            done; done";
        let mut command = bundle.command(&["exec", "--cap", "CAP_SYS_PTRACE", "c", "sh", "-c", watcher]);
        let watcher = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..40 {
            bundle.runtime(&["exec", "c", "true"]);
        }
        let output = watcher.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    });
}

#[test]
fn the_hosts_dev_null_is_not_handed_in() {
    isolated(|| {
        // Root inside could fchmod(2) it. Our own standard input is the host's.
        let look = "stat -L -c %d:%i /proc/self/fd/0 /dev/null";
        let host = std::os::unix::fs::MetadataExt::dev(&fs::metadata("/dev/null").unwrap()).to_string();
        let bundle = Bundle::new().script(look);
        let output = bundle.run();
        let lines: Vec<&str> = output.ok().lines().collect();
        assert_eq!(lines[0], lines[1]);
        assert!(!lines[0].starts_with(&format!("{host}:")), "{lines:?}");
        // A process that enters later gets none either, whatever became of the container's.
        for change in
            ["true", "rm /dev/null", "rm /dev/null; ln -s /proc/self/fd/0 /dev/null", "mkfifo /dev/null"]
        {
            let bundle = Bundle::new().script(&format!("{change}; echo done; sleep 1000"));
            symlink("busybox", bundle.in_root("bin/mkfifo")).unwrap();
            bundle.start();
            assert!(testkit::wait_until(Duration::from_secs(5), || bundle.printed().contains("done")));
            let output = bundle.runtime(&["exec", "c", "stat", "-L", "-c", "%d %t:%T", "/proc/self/fd/0"]);
            let (device, kind) = output.ok().split_once(' ').unwrap();
            assert_eq!(kind, "1:3", "{change}");
            assert_ne!(device, host, "{change}");
        }
    });
}

#[test]
fn a_volume_does_not_cover_the_root_through_a_link() {
    isolated(|| {
        for kind in ["bind", "tmpfs", "cgroup"] {
            let bundle = Bundle::new();
            symlink("/", bundle.in_root("data")).unwrap();
            let source = canary(&bundle);
            let bundle = bundle
                .mount(json!({ "destination": "/data", "type": kind, "source": source, "options": ["rw"] }));
            bundle.run().exits(1).says("link to the container's root");
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn cve_2022_0811_a_sysctl_sets_one_parameter_of_its_own_namespace() {
    isolated(|| {
        let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
        for (key, value) in [
            ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/evil"),
            ("kernel.core_pattern", "|/evil"),
            ("kernel/../kernel/core_pattern", "|/evil"),
            ("net/../kernel/core_pattern", "|/evil"),
        ] {
            let bundle = Bundle::new().with(|spec| spec["linux"]["sysctl"] = json!({ key: value }));
            bundle.run().exits(1);
            bundle.assert_nothing_left();
        }
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    });
}

#[test]
fn cve_2023_25809_the_cgroups_are_read_only_without_a_namespace_of_theirs() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| {
                let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "cgroup");
            })
            .mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                           "options": ["nosuid", "noexec", "nodev", "ro"] }))
            .script("ls /sys/fs/cgroup | wc -l; for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $dir/made 2>&1; done");
        let output = bundle.run();
        let mut lines = output.stdout.lines();
        let count: usize = lines.next().unwrap().trim().parse().unwrap();
        assert!(count > 0);
        assert_eq!(
            lines.filter(|line| line.contains("Read-only file system")).count(),
            count + 1,
            "{}",
            output.stdout
        );
    });
}

#[test]
fn cve_2023_25809_root_of_a_user_namespace_cannot_write_the_hosts_sysfs() {
    isolated(|| {
        // Without a network namespace of its own it has no sysfs of its own: the host's is bound.
        let map = json!([{ "containerID": 0, "hostID": 0, "size": 65_536 }]);
        let bundle = Bundle::new().with(|spec| {
            spec["linux"]["namespaces"] =
                json!([{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "user" }]);
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map;
        });
        let look = "awk '$2 ~ \"^/sys\" && $4 !~ /^ro/ { print }' /proc/mounts;
            for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $dir/made 2>/dev/null && echo made $dir; done; echo end";
        let output = bundle.script(look).run();
        assert_eq!(output.ok(), "end", "{}", output.stderr);
    });
}

/// `docs/conformance/cves.md` names every test of a CVE, and no other.
#[test]
fn the_table_of_cves_and_the_tests_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("docs/conformance/cves.md")).unwrap();
    let named: BTreeSet<&str> =
        table.split('`').skip(1).step_by(2).filter(|word| word.starts_with("cve_2")).collect();
    let mut tests = BTreeSet::new();
    let floors = ["base", "kernel", "runtime", "image", "net", "engine", "kube", "product", "bin", "tests"];
    let mut left: Vec<PathBuf> = floors.map(|floor| root.join(floor)).to_vec();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names =
                text.lines().filter_map(|line| line.trim().strip_prefix("fn cve_")?.split('(').next());
            tests.extend(names.map(|name| format!("cve_{name}")));
        }
    }
    assert_eq!(named, tests.iter().map(String::as_str).collect());
}
