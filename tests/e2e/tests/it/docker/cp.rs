//! `strake cp`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Output, Strake, isolated, run};

use crate::sleeper;

/// `strake cp ARGS` in the test's own directory.
fn cp(strake: &Strake, args: &[&str]) -> Output {
    run(strake.command(&[&["cp"], args].concat()).current_dir(strake.home()))
}

fn inside(strake: &Strake, script: &str) -> String {
    strake.ok(&["exec", "web", "sh", "-c", script])
}

fn home(strake: &Strake) -> &Path {
    let home = strake.home();
    fs::create_dir_all(home.join("dir/sub")).unwrap();
    fs::write(home.join("dir/a"), "a").unwrap();
    fs::write(home.join("dir/sub/b"), "b").unwrap();
    fs::write(home.join("file"), "file").unwrap();
    home
}

/// The table of docker's reference, both ways, running and stopped.
#[test]
fn files_and_directories_go_where_docker_puts_them() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let home = home(&strake);
        sleeper(&strake, "web", &["--network", "none"]);
        cp(&strake, &["file", "web:/new"]).ok();
        cp(&strake, &["file", "web:/tmp"]).ok();
        cp(&strake, &["file", "web:/tmp/new"]).ok();
        cp(&strake, &["dir", "web:/tmp"]).ok();
        cp(&strake, &["dir", "web:/made"]).ok();
        cp(&strake, &["dir/.", "web:/made2"]).ok();
        cp(&strake, &["dir/sub/.", "web:/tmp/dir"]).ok();
        let found = inside(&strake, "cat /new /tmp/file /tmp/new; cd /tmp; find dir /made /made2 | sort");
        assert_eq!(
            found,
            "filefilefile/made\n/made/a\n/made/sub\n/made/sub/b\n/made2\n/made2/a\n/made2/sub\n/made2/sub/b\n\
             dir\ndir/a\ndir/b\ndir/sub\ndir/sub/b"
        );
        cp(&strake, &["file", "web:/nowhere/"]).exits(1).says("no such directory");
        cp(&strake, &["file", "web:/no/where"]).exits(1).says("Could not find the file /no in container web");
        cp(&strake, &["dir", "web:/new"]).exits(1).says("cannot copy directory");
        cp(&strake, &["missing", "web:/tmp"]).exits(1).says("missing");
        for running in [true, false] {
            if !running {
                strake.ok(&["stop", "-t", "0", "web"]);
            }
            let to = |name: &str| home.join(format!("{running}-{name}"));
            let text = |name: &str| to(name).to_string_lossy().into_owned();
            fs::create_dir(to("out")).unwrap();
            cp(&strake, &["web:/made", &text("out")]).ok();
            cp(&strake, &["web:/made", &text("copy")]).ok();
            cp(&strake, &["web:/made/.", &text("content")]).ok();
            cp(&strake, &["web:/new", &text("name")]).ok();
            cp(&strake, &["web:/new", &text("out")]).ok();
            for (path, content) in [
                ("out/made/sub/b", "b"),
                ("copy/a", "a"),
                ("content/sub/b", "b"),
                ("name", "file"),
                ("out/new", "file"),
            ] {
                assert_eq!(fs::read_to_string(to(path)).unwrap(), content, "{path}");
            }
            cp(&strake, &["web:/missing", "."])
                .exits(1)
                .says("Could not find the file /missing in container web");
            cp(&strake, &["web:/made", &text("name")]).exits(1).says("cannot copy directory");
            cp(&strake, &["web:/new", "nowhere/x"]).exits(1).says("does not exist");
            // In both states what comes in stays.
            cp(&strake, &["file", &format!("web:/{running}")]).ok();
        }
        strake.ok(&["start", "web"]);
        assert_eq!(inside(&strake, "cat /true /false"), "filefile");
        cp(&strake, &["web:/a", "web:/b"]).exits(1).says("copying between containers is not supported");
        cp(&strake, &["a", "b"]).exits(1).says("must specify at least one container source");
        cp(&strake, &["file", "nobody:/"]).exits(1).says("nobody");
    });
}

