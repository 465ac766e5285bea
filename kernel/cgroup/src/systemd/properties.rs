//! From a plan, and from annotations, to the properties of a unit: `systemd.resource-control(5)`. Pure.

use std::collections::BTreeMap;

use crate::devices::{DeviceKind, DevicePolicy, DeviceRule};
use crate::layout::Mode;
use crate::path::SystemdUnit;
use crate::setting::{Place, Plan};

use super::{Properties, SystemdError, Value};

/// What makes a unit with this process the container's; `annotations` may add to it.
pub fn transient_properties<'a>(
    unit: &SystemdUnit,
    pid: i32,
    mode: Mode,
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Properties, SystemdError> {
    let mut properties = BTreeMap::new();
    let mut set = |name: &str, value| properties.insert(name.to_owned(), value);
    set("Description", Value::text(format!("container {}", unit.unit)));
    if unit.is_slice() {
        set("Wants", Value::texts(&[&unit.slice]));
    } else {
        set("Slice", Value::text(&unit.slice));
        set("PIDs", Value::Array("u".to_owned(), vec![Value::U32(pid.cast_unsigned())]));
        // What is below the scope is ours and the container's.
        set("Delegate", Value::Bool(true));
    }
    let io = if mode == Mode::V2 { "IOAccounting" } else { "BlockIOAccounting" };
    for accounting in ["MemoryAccounting", "CPUAccounting", "TasksAccounting", io] {
        set(accounting, Value::Bool(true));
    }
    // It shall not wait for, or go down with, what units of the system do.
    set("DefaultDependencies", Value::Bool(false));
    for (name, text) in annotations {
        let (name, value) = annotated(name, text)?;
        set(&name, value);
    }
    Ok(properties.into_iter().collect())
}

/// `org.systemd.property.NAME`: a value in the text form of GVariant. A time in seconds is also taken
/// for the property in microseconds.
fn annotated(name: &str, text: &str) -> Result<(String, Value), SystemdError> {
    let invalid = || SystemdError::Annotation { name: name.to_owned(), value: text.to_owned() };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(invalid());
    }
    let value = parsed(text.trim()).ok_or_else(invalid)?;
    let Some(stem) = name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')) else {
        return Ok((name.to_owned(), value));
    };
    let micros = match value {
        Value::I32(seconds) => u64::try_from(seconds).ok().and_then(|s| s.checked_mul(1_000_000)),
        Value::U32(seconds) => Some(u64::from(seconds) * 1_000_000),
        Value::I64(seconds) => u64::try_from(seconds).ok().and_then(|s| s.checked_mul(1_000_000)),
        Value::U64(seconds) => seconds.checked_mul(1_000_000),
        Value::F64(seconds) if seconds >= 0.0 => Some((seconds * 1e6) as u64),
        _ => None,
    };
    Ok((format!("{stem}USec"), Value::U64(micros.ok_or_else(invalid)?)))
}

fn parsed(text: &str) -> Option<Value> {
    let quoted = |text: &str| {
        let inner = ['\'', '"'].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q))?;
        (!inner.contains(['\'', '"', '\\'])).then(|| inner.to_owned())
    };
    if let Some(text) = quoted(text) {
        return Some(Value::Text(text));
    }
    if let Some(list) = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items = items.map(|item| quoted(item).map(Value::Text)).collect::<Option<_>>()?;
        return Some(Value::Array("s".to_owned(), items));
    }
    if let Some((kind, number)) = text.split_once(' ') {
        let number = number.trim();
        return match kind {
            "int32" => number.parse().ok().map(Value::I32),
            "uint32" => number.parse().ok().map(Value::U32),
            "int64" => number.parse().ok().map(Value::I64),
            "uint64" => number.parse().ok().map(Value::U64),
            "byte" => number.parse().ok().map(Value::Byte),
            "double" => number.parse().ok().map(Value::F64),
            _ => None,
        };
    }
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        number => number.parse().map(Value::I32).or_else(|_| number.parse().map(Value::F64)).ok(),
    }
}

