//! Containers of an ordinary user. The user is one of the test's own, in a mount namespace with its own
//! `/etc/passwd`, `/etc/subuid` and `/etc/subgid`; the machine's files stay as they are.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{Output, TempDir, images, isolated, run, wait_for};

const UID: u32 = 4242;
/// What the test's host is reached at from elsewhere.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// An ordinary user of this host.
struct User {
    home: TempDir,
}

impl User {
    /// A user who is lent 65536 ids.
    fn new() -> Self {
        Self::with_ids("ann:500000:65536\n")
    }

    /// A user with these lines in `/etc/subuid` and `/etc/subgid`.
    fn with_ids(lines: &str) -> Self {
        let home = TempDir::new();
        let etc = home.join("etc");
        fs::create_dir_all(&etc).unwrap();
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let entry = format!("ann:x:{UID}:{UID}::{}:/bin/sh\n", home.join("home").display());
        for (name, text) in
            [("passwd", passwd + &entry), ("subuid", lines.to_owned()), ("subgid", lines.to_owned())]
        {
            fs::write(etc.join(name), text).unwrap();
            let target = format!("/etc/{name}");
            if !Path::new(&target).exists() {
                // Not ours to make on the machine: an overlay of /etc would be needed.
                panic!("{target} is missing on this machine: install Debian's passwd and uidmap");
            }
            run(Command::new("mount").arg("--bind").arg(etc.join(name)).arg(target)).ok();
        }
        for name in ["home", "run", "bin"] {
            fs::create_dir(home.join(name)).unwrap();
            std::os::unix::fs::chown(home.join(name), Some(UID), Some(UID)).unwrap();
        }
        fs::set_permissions(home.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        let built = testkit::bin("strake");
        run(Command::new("mount").arg("--bind").arg(built.parent().unwrap()).arg(home.join("bin"))).ok();
        // The device as udev makes it, for everybody.
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "none", "/dev/net"])).ok();
        run(Command::new("mknod").args(["-m", "666", "/dev/net/tun", "c", "10", "200"])).ok();
        let user = Self { home };
        fs::copy(images::busybox_tar(), user.home.join("busybox.tar")).unwrap();
        user
    }

    fn with_busybox(self) -> Self {
        let tar = self.home.join("busybox.tar");
        self.ok(&["import", "--change", "CMD [\"/bin/sh\"]", &tar.to_string_lossy(), "busybox"]);
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let id = UID.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all"]);
        command.arg(self.home.join("bin/strake")).args(args);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("HOME", self.home.join("home")).env("XDG_RUNTIME_DIR", self.home.join("run"));
        command.current_dir(self.home.join("home"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok().to_owned()
    }

    fn state(&self) -> PathBuf {
        self.home.join("run/strake")
    }

    fn keeper(&self) -> i32 {
        let text = fs::read(self.state().join("house/keeper.json")).unwrap();
        let record: Value = serde_json::from_slice(&text).unwrap();
        i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
    }

    /// The process that is the way out of the user's network.
    fn network(&self) -> Option<i32> {
        processes().into_iter().find(|(_, line)| line.contains(" user-network")).map(|(pid, _)| pid)
    }

    fn sleeper(&self, name: &str, options: &[&str]) {
        self.ok(&[&["run", "-d", "--name", name], options, &["busybox", "sleep", "1000"]].concat());
    }

    fn status(&self, container: &str) -> String {
        self.ok(&["inspect", "--format", "{{.State.Status}}", container])
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Nothing of the bind mounts' sources is to be removed with the directory.
        let _ = run(Command::new("umount").args(["-l".as_ref(), self.home.join("bin").as_os_str()]));
    }
}

fn processes() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
    .collect()
}

fn kill(pid: i32) {
    run(Command::new("kill").args(["-9", &pid.to_string()])).ok();
    wait_for("the end of a killed process", || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z")).then_some(())
    });
}

/// Gives the test's host the address that others reach it at.
fn host_address() {
    run(Command::new("ip").args(["address", "add", "192.0.2.1/32", "dev", "lo"])).ok();
}

