//! Images made from Debian packages, built once and kept in the target directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{Needs, cached};
use crate::run;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Commands of the busybox fixture that tests use by name.
const APPLETS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "date", "dd", "df", "echo", "env", "false", "grep", "head", "hostname",
    "httpd", "id", "ip", "kill", "ls", "mkdir", "mknod", "mount", "mv", "nc", "nslookup", "ping", "ps",
    "pwd", "readlink", "rm", "rmdir", "sed", "sh", "sleep", "stat", "stty", "sync", "tail", "test", "touch",
    "tr", "true", "umount", "uname", "wc", "wget", "whoami", "yes", "setsid", "tee", "seq", "xargs",
    "ulimit", "mkfifo", "od", "md5sum", "find", "sort",
];

/// Lays a busybox root filesystem at `rootfs`: `/bin/*`, `/etc/{passwd,group}`, empty mount points.
///
/// # Panics
/// When `busybox-static` is not installed or the disk is full.
pub fn busybox_rootfs(rootfs: &Path) {
    for dir in ["bin", "dev", "etc", "home/app", "proc", "root", "run", "sys", "tmp", "usr/bin", "var"] {
        fs::create_dir_all(rootfs.join(dir)).expect("rootfs directory");
    }
    fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox-static is installed");
    for applet in APPLETS {
        let link = rootfs.join("bin").join(applet);
        if !link.exists() {
            symlink("busybox", link).expect("applet link");
        }
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n";
    fs::write(rootfs.join("etc/passwd"), passwd).expect("passwd");
    fs::write(rootfs.join("etc/group"), "root:x:0:\napp:x:1000:\nextra:x:2000:app\n").expect("group");
}

/// A tar archive of [`busybox_rootfs`].
pub fn busybox_tar() -> PathBuf {
    cached(&format!("busybox-{}.tar", APPLETS.len()), Needs::Nothing, |file, scratch| {
        let rootfs = scratch.join("rootfs");
        busybox_rootfs(&rootfs);
        tar(&rootfs, file);
    })
}

/// An OCI layout with a minbase Debian, tag `latest`, packed by Debian's umoci: one layer.
pub fn debian_layout() -> PathBuf {
    fixtures("debian").join("layout")
}

/// An OCI layout with nginx on top of [`debian_layout`]'s layer, tag `latest`: two layers.
pub fn nginx_layout() -> PathBuf {
    fixtures("debian").join("layout-nginx")
}

/// The tar archive of the minbase Debian's root filesystem.
pub fn debian_tar() -> PathBuf {
    fixtures("debian").join("rootfs.tar")
}

fn fixtures(name: &str) -> PathBuf {
    cached(name, Needs::Network, |dir, scratch| {
        fs::create_dir(dir).expect("fixture directory");
        debian(dir, scratch);
    })
}

/// `debootstrap` → one-layer image; the same with nginx on top of it → second layer.
fn debian(dir: &Path, scratch: &Path) {
    let cache = scratch.join("packages");
    fs::create_dir(&cache).expect("package cache");
    let plain = scratch.join("plain");
    debootstrap(&plain, &cache, None);
    tar(&plain, &dir.join("rootfs.tar"));

    let umoci = |args: &[&str]| run(Command::new("umoci").current_dir(scratch).args(args)).ok().to_owned();
    umoci(&["init", "--layout", "layout"]);
    umoci(&["new", "--image", "layout:latest"]);
    umoci(&["unpack", "--image", "layout:latest", "bundle"]);
    copy_tree(&plain, &scratch.join("bundle/rootfs"));
    umoci(&["repack", "--image", "layout:latest", "bundle"]);
    umoci(&["config", "--image", "layout:latest", "--config.cmd", "bash", "--config.env", PATH]);
    copy_tree(&scratch.join("layout"), &dir.join("layout"));

    let with_nginx = scratch.join("with-nginx");
    debootstrap(&with_nginx, &cache, Some("nginx-light"));
    fs::write(with_nginx.join("var/www/html/index.html"), "strake serves nginx\n").expect("index page");
    umoci(&["unpack", "--image", "layout:latest", "bundle-nginx"]);
    copy_tree(&with_nginx, &scratch.join("bundle-nginx/rootfs"));
    umoci(&["repack", "--image", "layout:latest", "bundle-nginx"]);
    let nginx = ["--config.entrypoint", "nginx", "--config.cmd", "-g", "--config.cmd", "daemon off;"];
    let mut config = vec!["config", "--image", "layout:latest", "--clear", "config.cmd"];
    config.extend(nginx);
    config.extend(["--config.exposedports", "80/tcp", "--config.stopsignal", "SIGQUIT"]);
    umoci(&config);
    umoci(&["gc", "--layout", "layout"]);
    copy_tree(&scratch.join("layout"), &dir.join("layout-nginx"));
}

/// A minbase Debian at `rootfs`, without what apt keeps for itself.
fn debootstrap(rootfs: &Path, cache: &Path, include: Option<&str>) {
    let mut command = Command::new("debootstrap");
    command.arg("--variant=minbase").arg(format!("--cache-dir={}", cache.display()));
    command.args(include.map(|package| format!("--include={package}")));
    run(command.arg("bookworm").arg(rootfs)).ok();
    for kept in ["var/cache/apt/archives", "var/lib/apt/lists", "var/log"] {
        let dir = rootfs.join(kept);
        fs::remove_dir_all(&dir).and_then(|()| fs::create_dir(&dir)).expect("emptied directory");
    }
    let _ = fs::create_dir(rootfs.join("var/log/nginx"));
}

fn tar(rootfs: &Path, file: &Path) {
    run(Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "-C"])
        .arg(rootfs)
        .arg("-cf")
        .arg(file)
        .arg("."))
    .ok();
}

fn copy_tree(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--no-target-directory"]).arg(from).arg(to)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_nginx_share_a_layer() {
        let layers = |layout: PathBuf| {
            let output = run(Command::new("skopeo")
                .args(["inspect", "--format", "{{range .Layers}}{{.}} {{end}}"])
                .arg(format!("oci:{}:latest", layout.display())));
            output.ok().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let (debian, nginx) = (layers(debian_layout()), layers(nginx_layout()));
        assert_eq!(debian.len(), 1, "{debian:?}");
        assert_eq!(nginx.len(), 2, "{nginx:?}");
        assert_eq!(debian[0], nginx[0]);
    }
}
