//! Mounts, their options, devices, masked and read-only paths.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use serde_json::json;
use testkit::{TempDir, isolated, run};

use crate::bundle::Bundle;

#[test]
fn ns_04_the_host_is_out_of_sight_and_the_old_root_is_gone() {
    isolated(|| {
        fs::write("/tmp/strake-host-marker", "x").unwrap();
        let bundle = Bundle::new().script("ls /tmp; cat /proc/self/mountinfo");
        let output = bundle.run();
        fs::remove_file("/tmp/strake-host-marker").unwrap();
        assert!(!output.ok().contains("strake-host-marker"));
        let host: usize = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
        let inside = output.stdout.lines().count();
        assert!(inside < host.max(20), "{inside} mounts inside, {host} outside");
        bundle.assert_nothing_left();
    });
}

#[test]
fn fs_09_bind_mounts_in_every_form() {
    isolated(|| {
        let bundle = Bundle::new();
        let volume = bundle.dir.join("volume");
        fs::create_dir_all(volume.join("sub")).unwrap();
        fs::write(volume.join("file"), "content").unwrap();
        let bundle = bundle
            .mount(json!({ "destination": "/new/place", "type": "bind", "source": volume, "options": ["rbind", "rw"] }))
            .mount(json!({ "destination": "/ro", "source": volume, "options": ["bind", "ro", "nosuid", "noexec"] }))
            .mount(json!({ "destination": "/etc/one", "type": "bind", "source": volume.join("file"), "options": ["bind"] }))
            .script("cat /etc/one; echo more > /new/place/made; echo no > /ro/x || echo refused; grep ' /ro ' /proc/self/mounts");
        let output = bundle.run();
        assert!(output.ok().starts_with("contentrefused"), "{}", output.stdout);
        for word in ["ro,", "nosuid", "noexec"] {
            assert!(output.stdout.lines().last().unwrap().contains(word), "{}", output.stdout);
        }
        assert_eq!(fs::read_to_string(volume.join("made")).unwrap(), "more\n");
    });
}

#[test]
fn recursive_options_reach_the_mounts_below() {
    isolated(|| {
        let bundle = Bundle::new();
        let volume = bundle.dir.join("volume");
        fs::create_dir_all(volume.join("below")).unwrap();
        let made = Command::new("mount").args(["-t", "tmpfs", "t"]).arg(volume.join("below")).status();
        assert!(made.unwrap().success());
        let bundle = bundle
            .mount(json!({ "destination": "/rro", "source": volume, "options": ["rbind", "rro"] }))
            .mount(json!({ "destination": "/ro", "source": volume, "options": ["rbind", "ro"] }))
            .script(
                "touch /rro/below/x || echo kept; touch /ro/below/y && echo wrote; touch /ro/z || echo kept",
            );
        let output = bundle.run();
        assert_eq!(output.ok(), "kept\nwrote\nkept");
        Command::new("umount").arg(volume.join("below")).status().unwrap();
    });
}

#[test]
fn tmpfs_has_its_size_and_can_begin_with_the_images_files() {
    isolated(|| {
        let bundle = Bundle::new();
        fs::create_dir_all(bundle.in_root("data/deep")).unwrap();
        fs::write(bundle.in_root("data/deep/file"), "from the image").unwrap();
        symlink("deep/file", bundle.in_root("data/link")).unwrap();
        for (name, mode) in [("data/deep", 0o2755), ("data/deep/file", 0o6755)] {
            std::os::unix::fs::chown(bundle.in_root(name), Some(7), Some(8)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(bundle.in_root(name), mode).unwrap();
        }
        let bundle = bundle
            .mount(json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs",
                "options": ["tmpcopyup", "size=1m", "mode=0750"] }))
            .mount(json!({ "destination": "/late", "type": "tmpfs", "source": "tmpfs", "options": ["ro"] }))
            .script("cat /data/link; echo; stat -c '%u:%g %a' /data/deep /data/deep/file; stat -c %a /data; dd if=/dev/zero of=/data/big bs=1k count=2000 2>/dev/null || echo full; touch /late/x || echo ro");
        assert_eq!(bundle.run().ok(), "from the image\n7:8 2755\n7:8 6755\n750\nfull\nro");
        assert!(!bundle.in_root("data/big").exists());
    });
}

#[test]
fn se_09_a_read_only_root_takes_writes_only_in_volumes() {
    isolated(|| {
        let bundle = Bundle::new();
        let volume = bundle.dir.join("volume");
        fs::create_dir_all(&volume).unwrap();
        let bundle = bundle
            .with(|spec| spec["root"]["readonly"] = json!(true))
            .mount(
                json!({ "destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"] }),
            )
            .script("touch /x || echo refused; touch /volume/x && echo wrote; touch /dev/x && echo dev");
        let output = bundle.run();
        assert_eq!(output.ok(), "refused\nwrote\ndev");
        assert!(output.stderr.contains("Read-only"), "{}", output.stderr);
    });
}

