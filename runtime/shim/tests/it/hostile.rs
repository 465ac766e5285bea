//! Clients that do not keep to the protocol.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base::Classified;
use testkit::isolated;

use crate::rig::Rig;

fn raw(rig: &Rig) -> UnixStream {
    let stream = UnixStream::connect(rig.state_dir().join("shim.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn frame(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// Sends bytes; what comes back until the shim closes, or one frame.
fn ask(rig: &Rig, bytes: &[u8]) -> Option<String> {
    let mut stream = raw(rig);
    stream.write_all(bytes).unwrap();
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; u32::from_le_bytes(header) as usize];
    stream.read_exact(&mut body).unwrap();
    Some(String::from_utf8(body).unwrap())
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        let endless = 0xffff_ffff_u32.to_le_bytes();
        let nonsense: [&[u8]; 5] = [&[0; 4], &endless, &frame("nonsense"), &frame("{\"v\":1}"), &frame("[]")];
        for bytes in nonsense {
            assert_eq!(ask(&rig, bytes), None, "{bytes:?}");
        }
        let answered = [
            (r#"{"v":1,"id":7,"call":"dance"}"#, "unsupported"),
            (r#"{"v":2,"id":7,"call":"wait"}"#, "speaks protocol 1"),
            (r#"{"v":1,"id":7,"call":{"kill":{"signal":99}}}"#, "not a signal"),
            (r#"{"v":1,"id":7,"call":{"kill":{"signal":"9"}}}"#, "unsupported"),
            (r#"{"v":1,"id":7,"call":{"adopt":{"state_dir":"/"}}}"#, "conflict"),
            (
                r#"{"v":1,"id":7,"call":{"attach":{"streams":{"stdin":true,"stdout":true,"stderr":true}}}}"#,
                "0 came",
            ),
            (r#"{"v":1,"id":7,"call":{"exec_wait":{"session":5}}}"#, "not_found"),
        ];
        for (text, expected) in answered {
            let answer = ask(&rig, &frame(text)).unwrap();
            assert!(answer.contains(expected) && answer.contains("\"id\":7"), "{text} → {answer}");
        }
        assert_eq!(client.status().unwrap().attached, 0);
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
    });
}

#[test]
fn unfinished_and_flooding_clients_do_not_stall_others() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        let unfinished: Vec<_> = (0..50)
            .map(|_| {
                let mut stream = raw(&rig);
                stream.write_all(&1_000_000_u32.to_le_bytes()).unwrap();
                stream
            })
            .collect();
        // Asks and never reads the answers.
        let mut flooding = raw(&rig);
        flooding.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let status = frame(r#"{"v":1,"id":1,"call":"status"}"#);
        for _ in 0..20_000 {
            if flooding.write_all(&status).is_err() {
                break;
            }
        }
        assert!(client.status().is_ok());
        drop(unfinished);
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
        drop(flooding);
        rig.assert_clean();
    });
}

#[test]
fn descriptors_that_no_call_wants_are_closed() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, started) = rig.run();
        let count = || std::fs::read_dir(format!("/proc/{}/fd", started.shim_pid)).unwrap().count();
        let before = count();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let stream = raw(&rig);
        let call = frame(r#"{"v":1,"id":1,"call":"status"}"#);
        sys::fdpass::send(stream.as_fd(), &call, &[writer.as_fd(), reader.as_fd()]).unwrap();
        drop(writer);
        let mut bytes = [0; 1];
        assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 0, "the shim has closed its copy");
        drop(stream);
        client.status().unwrap();
        assert!(testkit::wait_until(Duration::from_secs(5), || count() == before));
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn cve_2020_15257_another_user_is_turned_away() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(rig.state_dir().join("shim.sock")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o7777, 0o600);
        let dir = std::fs::metadata(rig.state_dir()).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&dir.permissions()) & 0o7777, 0o700);
        // And were the way open, the kernel says who calls.
        let open = |path: &std::path::Path| {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        };
        let socket = rig.state_dir().join("shim.sock");
        open(&socket);
        socket.ancestors().skip(1).take_while(|dir| dir.starts_with(rig.dir.path())).for_each(open);
        let answered = std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_uid(nobody).unwrap();
            let mut stream = UnixStream::connect(&socket).unwrap();
            // It may be closed before it is written to.
            let _ = stream.write_all(&frame(r#"{"v":1,"id":1,"call":"status"}"#));
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            bytes
        });
        assert_eq!(answered.join().unwrap(), b"", "an answer to another user");
        let refused = shim::Client::connect(&rig.dir.join("nowhere")).unwrap_err();
        assert!(refused.is_gone());
        assert_eq!(refused.class(), base::ErrorClass::Unavailable);
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

/// Processor time of a process in ticks: fields 14 and 15 of `/proc/PID/stat`.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn without_descriptors_clients_wait_and_the_shim_does_not_spin() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, started) = rig.run();
        let nofile = sys::rlimit::resource("RLIMIT_NOFILE").unwrap();
        let shim = started.shim_pid;
        let limit = sys::rlimit::prlimit(shim, nofile, None).unwrap();
        let limited = sys::rlimit::Limit { soft: 3, ..limit };
        sys::rlimit::prlimit(shim, nofile, Some(limited)).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| raw(&rig)).collect();
        for stream in &mut waiting {
            stream.write_all(&frame(r#"{"v":1,"id":7,"call":"status"}"#)).unwrap();
        }
        let before = ticks(shim);
        let spins = testkit::wait_until(Duration::from_secs(1), || ticks(shim) > before + 25);
        assert!(!spins, "busy with nothing");
        // Who is connected is served all the time.
        client.status().unwrap();
        sys::rlimit::prlimit(shim, nofile, Some(limit)).unwrap();
        for stream in &mut waiting {
            stream.read_exact(&mut [0; 4]).unwrap();
        }
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}

#[test]
fn a_client_may_not_wait_without_end() {
    isolated(|| {
        let rig = Rig::shell("sleep 1000");
        let (mut client, _) = rig.run();
        let mut greedy = raw(&rig);
        for _ in 0..257 {
            greedy.write_all(&frame(r#"{"v":1,"id":7,"call":"wait"}"#)).unwrap();
        }
        let mut header = [0; 4];
        greedy.read_exact(&mut header).unwrap();
        let mut body = vec![0; u32::from_le_bytes(header) as usize];
        greedy.read_exact(&mut body).unwrap();
        let answer = String::from_utf8(body).unwrap();
        assert!(answer.contains("256 requests"), "{answer}");
        client.kill(9).unwrap();
        assert_eq!(client.wait().unwrap().code, Some(137));
        rig.assert_clean();
    });
}
