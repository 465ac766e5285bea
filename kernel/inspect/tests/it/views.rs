//! Namespaces and mounts.

use std::fs;

use inspect::mounts::covering;
use inspect::upper::survey;
use inspect::{Census, NamespaceKind, Proc};
use testkit::{TempDir, isolated};

use crate::child::{Held, output};

#[test]
fn the_eight_namespaces_are_those_of_lsns() {
    isolated(|| {
        let held = Held::start("unshare", &["--mount", "--net", "--uts", "--ipc", "--cgroup"]);
        let ours = held.process().namespaces().unwrap();
        let theirs =
            output("lsns", &["--noheadings", "--output", "NS,TYPE", "--task", &held.pid.to_string()]);
        assert!(ours.len() >= 7);
        for namespace in &ours {
            let line = format!("{} {}", namespace.value.inode, namespace.value.kind);
            assert!(theirs.lines().any(|their| their.trim() == line), "{line} is not in\n{theirs}");
            assert_eq!(namespace.source, format!("/proc/{}/{}", held.pid, namespace.value.kind.link()));
        }
    });
}

#[test]
fn the_census_knows_members_and_what_only_a_mount_keeps() {
    isolated(|| {
        let dir = TempDir::new();
        let handle = dir.path().join("net");
        fs::write(&handle, "").unwrap();
        let bind = format!("--net={}", handle.display());
        let held = Held::start("unshare", &[bind.as_str()]);
        let proc = Proc::open().unwrap();
        let net = held.process().namespace(NamespaceKind::Net).unwrap().value;
        let members: Vec<i32> = Census::take(&proc).unwrap().members(net).map(|member| member.pid).collect();
        assert_eq!(members, [held.pid]);
        drop(held);
        let list = Census::take(&proc).unwrap().list();
        let kept = list.iter().find(|found| found.namespace == net).unwrap();
        assert_eq!((kept.processes, kept.pid), (0, None));
        assert_eq!(kept.mounted_at, [handle.to_str().unwrap()]);
        output("umount", &[handle.to_str().unwrap()]);
        assert!(!Census::take(&proc).unwrap().list().iter().any(|found| found.namespace == net));
    });
}

#[test]
fn an_overlay_is_taken_apart() {
    isolated(|| {
        let dir = TempDir::new();
        let top = dir.path();
        output("mount", &["-t", "tmpfs", "none", top.to_str().unwrap()]);
        for name in ["one:two", "three", "upper", "work", "root"] {
            fs::create_dir(top.join(name)).unwrap();
        }
        fs::write(top.join("three/big"), [7; 50_000]).unwrap();
        fs::write(top.join("three/gone"), "x").unwrap();
        let shown = top.display();
        let options =
            format!("lowerdir={shown}/one\\:two:{shown}/three,upperdir={shown}/upper,workdir={shown}/work");
        let root = top.join("root");
        output("mount", &["-t", "overlay", "none", "-o", &options, root.to_str().unwrap()]);
        fs::write(root.join("new"), [1; 10]).unwrap();
        fs::remove_file(root.join("gone")).unwrap();
        let mut append = fs::OpenOptions::new().append(true).open(root.join("big")).unwrap();
        std::io::Write::write_all(&mut append, b"x").unwrap();
        drop(append);

        let table = Proc::open().unwrap().this().unwrap().mounts().unwrap().value;
        let overlay = covering(&table, root.join("big").to_str().unwrap()).unwrap().overlay().unwrap();
        assert_eq!(overlay.lower, [format!("{shown}/one:two"), format!("{shown}/three")]);
        assert_eq!(overlay.upper.as_deref(), Some(format!("{shown}/upper").as_str()));
        let upper = survey(&top.join("upper"), 10).unwrap().value;
        let files: Vec<_> = upper.biggest.iter().map(|f| (f.path.as_str(), f.bytes, f.copied_up)).collect();
        assert_eq!(files, [("/big", 50_001, Some(true)), ("/new", 10, Some(false))]);
        assert_eq!((upper.files, upper.whiteouts), (2, 1));
        output("umount", &[root.to_str().unwrap()]);
        output("umount", &[top.to_str().unwrap()]);
    });
}

#[test]
fn hostile_files_below_a_root_neither_escape_nor_hang() {
    isolated(|| {
        let dir = TempDir::new();
        let root = dir.path();
        for path in ["etc", "usr/lib", "lib64"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        // A FIFO would wait for ever, the link would read the host's file.
        output("mkfifo", &[root.join("etc/os-release").to_str().unwrap()]);
        std::os::unix::fs::symlink("/../../../../etc/passwd", root.join("usr/lib/os-release")).unwrap();
        output("mkfifo", &[root.join("lib64/libc.so.6").to_str().unwrap()]);
        let held = HeldInRoot::start(root);
        let process = Proc::open().unwrap().process(held.0.id() as i32).unwrap();
        assert_eq!(process.os_release().unwrap(), None);
        assert_eq!(process.libc().unwrap(), None);
    });
}

/// A child whose root is `root` and which waits there.
struct HeldInRoot(std::process::Child);

impl HeldInRoot {
    fn start(root: &std::path::Path) -> Self {
        // Debian's static busybox is cat by its name, and needs nothing else of the root.
        fs::copy("/bin/busybox", root.join("cat")).unwrap();
        let child = std::process::Command::new("chroot")
            .arg(root)
            .args(["/cat"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        testkit::wait_for("the new root", || {
            (fs::read_link(format!("/proc/{pid}/root")).ok()? == root).then_some(())
        });
        Self(child)
    }
}

impl Drop for HeldInRoot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
