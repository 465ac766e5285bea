//! Published ports at the host's `[::1]`, which the kernel sends nowhere: a companion relays.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use testkit::{Strake, ask_udp, isolated, run, run_inside, wait_for};

use crate::networks::{warden_processes, wardens};
use crate::nw::{Outside, whoami};
use crate::{inspect, pid, proc_file, sleeper};

fn at(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

/// What the web server of the host's port says, asked at `[::1]`; nothing when nobody answers.
fn said(port: u16) -> Option<String> {
    let url = format!("http://[::1]:{port}/");
    let output = run(Command::new("curl").args(["--silent", "--max-time", "5", &url]));
    (output.code == 0).then_some(output.stdout)
}

/// Who answers there.
fn who(port: u16) -> Option<String> {
    said(port)?.lines().find_map(|line| line.strip_prefix("Name: ")).map(str::to_owned)
}

/// A web server on port 80 that says its name.
fn named(strake: &Strake, name: &str, options: &[&str]) {
    whoami(strake, name, &[options, &["-e", &format!("WHOAMI_NAME={name}")]].concat());
}

fn listens(strake: &Strake, name: &str) {
    let pid = pid(strake, name);
    let open = |table: &str| proc_file(pid, table).contains(":0050 ");
    wait_for("it to listen", || (open("net/tcp") || open("net/tcp6")).then_some(()));
}

/// Does `work` in a container's network.
fn inside<T: Send>(strake: &Strake, name: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", pid(strake, name))).unwrap();
    run_inside(&namespace, work)
}

fn gateway(strake: &Strake, name: &str) -> String {
    inspect(strake, name)["NetworkSettings"]["Gateway"].as_str().unwrap().to_owned()
}

#[test]
fn a_port_is_published_on_ipv6s_loopback_alone() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        let forms = ["-p", "[::1]:8080:80", "-p", "[::1]::80", "-p", "[::1]:8100-8101:79-80"];
        named(&strake, "web", &forms);
        let lines = strake.ok(&["port", "web", "80"]);
        let ports: Vec<u16> =
            lines.lines().map(|line| line.strip_prefix("[::1]:").unwrap().parse().unwrap()).collect();
        assert_eq!(ports.len(), 3, "{lines}");
        for port in ports {
            assert_eq!(who(port).as_deref(), Some("web"), "{port}");
            for host in ["127.0.0.1", "192.0.2.1"] {
                let elsewhere = outside.curl(&format!("http://{host}:{port}/")).code;
                assert!(elsewhere != 0 && TcpStream::connect((host, port)).is_err(), "{host}:{port}");
            }
        }
        // The truth about it: whom the container sees, and that no rule leads there.
        let from = format!("RemoteAddr: {}:", gateway(&strake, "web"));
        assert!(said(8080).unwrap().contains(&from), "{:?}", said(8080));
        let ps = strake.ok(&["ps", "--format", "{{.Ports}}"]);
        assert!(ps.contains("[::1]:8080->80/tcp") && ps.contains("[::1]:8100->79/tcp"), "{ps}");
        let bindings = &inspect(&strake, "web")["NetworkSettings"]["Ports"]["80/tcp"];
        assert!(bindings.as_array().unwrap().iter().any(|b| b["HostIp"] == "::1" && b["HostPort"] == "8080"));
        let reached = strake.ok(&["port", "web", "80", "--who"]);
        let way = reached.lines().skip_while(|line| !line.ends_with("[::1]:8080")).nth(1).unwrap();
        assert!(way.contains("this host  yes") && way.contains("relayed by our companion"), "{reached}");
        let explained = strake.ok(&["explain", "web"]);
        assert!(explained.contains("[::1]:8080") || explained.contains("::1:8080"), "{explained}");
        assert!(explained.contains("takes it and relays"), "{explained}");
        let rules = run(Command::new("nft").args(["list", "ruleset"])).stdout;
        assert!(!rules.contains("8080"), "{rules}");
    });
}

#[test]
fn a_relayed_port_lives_and_ends_with_its_container() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        named(&strake, "web", &["-p", "[::1]:8080:80"]);
        for again in ["restart", "stop", "start"] {
            strake.ok(&[again, "web"]);
            if again == "stop" {
                wait_for("the port to be closed", || TcpStream::connect(at(8080)).is_err().then_some(()));
            } else {
                listens(&strake, "web");
                assert_eq!(who(8080).as_deref(), Some("web"), "{again}");
            }
        }
        let other = ["run", "-d", "--name", "other", "-p", "[::1]:8080:80", "busybox", "sleep", "9"];
        let refused = strake.run(&other);
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains("[::1]:8080/tcp is already used by container web"), "{refused:?}");
        strake.ok(&["network", "disconnect", "bridge", "web"]);
        wait_for("the port to be closed", || TcpStream::connect(at(8080)).is_err().then_some(()));
        strake.ok(&["rm", "-f", "web", "other"]);
        wait_for("the port to be free", || TcpListener::bind(at(8080)).is_ok().then_some(()));
        // And a process of the host that has it is named.
        let _taken = TcpListener::bind(at(8081)).unwrap();
        let refused = strake.run(&["run", "-d", "-p", "8081:80", "busybox", "sleep", "9"]);
        assert_eq!(refused.code, 125);
        let message = "port [::1]:8081/tcp is already used by process";
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
    });
}

