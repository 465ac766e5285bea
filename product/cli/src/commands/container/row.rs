//! A container as a row of `strake ps`.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use engine::request::PortRequest;
use engine::{Engine, Lifecycle, Listed, Record};
use serde_json::{Value, json};
use shim::{ExitCause, HealthStatus, Timestamp};

use crate::context::Context;
use crate::error::CliError;
use crate::format::{Column, Format, Listing};
use crate::humanize;

/// How rows are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowOptions {
    /// Nothing is shortened.
    pub(crate) full: bool,
    /// Sizes are counted, which takes its time.
    pub(crate) size: bool,
}

const COLUMNS: &[Column] = &[
    Column { field: "ID", heading: "CONTAINER ID" },
    Column { field: "Image", heading: "IMAGE" },
    Column { field: "Command", heading: "COMMAND" },
    Column { field: "CreatedAt", heading: "CREATED AT" },
    Column { field: "RunningFor", heading: "CREATED" },
    Column { field: "Status", heading: "STATUS" },
    Column { field: "State", heading: "STATE" },
    Column { field: "Ports", heading: "PORTS" },
    Column { field: "Names", heading: "NAMES" },
    Column { field: "Size", heading: "SIZE" },
    Column { field: "Labels", heading: "LABELS" },
    Column { field: "Mounts", heading: "MOUNTS" },
    Column { field: "Networks", heading: "NETWORKS" },
    Column { field: "LocalVolumes", heading: "LOCAL VOLUMES" },
    Column { field: "Platform", heading: "PLATFORM" },
];

/// The columns of `ps`.
pub(crate) fn listing(size: bool) -> Listing<'static> {
    const DEFAULT: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
    const WITH_SIZE: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];
    Listing { columns: COLUMNS, default_fields: if size { WITH_SIZE } else { DEFAULT } }
}

/// Whether a template prints the size, which is not counted otherwise.
pub(crate) fn asks_for_size(format: &Format) -> bool {
    match format {
        Format::Template(template) | Format::TableTemplate(template) => {
            template.fields().iter().any(|field| field == "Size")
        }
        Format::Table | Format::Json => false,
    }
}

/// The fields that `format` may print; the others are not made.
pub(crate) fn fields(format: &Format, size: bool) -> Vec<&'static str> {
    match format {
        Format::Table => listing(size).default_fields.to_vec(),
        _ => COLUMNS.iter().map(|column| column.field).chain(["Label"]).collect(),
    }
}

/// One row of these fields.
pub(crate) fn of(
    context: &Context,
    engine: &Engine,
    listed: &Listed,
    (fields, options): (&[&str], RowOptions),
) -> Result<Value, CliError> {
    let value = |field: &&str| Ok(((*field).to_owned(), value(field, context, engine, (listed, options))?));
    fields.iter().map(value).collect::<Result<_, _>>().map(Value::Object)
}

fn value(
    field: &str,
    context: &Context,
    engine: &Engine,
    (listed, options): (&Listed, RowOptions),
) -> Result<Value, CliError> {
    let record = &listed.record;
    let created: SystemTime = to_system_time(record.created);
    Ok(match field {
        "ID" => if options.full { record.id.as_str() } else { record.id.short() }.into(),
        "Image" => record.request.image.clone().into(),
        "Command" => command(record, options.full).into(),
        "CreatedAt" => humanize::created_at(created).into(),
        "RunningFor" => humanize::ago(context.now(), created).into(),
        "Status" => status(record, listed.health, context.now()).into(),
        "State" => record.lifecycle.docker_status().into(),
        "Ports" => ports(listed).into(),
        "Names" => record.name.clone().into(),
        "Size" => size(engine, record, options)?.into(),
        "Labels" => {
            let labels = record.labels();
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",").into()
        }
        "Label" => json!(record.labels()),
        "Mounts" => {
            let mounts = record.mounts.iter().filter_map(|mount| mount_name(mount, options.full));
            mounts.collect::<Vec<_>>().join(",").into()
        }
        "Networks" => record.request.network.names().join(",").into(),
        "LocalVolumes" => record.volumes().count().to_string().into(),
        "Platform" => record.image.platform.clone().into(),
        _ => Value::Null,
    })
}

fn size(engine: &Engine, record: &Record, options: RowOptions) -> Result<String, CliError> {
    if !options.size {
        return Ok("0B".to_owned());
    }
    let own = engine.size_rw(record)?;
    let all = own + engine.size_image(record)?;
    Ok(format!("{} (virtual {})", humanize::size(own), humanize::size(all)))
}

pub(crate) fn to_system_time(time: Timestamp) -> SystemTime {
    let since = std::time::Duration::new(u64::try_from(time.seconds()).unwrap_or(0), time.nanos());
    SystemTime::UNIX_EPOCH + since
}

fn mount_name(mount: &engine::container::MountRecord, full: bool) -> Option<String> {
    use engine::container::MountSource;
    let name = match &mount.source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Volume { name, .. } => name.clone(),
        MountSource::Image { name, .. } => name.clone(),
        MountSource::Tmpfs { .. } => return None,
    };
    Some(if full { name } else { shorten(&name, 15) })
}

fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

fn command(record: &Record, full: bool) -> String {
    let line = record.command_line().join(" ");
    format!("\"{}\"", if full { line } else { shorten(&line, 20) })
}