/// Those of a plan's settings that systemd has properties for: it writes them again whenever it
/// likes, so it has to know them. `devices` is the text of `/proc/devices`.
pub fn resource_properties(plan: &Plan, version: u32, devices: &str) -> Properties {
    let mut properties = Properties::new();
    let mut cpu = CpuTime::default();
    for setting in &plan.settings {
        let (file, value) = match (&setting.otherwise, setting.file.as_str()) {
            (Some((file, value)), "io.bfq.weight") => (file.as_str(), value.as_str()),
            _ => (setting.file.as_str(), setting.value.as_str()),
        };
        let is_v2 = setting.place == Place::V2;
        match file {
            "cpu.max" => cpu.read(value),
            "cpu.cfs_quota_us" => cpu.quota = Some(value.to_owned()),
            "cpu.cfs_period_us" => cpu.period = value.parse().ok(),
            "cpu.idle" if is_v2 && value == "1" && version >= 252 => {
                properties.push(("CPUWeight".to_owned(), Value::U64(0)));
            }
            "cpuset.cpus" | "cpuset.mems" if is_v2 && version >= 244 => {
                let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                properties.extend(mask(value).map(|mask| (name.to_owned(), mask)));
            }
            _ => properties.extend(
                plain(file, is_v2)
                    .zip(number(value))
                    .map(|(name, number)| (name.to_owned(), Value::U64(number))),
            ),
        }
    }
    cpu.properties(version, &mut properties);
    if let Some(policy) = &plan.devices {
        device_properties(policy, devices, &mut properties);
    }
    properties
}

/// Properties that are the file's number.
fn plain(file: &str, is_v2: bool) -> Option<&'static str> {
    Some(match file {
        "memory.max" => "MemoryMax",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.min" => "MemoryMin",
        "memory.swap.max" => "MemorySwapMax",
        "cpu.weight" => "CPUWeight",
        "pids.max" => "TasksMax",
        "io.weight" => "IOWeight",
        "memory.limit_in_bytes" if !is_v2 => "MemoryLimit",
        "cpu.shares" if !is_v2 => "CPUShares",
        "blkio.weight" | "blkio.bfq.weight" if !is_v2 => "BlockIOWeight",
        _ => return None,
    })
}

/// `max` and -1 are no limit. A value for one device is none for all.
fn number(value: &str) -> Option<u64> {
    match value {
        "max" | "-1" => Some(u64::MAX),
        value => value.strip_prefix("default ").unwrap_or(value).parse().ok(),
    }
}

#[derive(Default)]
struct CpuTime {
    quota: Option<String>,
    period: Option<u64>,
}

impl CpuTime {
    /// `cpu.max`: quota, and perhaps the period.
    fn read(&mut self, value: &str) {
        let mut words = value.split_whitespace();
        self.quota = words.next().map(str::to_owned);
        self.period = words.next().and_then(|word| word.parse().ok()).or(self.period);
    }

    fn properties(&self, version: u32, properties: &mut Properties) {
        if let Some(period) = self.period.filter(|_| version >= 242) {
            properties.push(("CPUQuotaPeriodUSec".to_owned(), Value::U64(period)));
        }
        let Some(quota) = self.quota.as_deref().and_then(number) else { return };
        let per_second = match quota {
            u64::MAX => u64::MAX,
            quota => {
                let period = self.period.filter(|period| *period > 0).unwrap_or(PERIOD_DEFAULT);
                // systemd rounds to 10 ms, and would round down.
                (quota.saturating_mul(1_000_000) / period).next_multiple_of(10_000)
            }
        };
        properties.push(("CPUQuotaPerSecUSec".to_owned(), Value::U64(per_second)));
    }
}

/// `0-2,5` as bytes, the lowest number in the lowest bit of the first.
fn mask(list: &str) -> Option<Value> {
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > NUMBER_MAX {
            return None;
        }
        bytes.resize(bytes.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|number| bytes[number / 8] |= 1 << (number % 8));
    }
    Some(Value::Array("y".to_owned(), bytes.into_iter().map(Value::Byte).collect()))
}

