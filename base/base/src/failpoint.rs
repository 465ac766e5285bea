//! Named places where a test may end the process at once.
//!
//! The roof arms one name from the environment; code calls [`hit`] at the places
//! where a crash must be survivable. Disarmed, a hit is one relaxed load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

struct Plan {
    name: String,
    skip: AtomicU32,
    die: fn() -> !,
}

/// Arms one failpoint: the hit after `skip` others of that name calls `die`.
///
/// `die` must end the process without unwinding, as SIGKILL does. Only the first
/// call in a process has an effect.
pub fn arm(name: &str, skip: u32, die: fn() -> !) {
    let plan = Plan { name: name.to_owned(), skip: AtomicU32::new(skip), die };
    if PLAN.set(plan).is_ok() {
        ARMED.store(true, Ordering::Release);
    }
}

/// Ends the process here if this failpoint is armed.
#[inline]
pub fn hit(name: &str) {
    if ARMED.load(Ordering::Relaxed) {
        hit_slow(name);
    }
}

#[cold]
fn hit_slow(name: &str) {
    let Some(plan) = PLAN.get() else { return };
    if plan.name != name {
        return;
    }
    let skipped = plan.skip.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
    if skipped.is_err() {
        (plan.die)();
    }
}
