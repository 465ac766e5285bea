//! Published ports as a docker user meets them, and rows NW-05, NW-17 to NW-20.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::registry::Registry;
use testkit::{Strake, ask_udp, images, isolated, run, wait_for};

use crate::nw::{Outside, whoami};
use crate::{inspect, pid, proc_file, sleeper};

/// What `curl` on the host itself says of the URL.
fn curl(url: &str) -> testkit::Output {
    run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "3", url]))
}

/// Who answers: the first line that begins with `Name:` or `Hostname:`.
fn who(said: &str) -> String {
    let name = said.lines().find_map(|line| line.strip_prefix("Name: "));
    name.unwrap_or_else(|| panic!("no name in {said}")).to_owned()
}

/// A web server that says its name, on port 80 of the container.
fn named(strake: &Strake, name: &str, options: &[&str]) {
    whoami(strake, name, &[options, &["-e", &format!("WHOAMI_NAME={name}")]].concat());
}

/// Who answers a container that asks for the URL.
fn fetched(strake: &Strake, container: &str, url: &str) -> String {
    who(&strake.ok(&["exec", container, "wget", "-q", "-O", "-", url]))
}

/// A command in a container's network namespace, of the host's files.
fn in_network_of(strake: &Strake, container: &str, command: &[&str]) -> testkit::Output {
    let net = format!("--net=/proc/{}/ns/net", pid(strake, container));
    run(Command::new("nsenter").arg(net).args(command))
}

/// How often each one answered `count` connections.
fn answers(count: usize, connect: impl Fn() -> String) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for _ in 0..count {
        *all.entry(who(&connect())).or_insert(0) += 1;
    }
    all
}

#[test]
fn ports_in_all_the_forms_that_docker_knows() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        let forms = [
            "-p",
            "8000-8002:80-82",
            "-p",
            "127.0.0.1:9000:80",
            "-p",
            "9001-9005:80",
            "-p",
            "0:80",
            "-p",
            "127.0.0.1::80",
            "-p",
            "published=9100,target=80",
            "-p",
            "5353:53/udp",
        ];
        named(&strake, "web", &forms);
        let lines = strake.ok(&["port", "web"]);
        let ephemeral = |prefix: &str| -> u16 {
            let ports = lines.lines().filter_map(|line| line.strip_prefix(&format!("80/tcp -> {prefix}:")));
            ports.filter_map(|port| port.parse().ok()).find(|port| *port >= 32768).unwrap()
        };
        let (anywhere, local) = (ephemeral("0.0.0.0"), ephemeral("127.0.0.1"));
        for port in [8000, 9001, anywhere, 9100] {
            assert!(outside.curl(&format!("http://192.0.2.1:{port}/")).ok().contains("Hostname"), "{port}");
            assert!(curl(&format!("http://127.0.0.1:{port}/")).ok().contains("Hostname"), "{port} here");
        }
        for port in [9000, local] {
            assert_ne!(outside.curl(&format!("http://192.0.2.1:{port}/")).code, 0, "{port} is local");
            assert!(curl(&format!("http://127.0.0.1:{port}/")).ok().contains("Hostname"), "{port} here");
        }
        assert!(
            lines.contains("53/udp -> 0.0.0.0:5353") && lines.contains("82/tcp -> 0.0.0.0:8002"),
            "{lines}"
        );
        assert_eq!(strake.ok(&["port", "web", "53/udp"]), "0.0.0.0:5353\n[::1]:5353");
        let refused = strake.run(&["port", "web", "99"]);
        refused.exits(1);
        assert!(refused.stderr.contains("no public port '99/tcp' published for web"), "{}", refused.stderr);

        // What is taken is refused, and nothing of the second is left.
        let second = strake.run(&["run", "-d", "--name", "two", "-p", "8000:80", "busybox", "sleep", "9"]);
        assert_eq!(second.code, 125, "{}", second.stderr);
        assert!(
            second.stderr.contains("0.0.0.0:8000/tcp is already used by container web"),
            "{}",
            second.stderr
        );
    });
}

/// Answers each datagram with itself.
const ECHO: &str = r#"use Socket; $| = 1; socket(S, PF_INET, SOCK_DGRAM, 0) or die; bind(S, sockaddr_in(53, INADDR_ANY)) or die;
    print "listens\n"; while ($from = recv(S, $_, 4096, 0)) { send(S, $_, 0, $from) }"#;

