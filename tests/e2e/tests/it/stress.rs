//! Many processes at once on the same few names: whoever comes too late is told so, and nothing
//! is left.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use testkit::{Output, Strake, isolated};

use crate::chaos::{Dice, Traces};

/// Processes at a time.
const CLIENTS: u64 = 8;
const DURATION: Duration = Duration::from_secs(8);
const NAMES: [&str; 4] = ["n0", "n1", "n2", "n3"];

/// What a command may say that came too early or too late.
const CLEAR: &[&str] = &[
    "no such container",
    "is already in use by container",
    "is not running",
    "is running",
    "is starting",
    "is being removed",
    "has ended",
    "in a stopped container",
];

/// One random command on one of the names.
fn command(dice: &mut Dice) -> Vec<String> {
    let at = dice.roll(NAMES.len() as u64) as usize;
    let (name, port) = (NAMES[at], format!("{}:80", 8080 + at));
    let args: Vec<&str> = match dice.roll(10) {
        0 | 1 => vec!["run", "-d", "--name", name, "-p", &port, "busybox", "sleep", "3600"],
        2 => vec!["run", "-d", "--rm", "--name", name, "--network", "none", "busybox", "sleep", "0.05"],
        3 | 4 => vec!["rm", "-f", name],
        5 => vec!["stop", "-t", "0", name],
        6 | 7 => vec!["start", name],
        8 => vec!["exec", name, "echo", "hello"],
        _ => vec!["ps", "-a"],
    };
    args.into_iter().map(str::to_owned).collect()
}

/// Whether a command ended in a way that a user can make sense of.
fn is_clear(args: &[String], output: &Output) -> bool {
    match (args[0].as_str(), output.code) {
        ("exec", 0) => output.stdout == "hello\n",
        (_, 0) => true,
        // Nobody's fault and nobody's error: there is always a list.
        ("ps", _) => false,
        // The container was killed while the command ran in it.
        ("exec", 137) => output.stderr.is_empty(),
        // A panic, or a signal.
        (_, 101 | 128..) => false,
        _ => CLEAR.iter().any(|text| output.stderr.contains(text)),
    }
}

/// Runs commands until the time is over; how many, and those that ended unclearly.
fn client(strake: &Strake, mut dice: Dice, unclear: &Mutex<Vec<String>>) -> u64 {
    let until = Instant::now() + DURATION;
    let mut count = 0;
    while Instant::now() < until {
        let args = command(&mut dice);
        let output = strake.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        count += 1;
        if !is_clear(&args, &output) {
            unclear.lock().unwrap().push(format!("strake {}: {output:?}", args.join(" ")));
        }
    }
    count
}

#[test]
fn eight_processes_on_four_names_are_told_clearly_and_leave_nothing() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
        let before = Traces::settled(&strake);
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        let unclear = Mutex::new(Vec::new());
        let count: u64 = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|at| {
                    let dice = Dice(seed.rotate_left(at as u32 * 7) | 1);
                    let (strake, unclear) = (&strake, &unclear);
                    scope.spawn(move || client(strake, dice, unclear))
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        println!("{count} commands");
        let unclear = unclear.into_inner().unwrap();
        assert!(unclear.is_empty(), "seed {seed}, {} of {count}: {unclear:#?}", unclear.len());
        for name in NAMES {
            let removed = strake.run(&["rm", "-f", name]);
            assert!(removed.code == 0 || removed.stderr.contains("no such container"), "{removed:?}");
        }
        // Without `reconcile`: nothing was killed.
        assert_eq!(strake.ok(&["ps", "-aq"]), "", "seed {seed}");
        before.assert_same(&strake);
    });
}
