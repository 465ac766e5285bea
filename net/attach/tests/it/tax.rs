//! What the way between pods of two nodes costs, beside the way between the nodes themselves. Printed; nothing
//! about time is asserted.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use attach::Mode;
use testkit::{TempDir, isolated};

use crate::pods::nodes;
use crate::world::Netns;

const BYTES: usize = 256 << 20;
const PIECE: usize = 128 << 10;

/// How fast the bytes came, and what processor time they took of this process, which is both ends.
struct Flow {
    gbits_per_second: f64,
    cpu_percent: f64,
}

fn flow(from: &Netns, to: &Netns, at: Ipv4Addr) -> Flow {
    let listener = to.run(|| TcpListener::bind(("0.0.0.0", 9)).expect("bind"));
    let (cpu, began) = (cpu_time(), Instant::now());
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut buffer, mut count) = (vec![0; PIECE], 0);
        loop {
            match stream.read(&mut buffer).expect("bytes") {
                0 => return count,
                read => count += read,
            }
        }
    });
    from.run(move || {
        let mut stream = TcpStream::connect((at, 9)).expect("connect");
        let piece = vec![7; PIECE];
        (0..BYTES / PIECE).for_each(|_| stream.write_all(&piece).expect("write"));
    });
    assert_eq!(receiver.join().expect("no panic"), BYTES, "every byte comes through");
    let took = began.elapsed().as_secs_f64();
    let cpu = (cpu_time() - cpu).as_secs_f64();
    Flow { gbits_per_second: BYTES as f64 * 8.0 / took / 1e9, cpu_percent: cpu / took * 100.0 }
}

/// Of all threads of this process, as user and in the kernel.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("own times");
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

/// What is to be told of the way between pods in this mode, and of the way between their nodes.
fn tax(name: &str, mode: Mode) -> String {
    let dir = TempDir::new();
    let nodes = nodes(2, dir.path(), mode);
    let (one, _) = nodes[0].add("one", &[]);
    let (two, two_at) = nodes[1].add("two", &[]);
    let bare = flow(&nodes[0].netns, &nodes[1].netns, nodes[1].address);
    let pods = flow(&one, &two, two_at);
    let told = |(what, flow): (&str, Flow)| {
        format!("{what}: {:.1} Gbit/s, {:.0} % of a core\n", flow.gbits_per_second, flow.cpu_percent)
    };
    [("node to node", bare), (name, pods)].map(told).concat()
}

#[test]
fn nw_10_what_an_overlay_costs() {
    isolated(|| print!("{}", tax("pod to pod over VXLAN", Mode::VXLAN)));
}

#[test]
fn nw_10_what_direct_routes_cost() {
    isolated(|| print!("{}", tax("pod to pod over direct routes", Mode::Direct)));
}