#[test]
fn localhost_leads_there_whichever_address_it_means() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        named(&strake, "web", &["-p", "8080:80"]);
        assert_eq!(who(8080).as_deref(), Some("web"));
        let ports = strake.ok(&["ps", "--format", "{{.Ports}}"]);
        assert_eq!(ports, "0.0.0.0:8080->80/tcp, [::1]:8080->80/tcp");
        // A network with IPv6 publishes on all its addresses; loopback is relayed there too.
        strake.ok(&["network", "create", "--ipv6", "--subnet", "fd00:6::/64", "six"]);
        named(&strake, "six", &["--network", "six", "-p", "8081:80"]);
        assert_eq!(who(8081).as_deref(), Some("six"), "a server that listens by IPv4 alone");
        let listener = inside(&strake, "six", || TcpListener::bind("[fd00:6::2]:80").unwrap());
        let asked = std::thread::spawn(|| TcpStream::connect(at(8081)).unwrap());
        let (_, from) = listener.accept().unwrap();
        let gateway = inspect(&strake, "six")["NetworkSettings"]["Networks"]["six"]["IPv6Gateway"].clone();
        assert_eq!(from.ip().to_string(), gateway.as_str().unwrap(), "one that has IPv6");
        drop(asked.join().unwrap());
        let reached = strake.ok(&["port", "six", "--who"]);
        assert!(reached.contains("to [fd00:6::2]:80, relayed by our companion"), "{reached}");
    });
}

#[test]
fn the_relay_comes_back_when_the_companion_is_killed() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        named(&strake, "web", &["-p", "[::1]:8080:80"]);
        for _ in 0..3 {
            let [worker] = wardens(&strake)[..] else { panic!("{:?}", wardens(&strake)) };
            run(Command::new("kill").args(["-9", &worker.to_string()])).ok();
            wait_for("another one", || {
                wardens(&strake).first().is_some_and(|now| *now != worker).then_some(())
            });
            wait_for("the port", || who(8080).filter(|name| name == "web"));
        }
        let all = wait_for("a worker and a standby", || {
            Some(warden_processes(&strake)).filter(|all| all.len() == 2)
        });
        run(Command::new("kill").arg("-9").args(&all)).ok();
        wait_for("nobody to listen", || TcpStream::connect(at(8080)).is_err().then_some(()));
        strake.ok(&["system", "reconcile"]);
        assert_eq!(who(8080).as_deref(), Some("web"));
        strake.ok(&["rm", "-f", "web"]);
        wait_for("it to end with the last", || wardens(&strake).is_empty().then_some(()));
    });
}

#[test]
fn a_half_closed_connection_goes_on_the_other_way() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "echo", &["-p", "[::1]:9000:9000"]);
        let listener = inside(&strake, "echo", || TcpListener::bind("0.0.0.0:9000").unwrap());
        // It answers when all has come, and not before.
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut client = TcpStream::connect(at(9000)).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        server.join().unwrap();
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    });
}

#[test]
fn what_a_container_sent_before_it_ended_arrives() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // What the kernel takes at once: its writer ends, and with it the container.
        let serve = "exec nc -l -p 80 -e head -c 40000 /dev/zero";
        for _ in 0..3 {
            strake.ok(&[
                "run",
                "-d",
                "--rm",
                "--name",
                "once",
                "-p",
                "[::1]:8080:80",
                "busybox",
                "sh",
                "-c",
                serve,
            ]);
            listens(&strake, "once");
            let mut client = TcpStream::connect(at(8080)).unwrap();
            wait_for("its end", || strake.ok(&["ps", "-aq"]).is_empty().then_some(()));
            let count = std::io::copy(&mut client, &mut std::io::sink()).unwrap();
            assert_eq!(count, 40_000);
        }
    });
}

#[test]
fn datagrams_are_relayed_by_source() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "udp", &["-p", "[::1]:5353:53/udp"]);
        assert_eq!(strake.ok(&["port", "udp"]), "53/udp -> [::1]:5353");
        let server = inside(&strake, "udp", || UdpSocket::bind("0.0.0.0:53").unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 2048];
            while let Ok((count, from)) = server.recv_from(&mut bytes) {
                let text = format!("{from} {count}");
                let _ = server.send_to(text.as_bytes(), from);
            }
        });
        let gateway = gateway(&strake, "udp");
        let client = || {
            let socket = UdpSocket::bind("[::1]:0").unwrap();
            socket.connect(at(5353)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            move |bytes: &[u8]| {
                socket.send(bytes).unwrap();
                let mut answer = [0; 64];
                let count = socket.recv(&mut answer).unwrap();
                String::from_utf8_lossy(&answer[..count]).into_owned()
            }
        };
        let (one, other) = (client(), client());
        let (first, second) = (one(&[0; 1000]), other(b"?"));
        assert!(first.starts_with(&gateway) && first.ends_with(" 1000"), "{first}");
        assert_ne!(first.split(' ').next(), second.split(' ').next(), "each has a port of its own");
        assert_eq!(one(b"?").split(' ').next(), first.split(' ').next(), "and keeps it");
        assert!(ask_udp(at(5353)).is_ok());
        strake.ok(&["rm", "-f", "udp"]);
        wait_for("the port to be free", || UdpSocket::bind(at(5353)).is_ok().then_some(()));
    });
}

#[test]
fn nw_18_containers_that_share_a_port_take_turns_at_loopback_too() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        for name in ["one", "two"] {
            named(&strake, name, &["-p", "8080:80", "--publish-shared"]);
        }
        let mut seen: Vec<String> = (0..10).filter_map(|_| who(8080)).collect();
        assert_eq!(seen.len(), 10);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, ["one", "two"]);
        strake.ok(&["stop", "one"]);
        wait_for("the other one to answer alone", || {
            (0..4).all(|_| who(8080).as_deref() == Some("two")).then_some(())
        });
    });
}