#[test]
fn datagrams_go_there_and_come_back() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        strake.ok(&["run", "-d", "--name", "echo", "-p", "5353:53/udp", &debian, "perl", "-e", ECHO]);
        wait_for("it to listen", || strake.ok(&["logs", "echo"]).contains("listens").then_some(()));
        assert_eq!(ask_udp(([127, 0, 0, 1], 5353).into()), Ok("?".to_owned()));
    });
}

#[test]
fn all_exposed_ports_are_published_on_request() {
    isolated(|| {
        let registry = Registry::start();
        let nginx = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let strake = Strake::new();
        strake.ok(&["run", "-d", "--name", "web", "-P", "--expose", "9000-9001/udp", &nginx]);
        let lines: Vec<String> = strake.ok(&["port", "web"]).lines().map(str::to_owned).collect();
        let mut keys: Vec<&str> = lines.iter().filter_map(|line| line.split(" -> ").next()).collect();
        keys.dedup();
        assert_eq!(keys, ["80/tcp", "9000/udp", "9001/udp"], "the image's and those of --expose");
        let first = || strake.ok(&["port", "web", "80"]).lines().next().unwrap().replace("0.0.0.0:", "");
        let port = first();
        let url = format!("http://127.0.0.1:{port}/");
        wait_for("nginx to answer", || (curl(&url).code == 0).then_some(()));
        // After a restart the port may be another, and it answers again.
        strake.ok(&["restart", "web"]);
        let port = first();
        let url = format!("http://127.0.0.1:{port}/");
        wait_for("nginx to answer", || (curl(&url).code == 0).then_some(()));
    });
}

#[test]
fn a_container_reaches_its_own_published_port_and_its_neighbours() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        named(&strake, "web", &["-p", "8080:80"]);
        named(&strake, "other", &["-p", "8081:80"]);
        sleeper(&strake, "client", &[]);
        let gateway = inspect(&strake, "web")["NetworkSettings"]["Gateway"].as_str().unwrap().to_owned();
        for host in ["192.0.2.1", gateway.as_str()] {
            for (port, name) in [("8080", "web"), ("8081", "other")] {
                let url = format!("http://{host}:{port}/");
                assert_eq!(fetched(&strake, "client", &url), name, "a neighbour by {url}");
                let said = in_network_of(&strake, "web", &["curl", "-s", "--max-time", "3", &url]);
                assert_eq!(who(said.ok()), name, "web itself by {url}");
            }
        }
        let seen = outside.curl("http://192.0.2.1:8080/").stdout;
        assert!(seen.contains("RemoteAddr: 192.0.2.2:"), "the client's own address is kept: {seen}");
    });
}

#[test]
fn nw_04_who_decides_about_a_published_port_is_said_per_container() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        let policy = "table inet host { chain input { type filter hook input priority 0; policy drop; \
                      ct state established accept; iif lo accept; }; }";
        run(Command::new("nft").arg(policy)).ok();
        named(&strake, "closed", &["-p", "8080:80"]);
        named(&strake, "open", &["-p", "8081:80", "--publish-policy", "docker"]);
        assert_ne!(outside.curl("http://192.0.2.1:8080/").code, 0);
        assert_eq!(who(outside.curl("http://192.0.2.1:8081/").ok()), "open");
        for (name, policy) in [("closed", "host"), ("open", "docker")] {
            assert_eq!(inspect(&strake, name)["HostConfig"]["PublishPolicy"], policy);
        }
        let mut third = strake.command(&[
            "run",
            "-d",
            "--name",
            "third",
            "-p",
            "8082:80",
            "strake.local/tools",
            "/whoami",
        ]);
        run(third.env("STRAKE_PUBLISH_POLICY", "docker")).ok();
        assert_eq!(inspect(&strake, "third")["HostConfig"]["PublishPolicy"], "docker");
        let wrong = strake.run(&["run", "--publish-policy", "nobody", "strake.local/tools", "/pause"]);
        assert!(wrong.stderr.contains("use host or docker"), "{}", wrong.stderr);
    });
}

/// What `strake port NAME --json` says of one kind of client of the first port.
fn way(strake: &Strake, name: &str, audience: &str) -> serde_json::Value {
    let text = strake.ok(&["port", name, "--json"]);
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let who = all[0]["who"].as_array().unwrap();
    who.iter()
        .find(|way| way["audience"] == audience)
        .unwrap_or_else(|| panic!("{audience} in {text}"))
        .clone()
}

