//! `update`: other resources for a container that runs, from options or as JSON.

use std::io::Read;

use anyhow::Context;
use oci_runtime::Runtime;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value};

use super::id;
use crate::args::Invocation;
use crate::log::Log;

/// `update`.
pub(crate) fn update(runtime: &Runtime, invocation: &Invocation, log: &Log) -> anyhow::Result<u8> {
    let id = id(invocation)?;
    let resources = match invocation.value("resources").filter(|file| !file.is_empty()) {
        Some(file) => read(file)?,
        None => from_options(invocation)?,
    };
    let schemata: Vec<String> = ["l3-cache-schema", "mem-bw-schema"]
        .iter()
        .filter_map(|option| invocation.value(option).filter(|schema| !schema.is_empty()))
        .map(str::to_owned)
        .collect();
    if !schemata.is_empty() {
        runtime.update_rdt(&id, &schemata)?;
    }
    for warning in runtime.update(&id, &resources)? {
        log.warn(&warning);
    }
    Ok(0)
}

fn read(file: &str) -> anyhow::Result<LinuxResources> {
    let mut text = String::new();
    match file {
        "-" => std::io::stdin().read_to_string(&mut text).context("read resources from stdin")?,
        path => std::fs::File::open(path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .with_context(|| format!("read resources from {path}"))?,
    };
    serde_json::from_slice(text.as_bytes()).context("the resources are not those of the runtime-spec")
}

/// The options as the resources that they stand for.
fn from_options(invocation: &Invocation) -> anyhow::Result<LinuxResources> {
    let mut groups: Map<String, Value> = Map::new();
    for (option, group, field, form) in OPTIONS {
        let Some(text) = invocation.value(option).filter(|text| !text.is_empty()) else { continue };
        let value = form.parse(text).with_context(|| format!("invalid value for {option}"))?;
        let group = groups.entry(*group).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(fields) = group {
            fields.insert((*field).to_owned(), value);
        }
    }
    let text = serde_json::to_vec(&Value::Object(groups))?;
    serde_json::from_slice(&text).context("the options are no resources")
}

/// How the value of an option is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Unsigned,
    Signed,
    /// As `64M`; -1 is no limit.
    Bytes,
}

impl Form {
    fn parse(self, text: &str) -> anyhow::Result<Value> {
        Ok(match self {
            Self::Text => text.into(),
            Self::Unsigned => text.parse::<u64>()?.into(),
            Self::Signed => text.parse::<i64>()?.into(),
            Self::Bytes if text == "-1" => (-1).into(),
            Self::Bytes => base::ByteSize::parse(text)?.0.into(),
        })
    }
}

const OPTIONS: &[(&str, &str, &str, Form)] = &[
    ("blkio-weight", "blockIO", "weight", Form::Unsigned),
    ("cpu-period", "cpu", "period", Form::Unsigned),
    ("cpu-quota", "cpu", "quota", Form::Signed),
    ("cpu-burst", "cpu", "burst", Form::Unsigned),
    ("cpu-share", "cpu", "shares", Form::Unsigned),
    ("cpu-rt-period", "cpu", "realtimePeriod", Form::Unsigned),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", Form::Signed),
    ("cpu-idle", "cpu", "idle", Form::Signed),
    ("cpuset-cpus", "cpu", "cpus", Form::Text),
    ("cpuset-mems", "cpu", "mems", Form::Text),
    ("memory", "memory", "limit", Form::Bytes),
    ("memory-reservation", "memory", "reservation", Form::Bytes),
    ("memory-swap", "memory", "swap", Form::Bytes),
    ("pids-limit", "pids", "limit", Form::Signed),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> anyhow::Result<LinuxResources> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        from_options(&crate::args::parse(&args).unwrap())
    }

    #[test]
    fn options_become_resources() {
        let got = of("update web --memory 64M --memory-swap -1 --cpu-quota -1 --cpu-share 200 --cpuset-cpus 0-1 --pids-limit -1").unwrap();
        let memory = got.memory().as_ref().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(-1)));
        let cpu = got.cpu().as_ref().unwrap();
        assert_eq!((cpu.quota(), cpu.shares(), cpu.cpus().as_deref()), (Some(-1), Some(200), Some("0-1")));
        assert_eq!(got.pids().as_ref().unwrap().limit(), -1);
        assert!(of("update web --cpu-period x").is_err());
        assert!(of("update web --memory 1X").is_err());
        let memory = of("update web --memory 1.5g --memory-reservation 2KiB").unwrap().memory().unwrap();
        assert_eq!((memory.limit(), memory.reservation()), (Some(3 << 29), Some(2048)));
    }
}
