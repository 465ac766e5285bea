//! Networks that users make: isolation (row NW-02), names, connecting and disconnecting.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Strake, isolated, run, run_inside, wait_for};

use crate::{inspect, pid, sleeper};

fn network(strake: &Strake, name: &str) -> Value {
    let text = strake.ok(&["network", "inspect", name]);
    assert_eq!(strake.ok(&["inspect", name]), text, "as `inspect` of whatever has the name");
    let all: Value = serde_json::from_str(&text).unwrap();
    all[0].clone()
}

/// What the resolver inside says of a name: the answer's part of busybox's `nslookup`.
fn lookup(strake: &Strake, container: &str, name: &str) -> String {
    let said = strake.run(&["exec", container, "nslookup", name]);
    let text = format!("{}{}", said.stdout, said.stderr);
    // Behind the server's own lines.
    text.split("\n\n").skip(1).collect::<Vec<_>>().join("\n")
}

fn address(strake: &Strake, container: &str, network: &str) -> String {
    let all = &inspect(strake, container)["NetworkSettings"]["Networks"];
    all[network]["IPAddress"].as_str().unwrap().to_owned()
}

fn pings(strake: &Strake, container: &str, to: &str) -> bool {
    strake.run(&["exec", container, "ping", "-c1", "-W1", to]).code == 0
}

/// The process that answers for names, by whom the kernel says holds the lock.
pub(crate) fn wardens(strake: &Strake) -> Vec<i32> {
    let lock = std::fs::metadata(strake.state().join("networks/warden/lock"));
    let Ok(lock) = lock else { return Vec::new() };
    let inode = std::os::unix::fs::MetadataExt::ino(&lock);
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let holders = locks.lines().filter(|line| {
        !line.contains("->") && line.split_whitespace().any(|word| word.ends_with(&format!(":{inode}")))
    });
    holders.filter_map(|line| line.split_whitespace().nth(4)?.parse().ok()).filter(|pid| *pid > 0).collect()
}

#[test]
fn nw_02_a_network_is_one_broadcast_domain_and_two_are_apart() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for name in ["left", "right"] {
            strake.ok(&["network", "create", name]);
        }
        sleeper(&strake, "a1", &["--network", "left"]);
        sleeper(&strake, "b1", &["--network", "left"]);
        sleeper(&strake, "c1", &["--network", "right"]);
        let (b, c) = (address(&strake, "b1", "left"), address(&strake, "c1", "right"));
        assert!(pings(&strake, "a1", &b), "members of one network reach each other");
        assert!(!pings(&strake, "a1", &c), "two networks are isolated");
        let neighbours = strake.ok(&["exec", "a1", "cat", "/proc/net/arp"]);
        assert!(neighbours.contains(&b) && !neighbours.contains(&c), "ARP stays in one: {neighbours}");
        let route = strake.ok(&["exec", "a1", "ip", "route", "get", &c]);
        assert!(route.contains("via "), "the other network needs routing: {route}");
        // One that is in both carries nothing between them, and reaches both.
        strake.ok(&["network", "connect", "right", "b1"]);
        assert!(pings(&strake, "b1", &c) && pings(&strake, "a1", &b) && !pings(&strake, "a1", &c));
        let tables = run(Command::new("nft").args(["list", "tables"])).stdout;
        assert_eq!(tables.lines().filter(|line| line.contains(" ip ")).count(), 1, "{tables}");
    });
}