#[test]
fn nw_04_port_says_who_can_reach_it_and_which_rule_decides() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        run(Command::new("nft").arg("add table inet fw; add chain inet fw web; add chain inet fw in { type filter hook input priority 0; policy drop; }; \
             add rule inet fw in ct state established accept; add rule inet fw in iif lo accept; \
             add rule inet fw in tcp dport 8080-8081 jump web; add rule inet fw web tcp dport 8081 accept")).ok();
        for (name, publish) in [("closed", "8080:80"), ("opened", "8081:80"), ("other", "8082:80")] {
            named(&strake, name, &["-p", publish]);
        }
        let reached = |port: u16| outside.curl(&format!("http://192.0.2.1:{port}/")).code == 0;
        for (name, port) in [("closed", 8080), ("opened", 8081), ("other", 8082)] {
            let machines = way(&strake, name, "machines");
            assert_eq!(machines["reachable"], reached(port), "{machines:#}");
            assert_eq!(way(&strake, name, "host")["reachable"], true, "{name}");
        }
        assert!(reached(8081) && !reached(8080));
        let closed = way(&strake, "closed", "machines");
        assert_eq!(closed["fate"], "dropped");
        assert!(closed["decided_by"]["chain"].as_str().unwrap().contains("in"), "{closed:#}");
        let opened = way(&strake, "opened", "machines");
        assert_eq!(opened["decided_by"]["chain"], "publish", "{opened:#}");
        let hooks: Vec<&str> =
            opened["steps"].as_array().unwrap().iter().map(|step| step["hook"].as_str().unwrap()).collect();
        let mut order = hooks.clone();
        order.dedup();
        assert_eq!(order, ["prerouting", "forward", "postrouting"], "{opened:#}");
        let text = strake.ok(&["port", "closed", "--who"]);
        assert!(text.starts_with("80/tcp -> 0.0.0.0:8080\n") && text.contains("this host"), "{text}");
        assert!(text.contains("other machines by out0  no   dropped by"), "{text}");
        let explained = strake.ok(&["explain", "closed"]);
        assert!(explained.contains("other machines by out0: not reached"), "{explained}");
        assert!(explained.contains("this host: reached"), "{explained}");
        // With all rules gone, that is what is said.
        run(Command::new("nft").args(["delete", "table", "inet", "fw"])).ok();
        wait_for("the rules to follow the host's", || {
            (way(&strake, "closed", "machines")["reachable"] == true).then_some(())
        });
        assert!(reached(8080), "and they hold");
    });
}

/// What `explain` says of other machines and a container's published port: the answer, and of each
/// rule that a packet meets its hook, its text, and the chain that holds it.
fn explained(strake: &Strake, name: &str) -> (String, Vec<[String; 3]>) {
    let report: serde_json::Value = serde_json::from_str(&strake.ok(&["explain", name, "--json"])).unwrap();
    let sections = report["sections"].as_array().unwrap().iter();
    let lines = sections.flat_map(|section| section["lines"].as_array().unwrap());
    let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap().to_owned();
    let mut lines = lines.skip_while(|line| !text(line, "value").starts_with("other machines by out0: "));
    let answer = text(lines.next().unwrap(), "value");
    let numbered = lines.enumerate().map_while(|(at, line)| {
        let name = text(line, "name");
        let hook = name.trim_start().strip_prefix(&format!("{}. ", at + 1))?.to_owned();
        Some([hook, text(line, "value"), text(line, "source")])
    });
    (answer, numbered.collect())
}

