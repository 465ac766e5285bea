//! Bytes between a client and a container: exec, attach, cp, port-forward, logs; by two kubectls, over
//! WebSocket and over SPDY.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use testkit::cluster::Cluster;
use testkit::kube::clients;
use testkit::{Terminal, isolated, run, wait_for};

use super::{cluster, curl, sleeper};

const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
     containers:\n  - {name: app, image: busybox, imagePullPolicy: IfNotPresent, \
     command: [sh, -c, 'ln -s /bin/busybox /bin/tar; echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp']}\n";

/// A kubectl, and what it speaks.
struct Speaker {
    kubectl: PathBuf,
    spdy: bool,
}

/// The newest and an older one, each over WebSocket and over SPDY.
fn speakers() -> Vec<Speaker> {
    let both = [clients().kubectl, clients().kubectl_135];
    let speaker = |kubectl: PathBuf| [false, true].map(|spdy| Speaker { kubectl: kubectl.clone(), spdy });
    both.into_iter().flat_map(speaker).collect()
}

impl Speaker {
    fn command(&self, cluster: &Cluster, args: &[&str]) -> Command {
        let mut command = cluster.command(&self.kubectl, args);
        if self.spdy {
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
            command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        }
        command
    }
}

/// What a command prints that is told `input`.
fn told(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    writer.join().unwrap().unwrap();
    output.stdout
}

/// Bytes without a pattern that a window could hide.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn exec_carries_bytes_and_exit_codes() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        cluster.wait_pod("web");
        let large = noise(3_000_000);
        for speaker in speakers() {
            let exec = |args: &[&str]| speaker.command(&cluster, &[&["exec", "web"], args].concat());
            let both = run(&mut exec(&["--", "sh", "-c", "echo out; echo err >&2; exit 7"]));
            assert_eq!((both.code, both.stdout.as_str()), (7, "out\n"));
            both.says("err").says("command terminated with exit code 7");
            assert!(told(exec(&["-i", "--", "cat"]), &large) == large, "bytes went missing");
            assert_eq!(told(exec(&["-i", "--", "wc", "-c"]), &large), b"3000000\n");
            run(&mut exec(&["--", "/no/such"])).says("/no/such");
            run(&mut exec(&["-c", "other", "--", "ls"])).says("container other is not valid for pod web");
        }
    });
}

#[test]
fn a_terminal_is_one() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        cluster.wait_pod("web");
        for speaker in speakers() {
            let command = speaker.command(&cluster, &["exec", "-it", "web", "--", "sh"]);
            let mut terminal = Terminal::spawn(&command, 33, 111);
            terminal.types("echo to-$((40+2)); stty size\r");
            terminal.expect("to-42");
            terminal.expect("33 111");
            terminal.types("exit 3\r");
            let (said, code) = terminal.wait();
            assert_eq!(code, 3, "{said}");
        }
    });
}

#[test]
fn files_are_copied_both_ways() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        cluster.wait_pod("web");
        let (from, back) = (cluster.home().join("from"), cluster.home().join("back"));
        let bytes = noise(1_500_000);
        std::fs::write(&from, &bytes).unwrap();
        for speaker in speakers() {
            run(&mut speaker.command(&cluster, &["cp", "from", "web:/tmp/there"])).ok();
            run(&mut speaker.command(&cluster, &["cp", "web:/tmp/there", "back"])).ok();
            assert!(std::fs::read(&back).unwrap() == bytes, "bytes went missing");
            std::fs::remove_file(&back).unwrap();
        }
    });
}

#[test]
fn attach_talks_to_the_first_process() {
    isolated(|| {
        let cluster = cluster();
        let loops = "while read line; do echo heard $line; done";
        cluster.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: parrot}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
             containers:\n  - {{name: app, image: busybox, imagePullPolicy: IfNotPresent, stdin: true, \
             command: [sh, -c, '{loops}']}}\n"
        ));
        cluster.wait_pod("parrot");
        for speaker in speakers() {
            let mut command = speaker.command(&cluster, &["attach", "-i", "parrot"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(b"hello\n").unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert!(lines.any(|line| line == "heard hello"));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        cluster.wait_for(
            &["get", "pod", "parrot", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"],
            "0",
        );
    });
}

/// `kubectl port-forward`, and where it listens; killed on drop.
struct Forwarded(Child, String);

impl Drop for Forwarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn forward(mut command: Command) -> Forwarded {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address =
        lines.find_map(|line| Some(line.strip_prefix("Forwarding from ")?.split_once(" -> ")?.0.to_owned()));
    // It stops when nobody reads what it says.
    std::thread::spawn(move || lines.for_each(drop));
    Forwarded(child, address.expect("an address"))
}

#[test]
fn ports_are_forwarded() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        cluster.wait_pod("web");
        for speaker in speakers() {
            let forwarded = forward(speaker.command(&cluster, &["port-forward", "pod/web", ":80"]));
            for _ in 0..10 {
                assert_eq!(curl(&format!("http://{}/", forwarded.1)).ok(), "served");
            }
            let closed = forward(speaker.command(&cluster, &["port-forward", "pod/web", ":81"]));
            assert_ne!(curl(&format!("http://{}/", closed.1)).code, 0);
        }
    });
}

