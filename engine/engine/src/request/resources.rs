//! How much a container may use.

use std::collections::BTreeMap;

use base::ByteSize;
use serde::{Deserialize, Serialize};

use super::InvalidOption;
use super::blkio::{RateDevice, WeightDevice};

/// Limits and weights; what is missing is not limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequest {
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory and swap together; -1 for no limit on swap.
    pub memory_swap_bytes: Option<i64>,
    /// Soft limit on memory.
    pub memory_reservation_bytes: Option<u64>,
    /// 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// Never kill for lack of memory.
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Weight, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// Scheduling period in microseconds.
    pub cpu_period_us: Option<u64>,
    /// Processor time per period in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// Processors, as in `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    pub cpuset_mems: Option<String>,
    /// Weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Weight of block I/O by device.
    pub blkio_weight_devices: Vec<WeightDevice>,
    /// Bytes read in a second, by device.
    pub read_bps: Vec<RateDevice>,
    /// Bytes written in a second, by device.
    pub write_bps: Vec<RateDevice>,
    /// Reads in a second, by device.
    pub read_iops: Vec<RateDevice>,
    /// Writes in a second, by device.
    pub write_iops: Vec<RateDevice>,
    /// Period of real-time scheduling in microseconds.
    pub cpu_rt_period_us: Option<u64>,
    /// Real-time processor time per period in microseconds.
    pub cpu_rt_runtime_us: Option<i64>,
    /// Processes; negative for no limit.
    pub pids_limit: Option<i64>,
    /// `setrlimit(2)`.
    pub ulimits: Vec<Ulimit>,
    /// Bytes of huge pages, by their size as `2MB`.
    pub hugepage_limits: BTreeMap<String, u64>,
    /// Files of cgroup v2 and what is written to them.
    pub unified: BTreeMap<String, String>,
    /// Control group below which the container's is made.
    pub cgroup_parent: Option<String>,
}

/// A limit of `setrlimit(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `core`…
    pub name: String,
    /// The limit that counts.
    pub soft: u64,
    /// How far it can be raised.
    pub hard: u64,
}