/// Answers each connection with the caller's address and what it said, in capitals.
fn shouting_server() -> SocketAddr {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            // To the end of what the other side says, which goes on listening.
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn a_user_runs_containers_with_ids_of_their_own() {
    isolated(|| {
        let user = User::new().with_busybox();
        let map = user.ok(&["run", "--rm", "--network", "none", "busybox", "cat", "/proc/self/uid_map"]);
        let numbers: Vec<&str> = map.split_whitespace().collect();
        assert_eq!(numbers, ["0", "4242", "1", "1", "500000", "65536"]);
        user.sleeper("web", &["--network", "none", "--user", "1000:1000"]);
        assert_eq!(user.ok(&["exec", "web", "id", "-u"]), "1000");
        assert_eq!(user.ok(&["exec", "--user", "0", "web", "id", "-u"]), "0");
        let pid: i64 = user.ok(&["inspect", "--format", "{{.State.Pid}}", "web"]).parse().unwrap();
        let owner = fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        assert_eq!(owner, 500_999, "the container's 1000 is one of the user's lent ids");
        assert!(user.ok(&["ps"]).contains("web"));
        user.ok(&["rm", "-f", "web"]);
        assert_eq!(user.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn logs_exit_codes_and_terminals_are_as_roots() {
    isolated(|| {
        let user = User::new().with_busybox();
        let script = "echo out; echo err >&2; exit 7";
        user.run(&["run", "--name", "one", "--network", "none", "busybox", "sh", "-c", script]).exits(7);
        let logs = user.run(&["logs", "one"]);
        assert_eq!((logs.stdout.trim(), logs.stderr.trim()), ("out", "err"));
        assert_eq!(user.ok(&["wait", "one"]), "7");
        user.run(&["run", "--rm", "--network", "none", "busybox", "/no/such"]).exits(127);
        user.ok(&[
            "run",
            "-d",
            "-t",
            "--name",
            "two",
            "--network",
            "none",
            "busybox",
            "sh",
            "-c",
            "tty; sleep 1000",
        ]);
        wait_for("the terminal", || user.ok(&["logs", "two"]).contains("/dev/pts/0").then_some(()));
        user.ok(&["stop", "-t", "0", "two"]);
        assert_eq!(user.status("two"), "exited");
    });
}

#[test]
fn what_needs_a_control_group_is_left_out_or_refused_in_words() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.sleeper("web", &["--network", "none"]);
        let committed = user.run(&["commit", "web", "copy"]);
        assert!(committed.stderr.contains("cannot freeze container web"), "{committed:?}");
        assert!(committed.ok().starts_with("sha256:"));
        assert_eq!(user.run(&["commit", "--pause=false", "web"]).stderr, "");
        user.run(&["update", "-m", "64m", "web"]).exits(1).says("it has no control group");
        let own = ["run", "--rm", "--network", "none", "--userns", "private", "busybox", "true"];
        user.run(&own).exits(125).says("have ids of their own already");
        let groups = ["run", "--rm", "--network", "none", "-u", "1000:2000", "--group-add", "30", "busybox"];
        let said = user.ok(&[&groups[..], &["grep", "Groups", "/proc/self/status"]].concat());
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["Groups:", "30", "2000"]);
        user.ok(&["rm", "-f", "web"]);
        assert_eq!(user.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn files_lie_in_the_users_places_and_belong_to_the_user() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.sleeper("web", &["--network", "none"]);
        let data = user.home.join("home/.local/share/strake");
        for directory in [&data, &user.state()] {
            assert_eq!(fs::metadata(directory).unwrap().uid(), UID, "{}", directory.display());
        }
        assert!(data.join("containers").read_dir().unwrap().next().is_some());
        assert!(user.state().join("house/keeper.json").exists());
        let elsewhere = user.run(&["--root", "/nowhere/of-mine", "run", "--rm", "busybox", "true"]);
        elsewhere.exits(125).says("/nowhere/of-mine");
    });
}

#[test]
fn a_house_is_found_again_when_its_keeper_is_killed() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.sleeper("web", &["--network", "none"]);
        let before = user.keeper();
        let namespace = fs::read_link(format!("/proc/{before}/ns/user")).unwrap();
        kill(before);
        assert!(user.ok(&["exec", "web", "id", "-u"]).contains('0'), "through the container's supervisor");
        let after = user.keeper();
        assert_ne!(before, after);
        assert_eq!(fs::read_link(format!("/proc/{after}/ns/user")).unwrap(), namespace);
        user.ok(&["rm", "-f", "web"]);
        kill(after);
        assert_eq!(user.ok(&["run", "--rm", "--network", "none", "busybox", "echo", "new"]), "new");
        assert_eq!(user.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn commands_at_the_same_time_make_one_house() {
    isolated(|| {
        let user = User::new();
        let running: Vec<_> = (0..8).map(|_| user.command(&["ps"]).spawn().unwrap()).collect();
        for mut child in running {
            assert!(child.wait().unwrap().success());
        }
        let keepers = processes().into_iter().filter(|(_, line)| line.starts_with("strake-keeper")).count();
        assert_eq!(keepers, 1);
    });
}

#[test]
fn a_maker_killed_anywhere_leaves_no_process() {
    isolated(|| {
        let user = User::new();
        for point in ["rootless.cloned", "rootless.mapped", "rootless.recorded"] {
            let killed = run(user.command(&["ps"]).env("STRAKE_FAILPOINT", point));
            killed.exits(137);
            wait_for("the unfinished keeper's end", || {
                let left = processes().into_iter().filter(|(pid, _)| {
                    fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == UID)
                        && !fs::read_to_string(format!("/proc/{pid}/stat"))
                            .unwrap_or_default()
                            .contains(") Z")
                });
                (left.count() == 0).then_some(())
            });
        }
        user.ok(&["ps"]);
    });
}

#[test]
fn without_lent_ids_there_is_one() {
    isolated(|| {
        let user = User::with_ids("");
        user.run(&["ps"]).says("/etc/subuid and /etc/subgid have no line for you: add `ann:100000:65536`");
        let user = user.with_busybox();
        let run = ["run", "--rm", "--network", "none", "busybox", "cat", "/proc/self/gid_map"];
        assert_eq!(user.ok(&run).split_whitespace().collect::<Vec<_>>(), ["0", "4242", "1"]);
        let one = user.run(&["run", "--rm", "--network", "none", "busybox", "true"]);
        assert_eq!((one.code, one.stderr.contains("additionalGids")), (0, false), "{one:?}");
        let rootfs = user.home.join("other");
        fs::create_dir_all(rootfs.join("srv")).unwrap();
        std::os::unix::fs::chown(rootfs.join("srv"), Some(33), Some(33)).unwrap();
        let tar = user.home.join("other.tar");
        run_tar(&rootfs, &tar);
        let refused = user.run(&["import", &tar.to_string_lossy(), "other"]);
        let refused = if refused.code == 0 { user.run(&["run", "--rm", "other", "true"]) } else { refused };
        assert_ne!(refused.code, 0);
        refused.says("its owner 33:33 is beyond the 1 users and 1 groups that you have");
    });
}

fn run_tar(rootfs: &Path, tar: &Path) {
    run(Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(tar).arg(".")).ok();
}

#[test]
fn layers_with_other_owners_whiteouts_and_devices_are_unpacked() {
    isolated(|| {
        let user = User::new().with_busybox();
        let script = "mkdir /d /e; touch /d/x /e/y; chown 1000:2000 /d/x; rm -r /home/app; rm /e/y";
        user.ok(&["run", "--name", "one", "--network", "none", "busybox", "sh", "-c", script]);
        user.ok(&["commit", "one", "changed"]);
        let shown = user.ok(&[
            "run",
            "--rm",
            "--network",
            "none",
            "changed",
            "sh",
            "-c",
            "stat -c %u:%g /d/x; ls /home /e",
        ]);
        assert!(shown.starts_with("1000:2000"), "{shown}");
        assert!(!shown.contains("app") && !shown.contains('y'), "{shown}");
        let rootfs = user.home.join("nodes");
        fs::create_dir_all(rootfs.join("dev")).unwrap();
        run(Command::new("mknod").arg(rootfs.join("dev/sda")).args(["b", "8", "0"])).ok();
        fs::write(rootfs.join("file"), "kept").unwrap();
        let tar = user.home.join("nodes.tar");
        run_tar(&rootfs, &tar);
        user.ok(&["import", &tar.to_string_lossy(), "nodes"]);
        user.ok(&["create", "--name", "two", "nodes", "/file"]);
        let copy = user.home.join("home/copy");
        user.ok(&["cp", "two:/file", &copy.to_string_lossy()]);
        assert_eq!(fs::read_to_string(copy).unwrap(), "kept");
    });
}

#[test]
fn volumes_keep_what_containers_write() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.ok(&["volume", "create", "data"]);
        let write = "echo kept > /data/file; chown 1000 /data/file";
        user.ok(&["run", "--rm", "--network", "none", "-v", "data:/data", "busybox", "sh", "-c", write]);
        let read = "cat /data/file; stat -c %u /data/file";
        let shown = user.ok(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "data:/data:ro",
            "busybox",
            "sh",
            "-c",
            read,
        ]);
        assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), ["kept", "1000"]);
        let bound = user.home.join("home/bound");
        fs::create_dir(&bound).unwrap();
        std::os::unix::fs::chown(&bound, Some(UID), Some(UID)).unwrap();
        let mount = format!("{}:/b", bound.display());
        user.ok(&["run", "--rm", "--network", "none", "-v", &mount, "busybox", "touch", "/b/mine"]);
        assert_eq!(fs::metadata(bound.join("mine")).unwrap().uid(), UID, "root inside is the user outside");
        user.ok(&["volume", "rm", "data"]);
    });
}

