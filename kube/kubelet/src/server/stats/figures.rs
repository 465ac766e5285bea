//! What was measured.

/// Of all pods that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) pods: Vec<Pod>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// As the API tells it.
    pub(super) started: String,
    pub(super) usage: Usage,
    pub(super) network: Option<Network>,
    pub(super) processes: Option<u64>,
    pub(super) containers: Vec<Container>,
    pub(super) volumes: Vec<Volume>,
}

/// A volume: what the pod holds of its file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) used: u64,
    pub(super) disk: FileSystem,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) id: String,
    /// As the API tells it.
    pub(super) started: String,
    pub(super) usage: Usage,
    /// Bytes and inodes of what it has written into its root.
    pub(super) root: Option<Disk>,
    /// Bytes of its logs.
    pub(super) logs: Option<u64>,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) cpu: Option<Cpu>,
    pub(super) memory: Option<Memory>,
    /// Bytes in swap.
    pub(super) swap: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    /// In nanoseconds since 1970.
    pub(super) time: i64,
    /// Nanoseconds on cores, ever.
    pub(super) cumulative: u64,
    /// Nanocores lately.
    pub(super) rate: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// In nanoseconds since 1970.
    pub(super) time: i64,
    pub(super) working_set: u64,
    pub(super) usage: Option<u64>,
    pub(super) rss: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) page_faults: Option<u64>,
    pub(super) major_page_faults: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) used: u64,
    pub(super) inodes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) time: i64,
    pub(super) interface: String,
    pub(super) received: u64,
    pub(super) received_errors: u64,
    pub(super) sent: u64,
    pub(super) sent_errors: u64,
}

/// Of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) usage: Usage,
    /// In nanoseconds since 1970.
    pub(super) time: i64,
    /// Seconds since 1970.
    pub(super) started: i64,
    pub(super) disk: Option<FileSystem>,
    pub(super) processes: u64,
    pub(super) processes_max: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) capacity: u64,
    pub(super) available: u64,
    pub(super) used: u64,
    pub(super) inodes: u64,
    pub(super) inodes_free: u64,
}

impl Usage {
    /// The sum of parts; what no part has is missing.
    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            if let Some(cpu) = part.cpu {
                let all = sum.cpu.get_or_insert_default();
                all.time = all.time.max(cpu.time);
                all.cumulative += cpu.cumulative;
                all.rate = add(all.rate, cpu.rate);
            }
            if let Some(memory) = part.memory {
                let all = sum.memory.get_or_insert_default();
                all.time = all.time.max(memory.time);
                all.working_set += memory.working_set;
                all.usage = add(all.usage, memory.usage);
                all.rss = add(all.rss, memory.rss);
                all.page_faults = add(all.page_faults, memory.page_faults);
                all.major_page_faults = add(all.major_page_faults, memory.major_page_faults);
            }
            sum.swap = add(sum.swap, part.swap);
        }
        sum
    }
}

fn add(sum: Option<u64>, part: Option<u64>) -> Option<u64> {
    match (sum, part) {
        (Some(sum), Some(part)) => Some(sum.saturating_add(part)),
        (sum, part) => sum.or(part),
    }
}
