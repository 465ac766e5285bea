//! Rows FS-01…13: layers, overlay, volumes, images.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::registry::Registry;
use testkit::{Strake, images, isolated, run};

use crate::{inspect, sleeper};

/// One of the four directories of the container's overlay.
fn overlay_dir(strake: &Strake, container: &str, which: &str) -> PathBuf {
    let data = inspect(strake, container)["GraphDriver"]["Data"].clone();
    PathBuf::from(data[which].as_str().unwrap_or_else(|| panic!("no {which} in {data}")))
}

/// A file's inode, which a copy has not, and its bytes on the disk.
fn of_file(path: impl AsRef<Path>) -> (u64, u64) {
    let meta = std::fs::metadata(path).unwrap();
    (meta.ino(), meta.blocks() * 512)
}

/// Digests of all files below `dir`.
fn tree(dir: &Path) -> String {
    let script = "find . -type f -print0 | sort -z | xargs -0 md5sum; find . -not -type f | sort";
    run(Command::new("sh").args(["-c", script]).current_dir(dir)).ok().to_owned()
}

#[test]
fn fs_01_a_layer_shared_by_two_images_is_stored_once() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let nginx = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let strake = Strake::new();
        let disk = || -> u64 {
            let du = run(Command::new("du").args(["-s", "--block-size=1"]).arg(strake.root()));
            du.ok().split_whitespace().next().unwrap().parse().unwrap()
        };
        strake.ok(&["pull", &debian]);
        let base = disk();
        strake.ok(&["pull", &nginx]);
        let both = disk();
        assert!(both - base < base / 2, "nginx added {} to {base}", both - base);
    });
}

#[test]
fn fs_02_lower_is_never_changed() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "writer", &["--network", "none"]);
        let lower = overlay_dir(&strake, "writer", "LowerDir");
        let before = tree(&lower);
        assert!(before.contains("bin/busybox"), "{before}");
        let script = "echo more >> /etc/passwd; rm /etc/group; chmod 700 /home; mkdir /new; rm -r /home/app";
        strake.ok(&["exec", "writer", "sh", "-c", script]);
        strake.ok(&["rm", "-f", "writer"]);
        assert_eq!(tree(&lower), before);
    });
}

#[test]
fn fs_03_upper_is_each_containers_own_and_goes_with_it() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "first", &["--network", "none"]);
        sleeper(&strake, "second", &["--network", "none"]);
        let (first, second) =
            (overlay_dir(&strake, "first", "UpperDir"), overlay_dir(&strake, "second", "UpperDir"));
        assert_ne!(first, second);
        strake.ok(&["exec", "first", "touch", "/only-in-first"]);
        assert!(first.join("only-in-first").exists());
        strake.run(&["exec", "second", "test", "-e", "/only-in-first"]).exits(1);
        strake.ok(&["rm", "-f", "first"]);
        assert!(!first.exists());
        assert!(second.exists());
    });
}

#[test]
fn fs_04_all_four_directories_are_named_and_merged_is_what_the_app_sees() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "four", &["--network", "none"]);
        for which in ["LowerDir", "UpperDir", "WorkDir"] {
            assert!(overlay_dir(&strake, "four", which).is_dir(), "{which}");
        }
        let merged = overlay_dir(&strake, "four", "MergedDir");
        strake.ok(&["exec", "four", "touch", "/seen"]);
        assert!(merged.join("seen").exists() && merged.join("bin/busybox").exists(), "{}", merged.display());
        let table = strake.ok(&["exec", "four", "cat", "/proc/self/mountinfo"]);
        let root = table.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        assert!(
            root.contains("lowerdir") && root.contains("upperdir=") && root.contains("workdir="),
            "{root}"
        );
    });
}

#[test]
fn fs_05_upper_is_read_before_lower() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "both", &["--network", "none"]);
        strake.ok(&["exec", "both", "sh", "-c", "echo upper > /etc/passwd"]);
        assert_eq!(strake.ok(&["exec", "both", "cat", "/etc/passwd"]), "upper");
        let lower = overlay_dir(&strake, "both", "LowerDir");
        assert!(std::fs::read_to_string(lower.join("etc/passwd")).unwrap().contains("root:x:0"));
    });
}