#[test]
fn logs_are_shown_and_followed() {
    isolated(|| {
        let cluster = cluster();
        let counts = "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; sleep 1; echo last; exit 1";
        cluster.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: talker}}\nspec:\n  restartPolicy: OnFailure\n  \
             terminationGracePeriodSeconds: 1\n  containers:\n  \
             - {{name: app, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, '{counts}']}}\n"
        ));
        cluster.wait_pod("talker");
        let logs = |args: &[&str]| cluster.kubectl(&[&["logs", "talker"], args].concat());
        // It ends with the container.
        let followed = logs(&["-f"]);
        assert!(followed.ok().ends_with("oops\nlast"), "{followed:?}");
        let count = "jsonpath={.status.containerStatuses[0].restartCount}";
        wait_for("a restart", || {
            (cluster.kubectl(&["get", "pod", "talker", "-o", count]).ok() != "0").then_some(())
        });
        let previous = wait_for("the log of the container before", || {
            let previous = logs(&["--previous", "--tail=2"]);
            (previous.code == 0).then_some(previous)
        });
        assert_eq!(previous.ok(), "oops\nlast");
        assert_eq!(logs(&["--previous", "--limit-bytes=6"]).stdout, "line 1");
        assert_eq!(logs(&["--previous", "--since-time=2100-01-01T00:00:00Z"]).stdout, "");
        let stamped = logs(&["--previous", "--timestamps", "--tail=1"]);
        let (time, text) = stamped.ok().split_once(' ').expect("a time");
        assert!(time.len() >= 30 && time.starts_with("20"), "{time}");
        assert_eq!(text, "last");
        let refused =
            cluster.kubectl(&["get", "--raw", "/api/v1/namespaces/default/pods/talker/log?tailLines=-1"]);
        refused.says("PodLogOptions \"talker\" is invalid");
        logs(&["-c", "other"]).says("container other is not valid for pod talker");
    });
}

#[test]
fn a_pod_that_waits_has_no_logs_yet() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&sleeper("stuck", &["app"], "").replace("image: busybox", "image: no.such.host/image"));
        let reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
        wait_for("a reason to wait", || {
            cluster.kubectl(&["get", "pod", "stuck", "-o", reason]).stdout.contains("Image").then_some(())
        });
        let refused = cluster.kubectl(&["logs", "stuck"]);
        refused.says("(BadRequest): container \"app\" in pod \"stuck\" is waiting to start: ");
    });
}

/// The messages of a WebSocket until its end, through `kubectl proxy`.
fn websocket(cluster: &Cluster, path: &str, protocol: &str) -> Vec<Vec<u8>> {
    let proxy = proxy(cluster.kubectl_command(&["proxy", "--port=0", "--disable-filter"]));
    let mut stream = TcpStream::connect(&proxy.1).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\r\n",
        proxy.1
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut messages = Vec::new();
    while let Some(message) = frame(&mut reader) {
        messages.push(message);
    }
    messages
}

/// A server's next message; none at the end.
fn frame(reader: &mut impl std::io::Read) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    let mut length = u64::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        reader.read_exact(&mut long).ok()?;
        length = u16::from_be_bytes(long).into();
    }
    assert_ne!(length, 127, "messages here are short");
    let mut message = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut message).ok()?;
    (head[0] & 0x0f != 8).then_some(message)
}

/// Starts `kubectl proxy`; where it listens.
fn proxy(mut command: Command) -> Forwarded {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let address = said.trim().rsplit(' ').next().unwrap().to_owned();
    Forwarded(child, address)
}

/// [sig-node] Pods should support remote command execution over websockets [NodeConformance] [Conformance]
/// [sig-node] Pods should support retrieving logs from the container over websockets [NodeConformance] [Conformance]
#[test]
fn websockets_carry_commands_and_logs() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(&WEB.replace("exec httpd", "echo container is alive; exec httpd"));
        cluster.wait_pod("web");
        let pod = "/api/v1/namespaces/default/pods/web";
        let exec =
            format!("{pod}/exec?stdout=1&stderr=1&container=app&command=echo&command=remote+execution+test");
        for protocol in ["channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"] {
            let messages = websocket(&cluster, &exec, protocol);
            let said: Vec<u8> =
                messages.iter().filter(|it| it[0] == 1).flat_map(|it| it[1..].to_vec()).collect();
            assert_eq!(String::from_utf8(said).unwrap(), "remote execution test\n", "{protocol}");
        }
        let messages = websocket(&cluster, &format!("{pod}/log?container=app"), "binary.k8s.io");
        assert_eq!(String::from_utf8(messages.concat()).unwrap(), "container is alive\n");
    });
}

#[test]
fn nd_04_top_shows_what_is_used() {
    isolated(|| {
        let cluster = cluster();
        let burns = "while :; do :; done";
        cluster.apply(
            &WEB.replace("name: web", "name: busy, labels: {app: busy}")
                .replace("exec httpd", &format!("{burns}; exec httpd")),
        );
        cluster.wait_pod("busy");
        let top = |args: &[&str]| cluster.kubectl(&[&["top"], args].concat());
        let pod = wait_for("figures of the pod", || {
            let shown = top(&["pod", "-l", "app=busy", "--no-headers"]);
            // It burns what it can get of one core, which on a busy machine is less than all of it.
            let cores = shown.stdout.split_whitespace().nth(1)?.strip_suffix('m')?.parse::<u64>().ok()?;
            (cores >= 50).then_some(shown)
        });
        assert!(pod.stdout.contains("Mi"), "{pod:?}");
        let containers = top(&["pod", "busy", "--containers", "--no-headers"]);
        assert!(containers.ok().contains(" app "), "{containers:?}");
        let node = top(&["node", "--no-headers"]);
        let words: Vec<&str> = node.ok().split_whitespace().collect();
        assert_eq!((words[0], words.len()), ("n1", 5), "{node:?}");
        top(&["pod", "nobody"]).says("not found");
    });
}