#[test]
fn explain_shows_the_rules_that_a_packet_meets_in_their_order() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        run(Command::new("nft").arg("add table inet fw; \
             add chain inet fw early { type filter hook prerouting priority -150; policy accept; }; \
             add rule inet fw early tcp dport 8080 counter; \
             add chain inet fw web; add chain inet fw way { type filter hook forward priority 10; policy drop; }; \
             add rule inet fw way ct state established accept; add rule inet fw way tcp dport 80 jump web; \
             add rule inet fw web accept")).ok();
        named(&strake, "web", &["-p", "8080:80"]);
        let address = inspect(&strake, "web")["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
        let (answer, rules) = explained(&strake, "web");
        assert_eq!(answer, "other machines by out0: reached", "{rules:#?}");
        assert_eq!(outside.curl("http://192.0.2.1:8080/").code, 0);
        let mut hooks: Vec<&str> = rules.iter().map(|[hook, ..]| hook.as_str()).collect();
        hooks.dedup();
        assert_eq!(hooks, ["prerouting", "forward", "postrouting"], "{rules:#?}");
        let at = |what: &str, fits: &dyn Fn(&[String; 3]) -> bool| {
            rules.iter().position(fits).unwrap_or_else(|| panic!("{what}: {rules:#?}"))
        };
        let places = [
            at("the host's chain before", &|[_, _, chain]| chain.contains("inet fw early")),
            at("the rewriting", &|[_, text, chain]| text.contains(&address) && chain.contains("ip strake")),
            at("our part of forwarding", &|[hook, _, chain]| {
                hook == "forward" && chain.contains("ip strake")
            }),
            at("the host's part of it", &|[_, _, chain]| chain.contains("inet fw way")),
            at("what that jumps to", &|[_, _, chain]| chain.contains("inet fw web")),
        ];
        assert!(places.is_sorted(), "{places:?}: {rules:#?}");

        // The host's own chain that drops it is the last that is met.
        run(Command::new("nft").args(["flush", "chain", "inet", "fw", "web"])).ok();
        let (answer, rules) = explained(&strake, "web");
        assert_eq!(answer, "other machines by out0: not reached", "{rules:#?}");
        assert_ne!(outside.curl("http://192.0.2.1:8080/").code, 0);
        assert!(rules.last().unwrap()[2].contains("inet fw way"), "{rules:#?}");
    });
}

#[test]
fn flushed_rules_are_back_at_once_and_an_event_tells() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        named(&strake, "web", &["-p", "8080:80"]);
        let reached = || outside.curl("http://192.0.2.1:8080/").code == 0;
        assert!(reached());
        run(Command::new("nft").args(["flush", "ruleset"])).ok();
        let flushed = Instant::now();
        let ours =
            || run(Command::new("nft").args(["list", "table", "ip", "strake"])).stdout.contains("8080");
        wait_for("our table to be back", || ours().then_some(()));
        assert!(flushed.elapsed() < Duration::from_secs(1), "within a second: {:?}", flushed.elapsed());
        assert!(reached());
        let events = wait_for("the event", || {
            let said = strake.ok(&["events", "--since", "10m", "--until", "0s", "--format", "{{json .}}"]);
            said.contains("rules-restored").then_some(said)
        });
        assert!(events.contains("strake"), "{events}");
        // A container of another kind of network needs nobody to watch.
        strake.ok(&["rm", "-f", "web"]);
    });
}

/// Redirects inside a network namespace, as a mesh's init container writes them.
const MESH: &str = "table ip mesh {
    chain in  { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :15006; }
    chain out { type nat hook output priority -100; ip daddr 192.0.2.2 tcp dport 9000 redirect to :15001; }
}";

#[test]
fn nw_05_a_redirect_inside_a_containers_namespace_leads_to_its_sidecar() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        named(&strake, "app", &["-p", "8080:80"]);
        sleeper(&strake, "shell", &["--network", "container:app"]);
        assert_eq!(who(outside.curl("http://192.0.2.1:8080/").ok()), "app");
        for (name, port) in [("inbound", "15006"), ("outbound", "15001")] {
            let variables = [format!("WHOAMI_NAME={name}"), format!("WHOAMI_PORT_NUMBER={port}")];
            strake.ok(&[
                "run",
                "-d",
                "--name",
                name,
                "--network",
                "container:app",
                "-e",
                &variables[0],
                "-e",
                &variables[1],
                "strake.local/tools",
                "/whoami",
            ]);
            let port = format!(":{:04X} ", port.parse::<u16>().unwrap());
            let pid = pid(&strake, name);
            wait_for("the sidecar to listen", || proc_file(pid, "net/tcp").contains(&port).then_some(()));
        }
        let before = run(Command::new("nft").args(["list", "ruleset"])).stdout;
        in_network_of(&strake, "app", &["nft", MESH]).ok();
        assert_eq!(who(outside.curl("http://192.0.2.1:8080/").ok()), "inbound");
        assert_eq!(fetched(&strake, "shell", "http://192.0.2.2:9000/"), "outbound");
        let local = fetched(&strake, "shell", "http://127.0.0.1/");
        assert_eq!(local, "app", "what stays inside is not redirected");
        let after = run(Command::new("nft").args(["list", "ruleset"])).stdout;
        assert_eq!(before, after, "the host's rules know nothing of it");
    });
}

