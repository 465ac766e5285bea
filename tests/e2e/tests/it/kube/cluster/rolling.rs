//! Row LC-04: updates that no client notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::isolated;

use super::{cluster, member};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n  \
    selector: {matchLabels: {app: web}}\n  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}\n  \
    template:\n    metadata: {labels: {app: web}}\n    spec:\n      terminationGracePeriodSeconds: 10\n      \
    containers:\n      - {name: app, image: strake.local/tools, imagePullPolicy: IfNotPresent, \
    command: [/whoami], ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}}\n\
    ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80}]\n";

/// Clients that together ask so often a second, each time on a new connection.
const CLIENTS: u32 = 10;
const REQUESTS_PER_SECOND: u32 = 500;
const UPDATES: usize = 10;

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

#[test]
fn lc_04_ten_updates_under_load_lose_no_request() {
    isolated(|| {
        let cluster = cluster();
        cluster.apply(WEB);
        cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]).ok();
        let address = format!("{}:80", member(&cluster, "service/web", ".spec.clusterIP"));
        let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        let failures = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(|| {
                        let (begin, mut count, mut failures) = (Instant::now(), 0_u32, Vec::new());
                        while !over.load(Ordering::Relaxed) {
                            if let Err(why) = ask(&address) {
                                failures.push(why);
                            }
                            asked.fetch_add(1, Ordering::Relaxed);
                            count += 1;
                            // The next one's time; a client that was held up does not catch up at once.
                            let due = begin + Duration::from_secs(1) * CLIENTS / REQUESTS_PER_SECOND * count;
                            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                        }
                        failures
                    })
                })
                .collect();
            for update in 0..UPDATES {
                let patch = format!(
                    r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"update":"{update}"}}}}}}}}}}"#
                );
                cluster.kubectl(&["patch", "deployment", "web", "-p", &patch]).ok();
                cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=180s"]).ok();
            }
            over.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|client| client.join().expect("a client")).collect::<Vec<_>>()
        });
        let asked = asked.into_inner();
        println!("{asked} requests during {UPDATES} updates");
        assert!(failures.is_empty(), "{} of {asked} failed: {:?}", failures.len(), failures.first());
    });
}
