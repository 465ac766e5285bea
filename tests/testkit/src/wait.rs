//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Looks at `condition` until it holds; false when `limit` has passed first.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Looks until `find` finds something.
///
/// # Panics
/// When 30 seconds have passed without; `what` is in the message.
pub fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until(Duration::from_secs(30), || {
        found = find();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("waited 30 s in vain for {what}"))
}