/// A server that says its name, on a port that several may listen on (`SO_REUSEPORT`, 15).
const REUSING: &str = r#"use Socket; $| = 1; socket(S, PF_INET, SOCK_STREAM, 0) or die; setsockopt(S, SOL_SOCKET, 15, pack("i", 1)) or die;
    bind(S, sockaddr_in(8080, INADDR_ANY)) or die "bind: $!"; listen(S, 128) or die; print "listens\n";
    while (accept(C, S)) { syswrite(C, "HTTP/1.0 200 OK\r\n\r\nName: $ARGV[0]\n"); shutdown(C, 1); sysread(C, $_, 4096); close C }"#;

#[test]
fn nw_17_two_containers_listen_on_one_port_of_the_host() {
    isolated(|| {
        let registry = Registry::start();
        let debian = registry.push_layout(&images::debian_layout(), "latest", "debian:1");
        let strake = Strake::new();
        let outside = Outside::new();
        for name in ["one", "two"] {
            strake.ok(&[
                "run",
                "-d",
                "--name",
                name,
                "--network",
                "host",
                &debian,
                "perl",
                "-e",
                REUSING,
                name,
            ]);
            wait_for("it to listen", || strake.ok(&["logs", name]).contains("listens").then_some(()));
        }
        let seen = answers(60, || outside.curl("http://192.0.2.1:8080/").stdout);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["one", "two"], "{seen:?}");
    });
}

#[test]
fn nw_18_one_published_port_spreads_over_two_containers() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        let shared = ["-p", "8080:80", "--publish-shared"];
        named(&strake, "one", &shared);
        let refused = strake.run(&["run", "-d", "-p", "8080:80", "busybox", "sleep", "9"]);
        assert_eq!(refused.code, 125, "a port is not shared unasked: {}", refused.stderr);
        named(&strake, "two", &shared);
        let seen = answers(60, || outside.curl("http://192.0.2.1:8080/").stdout);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["one", "two"], "{seen:?}");
        let here = answers(60, || curl("http://127.0.0.1:8080/").stdout);
        assert_eq!(here.keys().collect::<Vec<_>>(), ["one", "two"], "{here:?}");
        let kept = outside.curl("http://192.0.2.1:8080/").stdout;
        assert!(kept.contains("RemoteAddr: 192.0.2.2:"), "the client's own address is kept: {kept}");
        assert_eq!(strake.ok(&["port", "two"]), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::1]:8080");
        strake.ok(&["stop", "one"]);
        assert_eq!(answers(20, || outside.curl("http://192.0.2.1:8080/").ok().to_owned())["two"], 20);
        strake.ok(&["start", "one"]);
        let pid = pid(&strake, "one");
        wait_for("whoami to listen", || proc_file(pid, "net/tcp").contains(":0050 ").then_some(()));
        let seen = answers(60, || outside.curl("http://192.0.2.1:8080/").stdout);
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["one", "two"], "{seen:?}");
    });
}

/// A line of nginx's for each container that carries the label, by address and by the label's port.
const SERVER: &str = "{{$port := index .Config.Labels \"proxy.port\"}}\
    {{range .NetworkSettings.Networks}}server {{.IPAddress}}:{{$port}};{{end}}";

/// nginx in front of whoever runs and says by a label that it wants to be behind it.
fn upstreams(strake: &Strake) -> String {
    let ids = strake.ok(&["ps", "-q", "--filter", "label=proxy.port"]);
    let inspect = ["inspect", "--format", SERVER];
    let servers = strake.ok(&[&inspect[..], &ids.lines().collect::<Vec<_>>()].concat());
    format!(
        "upstream pool {{ {servers} }} server {{ listen 8080; location / {{ proxy_pass http://pool; \
         proxy_set_header X-Forwarded-For $remote_addr; }} }}"
    )
}

