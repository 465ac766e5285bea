//! Runs a test body as PID 1 of its own namespaces.

use std::env;
use std::process::Command;

/// The environment variable that says that this process is already the isolated one.
pub const MARK: &str = "STRAKE_TESTKIT_ISOLATED";

/// Runs `body` as PID 1 of fresh pid, mount, network, UTS and IPC namespaces, with its own
/// `/proc`, private mounts and the loopback interface up.
///
/// The calling test is executed again, alone, in those namespaces, and the outcome is taken
/// over. When it ends, by whatever means, the kernel kills what it started and drops what it
/// mounted. Must be the only statement of the test: all that stands outside runs twice.
///
/// # Panics
/// When the body panics, when it does not run, or without root.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
pub fn isolated(body: impl FnOnce()) {
    if is_isolated() {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "cannot bring the loopback interface up");
        return body();
    }
    assert!(rustix::process::geteuid().is_root(), "privileged tests need root");
    let name = test_name();
    let exe = env::current_exe().expect("a running test has an executable");
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"])
        .args(["--propagation", "private", "--mount-proc", "--"])
        .arg(exe)
        .args([name.as_str(), "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("unshare of util-linux is installed");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let ran = stdout.contains("test result: ok. 1 passed");
    if !output.status.success() || !ran {
        panic!("isolated test {name} failed ({})\n--- stdout\n{stdout}\n--- stderr\n{stderr}", output.status);
    }
}

/// Whether this process is an isolated test.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
pub(crate) fn is_isolated() -> bool {
    env::var_os(MARK).is_some()
}

/// The harness names a test's thread after the test. With one test thread it runs them on the
/// main thread, where the name has to come from the command line.
fn test_name() -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => {
            let exact = env::args().any(|arg| arg == "--exact");
            match env::args().skip(1).find(|arg| !arg.starts_with('-')) {
                Some(name) if exact => name,
                _ => panic!("isolated() cannot tell the test's name on one test thread; use two or --exact"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::isolated;

    #[test]
    fn body_is_pid_one_with_its_own_proc_and_loopback() {
        isolated(|| {
            assert_eq!(std::process::id(), 1);
            let own = std::fs::read_to_string("/proc/self/stat").expect("own /proc");
            assert!(own.starts_with("1 "), "{own}");
            let listener =
                std::net::TcpListener::bind("127.0.0.1:80").expect("loopback is up, ports are free");
            drop(listener);
        });
    }

    #[test]
    #[should_panic(expected = "isolated test")]
    fn a_panic_inside_fails_the_test() {
        isolated(|| assert_eq!(std::process::id(), 0, "on purpose"));
    }
}