/// CVE-2023-25809: a container that sees the host's control groups must not write there.
#[test]
fn control_groups_are_the_hosts_and_cannot_be_written() {
    isolated(|| {
        let user = User::new().with_busybox();
        let limited = user.run(&["run", "--rm", "--network", "none", "-m", "64m", "busybox", "true"]);
        limited.exits(0).says("resource limits are left out");
        for option in ["--read-only", "--privileged"] {
            let write =
                "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo $d; done; true";
            let made = user.ok(&["run", "--rm", "--network", "none", option, "busybox", "sh", "-c", write]);
            assert_eq!(made, "", "{option}");
        }
        user.sleeper("web", &["--network", "none"]);
        user.run(&["pause", "web"])
            .exits(1)
            .says("it has no control group, because those of this host are root's");
    });
}

#[test]
fn a_users_containers_are_explained() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.sleeper("alone", &["--network", "none"]);
        user.sleeper("web", &["-p", "127.0.0.1:8080:80"]);
        user.sleeper("wide", &["--network", "host"]);
        for (container, interface) in [("alone", "lo"), ("web", "eth0"), ("wide", "lo")] {
            let told = user.ok(&["explain", container]);
            assert!(told.contains("User: private") || told.contains("overlay"), "{told}");
            let network = told.lines().skip_while(|line| !line.starts_with("Network")).skip(1);
            let section: Vec<&str> = network.take_while(|line| line.starts_with(' ')).collect();
            assert!(section.iter().any(|line| line.contains(interface)), "{container}: {told}");
        }
        let json = user.ok(&["explain", "--json", "web"]);
        assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
        assert!(user.ok(&["explain", "--diff", "alone", "web"]).contains("IPAddress"));
        user.run(&["why", "dead", "web"]).exits(0);
    });
}

