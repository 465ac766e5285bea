//! `strake volume ls`.

use std::collections::BTreeSet;

use engine::Volume;
use regex::Regex;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing};

/// Arguments of `strake volume ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake volume ls\n  strake volume ls --format '{{.Name}}'")]
pub struct Args {
    /// Only those that fit: dangling=, driver=, label=, name=
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Only names
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

const LISTING: Listing<'_> = Listing {
    columns: &[
        Column { field: "Driver", heading: "DRIVER" },
        Column { field: "Name", heading: "VOLUME NAME" },
        Column { field: "Mountpoint", heading: "MOUNTPOINT" },
        Column { field: "Scope", heading: "SCOPE" },
        Column { field: "Labels", heading: "LABELS" },
        Column { field: "Links", heading: "LINKS" },
        Column { field: "Size", heading: "SIZE" },
        Column { field: "Availability", heading: "AVAILABILITY" },
        Column { field: "Group", heading: "GROUP" },
        Column { field: "Status", heading: "STATUS" },
    ],
    default_fields: &["Driver", "Name"],
};

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut volumes = engine.volumes()?;
    if !filters.is_empty() {
        let list = engine.list()?;
        let used: BTreeSet<&str> = list.iter().flat_map(|listed| listed.record.volumes()).collect();
        volumes.retain(|volume| takes(&filters, volume, used.contains(volume.name.as_str())));
    }
    if args.quiet {
        volumes.iter().try_for_each(|volume| context.print_line(&volume.name))?;
        return Ok(Status::SUCCESS);
    }
    let rows = volumes.iter().map(|volume| {
        let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({
            "Driver": "local", "Name": volume.name, "Mountpoint": engine.volume_data(&volume.name),
            "Scope": "local", "Labels": labels.join(","), "Label": volume.labels,
            // Docker's words for what a list does not count, and what only clusters have.
            "Links": "N/A", "Size": "N/A", "Availability": "N/A", "Group": "N/A", "Status": "N/A",
        })
    });
    let rows: Vec<Value> = rows.collect();
    LISTING.print(context, &Format::parse(args.format.as_deref())?, &rows)?;
    Ok(Status::SUCCESS)
}

/// One `--filter`.
#[derive(Clone, Debug)]
enum Filter {
    Dangling(bool),
    Driver(String),
    Label(String, Option<String>),
    Name(Regex),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = |why: &str| CliError::message(format!("--filter {text:?} is not valid: {why}"));
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("use KEY=VALUE, as in dangling=true"))?;
        Ok(match (key, value) {
            ("dangling", "true" | "1") => Self::Dangling(true),
            ("dangling", "false" | "0") => Self::Dangling(false),
            ("dangling", _) => return Err(wrong("dangling is true or false")),
            ("driver", driver) => Self::Driver(driver.to_owned()),
            ("label", label) => match label.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            },
            ("name", name) => Self::Name(Regex::new(name).map_err(|why| wrong(&why.to_string()))?),
            _ => {
                return Err(wrong(&format!(
                    "invalid filter '{key}': the keys are dangling, driver, label and name"
                )));
            }
        })
    }

    fn takes(&self, volume: &Volume, used: bool) -> bool {
        match self {
            Self::Dangling(wanted) => used != *wanted,
            Self::Driver(driver) => driver == "local",
            Self::Label(name, value) => {
                volume.labels.get(name).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Self::Name(pattern) => pattern.is_match(&volume.name),
        }
    }

    /// Filters of the same kind are alternatives, labels must all be there.
    fn kind(&self) -> u8 {
        match self {
            Self::Dangling(_) => 0,
            Self::Driver(_) => 1,
            Self::Name(_) => 2,
            Self::Label(..) => 3,
        }
    }
}

fn takes(filters: &[Filter], volume: &Volume, used: bool) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::Label(..) => filter.takes(volume, used),
        one => filters.iter().any(|other| other.kind() == one.kind() && other.takes(volume, used)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filters: &[&str], taken: bool) {
        let labels = [("a".to_owned(), "1".to_owned())].into();
        let created = shim::Timestamp::from_unix(0, 0);
        let volume = Volume {
            name: "data-1".to_owned(),
            created,
            anonymous: false,
            labels,
            options: Default::default(),
        };
        let filters: Vec<_> = filters.iter().map(|text| Filter::parse(text).unwrap()).collect();
        assert_eq!(takes(&filters, &volume, true), taken, "{filters:?}");
    }

    #[test]
    fn filters_as_docker_does() {
        check(&[], true);
        check(&["name=data"], true);
        check(&["name=x", "name=1"], true);
        check(&["name=x"], false);
        check(&["name=^data-[0-9]$"], true);
        check(&["dangling=true"], false);
        check(&["dangling=false", "driver=local"], true);
        check(&["driver=nfs"], false);
        check(&["label=a", "label=a=1"], true);
        check(&["label=a", "label=b"], false);
        for bad in ["x", "frob=1", "dangling=maybe"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