#[test]
fn owners_modes_links_and_volumes() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let home = home(&strake);
        sleeper(&strake, "web", &["--network", "none", "-v", "data:/data"]);
        let file = home.join("file");
        std::os::unix::fs::chown(&file, Some(1234), Some(4321)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4750)).unwrap();
        cp(&strake, &["file", "web:/data/plain"]).ok();
        cp(&strake, &["-a", "file", "web:/data/kept"]).ok();
        let shown = inside(&strake, "stat -c '%u:%g %a' /data/plain /data/kept");
        assert_eq!(shown, "1234:4321 4750\n1234:4321 4750");
        cp(&strake, &["-a", "web:/data/kept", "kept"]).ok();
        cp(&strake, &["web:/data/kept", "plain"]).ok();
        let owner = |name: &str| {
            let metadata = fs::metadata(home.join(name)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        assert_eq!((owner("kept"), owner("plain")), ((1234, 4321), (0, 0)));
        // A volume is there too when the container does not run.
        strake.ok(&["stop", "-t", "0", "web"]);
        cp(&strake, &["file", "web:/data/stopped"]).ok();
        cp(&strake, &["web:/data", "volume"]).ok();
        assert!(home.join("volume/plain").exists() && home.join("volume/stopped").exists());
        strake.ok(&["start", "web"]);
        inside(&strake, "ln -s /new-target /link; ln -s ../etc/passwd /tmp/there; ln -s /tmp /to-tmp");
        // A link is copied itself, without -L; its target with it, under the link's name.
        cp(&strake, &["web:/tmp/there", "asis"]).ok();
        assert_eq!(fs::read_link(home.join("asis")).unwrap(), Path::new("../etc/passwd"));
        cp(&strake, &["-L", "web:/tmp/there", "."]).ok();
        assert!(fs::read_to_string(home.join("there")).unwrap().contains("root"));
        // Into a link: into what it leads to in the container.
        cp(&strake, &["file", "web:/link"]).ok();
        cp(&strake, &["file", "web:/to-tmp"]).ok();
        assert_eq!(inside(&strake, "cat /new-target /tmp/file; readlink /link"), "filefile/new-target");
        symlink("file", home.join("local-link")).unwrap();
        cp(&strake, &["local-link", "web:/tmp/l1"]).ok();
        cp(&strake, &["-L", "local-link", "web:/tmp/l2"]).ok();
        assert_eq!(inside(&strake, "readlink /tmp/l1; cat /tmp/l2"), "file\nfile");
        let quiet = cp(&strake, &["-q", "file", "web:/tmp/q"]);
        assert_eq!(quiet.stderr, "");
        cp(&strake, &["file", "web:/tmp/q"]).says("Successfully copied").says("to web:/tmp/q");
    });
}

#[test]
fn a_dash_is_an_archive() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let home = home(&strake);
        sleeper(&strake, "web", &["--network", "none"]);
        run(Command::new("tar").args(["-cf", "in.tar", "--owner=7", "--group=8", "dir"]).current_dir(home))
            .ok();
        let tar = fs::File::open(home.join("in.tar")).unwrap();
        run(strake.command(&["cp", "-", "web:/tmp"]).stdin(tar)).ok();
        assert_eq!(inside(&strake, "cat /tmp/dir/sub/b; stat -c ' %u:%g' /tmp/dir/a"), "b 7:8");
        let out = home.join("out.tar");
        let sink = fs::File::create(&out).unwrap();
        let mut command = strake.command(&["cp", "web:/tmp/dir", "-"]);
        let status = command.stdout(sink).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
        let listed = run(Command::new("tar").arg("-tf").arg(&out));
        assert_eq!(listed.ok(), "dir/\ndir/a\ndir/sub/\ndir/sub/b");
        let refused = run(strake.command(&["cp", "-", "web:/etc/passwd"]).stdin(Stdio::null()));
        refused.exits(1).says("must be a directory");
    });
}

#[test]
fn what_is_read_only_stays_so() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        home(&strake);
        sleeper(
            &strake,
            "web",
            &["--network", "none", "--read-only", "-v", "data:/data", "-v", "other:/other:ro"],
        );
        cp(&strake, &["file", "web:/x"]).exits(1).says("read-only");
        cp(&strake, &["file", "web:/other/x"]).exits(1).says("read-only");
        cp(&strake, &["file", "web:/data/x"]).ok();
        assert_eq!(inside(&strake, "cat /data/x; ls /other"), "file");
    });
}