#[test]
fn fs_06_the_first_write_copies_the_file_up() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "copy", &["--network", "none"]);
        let upper = overlay_dir(&strake, "copy", "UpperDir");
        assert!(!upper.join("etc/group").exists());
        strake.ok(&["exec", "copy", "sh", "-c", "printf x >> /etc/group"]);
        let copied = std::fs::read_to_string(upper.join("etc/group")).unwrap();
        assert!(copied.starts_with("root:x:0") && copied.ends_with('x'), "{copied}");
        let lower = overlay_dir(&strake, "copy", "LowerDir");
        assert!(!std::fs::read_to_string(lower.join("etc/group")).unwrap().ends_with('x'));
        let explained = strake.ok(&["explain", "copy"]);
        assert!(explained.contains("etc/group"), "copied-up files are named:\n{explained}");
    });
}

/// The first write to a file of the image costs a copy of all of it, and only the first; a volume is
/// beside the overlay. `cargo xtask bench first-write` prints what that costs for a file of 1 GiB.
#[test]
fn fs_08_the_layer_pays_a_copy_once_and_a_volume_never() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let make = "mkdir /big; dd if=/dev/urandom of=/big/file bs=1M count=8";
        strake.ok(&["run", "--name", "maker", "--network", "none", "busybox", "sh", "-c", make]);
        strake.ok(&["commit", "maker", "big"]);
        let sleep = ["--network", "none", "-v", "data:/volume", "big", "sleep", "3600"];
        strake.ok(&[&["run", "-d", "--name", "writer"][..], &sleep].concat());
        let write = |file: &str| {
            let script = format!("printf x | dd of={file} bs=1 count=1 conv=notrunc");
            strake.ok(&["exec", "writer", "sh", "-c", &script]);
        };
        let upper = overlay_dir(&strake, "writer", "UpperDir");
        assert!(!upper.join("big").exists());
        write("/big/file");
        let copied = of_file(upper.join("big/file"));
        assert!(copied.1 >= 8 << 20, "all of it was copied for one byte: {copied:?}");
        write("/big/file");
        assert_eq!(of_file(upper.join("big/file")), copied, "and not again");
        strake.ok(&["exec", "writer", "dd", "if=/big/file", "of=/volume/file", "bs=1M"]);
        let volume = inspect(&strake, "writer")["Mounts"][0]["Source"].as_str().unwrap().to_owned();
        let before = of_file(Path::new(&volume).join("file"));
        write("/volume/file");
        assert_eq!(of_file(Path::new(&volume).join("file")), before, "written in place");
        let beside: Vec<_> = std::fs::read_dir(upper.join("volume")).into_iter().flatten().collect();
        assert!(beside.is_empty(), "nothing of the volume is in the layer: {beside:?}");
    });
}

#[test]
fn fs_07_a_delete_is_a_whiteout_in_upper() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "delete", &["--network", "none"]);
        strake.ok(&["exec", "delete", "rm", "/etc/group"]);
        let whiteout = overlay_dir(&strake, "delete", "UpperDir").join("etc/group");
        let meta = std::fs::symlink_metadata(whiteout).unwrap();
        assert!(meta.file_type().is_char_device());
        assert_eq!(meta.rdev(), 0);
        assert!(overlay_dir(&strake, "delete", "LowerDir").join("etc/group").exists());
    });
}

#[test]
fn fs_09_a_volumes_data_survives_the_container() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let run = |command: &str| {
            strake.ok(&[
                "run",
                "--rm",
                "--network",
                "none",
                "-v",
                "data:/data",
                "busybox",
                "sh",
                "-c",
                command,
            ])
        };
        run("echo kept > /data/file");
        assert_eq!(run("cat /data/file"), "kept");
    });
}

