//! One reading of what a running container uses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cgroup::Stats;
use shim::Timestamp;

use super::still_there;
use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;
use crate::request::NetworkMode;

/// What a container uses at one moment; rates come from two of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was taken.
    pub read: Timestamp,
    /// What its control group says.
    pub usage: Stats,
    /// What its interfaces have carried, by name, without the loopback. Empty when it has no
    /// network of its own.
    pub networks: BTreeMap<String, NetCounters>,
    /// The host's memory, which is the limit where there is no other.
    pub host_memory_bytes: u64,
}

/// What an interface has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

impl Engine {
    /// Reads what a running container uses.
    pub fn sample(&self, record: &Record) -> Result<Sample, Error> {
        let Some(pid) = record.lifecycle.pid() else {
            return Err(Error::NotRunning { name: record.name.clone() });
        };
        let networks = match record.request.network.mode {
            NetworkMode::Host => BTreeMap::new(),
            _ => counters(&format!("/proc/{pid}/net/dev"))?,
        };
        let usage = self.stats(record)?;
        // Init may have ended by now, and its id, and so the counters, be a stranger's.
        still_there(std::slice::from_ref(record))?;
        Ok(Sample { read: Timestamp::now(), usage, networks, host_memory_bytes: host_memory()? })
    }
}

fn counters(path: &str) -> Result<BTreeMap<String, NetCounters>, Error> {
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let devices = inspect::net::parse_devices(&text)
        .map_err(|error| Error::file("read", &path)(std::io::Error::other(error)))?;
    let carried = devices.into_iter().filter(|device| device.name != "lo").map(|device| {
        let counters = NetCounters { received_bytes: device.received_bytes, sent_bytes: device.sent_bytes };
        (device.name, counters)
    });
    Ok(carried.collect())
}

fn host_memory() -> Result<u64, Error> {
    let path = PathBuf::from("/proc/meminfo");
    let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = kilobytes.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.unwrap_or(0).saturating_mul(1024))
}