/// `Up 3 minutes`, `Exited (0) 2 hours ago`, `Created`.
fn status(record: &Record, health: Option<HealthStatus>, now: SystemTime) -> String {
    match &record.lifecycle {
        Lifecycle::Created { .. } | Lifecycle::Starting { .. } => "Created".to_owned(),
        Lifecycle::Running { started_at, paused, .. } => {
            let up = now.duration_since(to_system_time(*started_at)).unwrap_or_default();
            let remark = match (paused, health) {
                (true, _) => " (Paused)".to_owned(),
                (false, Some(HealthStatus::Starting)) => " (health: starting)".to_owned(),
                (false, Some(health)) => format!(" ({})", health.word()),
                (false, None) => String::new(),
            };
            format!("Up {}{remark}", humanize::duration(up))
        }
        Lifecycle::Restarting { exit } => {
            format!(
                "Restarting ({}) {}",
                exit.code.unwrap_or(255),
                humanize::ago(now, to_system_time(exit.at))
            )
        }
        Lifecycle::Exited { exit } => {
            let ago = humanize::ago(now, to_system_time(exit.at));
            match (&exit.cause, exit.code) {
                (ExitCause::Unknown { .. }, None) => format!("Exited (unknown) {ago}"),
                (_, code) => format!("Exited ({}) {ago}", code.unwrap_or(255)),
            }
        }
        Lifecycle::Removing => "Removal In Progress".to_owned(),
    }
}

/// Published ports and those that are only exposed, in docker's form.
fn ports(listed: &Listed) -> String {
    let record = &listed.record;
    if !record.lifecycle.is_running() {
        return String::new();
    }
    let published = listed.attachment.iter().flat_map(|attachment| &attachment.ports).copied();
    let published: Vec<attach::PublishedPort> = published.collect();
    let is_published = |exposed: &PortRequest| {
        let mut all = published.iter();
        all.any(|port| port.container_port == exposed.port && port.protocol == exposed.protocol)
    };
    let mut exposed = engine::exposed_ports(record);
    exposed.retain(|port| !is_published(port));
    shown_ports(&published, &exposed)
}

/// Docker's form: neighbours are one range, `8000-8001/tcp` or `0.0.0.0:8000-8001->8000-8001/tcp`;
/// what is published under another number stands alone, and last.
fn shown_ports(published: &[attach::PublishedPort], exposed: &[PortRequest]) -> String {
    let (same, mut other): (Vec<attach::PublishedPort>, Vec<attach::PublishedPort>) =
        published.iter().partition(|port| port.host_port == port.container_port);
    let exposed = exposed.iter().map(|port| (port.port, None, port.protocol));
    let same = same.iter().map(|port| (port.container_port, Some(port.host_ip), port.protocol));
    let mut single: Vec<(u16, Option<IpAddr>, attach::Protocol)> = exposed.chain(same).collect();
    single.sort_unstable();
    let mut ranges: Vec<PortRange> = Vec::new();
    for (port, host, protocol) in single {
        let of_kind = ranges.iter_mut().rev().find(|range| (range.host, range.protocol) == (host, protocol));
        match of_kind.filter(|range| range.last.checked_add(1) == Some(port)) {
            Some(range) => range.last = port,
            None => ranges.push(PortRange { first: port, last: port, host, protocol }),
        }
    }
    other.sort_by_key(|port| (port.container_port, port.host_ip, port.host_port, port.protocol));
    let texts = ranges.iter().map(ToString::to_string).chain(other.iter().map(ToString::to_string));
    texts.collect::<Vec<_>>().join(", ")
}

/// Neighbouring ports, of the same number on the host where they are published.
struct PortRange {
    first: u16,
    last: u16,
    host: Option<IpAddr>,
    protocol: attach::Protocol,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = match self.last {
            last if last == self.first => last.to_string(),
            last => format!("{}-{last}", self.first),
        };
        match self.host {
            None => {}
            Some(IpAddr::V4(host)) => write!(f, "{host}:{ports}->")?,
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:{ports}->")?,
        }
        write!(f, "{ports}/{}", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use attach::{Protocol, PublishedPort};

    use super::*;

    #[track_caller]
    fn check(published: &[(&str, u16, u16)], exposed: &[u16], expected: &str) {
        let port = |(host, host_port, port): &(&str, u16, u16)| {
            PublishedPort::new(Protocol::Tcp, host.parse().unwrap(), *host_port, *port)
        };
        let published: Vec<_> = published.iter().map(port).collect();
        let exposed: Vec<_> =
            exposed.iter().map(|port| PortRequest { port: *port, protocol: Protocol::Tcp }).collect();
        assert_eq!(shown_ports(&published, &exposed), expected);
    }

    #[test]
    fn neighbouring_ports_are_a_range() {
        let any = "0.0.0.0";
        check(&[(any, 8080, 80)], &[], "0.0.0.0:8080->80/tcp");
        check(
            &[(any, 9001, 81), (any, 9000, 80), (any, 9002, 82)],
            &[],
            "0.0.0.0:9000->80/tcp, 0.0.0.0:9001->81/tcp, 0.0.0.0:9002->82/tcp",
        );
        check(&[(any, 81, 81), (any, 80, 80)], &[], "0.0.0.0:80-81->80-81/tcp");
        check(
            &[(any, 80, 80), (any, 81, 81), ("::", 80, 80), ("::", 81, 81)],
            &[],
            "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp",
        );
        check(&[(any, 65535, 65535)], &[], "0.0.0.0:65535->65535/tcp");
        check(&[], &[7000, 7001, 7002, 7004], "7000-7002/tcp, 7004/tcp");
        check(&[(any, 8001, 7001)], &[7000, 7002], "7000/tcp, 7002/tcp, 0.0.0.0:8001->7001/tcp");
    }
}