#[test]
fn containers_find_each_other_by_name() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["network", "create", "web"]);
        sleeper(&strake, "db", &["--network", "web", "--network-alias", "store", "--hostname", "dbhost"]);
        sleeper(&strake, "app", &["--network", "web"]);
        let db = address(&strake, "db", "web");
        let id = inspect(&strake, "db")["Id"].as_str().unwrap()[..12].to_owned();
        for name in ["db", "DB", "store", "dbhost", "db.web", &id] {
            let said = lookup(&strake, "app", name);
            assert!(said.contains(&db), "{name}: {said}");
        }
        assert!(pings(&strake, "app", "db"), "by the C library's resolver");
        let reverse = lookup(&strake, "app", &db);
        assert!(reverse.contains("db.web"), "{reverse}");
        let conf = strake.ok(&["exec", "app", "cat", "/etc/resolv.conf"]);
        assert!(conf.starts_with("nameserver 127.0.0.11\n") && conf.contains("ndots:0"), "{conf}");
        let hosts = strake.ok(&["exec", "db", "cat", "/etc/hosts"]);
        assert!(hosts.contains(&format!("{db}\tdbhost")), "{hosts}");
        // Several with one alias are all told; port 53 is the container's own.
        sleeper(&strake, "db2", &["--network", "name=web,alias=store"]);
        let said = lookup(&strake, "app", "store");
        assert!(said.contains(&db) && said.contains(&address(&strake, "db2", "web")), "{said}");
        strake.ok(&["rename", "db", "base"]);
        wait_for("the new name", || lookup(&strake, "app", "base").contains(&db).then_some(()));
        assert!(!lookup(&strake, "app", "db.web").contains(&db), "the old name is gone");
        strake.ok(&["rm", "-f", "base"]);
        wait_for("the name to go", || (!lookup(&strake, "app", "store").contains(&db)).then_some(()));
        let names = &inspect(&strake, "db2")["NetworkSettings"]["Networks"]["web"]["DNSNames"];
        assert!(names.as_array().unwrap().iter().any(|name| name == "store"), "{names}");
    });
}

/// A name server on a port that is told, for a name that it knows alone: `outside` is `octets`.
/// It answers by datagram until the test ends.
fn name_server(at: &str, octets: [u8; 4]) {
    let socket = UdpSocket::bind(at).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let question = &query[12..end];
            let knows = question.starts_with(b"\x07outside\0") && question.ends_with(&[0, 1, 0, 1]);
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80, 0, 1, 0, u8::from(knows), 0, 0, 0, 0]);
            reply.extend(question);
            if knows {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                reply.extend(octets);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
}

#[test]
fn other_names_are_asked_of_the_servers_that_were_chosen() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // The host's server listens on its loopback only, as systemd's does.
        let conf = strake.home().join("resolv.conf");
        std::fs::write(&conf, "nameserver 127.0.0.53\n").unwrap();
        run(Command::new("mount").args(["--bind", &conf.to_string_lossy(), "/etc/resolv.conf"])).ok();
        name_server("127.0.0.53:53", [10, 7, 7, 7]);
        strake.ok(&["network", "create", "web"]);
        sleeper(&strake, "app", &["--network", "web"]);
        assert!(lookup(&strake, "app", "outside").contains("10.7.7.7"), "the host's server");

        // One of the container's own: only there does its loopback answer, and port 53 is its own.
        sleeper(&strake, "own", &["--network", "web", "--dns", "127.0.0.1"]);
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", pid(&strake, "own"))).unwrap();
        run_inside(&namespace, || name_server("0.0.0.0:53", [10, 8, 8, 8]));
        assert!(lookup(&strake, "own", "outside").contains("10.8.8.8"), "the container's server");
        assert!(lookup(&strake, "own", "app").contains(&address(&strake, "app", "web")));

        // Who is in an internal network only asks nobody outside.
        strake.ok(&["network", "create", "--internal", "inner"]);
        sleeper(&strake, "closed", &["--network", "inner"]);
        assert!(!lookup(&strake, "closed", "outside").contains("10.7.7.7"));
        assert!(lookup(&strake, "closed", "closed").contains(&address(&strake, "closed", "inner")));
        assert_eq!(strake.ok(&["exec", "closed", "ip", "route"]).lines().count(), 1, "no way out");
    });
}

#[test]
fn a_boot_gives_networks_back() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for name in ["web", "side"] {
            strake.ok(&["network", "create", name]);
        }
        let options = ["--restart", "always", "--network", "name=web,alias=front", "--network", "side"];
        sleeper(&strake, "app", &options);
        sleeper(&strake, "db", &["--restart", "always", "--network", "web"]);
        // The host goes down: all processes at once, the state root and the links with it.
        let mut all: Vec<String> = warden_processes(&strake);
        all.extend(["app", "db"].map(|name| crate::restart::shim_pid(&strake, name).to_string()));
        all.extend(["app", "db"].map(|name| pid(&strake, name).to_string()));
        run(Command::new("kill").arg("-9").args(all)).ok();
        std::fs::remove_dir_all(strake.state()).unwrap();
        let links = run(Command::new("ip").args(["-brief", "link", "show", "type", "bridge"])).stdout;
        for link in links.lines().filter_map(|line| line.split_whitespace().next()) {
            run(Command::new("ip").args(["link", "delete", link])).ok();
        }

        strake.ok(&["system", "start-all"]);
        let db = address(&strake, "db", "web");
        assert!(lookup(&strake, "app", "db").contains(&db));
        assert!(lookup(&strake, "db", "front").contains(&address(&strake, "app", "web")));
        assert!(!address(&strake, "app", "side").is_empty());
    });
}