#[test]
fn nw_19_a_reverse_proxy_in_front_has_the_port_and_finds_the_others_by_label() {
    isolated(|| {
        let registry = Registry::start();
        let nginx = registry.push_layout(&images::nginx_layout(), "latest", "nginx:1");
        let strake = Strake::new();
        let outside = Outside::new();
        let behind = |name: &str| named(&strake, name, &["--label", "proxy.port=80"]);
        behind("one");
        behind("two");
        named(&strake, "apart", &[]);
        let file = strake.home().join("pool.conf");
        std::fs::write(&file, upstreams(&strake)).unwrap();
        let mount = format!("{}:/etc/nginx/conf.d/pool.conf:ro", file.display());
        strake.ok(&["run", "-d", "--name", "proxy", "-p", "8080:8080", "-v", &mount, &nginx]);
        wait_for("nginx to answer", || (outside.curl("http://192.0.2.1:8080/").code == 0).then_some(()));
        // None while one does not answer: nginx may still know somebody who has gone.
        let everyone = || -> Option<BTreeSet<String>> {
            let answer = |_| Some(outside.curl("http://192.0.2.1:8080/")).filter(|said| said.code == 0);
            (0..30).map(|at| answer(at).map(|said| who(&said.stdout))).collect()
        };
        let are = |names: &[&str]| everyone().filter(|seen| seen.iter().eq(names)).map(drop);
        wait_for("the two to answer", || are(&["one", "two"]));
        let said = outside.curl("http://192.0.2.1:8080/").stdout;
        assert!(
            said.contains("X-Forwarded-For: 192.0.2.2"),
            "the proxy saw the client's own address: {said}"
        );

        // Events say when the answer is another one.
        let filters = ["--filter", "label=proxy.port", "--filter", "event=start", "--filter", "event=die"];
        let follow = ["events", "--since", "0", "--format", "{{.Action}} {{.Actor.Attributes.name}}"];
        let mut events = strake.command(&[&follow[..], &filters[..]].concat());
        let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
        let mut changes_with = |event: &str, names: &[&str]| {
            while lines.next().unwrap().unwrap() != event {}
            std::fs::write(&file, upstreams(&strake)).unwrap();
            strake.ok(&["exec", "proxy", "nginx", "-s", "reload"]);
            wait_for("the proxy's new configuration", || are(names));
        };
        behind("three");
        changes_with("start three", &["one", "three", "two"]);
        strake.ok(&["stop", "-t", "0", "one"]);
        changes_with("die one", &["three", "two"]);
        events.kill().unwrap();
        events.wait().unwrap();
    });
}

#[test]
fn nw_20_one_of_two_dies_under_load_and_no_new_connection_fails() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        for name in ["one", "two"] {
            named(&strake, name, &["-p", "8080:80", "--publish-shared"]);
        }
        let netns = std::fs::File::open(format!("/proc/{}/ns/net", outside.pid())).unwrap();
        let (stop, killed) = (AtomicBool::new(false), AtomicBool::new(false));
        let victim = i32::try_from(pid(&strake, "one")).unwrap();
        let (failed, after) = std::thread::scope(|scope| {
            let load = || {
                testkit::run_inside(&netns, || {
                    let (mut failed, mut after) = (Vec::new(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let was_killed = killed.load(Ordering::Relaxed);
                        match get() {
                            Ok(()) => after += usize::from(was_killed),
                            Err(error) => failed.push((begun, error)),
                        }
                    }
                    (failed, after)
                })
            };
            let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
            let pid = rustix::process::Pid::from_raw(victim).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            let died = Instant::now();
            killed.store(true, Ordering::Relaxed);
            wait_for("its end to be recorded", || {
                (inspect(&strake, "one")["State"]["Status"] == "exited").then_some(())
            });
            // The load goes on over the whole second in which something may fail, and after.
            let limit = Duration::from_secs(1);
            wait_for("more than a second", || (died.elapsed() > limit * 2).then_some(()));
            stop.store(true, Ordering::Relaxed);
            let all: Vec<_> = loads.into_iter().map(|load| load.join().unwrap()).collect();
            let failed: Vec<_> = all.iter().flat_map(|(failed, _)| failed.iter()).cloned().collect();
            let late: Vec<_> = failed.into_iter().filter(|(begun, _)| *begun > died + limit).collect();
            (late, all.iter().map(|(_, after)| after).sum::<usize>())
        });
        assert!(failed.is_empty(), "new connections failed later than a second after: {failed:?}");
        assert!(after > 100, "the load went on: {after}");
        assert_eq!(strake.ok(&["ps", "--format", "{{.Names}}"]), "two");
    });
}