#[test]
fn masked_and_read_only_paths() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| {
                spec["linux"]["maskedPaths"] = json!(["/proc/timer_list", "/sys/firmware", "/nope", "/etc/secret", "/etc/dir"]);
                spec["linux"]["readonlyPaths"] = json!(["/proc/sys", "etc/ro", "/nope", "nope"]);
            })
            .script(
                "wc -c < /proc/timer_list; ls /sys/firmware | wc -l; wc -c < /etc/secret; ls /etc/dir | wc -l;
                 touch /etc/dir/x 2>/dev/null || echo kept; touch /etc/ro/x 2>/dev/null || echo kept;
                 echo 1 > /proc/sys/kernel/sysrq || echo kept; chmod 777 /etc/secret 2>/dev/null || echo kept",
            );
        fs::write(bundle.in_root("etc/secret"), "secret").unwrap();
        fs::create_dir_all(bundle.in_root("etc/dir/below")).unwrap();
        fs::create_dir_all(bundle.in_root("etc/ro")).unwrap();
        let output = bundle.run();
        let words: Vec<&str> = output.ok().split_whitespace().collect();
        assert_eq!(words, ["0", "0", "0", "0", "kept", "kept", "kept", "kept"]);
    });
}

#[test]
fn default_devices_and_links_and_those_of_the_spec() {
    isolated(|| {
        let bundle = Bundle::new()
            .with(|spec| {
                spec["linux"]["devices"] = json!([
                    { "path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4 },
                    { "path": "/dev/pipe", "type": "p", "fileMode": 0o600 }
                ]);
                spec["linux"]["resources"]["devices"] = json!([
                    { "allow": false, "access": "rwm" },
                    { "allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm" }
                ]);
            })
            .script(
                "for d in null zero full random urandom tty mine; do stat -c '%n %F %a %t:%T' /dev/$d; done;
                 stat -c '%u:%g' /dev/mine; test -p /dev/pipe && echo fifo;
                 for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; head -c 3 /dev/mine | wc -c",
            );
        let output = bundle.run();
        let text = output.ok();
        assert!(text.contains("/dev/null character special file 666 1:3"), "{text}");
        assert!(text.contains("/dev/tty character special file 666 5:0"), "{text}");
        assert!(
            text.contains("/dev/mine character special file 640 1:5\n3:4\nfifo\n/proc/self/fd\n"),
            "{text}"
        );
        assert!(text.ends_with("/proc/self/fd/2\npts/ptmx\n3"), "{text}");
    });
}

#[test]
fn cgroups_are_shown_as_the_containers_own() {
    isolated(|| {
        let cgroup = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "ro"] });
        let script =
            "ls /sys/fs/cgroup; cat /sys/fs/cgroup/pids/cgroup.procs; mkdir /sys/fs/cgroup/pids/x || echo ro";
        for own_namespace in [true, false] {
            let bundle = Bundle::new().mount(cgroup.clone()).script(script).with(|spec| {
                if !own_namespace {
                    spec["linux"]["namespaces"]
                        .as_array_mut()
                        .unwrap()
                        .retain(|entry| entry["type"] != "cgroup");
                }
            });
            let output = bundle.run();
            let text = output.ok();
            assert!(text.contains("memory") && text.contains("unified"), "{text}");
            assert!(text.contains("\n1\n") && text.ends_with("ro"), "{text}");
        }
    });
}