/// The companion's processes, of this host only.
pub(crate) fn warden_processes(strake: &Strake) -> Vec<String> {
    let state = strake.state().display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
        let line = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
        (line.contains(&state) && line.contains("system\0warden")).then_some(pid.to_string())
    });
    all.collect()
}

#[test]
fn connected_and_disconnected_while_it_runs() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["network", "create", "--subnet", "10.31.0.0/24", "web"]);
        sleeper(&strake, "db", &["--network", "web"]);
        // From the default network, where there are no names.
        sleeper(&strake, "app", &[]);
        assert!(!lookup(&strake, "app", "db").contains(&address(&strake, "db", "web")));
        strake.ok(&["network", "connect", "--ip", "10.31.0.77", "--alias", "front", "web", "app"]);
        assert_eq!(address(&strake, "app", "web"), "10.31.0.77");
        assert!(lookup(&strake, "app", "db").contains(&address(&strake, "db", "web")));
        assert!(lookup(&strake, "db", "front").contains("10.31.0.77"));
        assert!(strake.ok(&["ps", "--format", "{{.Names}}={{.Networks}}"]).contains("app=bridge,web"));
        let again = strake.run(&["network", "connect", "web", "app"]);
        assert!(
            again.code != 0 && again.stderr.contains("already exists in network web"),
            "{}",
            again.stderr
        );
        let members = network(&strake, "web")["Containers"].as_object().unwrap().len();
        assert_eq!(members, 2);

        // Restarted it is in both again, at the same address there.
        strake.ok(&["restart", "-t", "0", "app"]);
        assert_eq!(address(&strake, "app", "web"), "10.31.0.77");
        assert!(lookup(&strake, "app", "db").contains(&address(&strake, "db", "web")));

        strake.ok(&["network", "disconnect", "web", "app"]);
        assert!(!pings(&strake, "app", &address(&strake, "db", "web")));
        let networks = inspect(&strake, "app")["NetworkSettings"]["Networks"].clone();
        assert_eq!(networks.as_object().unwrap().keys().collect::<Vec<_>>(), ["bridge"]);
        let again = strake.run(&["network", "disconnect", "web", "app"]);
        assert!(again.stderr.contains("is not connected to network web"), "{}", again.stderr);
        strake.ok(&["network", "disconnect", "bridge", "app"]);
        assert_eq!(strake.ok(&["exec", "app", "ip", "route"]), "");
        // None at all is kept too, and what is connected while it is stopped holds from its start on.
        strake.ok(&["stop", "-t", "0", "app"]);
        strake.ok(&["network", "connect", "web", "app"]);
        strake.ok(&["start", "app"]);
        assert!(lookup(&strake, "app", "db").contains(&address(&strake, "db", "web")));
        assert_eq!(strake.ok(&["exec", "app", "sh", "-c", "ls /sys/class/net | grep -c eth"]), "1");
    });
}

#[test]
fn networks_are_made_listed_and_removed_as_docker_does() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let listed = strake.ok(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]);
        // This host's CNI configurations are networks, too.
        let ours: Vec<&str> = listed.lines().filter(|line| !line.ends_with(" cni")).collect();
        assert_eq!(ours.join("\n"), "bridge bridge\nhost host\nnone null");
        let id = strake.ok(&["network", "create", "--label", "a=1", "--subnet", "10.9.0.0/16", "web"]);
        assert_eq!(id.len(), 64);
        assert_eq!(strake.ok(&["network", "ls", "-q", "--filter", "label=a=1"]), id[..12]);
        let shown = network(&strake, &id[..10]);
        assert_eq!(shown["IPAM"]["Config"][0]["Gateway"], "10.9.0.1");
        let refused = |args: &[&str], text: &str| {
            let said = strake.run(args);
            assert!(said.code != 0 && said.stderr.contains(text), "{args:?}: {}", said.stderr);
        };
        refused(&["network", "create", "web"], "network with name web already exists");
        refused(
            &["network", "create", "--subnet", "10.9.1.0/24", "x"],
            "Pool overlaps with other one on this address space",
        );
        refused(&["network", "rm", "bridge"], "bridge is a pre-defined network and cannot be removed");
        refused(&["network", "rm", "nosuch"], "network nosuch not found");
        let said = strake.run(&["run", "--rm", "--network", "nosuch", "busybox", "true"]);
        assert!(said.code == 125 && said.stderr.contains("network nosuch not found"), "{}", said.stderr);
        assert_eq!(strake.ok(&["ps", "-aq"]), "");
        sleeper(&strake, "one", &["--network", "web", "--ip", "10.9.7.7"]);
        assert_eq!(address(&strake, "one", "web"), "10.9.7.7");
        refused(&["network", "rm", "web"], "network web has active endpoints (name:\"one\" id:");
        let taken = ["run", "--rm", "--network", "web", "--ip", "10.9.7.7", "busybox", "true"];
        refused(&taken, "10.9.7.7 is held by container one");
        strake.ok(&["network", "create", "spare"]);
        assert_eq!(strake.ok(&["network", "prune", "-f"]), "Deleted Networks:\nspare");
        strake.ok(&["rm", "-f", "one"]);
        assert_eq!(strake.ok(&["network", "rm", "web"]), "web");
        let links = run(Command::new("ip").args(["-o", "link", "show", "type", "bridge"])).stdout;
        assert_eq!(links.lines().count(), 1, "the default bridge only: {links}");
    });
}

