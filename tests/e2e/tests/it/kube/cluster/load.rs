//! Clients that ask a Service without a pause, each time on a new connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// They ask so often a second together.
const CLIENTS: u32 = 10;
const REQUESTS_PER_SECOND: u32 = 500;

/// Asks `address` 500 times a second while something is done; not one may fail.
pub(super) fn without_a_failure(address: &str, what: impl FnOnce()) {
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let failures = std::thread::scope(|scope| {
        let client = || {
            let (begin, mut count, mut failures) = (Instant::now(), 0_u32, Vec::new());
            while !over.load(Ordering::Relaxed) {
                failures.extend(ask(address).err());
                asked.fetch_add(1, Ordering::Relaxed);
                count += 1;
                // The next one's time; a client that was held up does not catch up at once.
                let due = begin + Duration::from_secs(1) * CLIENTS / REQUESTS_PER_SECOND * count;
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
            failures
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        // The clients end also when what is done fails, which the scope then tells.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
        over.store(true, Ordering::Relaxed);
        let ends = clients.into_iter().flat_map(|client| client.join().expect("a client"));
        let failures: Vec<String> = ends.collect();
        done.map_or_else(|panic| std::panic::resume_unwind(panic), |()| failures)
    });
    let asked = asked.into_inner();
    println!("{asked} requests");
    assert!(failures.is_empty(), "{} of {asked} failed: {:?}", failures.len(), failures.first());
}

/// One request; an error says what went wrong.
fn ask(address: &str) -> Result<(), String> {
    let wrong = |error: std::io::Error| error.to_string();
    let address = address.parse().map_err(|_| format!("address {address}"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(wrong)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(wrong)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").map_err(wrong)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(wrong)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("answer {answer:?}")) }
}