#[test]
fn one_that_never_ran_has_its_volumes_at_places_that_its_image_lacks() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let home = home(&strake);
        let fill = ["-v", "data:/data", "busybox", "sh", "-c", "echo x > /data/x"];
        strake.ok(&[&["run", "--rm", "--network", "none"], &fill[..]].concat());
        let bind = format!("{}:/deep/er", home.join("dir").display());
        let flags = ["--network", "none", "-v", "data:/data:ro", "-v", &bind];
        strake.ok(&[&["create", "--name", "web"], &flags[..], &["busybox", "true"]].concat());
        cp(&strake, &["web:/data/x", "x"]).ok();
        cp(&strake, &["web:/deep/er/sub/b", "y"]).ok();
        let read = |name: &str| fs::read_to_string(home.join(name)).unwrap();
        assert_eq!((read("x"), read("y")), ("x\n".to_owned(), "b".to_owned()));
        strake.ok(&["start", "-a", "web"]);
    });
}

/// While a process in the container swaps a directory for a link to the root, again and again,
/// nothing is read from or written to the host's files.
#[test]
fn cve_2018_15664_a_swapped_link_leads_nowhere_but_into_the_container() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let home = home(&strake);
        // The same path on the host and in the container.
        let host = home.join("stage");
        fs::create_dir(&host).unwrap();
        fs::write(host.join("secret"), "the host's").unwrap();
        let place = host.display();
        sleeper(&strake, "web", &["--network", "none"]);
        let prepare =
            format!("mkdir -p {place} /swap/real; echo mine > {place}/secret; echo real > /swap/real/secret");
        inside(&strake, &prepare);
        let swap = format!(
            "cd /swap; ln -s {place} link; while true; do mv real x; mv link real; mv real link; mv x real; done"
        );
        strake.ok(&["exec", "-d", "web", "sh", "-c", &swap]);
        let mut copied = 0;
        for n in 0..60 {
            let out = home.join(format!("out-{n}"));
            if cp(&strake, &["web:/swap/real/secret", &out.to_string_lossy()]).code == 0 {
                let text = fs::read_to_string(&out).unwrap();
                assert!(text == "mine\n" || text == "real\n", "{text}");
                copied += 1;
            }
            let _ = cp(&strake, &["file", "web:/swap/real/written"]);
        }
        assert!(copied > 0, "some copies find the file");
        let names: Vec<_> = fs::read_dir(&host).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["secret"], "nothing was written on the host");
        assert_eq!(fs::read_to_string(host.join("secret")).unwrap(), "the host's");
    });
}

/// An archive from a hostile container does not write outside the directory it is copied to.
#[test]
fn hostile_archives_stay_below_the_destination() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let home = home(&strake);
        sleeper(&strake, "web", &["--network", "none"]);
        fs::create_dir(home.join("victim")).unwrap();
        fs::create_dir(home.join("to")).unwrap();
        inside(&strake, &format!("mkdir -p /evil/d; ln -s {} /evil/out", home.join("victim").display()));
        cp(&strake, &["web:/evil", "to"]).ok();
        inside(&strake, "rm /evil/out; mkdir /evil/out; echo owned > /evil/out/file");
        // What was a link there is in the way of a directory now.
        cp(&strake, &["web:/evil", "to"]).exits(1).says("cannot overwrite non-directory");
        assert_eq!(fs::read_dir(home.join("victim")).unwrap().count(), 0);
        // An entry that climbs.
        fs::write(home.join("climb"), "x").unwrap();
        let tar = Command::new("tar")
            .args(["-cPf", "c.tar", "--transform=s,climb,../../climb,", "climb"])
            .current_dir(home)
            .output();
        assert!(tar.unwrap().status.success());
        let archive = fs::File::open(home.join("c.tar")).unwrap();
        run(strake.command(&["cp", "-", "web:/tmp"]).stdin(archive)).exits(1).says("leads out");
    });
}