#[test]
fn ipv6_between_members_and_their_names() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["network", "create", "--ipv6", "own"]);
        strake.ok(&["network", "create", "--subnet", "fd12:3456::/64", "--subnet", "10.40.0.0/24", "given"]);
        sleeper(&strake, "a1", &["--network", "own"]);
        sleeper(&strake, "b1", &["--network", "own", "--network", "name=given,ip6=fd12:3456::99"]);
        sleeper(&strake, "c1", &["--network", "given"]);
        let six = |container: &str, network: &str| {
            let all = &inspect(&strake, container)["NetworkSettings"]["Networks"];
            all[network]["GlobalIPv6Address"].as_str().unwrap().to_owned()
        };
        assert!(six("a1", "own").starts_with("fd"));
        assert_eq!(six("b1", "given"), "fd12:3456::99");
        let ping6 =
            |from: &str, to: &str| strake.run(&["exec", from, "ping", "-6", "-c1", "-W1", to]).code == 0;
        assert!(ping6("a1", &six("b1", "own")) && ping6("c1", "fd12:3456::99"));
        assert!(lookup(&strake, "a1", "b1").contains(&six("b1", "own")), "AAAA");
        let route = strake.ok(&["exec", "a1", "ip", "-6", "route"]);
        assert!(route.contains("default via fd"), "{route}");
        assert!(!ping6("a1", &six("c1", "given")), "two networks are isolated in IPv6 too");
    });
}

#[test]
fn names_come_back_when_the_companion_is_killed() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["network", "create", "web"]);
        assert_eq!(wardens(&strake), Vec::<i32>::new(), "nobody needs it yet");
        sleeper(&strake, "db", &["--network", "web"]);
        sleeper(&strake, "app", &["--network", "web"]);
        let db = address(&strake, "db", "web");
        for _ in 0..3 {
            let [worker] = wardens(&strake)[..] else { panic!("{:?}", wardens(&strake)) };
            run(Command::new("kill").args(["-9", &worker.to_string()])).ok();
            wait_for("another one", || {
                wardens(&strake).first().is_some_and(|now| *now != worker).then_some(())
            });
            wait_for("names", || lookup(&strake, "app", "db").contains(&db).then_some(()));
        }
        // All of them at once: the next who comes starts over, or who puts all right.
        let kill_all = || {
            let before = wardens(&strake);
            let all = wait_for("a worker and a standby", || {
                Some(warden_processes(&strake)).filter(|all| all.len() == 2)
            });
            run(Command::new("kill").arg("-9").args(&all)).ok();
            wait_for("both to be gone", || (wardens(&strake) != before).then_some(()));
        };
        kill_all();
        strake.ok(&["system", "reconcile"]);
        assert!(lookup(&strake, "app", "db").contains(&db));
        kill_all();
        sleeper(&strake, "third", &["--network", "web"]);
        assert!(lookup(&strake, "app", "db").contains(&db));
        assert!(lookup(&strake, "app", "third").contains(&address(&strake, "third", "web")));
        strake.ok(&["rm", "-f", "db", "app", "third"]);
        wait_for("it to end with the last", || wardens(&strake).is_empty().then_some(()));
    });
}