/// One connection with one answer.
fn get() -> Result<(), String> {
    use std::io::{Read as _, Write as _};
    let limit = Duration::from_secs(3);
    let to = ([192, 0, 2, 1], 8080).into();
    let mut stream = std::net::TcpStream::connect_timeout(&to, limit).map_err(|e| format!("connect: {e}"))?;
    let _ = stream.set_read_timeout(Some(limit));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(|e| format!("write: {e}"))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| format!("read: {e}"))?;
    if text.contains("Name: ") { Ok(()) } else { Err(format!("answer: {text:?}")) }
}

/// Connections for a while; those that failed, with how long after `since` they began.
fn hammer(netns: &std::fs::File, since: Instant, lasts: Duration) -> (usize, Vec<(Duration, String)>) {
    testkit::run_inside(netns, || {
        let (mut good, mut failed) = (0, Vec::new());
        while since.elapsed() < lasts {
            let begun = since.elapsed();
            match get() {
                Ok(()) => good += 1,
                Err(error) => failed.push((begun, error)),
            }
        }
        (good, failed)
    })
}

#[test]
fn nw_20_one_that_waits_to_be_started_again_gets_no_connections() {
    isolated(|| {
        let strake = Strake::new();
        let outside = Outside::new();
        for name in ["one", "two"] {
            named(&strake, name, &["-p", "8080:80", "--publish-shared", "--restart", "always"]);
        }
        let netns = std::fs::File::open(format!("/proc/{}/ns/net", outside.pid())).unwrap();
        // The pause before a restart doubles: after some of them it is longer than what may fail.
        let mut last = 0;
        for round in 1..=5 {
            // Its end may not have been noted yet: another process than the last one.
            let victim = wait_for("one to run", || {
                let state = inspect(&strake, "one")["State"].clone();
                let pid = (state["Status"] == "running").then(|| state["Pid"].as_i64()).flatten();
                pid.filter(|pid| *pid > 1 && *pid != last)
            });
            last = victim;
            let victim = rustix::process::Pid::from_raw(i32::try_from(victim).unwrap()).unwrap();
            rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
            if round == 5 {
                let (good, failed) = hammer(&netns, Instant::now(), Duration::from_millis(1400));
                let late: Vec<_> =
                    failed.iter().filter(|(begun, _)| *begun > Duration::from_secs(1)).collect();
                assert!(late.is_empty(), "failed later than a second after: {late:?}");
                assert!(good > 10, "the other one answers: {good}");
            }
        }
        wait_for("both to answer again", || {
            let said = (0..20).map(|_| outside.curl("http://192.0.2.1:8080/").stdout);
            let seen: BTreeSet<String> =
                said.filter(|said| said.contains("Name: ")).map(|said| who(&said)).collect();
            (seen.len() == 2).then_some(())
        });
    });
}

#[test]
fn a_network_with_ipv6_publishes_on_both_families() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let outside = Outside::new();
        run(Command::new("ip").args(["-6", "address", "add", "2001:db8::1/64", "dev", "out0", "nodad"])).ok();
        outside.run(&["ip", "-6", "address", "add", "2001:db8::2/64", "dev", "in0", "nodad"]).ok();
        strake.ok(&["network", "create", "--ipv6", "--subnet", "fd00:6::/64", "six"]);
        let serve = "mkdir /www; echo here >/www/index.html; exec httpd -f -p 80 -h /www";
        strake.ok(&[
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "six",
            "-p",
            "8080:80",
            "busybox",
            "sh",
            "-c",
            serve,
        ]);
        assert_eq!(strake.ok(&["port", "web"]), "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080");
        let ports = strake.ok(&["ps", "--format", "{{.Ports}}"]);
        assert_eq!(ports, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        for url in ["http://192.0.2.1:8080/", "http://[2001:db8::1]:8080/"] {
            wait_for("httpd to answer", || (outside.curl(url).stdout.trim() == "here").then_some(()));
        }
        assert_eq!(curl("http://localhost:8080/").ok().trim(), "here", "by a name that has both families");
        let refused = strake.run(&["run", "-d", "-p", "[::]:8081:80", "busybox", "sleep", "9"]);
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains("the container's network has no IPv6"), "{}", refused.stderr);
    });
}
