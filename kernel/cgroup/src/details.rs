//! What [`crate::Stats`] leaves out since few ask for it: the whole of `memory.stat`, time by
//! CPU, and huge pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::cgroup::Cgroup;
use crate::stats::table;
use crate::write::read_number;

/// Numbers for monitors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// `memory.stat` as the kernel has it.
    pub memory_stat: BTreeMap<String, u64>,
    /// Nanoseconds used on each CPU; v1 only.
    pub usage_of_cpus_ns: Vec<u64>,
    /// Huge pages, by size as `2MB`.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// In use now.
    pub usage_bytes: u64,
    /// The most that was ever in use; v1 only.
    pub peak_bytes: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
}

impl Cgroup {
    /// Reads them. What cannot be read is empty.
    pub fn details(&self) -> Details {
        let memory_stat =
            self.dir_of("memory").map(|dir| table(&dir.join("memory.stat"))).unwrap_or_default();
        let percpu = self.v1_dir("cpuacct").map(|dir| dir.join("cpuacct.usage_percpu"));
        let percpu = percpu.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        Details {
            memory_stat,
            usage_of_cpus_ns: percpu.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
            hugetlb: self.dir_of("hugetlb").map(hugetlb).unwrap_or_default(),
        }
    }
}

fn hugetlb(dir: &Path) -> BTreeMap<String, HugetlbStats> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let sizes = names.filter_map(|name| {
        let size = name.to_str()?.strip_prefix("hugetlb.")?;
        size.strip_suffix(".limit_in_bytes").or(size.strip_suffix(".max")).map(str::to_owned)
    });
    sizes.filter(|size| !size.contains('.')).map(|size| (size.clone(), hugetlb_of(dir, &size))).collect()
}

fn hugetlb_of(dir: &Path, size: &str) -> HugetlbStats {
    let number = |file: &str| read_number(&dir.join(format!("hugetlb.{size}.{file}")));
    let events = table(&dir.join(format!("hugetlb.{size}.events")));
    HugetlbStats {
        usage_bytes: number("usage_in_bytes").or(number("current")).unwrap_or(0),
        peak_bytes: number("max_usage_in_bytes").unwrap_or(0),
        limit_hits: number("failcnt").or(events.get("max").copied()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_found_by_their_files_in_both_versions() {
        let dir = std::env::temp_dir().join(format!("hugetlb-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in [
            ("hugetlb.2MB.limit_in_bytes", "9"),
            ("hugetlb.2MB.usage_in_bytes", "4194304"),
            ("hugetlb.2MB.failcnt", "3"),
            ("hugetlb.2MB.rsvd.limit_in_bytes", "9"),
            ("hugetlb.1GB.max", "max"),
            ("hugetlb.1GB.current", "0"),
            ("hugetlb.1GB.events", "max 7"),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        let found = hugetlb(&dir);
        fs::remove_dir_all(&dir).unwrap();
        let v1 = HugetlbStats { usage_bytes: 4 << 20, peak_bytes: 0, limit_hits: 3 };
        let v2 = HugetlbStats { limit_hits: 7, ..HugetlbStats::default() };
        assert_eq!(found, BTreeMap::from([("1GB".to_owned(), v2), ("2MB".to_owned(), v1)]));
    }
}
