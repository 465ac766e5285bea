//! `strake network ls`.

use std::collections::{BTreeMap, BTreeSet};

use engine::Network;
use regex::Regex;
use serde_json::{Value, json};

use crate::commands::container::row::to_system_time;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing, Shown};
use crate::humanize;

/// Arguments of `strake network ls`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake network ls\n  strake network ls --filter driver=bridge --format '{{.Name}}'"
)]
pub struct Args {
    /// Only those that fit: dangling=, driver=, id=, label=, name=, scope=, type=
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// How much of each is shown.
    #[command(flatten)]
    pub shown: Shown,
}

const LISTING: Listing<'_> = Listing {
    columns: &[
        Column { field: "ID", heading: "NETWORK ID" },
        Column { field: "Name", heading: "NAME" },
        Column { field: "Driver", heading: "DRIVER" },
        Column { field: "Scope", heading: "SCOPE" },
        Column { field: "IPv4", heading: "IPV4" },
        Column { field: "IPv6", heading: "IPV6" },
        Column { field: "Internal", heading: "INTERNAL" },
        Column { field: "Labels", heading: "LABELS" },
        Column { field: "CreatedAt", heading: "CREATED AT" },
    ],
    default_fields: &["ID", "Name", "Driver", "Scope"],
};

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let filters = args.filter.iter().map(|text| Filter::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut networks = engine.all_networks()?;
    if !filters.is_empty() {
        let used: BTreeSet<String> = match filters.iter().any(|filter| matches!(filter, Filter::Dangling(_)))
        {
            true => engine.list()?.iter().flat_map(|listed| listed.record.request.network.names()).collect(),
            false => BTreeSet::new(),
        };
        networks.retain(|network| takes(&filters, network, used.contains(&network.name)));
    }
    let id = |network: &Network| match args.shown.no_trunc {
        true => network.id.clone(),
        false => network.id.get(..12).unwrap_or(&network.id).to_owned(),
    };
    if args.shown.quiet {
        networks.iter().try_for_each(|network| context.print_line(id(network)))?;
        return Ok(Status::SUCCESS);
    }
    let rows: Vec<Value> = networks.iter().map(|network| row(network, &id(network))).collect();
    LISTING.print(context, &Format::parse(args.shown.format.as_deref())?, &rows)?;
    Ok(Status::SUCCESS)
}

fn row(network: &Network, id: &str) -> Value {
    let labels = labels(network);
    let joined: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let definition = network.definition.as_ref();
    json!({
        "ID": id, "Name": network.name, "Driver": network.driver, "Scope": "local",
        "IPv4": "true",
        "IPv6": definition.is_some_and(|definition| definition.ipv6.is_some()).to_string(),
        "Internal": definition.is_some_and(|definition| definition.internal).to_string(),
        "Labels": joined.join(","), "Label": labels,
        "CreatedAt": humanize::created_at(to_system_time(network.created)),
    })
}

fn labels(network: &Network) -> BTreeMap<String, String> {
    network.definition.as_ref().map(|definition| definition.labels.clone()).unwrap_or_default()
}

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Dangling(bool),
    Driver(String),
    Id(String),
    Label(String, Option<String>),
    Name(String),
    Scope(String),
    Custom(bool),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = |why| CliError::message(format!("invalid filter '{text}': {why}"));
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("use KEY=VALUE, as in driver=bridge"))?;
        Ok(match (key, value) {
            ("dangling", "true" | "1") => Self::Dangling(true),
            ("dangling", "false" | "0") => Self::Dangling(false),
            ("dangling", _) => return Err(wrong("dangling is true or false")),
            ("driver", driver) => Self::Driver(driver.to_owned()),
            ("id", id) => Self::Id(id.to_owned()),
            ("label", label) => match label.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            },
            ("name", name) => Self::Name(name.to_owned()),
            ("scope", scope) => Self::Scope(scope.to_owned()),
            ("type", "custom") => Self::Custom(true),
            ("type", "builtin") => Self::Custom(false),
            ("type", _) => return Err(wrong("type is custom or builtin")),
            _ => return Err(wrong("the keys are dangling, driver, id, label, name, scope and type")),
        })
    }

    fn takes(&self, network: &Network, used: bool) -> bool {
        let is_custom = network.definition.as_ref().is_some_and(|definition| !definition.is_default());
        match self {
            Self::Dangling(wanted) => is_custom && used != *wanted,
            Self::Driver(driver) => network.driver == *driver,
            Self::Id(pattern) => matches(pattern, &network.id),
            Self::Label(name, value) => labels(network)
                .get(name)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
            Self::Name(pattern) => matches(pattern, &network.name),
            Self::Scope(scope) => scope == "local",
            Self::Custom(wanted) => is_custom == *wanted,
        }
    }
}

/// As docker has it: any part of the text that the pattern fits.
fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// Filters of the same kind are alternatives, labels must all be there.
fn takes(filters: &[Filter], network: &Network, used: bool) -> bool {
    filters.iter().all(|filter| match filter {
        Filter::Label(..) => filter.takes(network, used),
        one => filters.iter().any(|other| {
            std::mem::discriminant(one) == std::mem::discriminant(other) && other.takes(network, used)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filters: &[&str], taken: bool) {
        let network = Network {
            name: "host".to_owned(),
            id: "abcdef".to_owned(),
            driver: "host".to_owned(),
            created: shim::Timestamp::from_unix(0, 0),
            definition: None,
        };
        let filters: Vec<_> = filters.iter().map(|text| Filter::parse(text).unwrap()).collect();
        assert_eq!(takes(&filters, &network, true), taken, "{filters:?}");
    }

    #[test]
    fn filters_as_docker_does() {
        check(&[], true);
        check(&["name=ho"], true);
        check(&["name=x", "name=host"], true);
        check(&["name=x"], false);
        check(&["name=^host$"], true);
        check(&["name=^os"], false);
        check(&["driver=host", "scope=local"], true);
        check(&["driver=bridge"], false);
        check(&["type=builtin"], true);
        check(&["type=custom"], false);
        check(&["id=bcd"], true);
        check(&["label=a"], false);
        check(&["dangling=false"], false);
        for bad in ["x", "frob=1", "dangling=maybe", "type=x"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