#[test]
fn a_policy_restarts_a_users_container() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.ok(&[
            "run",
            "-d",
            "--name",
            "again",
            "--restart",
            "on-failure:2",
            "busybox",
            "sh",
            "-c",
            "exit 3",
        ]);
        wait_for("two restarts", || {
            let shown = user.ok(&["inspect", "--format", "{{.RestartCount}} {{.State.Status}}", "again"]);
            (shown == "2 exited").then_some(())
        });
    });
}

#[test]
fn a_user_reaches_what_the_host_reaches() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        let server = shouting_server();
        let say = format!("echo hello | nc {} {}", server.ip(), server.port());
        assert_eq!(user.ok(&["run", "--rm", "busybox", "sh", "-c", &say]), "HELLO");
        let closed = format!("nc -w 5 {} 1 < /dev/null", server.ip());
        let refused = user.run(&["run", "--rm", "busybox", "sh", "-c", &closed]);
        assert!(refused.stderr.contains("refused"), "{refused:?}");
        let loopback = format!("nc -w 5 10.0.2.2 {} < /dev/null", server.port());
        let refused = user.run(&["run", "--rm", "busybox", "sh", "-c", &loopback]);
        assert!(refused.stderr.contains("refused"), "the host's own services are closed: {refused:?}");
        let ping = user.run(&["run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", "10.0.2.2"]);
        ping.ok();
    });
}

