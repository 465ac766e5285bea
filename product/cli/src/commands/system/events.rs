//! `strake events`.

use engine::events::{EventsRequest, Filter};
use serde_json::Value;
use shim::Timestamp;
use shim::events::Event;

use crate::commands::container::time;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Format;

/// Arguments of `strake events`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake events                                   what happens from now on\n  strake events --since 1h --until 0s             what has happened\n  strake events -f type=container -f event=die --format '{{.Actor.Attributes.name}}'"
)]
pub struct Args {
    /// Only those that fit: container=, event=, image=, label=, network=, scope=, type=, volume=
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// json, or a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Those since a moment too: 2026-01-02T13:23:37Z, or 42m for 42 minutes ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those until a moment, which may be to come
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let filter = Filter::parse(&args.filter)?;
    let format = match args.format.as_deref() {
        None | Some("") => Shown::Line,
        Some(text) => match Format::parse(Some(text))? {
            Format::Table | Format::TableTemplate(_) => {
                return Err(CliError::message("--format table is not for events: they come one by one"));
            }
            Format::Json => Shown::Json,
            Format::Template(template) => Shown::Template(template),
        },
    };
    let now = context.now();
    let moment = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| time::parse(option, text, now)).transpose()
    };
    let (since, until) = (moment("--since", &args.since)?, moment("--until", &args.until)?);
    let now = Timestamp::from(now);
    let request = EventsRequest {
        // Docker shows what has happened only to those who name a moment.
        since: since.or_else(|| until.is_none_or(|until| until > now).then_some(now)),
        until,
        follow: until.is_none_or(|until| until > now),
    };
    let mut reader = engine.events(&request)?;
    while let Some(event) = reader.next_event(None)? {
        if filter.takes(&event) {
            format.print(context, &event)?;
            context.flush()?;
        }
    }
    Ok(Status::SUCCESS)
}

enum Shown {
    Line,
    Json,
    Template(template::Template),
}

impl Shown {
    fn print(&self, context: &Context, event: &Event) -> Result<(), CliError> {
        match self {
            Self::Line => context.print_line(line(event)),
            Self::Json => context.print_line(event.to_json()),
            Self::Template(template) => context.print_line(template.render(&fields(event))?),
        }
    }
}

/// What a template may ask for: docker's names, and those of its old clients.
fn fields(event: &Event) -> Value {
    let mut value = event.to_json();
    if let Value::Object(map) = &mut value {
        let copies = [("Scope", "scope"), ("Time", "time"), ("TimeNano", "timeNano"), ("Status", "status")];
        for (to, from) in copies.into_iter().chain([("ID", "id"), ("From", "from")]) {
            let field = map.get(from).cloned().unwrap_or_else(|| "".into());
            map.insert(to.to_owned(), field);
        }
    }
    value
}

/// `TIME container start ID (image=busybox, name=web)`, as docker prints it.
fn line(event: &Event) -> String {
    let attributes = event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}"));
    let attributes: Vec<String> = attributes.collect();
    let mut line = format!("{} {} {}", event.time().fixed(), event.subject.as_str(), event.action);
    for part in [&event.actor.id, &format!("({})", attributes.join(", "))] {
        line.push(' ');
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shim::events::Subject;

    use super::*;
    use template::Template;

    #[test]
    fn prints_as_docker_does() {
        let attributes = [("name", "web"), ("image", "busybox")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut event = Event::new(Subject::Container, "start", "0123", BTreeMap::from(attributes));
        event.time_nano = 1_700_000_000_000_000_005;
        let expected = "2023-11-14T22:13:20.000000005Z container start 0123 (image=busybox, name=web)";
        assert_eq!(line(&event), expected);
        let text =
            "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Scope}} {{.Time}} {{.From}}";
        let shown = Template::parse(text).unwrap().render(&fields(&event)).unwrap();
        assert_eq!(shown, "container start 0123 web local 1700000000 busybox");
    }
}