#[test]
fn mqueue_overlay_and_other_file_systems() {
    isolated(|| {
        let bundle = Bundle::new();
        for name in ["lower", "upper", "work"] {
            fs::create_dir_all(bundle.dir.join(name)).unwrap();
        }
        fs::write(bundle.dir.join("lower/file"), "below").unwrap();
        let dir = |name: &str| bundle.dir.join(name).display().to_string();
        let overlay = [
            format!("lowerdir={}", dir("lower")),
            format!("upperdir={}", dir("upper")),
            format!("workdir={}", dir("work")),
        ];
        let bundle = bundle
            .mount(json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid"] }))
            .mount(json!({ "destination": "/ov", "type": "overlay", "source": "overlay", "options": overlay }))
            .script("cat /ov/file; echo up > /ov/file; grep -c mqueue /proc/mounts");
        assert_eq!(bundle.run().ok(), "below1");
        assert_eq!(fs::read_to_string(bundle.dir.join("upper/file")).unwrap(), "up\n");
        assert_eq!(fs::read_to_string(bundle.dir.join("lower/file")).unwrap(), "below");
    });
}

#[test]
fn an_idmapped_volume_shows_other_owners() {
    isolated(|| {
        let bundle = Bundle::new();
        let volume = bundle.dir.join("volume");
        fs::create_dir_all(&volume).unwrap();
        fs::write(volume.join("file"), "x").unwrap();
        let map = json!([{ "containerID": 0, "hostID": 5000, "size": 1000 }]);
        let bundle = bundle
            .mount(
                json!({ "destination": "/v", "type": "bind", "source": volume, "options": ["bind", "idmap"],
                "uidMappings": map, "gidMappings": map }),
            )
            .script("stat -c %u /v/file");
        let output = bundle.run();
        if output.code != 0 && output.stderr.contains("idmapped") {
            // The file system of /tmp does not support it: said with the object.
            assert!(output.stderr.contains("volume"), "{}", output.stderr);
            return;
        }
        assert_eq!(output.ok(), "5000");
    });
}

#[test]
fn idmap_is_for_the_mount_and_ridmap_for_those_below_too() {
    isolated(|| {
        let source = TempDir::new();
        fs::create_dir_all(source.join("below")).unwrap();
        let below = source.join("below");
        run(Command::new("mount").args(["-t", "tmpfs", "none", below.to_str().unwrap()])).ok();
        for file in ["file", "below/file"] {
            fs::write(source.join(file), "").unwrap();
        }
        let map = json!([{ "containerID": 0, "hostID": 5000, "size": 1000 }]);
        let owners = |option: &str| {
            let mount = json!({ "destination": "/v", "type": "bind", "source": source.path(),
                "options": ["rbind", option], "uidMappings": map, "gidMappings": map });
            Bundle::new().mount(mount).script("stat -c %u /v/file /v/below/file").run()
        };
        for (option, seen) in [("idmap", "5000\n0"), ("ridmap", "5000\n5000")] {
            let output = owners(option);
            if output.code != 0 && output.stderr.contains("idmapped") {
                // The file system below the temporary directory decides.
                assert!(output.stderr.contains(source.path().to_str().unwrap()), "{}", output.stderr);
            } else {
                assert_eq!(output.ok(), seen, "{option}");
            }
        }
        run(Command::new("umount").arg(below)).ok();
    });
}

#[test]
fn rootfs_propagation_is_what_was_asked_for() {
    isolated(|| {
        for (word, mark) in
            [("private", ""), ("shared", "shared:"), ("slave", ""), ("unbindable", "unbindable")]
        {
            let bundle = Bundle::new()
                .with(|spec| spec["linux"]["rootfsPropagation"] = json!(word))
                .script("grep ' / / \\|rootfs / ' /proc/self/mountinfo | head -1");
            let output = bundle.run();
            let fields = output.ok().split(" - ").next().unwrap().to_owned();
            assert_eq!(fields.contains("shared:"), mark == "shared:", "{word}: {fields}");
            assert_eq!(fields.contains("unbindable"), mark == "unbindable", "{word}: {fields}");
        }
    });
}

#[test]
fn no_pivot_also_hides_the_host() {
    isolated(|| {
        let bundle = Bundle::new().script("ls /");
        bundle.write_config();
        let path = bundle.dir.path().to_str().unwrap();
        let output = bundle.runtime(&["run", "--no-pivot", "--bundle", path, "c"]);
        assert!(!output.ok().contains("work"), "{}", output.stdout);
        assert!(output.ok().contains("bin"), "{}", output.stdout);
    });
}

#[test]
fn bad_mounts_name_the_mount() {
    isolated(|| {
        for (mount, part) in [
            (
                json!({ "destination": "/m", "type": "bind", "source": "/no/such/dir", "options": ["bind"] }),
                "/no/such/dir",
            ),
            (json!({ "destination": "/m", "type": "nofs", "source": "x" }), "\"nofs\""),
            (json!({ "destination": "/m", "type": "tmpfs", "source": "x", "options": ["frob=1"] }), "frob"),
            (json!({ "destination": "/proc/1", "type": "tmpfs", "source": "x" }), "inside /proc"),
        ] {
            let bundle = Bundle::new().mount(mount);
            bundle.run().exits(1).says(part);
            bundle.assert_nothing_left();
        }
    });
}

#[test]
fn the_working_directory_is_made() {
    isolated(|| {
        let bundle = Bundle::new().with(|spec| spec["process"]["cwd"] = json!("/srv/app")).script("pwd");
        assert_eq!(bundle.run().ok(), "/srv/app");
        assert_eq!(fs::metadata(bundle.in_root("srv/app")).unwrap().mode() & 0o777, 0o755);
    });
}

/// Init may not map the owners of what the host has mounted: the runtime does it for a source that is
/// only there once init has mounted something on the way to it.
#[test]
fn a_source_in_the_root_is_idmapped_in_a_user_namespace_too() {
    isolated(|| {
        let source = TempDir::new();
        fs::create_dir_all(source.join("below")).unwrap();
        fs::write(source.join("below/file"), "").unwrap();
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        let bundle = Bundle::new().script("stat -c %u /first/below/file /second/file").with(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (map.clone(), map);
        });
        for target in ["first", "second"] {
            fs::create_dir_all(bundle.in_root(target)).unwrap();
        }
        let inside = bundle.in_root("first/below");
        let bundle = bundle
            .mount(json!({ "destination": "/first", "type": "bind", "source": source.path(), "options": ["rbind"] }))
            .mount(json!({ "destination": "/second", "type": "bind", "source": inside, "options": ["rbind", "idmap"] }));
        let output = bundle.run();
        if output.code != 0 && output.stderr.contains("idmapped") {
            // The file system below the temporary directory decides.
            return;
        }
        // Root of the host is nobody inside, and root of the container through the mapped mount.
        assert_eq!(output.ok(), "65534\n0");
    });
}