#[test]
fn much_data_passes_unharmed_both_ways() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            bytes.len()
        });
        let script = format!(
            "dd if=/dev/urandom of=/data bs=1M count=24 2>/dev/null; nc {} {} < /data > /back; md5sum < /data; md5sum < /back",
            address.ip(),
            address.port()
        );
        let sums = user.ok(&["run", "--rm", "busybox", "sh", "-c", &script]);
        let sums: Vec<&str> = sums.lines().collect();
        assert_eq!(sums.len(), 2);
        assert_eq!(sums[0], sums[1]);
        assert_eq!(server.join().unwrap(), 24 << 20);
    });
}

#[test]
fn names_are_asked_of_the_hosts_server() {
    isolated(|| {
        let user = User::new();
        // Before there is a house: what is mounted later reaches it by propagation only, which this
        // test's mounts are without.
        let resolv = user.home.join("etc/resolv.conf");
        fs::write(&resolv, "nameserver 127.0.0.1\n").unwrap();
        run(Command::new("mount").arg("--bind").arg(&resolv).arg("/etc/resolv.conf")).ok();
        let user = user.with_busybox();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((count, from)) = socket.recv_from(&mut query) {
                // The question again as an answer: one A record, 203.0.113.9 (RFC 1035, 4.1).
                let mut answer = query[..count].to_vec();
                answer[2..4].copy_from_slice(&[0x81, 0x80]);
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9]);
                let _ = socket.send_to(&answer, from);
            }
        });
        let found = user.ok(&[
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "cat /etc/resolv.conf; ping -c 1 -W 1 a.example; true",
        ]);
        assert!(found.contains("nameserver 10.0.2.3"), "{found}");
        assert!(found.contains("PING a.example (203.0.113.9)"), "{found}");
    });
}

/// What a web server in `container` writes of its callers.
fn callers(user: &User, container: &str) -> String {
    let logs = user.run(&["logs", container]);
    logs.stdout + &logs.stderr
}

fn get(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    assert!(from.is_unspecified() || stream.local_addr()?.ip() == from);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

const SERVE: &str = "mkdir /www; echo welcome > /www/index.html; exec httpd -f -v -p 80 -h /www";

#[test]
fn a_published_port_is_the_hosts_and_callers_keep_their_address() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        user.ok(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVE]);
        let through = |to: Ipv4Addr| get(to, SocketAddr::from((to, 8080)));
        wait_for("the server", || through(HOST).ok().filter(|text| text.contains("welcome")));
        wait_for("the caller's address", || callers(&user, "web").contains("192.0.2.1").then_some(()));
        assert!(through(Ipv4Addr::LOCALHOST).unwrap().contains("welcome"));
        wait_for("the gateway's", || callers(&user, "web").contains("10.0.2.2").then_some(()));
        user.ok(&["rm", "-f", "web"]);
        assert!(through(HOST).is_err(), "the port is closed with its container");
    });
}