/// Names of limits, without `RLIMIT_`.
const LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Ulimit {
    /// Reads `NAME=SOFT[:HARD]`; -1 and `unlimited` mean no limit.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let wrong = |why: String| InvalidOption::new("--ulimit", text, why);
        let usage = || {
            wrong(format!("invalid ulimit argument: {text}; use NAME=SOFT[:HARD], as in nofile=1024:2048"))
        };
        let (name, limits) = text.split_once('=').ok_or_else(usage)?;
        if !LIMITS.contains(&name) {
            return Err(wrong(format!("invalid ulimit type: {name}; use one of {}", LIMITS.join(", "))));
        }
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(u64::MAX),
            text => text.parse::<u64>().map_err(|_| usage()),
        };
        let (soft, hard) = match limits.split_once(':') {
            None => (number(limits)?, number(limits)?),
            Some((_, more)) if more.contains(':') => {
                return Err(wrong(format!(
                    "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
                )));
            }
            Some((soft, hard)) => (number(soft)?, number(hard)?),
        };
        if soft > hard {
            return Err(wrong(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        Ok(Self { name: name.to_owned(), soft, hard })
    }
}

impl ResourceRequest {
    /// Checks what single values cannot show.
    pub fn validate(&self) -> Result<(), InvalidOption> {
        self.check_memory()?;
        self.check_cpu()?;
        if let Some(weight) = self.blkio_weight.filter(|weight| *weight != 0 && !(10..=1000).contains(weight))
        {
            return wrong("--blkio-weight", &weight, "Range of blkio weight is from 10 to 1000");
        }
        if let Some(adj) = self.oom_score_adj.filter(|adj| !(-1000..=1000).contains(adj)) {
            return wrong("--oom-score-adj", &adj, "Invalid value, range for oom score adj is [-1000, 1000]");
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), InvalidOption> {
        if let Some(memory) = self.memory_bytes {
            check_memory(memory, &memory.to_string())?;
        }
        match (self.memory_swap_bytes, self.memory_bytes) {
            (Some(swap), None) if swap > 0 => {
                let why =
                    "You should always set the Memory limit when using Memoryswap limit: give --memory too";
                return wrong("--memory-swap", &swap, why);
            }
            (Some(swap), Some(memory)) if swap > 0 && (swap as u64) < memory => {
                let why = "Minimum memoryswap limit should be larger than memory limit: it is memory and swap together";
                return wrong("--memory-swap", &swap, why);
            }
            _ => {}
        }
        if let Some(soft) = self.memory_reservation_bytes {
            if soft < MEMORY_MIN {
                let why = "Minimum memory reservation allowed is 6MB: give at least 6m";
                return wrong("--memory-reservation", &soft, why);
            }
            if self.memory_bytes.is_some_and(|memory| soft > memory) {
                let why = "Minimum memory limit can not be less than memory reservation limit: lower it, or raise --memory";
                return wrong("--memory-reservation", &soft, why);
            }
        }
        match self.memory_swappiness.filter(|n| *n > 100) {
            Some(n) => {
                wrong("--memory-swappiness", &n, "Invalid value, valid memory swappiness range is 0-100")
            }
            None => Ok(()),
        }
    }

    fn check_cpu(&self) -> Result<(), InvalidOption> {
        if self.nano_cpus.is_some() && self.cpu_period_us.is_some() {
            let why = "Conflicting options: Nano CPUs and CPU Period cannot both be set: leave out one of --cpus and --cpu-period";
            return wrong("--cpus", &self.cpus_text(), why);
        }
        if self.nano_cpus.is_some() && self.cpu_quota_us.is_some() {
            let why = "Conflicting options: Nano CPUs and CPU Quota cannot both be set: leave out one of --cpus and --cpu-quota";
            return wrong("--cpus", &self.cpus_text(), why);
        }
        if let (Some(runtime), Some(period)) = (self.cpu_rt_runtime_us, self.cpu_rt_period_us)
            && u64::try_from(runtime).is_ok_and(|runtime| runtime > period)
        {
            let why = "CPU real-time runtime cannot be higher than CPU real-time period: lower it, or raise --cpu-rt-period";
            return wrong("--cpu-rt-runtime", &runtime, why);
        }
        if let Some(period) = self.cpu_period_us.filter(|period| !(1_000..=1_000_000).contains(period)) {
            let why = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)";
            return wrong("--cpu-period", &period, why);
        }
        if let Some(quota) = self.cpu_quota_us.filter(|quota| (1..1_000).contains(quota)) {
            return wrong("--cpu-quota", &quota, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
        }
        for (option, what, list) in
            [("--cpuset-cpus", "cpus", &self.cpuset_cpus), ("--cpuset-mems", "mems", &self.cpuset_mems)]
        {
            if let Some(list) = list.as_ref().filter(|list| !is_number_list(list)) {
                let why = format!("Invalid value for cpuset {what}: use numbers and ranges, as in 0-2,4");
                return Err(InvalidOption::new(option, list, why));
            }
        }
        Ok(())
    }

    fn cpus_text(&self) -> String {
        self.nano_cpus.map_or(String::new(), |nano| (nano as f64 / 1e9).to_string())
    }
}

fn wrong(
    option: &'static str,
    value: &dyn std::fmt::Display,
    why: &'static str,
) -> Result<(), InvalidOption> {
    Err(InvalidOption::new(option, &value.to_string(), why))
}

fn is_number_list(text: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n < 65536);
    text.split(',').all(|part| match part.split_once('-') {
        None => number(part).is_some(),
        Some((first, last)) => matches!((number(first), number(last)), (Some(a), Some(b)) if a <= b),
    })
}

/// Reads `--cpus`: a decimal number of processors, as billionths.
pub fn nano_cpus(text: &str) -> Result<Option<u64>, InvalidOption> {
    let wrong = |why: &'static str| InvalidOption::new("--cpus", text, why);
    let value: f64 = text.parse().map_err(|_| wrong("use a number of processors, as in 0.5"))?;
    // Docker's default, which means no limit.
    if value == 0.0 {
        return Ok(None);
    }
    if !(0.01..=65536.0).contains(&value) {
        return Err(wrong("use at least 0.01 and at most what the host has"));
    }
    Ok(Some((value * 1e9).round() as u64))
}

/// Reads `--memory`; 0 is no limit.
pub fn memory_limit(text: &str) -> Result<Option<u64>, InvalidOption> {
    let size = ByteSize::parse(text).map_err(|why| InvalidOption::new("--memory", text, why.to_string()))?;
    if size.0 == 0 {
        return Ok(None);
    }
    check_memory(size.0, text)?;
    Ok(Some(size.0))
}

fn check_memory(bytes: u64, given: &str) -> Result<(), InvalidOption> {
    if bytes < MEMORY_MIN {
        let why = "Minimum memory limit allowed is 6MB: give at least 6m";
        return Err(InvalidOption::new("--memory", given, why));
    }
    Ok(())
}

/// What docker demands too.
const MEMORY_MIN: u64 = 6 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ulimits() {
        let limit = Ulimit::parse("nofile=1024:2048").unwrap();
        assert_eq!((limit.soft, limit.hard), (1024, 2048));
        assert_eq!(Ulimit::parse("core=-1").unwrap().hard, u64::MAX);
        for text in ["", "nofile", "frob=1", "nofile=2:1", "nofile=x"] {
            assert!(Ulimit::parse(text).is_err(), "{text}");
        }
        for (text, why) in [
            ("nofile", "invalid ulimit argument: nofile"),
            ("frob=1", "invalid ulimit type: frob"),
            ("nofile=1:2:3", "too many limit value arguments - 1:2:3"),
            ("nofile=2:1", "soft limit must be less than or equal to hard limit: 2 > 1"),
        ] {
            let error = Ulimit::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn reads_cpus() {
        assert_eq!(nano_cpus("0.5"), Ok(Some(500_000_000)));
        assert_eq!(nano_cpus("0"), Ok(None));
        for text in ["", "-1", "NaN", "x"] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_memory_and_refuses_it_as_typed() {
        assert_eq!(memory_limit("0"), Ok(None));
        assert_eq!(memory_limit("6m"), Ok(Some(6 << 20)));
        let refused = memory_limit("1k").unwrap_err().to_string();
        assert!(refused.starts_with("--memory \"1k\" ") && refused.contains("at least 6m"), "{refused}");
        assert!(memory_limit("x").is_err());
    }

    #[test]
    fn checks_what_belongs_together() {
        let good = ResourceRequest {
            memory_bytes: Some(64 << 20),
            memory_swap_bytes: Some(-1),
            ..Default::default()
        };
        assert_eq!(good.validate(), Ok(()));
        for bad in [
            ResourceRequest { memory_bytes: Some(1 << 20), ..Default::default() },
            ResourceRequest { memory_swap_bytes: Some(1 << 30), ..Default::default() },
            ResourceRequest {
                memory_bytes: Some(64 << 20),
                memory_swap_bytes: Some(1 << 20),
                ..Default::default()
            },
            ResourceRequest { nano_cpus: Some(1), cpu_quota_us: Some(5000), ..Default::default() },
            ResourceRequest { cpuset_cpus: Some("1-".to_owned()), ..Default::default() },
            ResourceRequest { cpu_period_us: Some(10), ..Default::default() },
            ResourceRequest { blkio_weight: Some(5), ..Default::default() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        let says = |request: ResourceRequest, why: &str| {
            let error = request.validate().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        let nothing = ResourceRequest::default;
        says(
            ResourceRequest { nano_cpus: Some(1), cpu_period_us: Some(5000), ..nothing() },
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        );
        says(
            ResourceRequest { cpu_rt_runtime_us: Some(2), cpu_rt_period_us: Some(1), ..nothing() },
            "CPU real-time runtime cannot be higher than CPU real-time period",
        );
        says(
            ResourceRequest { memory_reservation_bytes: Some(1), ..nothing() },
            "Minimum memory reservation allowed is 6MB",
        );
        says(ResourceRequest { oom_score_adj: Some(1001), ..nothing() }, "[-1000, 1000]");
    }
}