#[test]
fn fs_10_layers_and_mounts_are_found_from_the_host() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "mounted", &["--network", "none", "-v", "data:/data:ro", "--tmpfs", "/scratch"]);
        let format = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}};{{end}}";
        let mounts = strake.ok(&["inspect", "--format", format, "mounted"]);
        assert!(mounts.contains("volume data /data false;"), "{mounts}");
        let image = strake.ok(&["image", "inspect", "--format", "{{len .RootFS.Layers}}", "busybox"]);
        assert_eq!(image, "1");
    });
}

#[test]
fn fs_11_pull_and_push_keep_digests_and_skopeo_reads_ours() {
    isolated(|| {
        let registry = Registry::start();
        let nginx = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let strake = Strake::new();
        strake.ok(&["pull", &nginx]);
        let copy = registry.reference("copy/nginx:2");
        strake.ok(&["tag", &nginx, &copy]);
        strake.ok(&["push", &copy]);
        let digest = |reference: &str| {
            let args = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}"];
            run(Command::new("skopeo").args(args).arg(format!("docker://{reference}"))).ok().to_owned()
        };
        assert_eq!(digest(&nginx), digest(&copy));
        let archive = strake.home().join("nginx.tar");
        strake.ok(&["save", "-o", &archive.to_string_lossy(), &nginx]);
        for transport in ["docker-archive", "oci-archive"] {
            let to = strake.home().join(transport);
            let from = format!("{transport}:{}", archive.display());
            run(Command::new("skopeo")
                .args(["--insecure-policy", "copy", &from])
                .arg(format!("dir:{}", to.display())))
            .ok();
            let manifest: Value =
                serde_json::from_slice(&std::fs::read(to.join("manifest.json")).unwrap()).unwrap();
            assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
        }
    });
}

#[test]
fn fs_12_there_is_no_kernel_in_an_image() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let inside = strake.ok(&["run", "--rm", "--network", "none", "busybox", "uname", "-r"]);
        assert_eq!(inside, run(Command::new("uname").arg("-r")).ok());
        let debian = run(Command::new("tar").arg("-tf").arg(images::debian_tar()));
        assert!(!debian.stdout.lines().any(|name| name.contains("vmlinuz")));
    });
}

#[test]
fn fs_13_explain_shows_an_image_of_megabytes_beside_a_machine_of_gigabytes() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "small", &["--network", "none"]);
        let image: u64 =
            strake.ok(&["image", "inspect", "--format", "{{.Size}}", "busybox"]).parse().unwrap();
        assert!((500_000..20_000_000).contains(&image), "{image}");
        let df = run(Command::new("df").args(["--block-size=1", "--output=used", "/"]));
        let disk: u64 = df.ok().lines().last().unwrap().trim().parse().unwrap();
        let explained: Value = serde_json::from_str(&strake.ok(&["explain", "small", "--json"])).unwrap();
        let sections = explained["sections"].as_array().unwrap();
        let section = sections.iter().find(|section| section["id"] == "kernel_and_user_space").unwrap();
        let lines = section["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == "size").unwrap();
        let value = line["value"].as_str().unwrap();
        let (small, big) = value.split_once(", ").unwrap();
        let close = |text: &str, bytes: u64, part: f64| {
            let shown = binary_bytes(text.rsplit(' ').next().unwrap());
            assert!((shown / bytes as f64 - 1.0).abs() < part, "{value}: {shown} is not {bytes}");
        };
        close(small, image, 0.05);
        // Others write to the disk meanwhile, and the kernel's image comes on top.
        close(big, disk, 0.2);
        assert!(line["source"].as_str().unwrap().contains("statfs(2) of /"), "{line}");
        // The same line for people.
        let text = strake.ok(&["explain", "small"]);
        assert!(text.lines().any(|line| line.trim().starts_with("size ") && line.contains(small)), "{text}");
    });
}

/// `1.89MiB` as a number.
fn binary_bytes(text: &str) -> f64 {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let power = ["B", "KiB", "MiB", "GiB", "TiB"].iter().position(|unit| *unit == &text[digits..]).unwrap();
    text[..digits].parse::<f64>().unwrap() * 1024_f64.powi(i32::try_from(power).unwrap())
}