#[test]
fn a_published_port_that_the_host_has_is_refused() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let publish = format!("{port}:80");
        let refused = user.run(&["run", "-d", "--name", "web", "-p", &publish, "busybox", "sleep", "1000"]);
        refused.exits(125).says(&format!("Bind for 0.0.0.0:{port} failed: port is already allocated"));
        let refused = user.run(&["run", "-d", "-p", "80:80", "busybox", "sleep", "1000"]);
        refused.exits(125).says("ports below 1024 are root's");
        drop(taken);
        user.ok(&["start", "web"]);
        assert_eq!(user.status("web"), "running");
    });
}

#[test]
fn a_port_is_published_on_one_of_the_hosts_addresses() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        let publish =
            ["-p", "[::1]:8080:80", "-p", "127.0.0.1:8081:80", "-p", "192.0.2.1:8082:80", "-p", "8083:80"];
        let serve = ["busybox", "sh", "-c", SERVE];
        user.ok(&[&["run", "-d", "--name", "web"], &publish[..], &serve[..]].concat());
        let (loopback, loopback6) = (IpAddr::from([127, 0, 0, 1]), "::1".parse::<IpAddr>().unwrap());
        let all = [loopback, loopback6, HOST.into()];
        let any = Ipv4Addr::UNSPECIFIED;
        let welcomes =
            |ip: IpAddr, port: u16| get(any, (ip, port).into()).is_ok_and(|text| text.contains("welcome"));
        wait_for("the server", || welcomes(loopback, 8083).then_some(()));
        for (port, open) in
            [(8080, vec![loopback6]), (8081, vec![loopback]), (8082, vec![HOST.into()]), (8083, all.to_vec())]
        {
            let reached: Vec<IpAddr> = all.into_iter().filter(|ip| welcomes(*ip, port)).collect();
            assert_eq!(reached, open, "{port}");
        }
        let taken = TcpListener::bind("[::1]:8090").unwrap();
        let refused = user.run(&["run", "-d", "-p", "[::1]:8090:80", "busybox", "sleep", "9"]);
        refused.exits(125).says("Bind for [::1]:8090 failed: port is already allocated");
        drop(taken);
        let refused = user.run(&["run", "-d", "-p", "127.0.0.1:8080:80", "busybox", "sleep", "9"]);
        refused.exits(125).says("already used by container web");
        user.ok(&["rm", "-f", "web"]);
        assert!(!welcomes(loopback6, 8080), "the port is closed with its container");
    });
}

#[test]
fn a_users_networks_are_apart_have_names_and_publish() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        user.ok(&["network", "create", "--subnet", "10.60.0.0/24", "--label", "a=1", "web"]);
        user.ok(&["network", "create", "--internal", "inner"]);
        let serve = ["-p", "8080:80", "busybox", "sh", "-c", SERVE];
        let run = ["run", "-d", "--network", "web", "--network-alias", "front", "--name"];
        user.ok(&[&run[..], &["server"], &serve[..]].concat());
        user.sleeper("app", &["--network", "web", "--ip", "10.60.0.9"]);
        user.sleeper("apart", &["--network", "inner"]);
        let address = user.ok(&["inspect", "-f", "{{.NetworkSettings.Networks.web.IPAddress}}", "server"]);
        let fetches = |from: &str, host: &str| {
            let ask = format!("printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 {host} 80");
            user.run(&["exec", from, "sh", "-c", &ask]).stdout.contains("welcome")
        };
        wait_for("the server", || fetches("app", &address).then_some(()));
        assert!(fetches("app", "server") && fetches("app", "front.web"), "by name and alias");
        assert!(!fetches("apart", &address) && !fetches("apart", "server"), "two networks are isolated");
        assert!(get(HOST, (HOST, 8080).into()).unwrap().contains("welcome"), "published from a network");

        user.ok(&["network", "connect", "web", "apart"]);
        assert!(fetches("apart", "server"));
        user.ok(&["network", "disconnect", "web", "apart"]);
        assert!(!fetches("apart", "server"));
        let listed = ["network", "ls", "--filter", "label=a=1", "--format", "{{.Name}} {{.Driver}}"];
        assert_eq!(user.ok(&listed), "web bridge");
        user.run(&["network", "rm", "web"]).exits(1).says("network web has active endpoints");
        user.ok(&["rm", "-f", "server", "app", "apart"]);
        assert_eq!(user.ok(&["network", "prune", "-f"]).lines().skip(1).count(), 2);
        assert!(get(HOST, (HOST, 8080).into()).is_err());
    });
}

