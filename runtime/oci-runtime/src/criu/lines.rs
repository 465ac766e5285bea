//! What CRIU's log says of a failure.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The log's last errors: the first of all are often such that CRIU could live with.
pub(super) fn errors(log: &Path) -> Vec<String> {
    let Ok(file) = File::open(log) else { return Vec::new() };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let mut last = VecDeque::new();
    for found in lines.filter_map(|line| error(&String::from_utf8_lossy(&line))) {
        if last.len() == ERRORS_MAX {
            last.pop_front();
        }
        last.push_back(found);
    }
    last.into()
}

/// `(00.1) Error (criu/x.c:1): what` → `what (criu/x.c:1)`.
fn error(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Error (")?;
    let (place, what) = rest.split_once("): ")?;
    let what = what.trim();
    // The first wants more descriptors than it may have, and goes on with what it has; the last is
    // what we say ourselves.
    let says_nothing = what.starts_with("rlimit: ") || what.ends_with(" FAILED.");
    (!says_nothing).then(|| format!("{what} ({place})"))
}

/// Enough to see the cause; the rest is in the log.
const ERRORS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_errors_alone() {
        for (line, wanted) in [
            ("(00.01) Error (criu/a.c:7): Can't look", Some("Can't look (criu/a.c:7)")),
            ("(00.01)      1: Error (criu/a.c:7): Can't look", Some("Can't look (criu/a.c:7)")),
            ("(00.01) Warn  (criu/a.c:7): Odd", None),
            ("(00.01) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self", None),
            ("(00.01) Error (criu/cr-dump.c:1): Dumping FAILED.", None),
            ("Error", None),
        ] {
            assert_eq!(error(line).as_deref(), wanted);
        }
        assert!(errors(Path::new("/nonexistent/log")).is_empty());
    }
}