/// systemd knows lists of what is allowed only; what a rule takes away again is left to our program.
fn device_properties(policy: &DevicePolicy, devices: &str, properties: &mut Properties) {
    let how = if policy.allow_by_default { "auto" } else { "strict" };
    let allowed = policy.rules.iter().filter(|rule| rule.allow && !policy.allow_by_default);
    let entries = allowed.flat_map(|rule| {
        let kinds = rule.kind.map_or(vec![DeviceKind::Block, DeviceKind::Char], |kind| vec![kind]);
        let access = Value::text(rule.access.to_string());
        kinds.into_iter().filter_map(move |kind| {
            Some(Value::Struct(vec![Value::Text(device_name(rule, kind, devices)?), access.clone()]))
        })
    });
    let entries = Value::Array("(ss)".to_owned(), entries.collect());
    properties.push(("DevicePolicy".to_owned(), Value::text(how)));
    properties.push(("DeviceAllow".to_owned(), entries));
}

fn device_name(rule: &DeviceRule, kind: DeviceKind, devices: &str) -> Option<String> {
    let word = if kind == DeviceKind::Char { "char" } else { "block" };
    match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{word}/{major}:{minor}")),
        (Some(major), None) => group_of(kind, major, devices).map(|name| format!("{word}-{name}")),
        (None, None) => Some(format!("{word}-*")),
        (None, Some(_)) => None,
    }
}

/// The name of a major number in the text of `/proc/devices`.
fn group_of(kind: DeviceKind, major: u32, devices: &str) -> Option<String> {
    let head = if kind == DeviceKind::Char { "Character devices:" } else { "Block devices:" };
    let lines = devices.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.trim().split_once(' '))
        .find_map(|(number, name)| (number.parse() == Ok(major)).then(|| name.trim().to_owned()))
}