#[test]
fn published_datagrams_are_answered() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        user.sleeper("udp", &["-p", "9000:9000/udp"]);
        let pid = user.ok(&["inspect", "--format", "{{.State.Pid}}", "udp"]);
        let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
        let server = testkit::run_inside(&namespace, || UdpSocket::bind("0.0.0.0:9000").unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok((_, from)) = server.recv_from(&mut bytes) {
                let _ = server.send_to(from.ip().to_string().as_bytes(), from);
            }
        });
        let address = SocketAddr::from((HOST, 9000));
        assert_eq!(testkit::ask_udp(address), Ok(HOST.to_string()), "the server sees the client's address");
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000));
        assert_eq!(testkit::ask_udp(loopback), Ok("10.0.2.2".to_owned()));
    });
}

#[test]
fn a_killed_way_out_is_there_again_with_its_ports() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        user.ok(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVE]);
        let to = SocketAddr::from((HOST, 8080));
        wait_for("the server", || get(HOST, to).ok());
        kill(user.network().unwrap());
        assert!(get(HOST, to).is_err());
        assert_eq!(user.status("web"), "running");
        user.ok(&["run", "--rm", "busybox", "true"]);
        wait_for("the server again", || get(HOST, to).ok().filter(|text| text.contains("welcome")));
        kill(user.keeper());
        assert!(get(HOST, to).unwrap().contains("welcome"), "the way out is not the keeper's");
    });
}

#[test]
fn the_way_out_ends_when_nothing_runs() {
    isolated(|| {
        let user = User::new().with_busybox();
        user.ok(&["ps"]);
        assert_eq!(user.network(), None, "who only looks needs none");
        user.sleeper("web", &[]);
        assert!(user.network().is_some());
        user.ok(&["rm", "-f", "web"]);
        wait_for("its end", || user.network().is_none().then_some(()));
        user.ok(&["run", "--rm", "busybox", "true"]);
    });
}

#[test]
fn fsck_finds_a_way_out_that_is_gone_and_brings_it_back() {
    isolated(|| {
        host_address();
        let user = User::new().with_busybox();
        let kinds = |report: &Output| -> Vec<String> {
            let report: Value = serde_json::from_str(&report.stdout).unwrap_or_else(|_| panic!("{report:?}"));
            let flaws = report["flaws"].as_array().unwrap().iter();
            flaws.map(|flaw| flaw["kind"].as_str().unwrap().to_owned()).collect()
        };
        let fsck = |more: &[&str]| user.run(&[&["system", "fsck", "--json"][..], more].concat());
        user.ok(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVE]);
        assert_eq!(kinds(&fsck(&[])), Vec::<String>::new());
        let to = SocketAddr::from((HOST, 8080));
        wait_for("the server", || get(HOST, to).ok());
        kill(user.network().unwrap());
        let found = fsck(&[]);
        assert_eq!((found.code, kinds(&found)), (1, vec!["user-network-ended".to_owned()]));
        // The repair begins with another one, which opens the ports again.
        assert_eq!(fsck(&["--repair"]).code, 0);
        wait_for("the server again", || get(HOST, to).ok().filter(|text| text.contains("welcome")));
        assert_eq!(kinds(&fsck(&[])), Vec::<String>::new());
        // Without containers it need not be there.
        kill(user.network().unwrap());
        user.ok(&["rm", "-f", "web"]);
        assert_eq!(kinds(&fsck(&[])), Vec::<String>::new());
    });
}
