//! Whether a process would notice a signal: the masks in `/proc/PID/status`.

/// Says whether the process is PID 1 of its namespace and neither catches `signal` nor
/// keeps it blocked to wait for it: then the kernel drops it (`pid_namespaces(7)`).
pub(super) fn is_deaf_init(pid: i32, signal: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| parse(&status, signal))
}

fn parse(status: &str, signal: i32) -> bool {
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let has = |name: &str| {
        let mask = field(name).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        signal >= 1 && mask & (1 << (signal - 1)) != 0
    };
    let innermost = field("NSpid").and_then(|ids| ids.split_ascii_whitespace().last());
    innermost == Some("1") && !has("SigCgt") && !has("SigBlk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nspid: &str, blocked: u64, caught: u64, deaf: bool) {
        let status = format!(
            "Name:\tx\nNSpid:\t{nspid}\nSigBlk:\t{blocked:016x}\nSigIgn:\t0000000000000000\nSigCgt:\t{caught:016x}\n"
        );
        assert_eq!(parse(&status, 15), deaf);
    }

    #[test]
    fn reads_the_masks() {
        check("811\t1", 0, 0, true);
        check("811\t1", 0, 1 << 14, false);
        check("811\t1", 1 << 14, 0, false);
        check("811\t1", 0, 1 << 1, true);
        check("811", 0, 0, false);
        assert!(!parse("", 15));
    }
}