const PERIOD_DEFAULT: u64 = 100_000;
/// More CPUs than any kernel is built for.
const NUMBER_MAX: usize = 8191;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, plan, plan_update};

    fn layout(v2: bool) -> Layout {
        let mounts = match v2 {
            true => "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n".to_owned(),
            false => ["cpu", "memory", "pids", "blkio", "cpuset", "devices"]
                .iter()
                .map(|name| format!("1 0 0:1 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"))
                .collect(),
        };
        let mut layout = Layout::parse(&mounts, "0::/\n");
        if let Some(v2) = &mut layout.v2 {
            v2.controllers = ["cpu", "memory", "pids", "io", "cpuset"].map(str::to_owned).to_vec();
        }
        layout
    }

    fn check(v2: bool, resources: &str, version: u32, expected: &[(&str, Value)]) {
        let plan = plan_update(&serde_json::from_str(resources).unwrap(), &layout(v2)).unwrap();
        let expected: Properties =
            expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(resource_properties(&plan, version, ""), expected, "{resources}");
    }

    fn bytes(bytes: &[u8]) -> Value {
        Value::Array("y".to_owned(), bytes.iter().map(|byte| Value::Byte(*byte)).collect())
    }

    #[test]
    fn cg_15_resources_of_v2() {
        let n = Value::U64;
        check(
            true,
            r#"{"memory":{"limit":64,"swap":96,"reservation":32}}"#,
            252,
            &[("MemorySwapMax", n(32)), ("MemoryMax", n(64)), ("MemoryLow", n(32))],
        );
        check(
            true,
            r#"{"cpu":{"quota":25500,"period":100000,"cpus":"0-1,8"}}"#,
            252,
            &[
                ("AllowedCPUs", bytes(&[3, 1])),
                ("CPUQuotaPeriodUSec", n(100_000)),
                ("CPUQuotaPerSecUSec", n(260_000)),
            ],
        );
        check(true, r#"{"cpu":{"quota":-1,"cpus":"0"}}"#, 241, &[("CPUQuotaPerSecUSec", n(u64::MAX))]);
        check(true, r#"{"cpu":{"idle":1}}"#, 252, &[("CPUWeight", n(0))]);
        check(true, r#"{"cpu":{"idle":1}}"#, 251, &[]);
        check(
            true,
            r#"{"pids":{"limit":-1},"blockIO":{"weight":10}}"#,
            252,
            &[("TasksMax", n(u64::MAX)), ("IOWeight", n(1))],
        );
        check(true, r#"{"unified":{"memory.high":"7","io.weight":"8:0 5"}}"#, 252, &[("MemoryHigh", n(7))]);
    }

    #[test]
    fn cg_15_resources_of_v1() {
        let n = Value::U64;
        check(
            false,
            r#"{"memory":{"limit":64},"pids":{"limit":20},"cpu":{"shares":200}}"#,
            252,
            &[("MemoryLimit", n(64)), ("CPUShares", n(200)), ("TasksMax", n(20))],
        );
        check(
            false,
            r#"{"cpu":{"quota":50000},"blockIO":{"weight":300}}"#,
            252,
            &[("BlockIOWeight", n(300)), ("CPUQuotaPerSecUSec", n(500_000))],
        );
    }

    #[test]
    fn cg_15_devices_are_a_list_of_what_is_allowed() {
        let rules = r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":8,"access":"r"},
            {"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}"#;
        let plan = plan(&serde_json::from_str(rules).unwrap(), &Layout::default()).unwrap();
        let devices = "Character devices:\n136 pts\n\nBlock devices:\n  8 sd\n";
        let properties = resource_properties(&plan, 252, devices);
        assert_eq!(properties[0], ("DevicePolicy".to_owned(), Value::text("strict")));
        let Value::Array(signature, entries) = &properties[1].1 else { panic!("{properties:?}") };
        assert_eq!(signature, "(ss)");
        for (name, access) in [
            ("block-sd", "r"),
            ("/dev/char/10:229", "rw"),
            ("char-*", "m"),
            ("/dev/char/1:3", "rwm"),
            ("char-pts", "rwm"),
        ] {
            let entry = Value::Struct(vec![Value::text(name), Value::text(access)]);
            assert!(entries.contains(&entry), "{name}: {entries:?}");
        }
    }

    #[test]
    fn cg_15_a_scope_has_its_process_and_a_slice_its_parent() {
        let of = |raw: &str, annotations: &[(&str, &str)]| {
            let unit = SystemdUnit::parse(raw).unwrap();
            transient_properties(&unit, 42, Mode::V2, annotations.iter().copied())
        };
        let has = |properties: &Properties, name: &str, value: Value| {
            assert!(properties.contains(&(name.to_owned(), value)), "{name}: {properties:?}");
        };
        let scope = of("a.slice:cri:web", &[("TimeoutStopSec", "2"), ("CollectMode", "'inactive'")]).unwrap();
        has(&scope, "Slice", Value::text("a.slice"));
        has(&scope, "PIDs", Value::Array("u".to_owned(), vec![Value::U32(42)]));
        has(&scope, "TimeoutStopUSec", Value::U64(2_000_000));
        has(&scope, "CollectMode", Value::text("inactive"));
        let slice = of("a.slice:cri:a-b.slice", &[]).unwrap();
        has(&slice, "Wants", Value::texts(&["a.slice"]));
        assert!(!slice.iter().any(|(name, _)| name == "PIDs"));
        for (name, value) in
            [("", "1"), ("Wants2", "1"), ("Wants", "[1]"), ("Wants", "x y"), ("FooSec", "'a'")]
        {
            assert!(of("a.slice:p:n", &[(name, value)]).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn values_of_annotations() {
        for (text, value) in [
            ("'a b'", Value::text("a b")),
            ("\"a\"", Value::text("a")),
            ("true", Value::Bool(true)),
            ("-7", Value::I32(-7)),
            ("1.5", Value::F64(1.5)),
            ("uint64 18446744073709551615", Value::U64(u64::MAX)),
            ("['a', 'b']", Value::texts(&["a", "b"])),
            ("[]", Value::texts(&[])),
        ] {
            assert_eq!(parsed(text), Some(value), "{text}");
        }
        for text in ["", "a", "uint64 -1", "['a", "'a'b'", "byte 256", "[a]"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
