//! `strake stats`.

use std::collections::BTreeMap;
use std::time::Duration;

use base::ContainerId;
use engine::{Engine, Record, Sample};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing};
use crate::humanize;

/// Arguments of `strake stats`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake stats                      all that run, until Ctrl-C\n  strake stats --no-stream web\n  strake stats --no-stream --format '{{.Name}}: {{.CPUPerc}}'"
)]
pub struct Args {
    /// Names or ids of containers; all that run when none is given
    #[arg(value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Also those that don't run
    #[arg(short = 'a', long)]
    pub all: bool,
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print once and end
    #[arg(long)]
    pub no_stream: bool,
    /// Print everything in full
    #[arg(long)]
    pub no_trunc: bool,
}

const LISTING: Listing<'_> = Listing {
    columns: &[
        Column { field: "Container", heading: "CONTAINER" },
        Column { field: "ID", heading: "CONTAINER ID" },
        Column { field: "Name", heading: "NAME" },
        Column { field: "CPUPerc", heading: "CPU %" },
        Column { field: "MemUsage", heading: "MEM USAGE / LIMIT" },
        Column { field: "MemPerc", heading: "MEM %" },
        Column { field: "NetIO", heading: "NET I/O" },
        Column { field: "BlockIO", heading: "BLOCK I/O" },
        Column { field: "PIDs", heading: "PIDS" },
    ],
    default_fields: &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
};

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let format = Format::parse(args.format.as_deref())?;
    // A name that is wrong is said at once, not as an empty list.
    let wanted = args.containers.iter().map(|name| engine.resolve(name)).collect::<Result<Vec<_>, _>>()?;
    let mut before = samples(engine, &records(engine, args, &wanted)?);
    loop {
        // Rates are those of this second: what is shown is measured over it.
        std::thread::sleep(INTERVAL);
        let records = records(engine, args, &wanted)?;
        let now = samples(engine, &records);
        let rows = records.iter().map(|record| {
            let id = if args.no_trunc { record.id.as_str() } else { record.id.short() };
            row(id, &record.name, before.get(&record.id), now.get(&record.id))
        });
        let rows: Vec<Value> = rows.collect();
        if !args.no_stream && context.stdout_is_terminal() {
            // Home, and clear to the end of the screen.
            context.print(format_args!("\x1b[H\x1b[J"))?;
        }
        LISTING.print(context, &format, &rows)?;
        context.flush()?;
        if args.no_stream {
            return Ok(Status::SUCCESS);
        }
        before = now;
    }
}

fn records(engine: &Engine, args: &Args, wanted: &[ContainerId]) -> Result<Vec<Record>, CliError> {
    let list = engine.list()?.into_iter().map(|listed| listed.record);
    let is_wanted = |record: &Record| match wanted {
        [] => args.all || record.lifecycle.is_running(),
        ids => ids.contains(&record.id),
    };
    Ok(list.filter(is_wanted).collect())
}

fn samples(engine: &Engine, records: &[Record]) -> BTreeMap<ContainerId, Sample> {
    // One that has ended meanwhile uses nothing.
    let samples = records.iter().filter_map(|record| Some((record.id.clone(), engine.sample(record).ok()?)));
    samples.collect()
}

/// What is shown of two readings; zeros for a container that does not run.
fn row(id: &str, name: &str, before: Option<&Sample>, now: Option<&Sample>) -> Value {
    let cpu = before.zip(now).map_or(0.0, |(before, now)| cpu_percent(before, now));
    let (used, limit) = now.map_or((0, 0), memory);
    let percent = if limit == 0 { 0.0 } else { used as f64 / limit as f64 * 100.0 };
    let networks = now.into_iter().flat_map(|now| now.networks.values());
    let (received, sent) = networks.fold((0, 0), |(received, sent): (u64, u64), one| {
        (received.saturating_add(one.received_bytes), sent.saturating_add(one.sent_bytes))
    });
    let devices = now.into_iter().flat_map(|now| &now.usage.io);
    let (read, written) = devices.fold((0, 0), |(read, written): (u64, u64), one| {
        (read.saturating_add(one.read_bytes), written.saturating_add(one.write_bytes))
    });
    json!({
        "Container": id,
        "ID": id,
        "Name": name,
        "CPUPerc": format!("{cpu:.2}%"),
        "MemUsage": format!("{} / {}", humanize::binary_size(used), humanize::binary_size(limit)),
        "MemPerc": format!("{percent:.2}%"),
        "NetIO": format!("{} / {}", humanize::size(received), humanize::size(sent)),
        "BlockIO": format!("{} / {}", humanize::size(read), humanize::size(written)),
        "PIDs": now.and_then(|now| now.usage.pids.current).unwrap_or(0).to_string(),
    })
}

/// Of one processor: 200 is two of them.
fn cpu_percent(before: &Sample, now: &Sample) -> f64 {
    let elapsed = now.read.since(before.read).as_nanos();
    let used = now.usage.cpu.usage_ns.unwrap_or(0).saturating_sub(before.usage.cpu.usage_ns.unwrap_or(0));
    if elapsed == 0 { 0.0 } else { used as f64 / elapsed as f64 * 100.0 }
}

/// Memory in use without the page cache that would go first, and its limit.
fn memory(sample: &Sample) -> (u64, u64) {
    let memory = &sample.usage.memory;
    let usage = memory.usage_bytes.unwrap_or(0);
    let cache = memory.inactive_file_bytes.filter(|cache| *cache < usage).unwrap_or(0);
    (usage - cache, memory.limit_bytes.unwrap_or(u64::MAX).min(sample.host_memory_bytes))
}

/// As docker's.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use cgroup::{CpuStats, IoStats, MemoryStats, PidsStats, Stats};
    use engine::NetCounters;
    use shim::Timestamp;

    use super::*;

    fn sample(second: i64, cpu_ns: u64) -> Sample {
        let memory = MemoryStats {
            usage_bytes: Some(6 << 20),
            inactive_file_bytes: Some(1 << 20),
            limit_bytes: Some(64 << 20),
            ..Default::default()
        };
        let io = |read_bytes| IoStats { read_bytes, write_bytes: 500, ..Default::default() };
        Sample {
            read: Timestamp::from_unix(second, 0),
            usage: Stats {
                memory,
                cpu: CpuStats { usage_ns: Some(cpu_ns), ..Default::default() },
                pids: PidsStats { current: Some(3), ..Default::default() },
                io: vec![io(1500), io(500)],
            },
            networks: BTreeMap::from([(
                "eth0".to_owned(),
                NetCounters { received_bytes: 1092, sent_bytes: 10 },
            )]),
            host_memory_bytes: 1 << 30,
        }
    }

    #[test]
    fn two_readings_make_a_row() {
        let found = row("0123", "web", Some(&sample(10, 0)), Some(&sample(12, 3_000_000_000)));
        let expected = json!({
            "Container": "0123", "ID": "0123", "Name": "web", "CPUPerc": "150.00%",
            "MemUsage": "5MiB / 64MiB", "MemPerc": "7.81%", "NetIO": "1.09kB / 10B",
            "BlockIO": "2kB / 1kB", "PIDs": "3",
        });
        assert_eq!(found, expected);
        let nothing = row("0123", "web", None, None);
        assert_eq!((&nothing["CPUPerc"], &nothing["MemUsage"]), (&"0.00%".into(), &"0B / 0B".into()));
    }

    #[test]
    fn without_a_limit_the_hosts_memory_is_it() {
        let mut open = sample(0, 0);
        open.usage.memory.limit_bytes = None;
        assert_eq!(memory(&open), (5 << 20, 1 << 30));
    }
}
