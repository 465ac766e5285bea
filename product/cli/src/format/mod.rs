//! How lists are printed: docker's tables, JSON lines, or the user's template.

mod table;

use serde_json::Value;
use template::Template;

use crate::context::Context;
use crate::error::{CliError, Status};

pub use table::Table;

/// One column that a listing can show.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its field in the rows and in templates.
    pub field: &'static str,
    /// Its heading.
    pub heading: &'static str,
}

/// What a listing shows when nothing else is asked for, and what can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// All columns.
    pub columns: &'a [Column],
    /// Fields of the table that is printed without a format.
    pub default_fields: &'a [&'a str],
}

/// How much of each row a listing of ids shows.
#[derive(Debug, clap::Args)]
pub struct Shown {
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Print everything in full
    #[arg(long)]
    pub no_trunc: bool,
    /// Only ids
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// What `--format` asked for.
#[derive(Clone, Debug)]
pub enum Format {
    /// The default table.
    Table,
    /// One JSON object a line.
    Json,
    /// A template, a line a row.
    Template(Template),
    /// A template whose fields are columns, with a heading.
    TableTemplate(Template),
}

impl Format {
    /// Reads the option's value.
    pub fn parse(option: Option<&str>) -> Result<Self, CliError> {
        let text = match option {
            None | Some("" | "table") => return Ok(Self::Table),
            Some("json" | "{{json .}}") => return Ok(Self::Json),
            Some(text) => text,
        };
        // A shell passes `\t` as two characters; docker reads them as a tab.
        let unescape = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
        if let Some(rest) = text.strip_prefix("table ") {
            return Ok(Self::TableTemplate(Template::parse(&unescape(rest.trim()))?));
        }
        Ok(Self::Template(Template::parse(&unescape(text))?))
    }
}

impl Listing<'_> {
    /// Prints `rows` (JSON objects with a field for each column) as `format` asks.
    pub fn print(&self, context: &Context, format: &Format, rows: &[Value]) -> Result<(), CliError> {
        match format {
            Format::Json => rows.iter().try_for_each(|row| context.print_line(without_methods(row))),
            Format::Template(template) => {
                rows.iter().try_for_each(|row| context.print_line(template.render(row)?))
            }
            Format::TableTemplate(template) => {
                let mut table = Table::new();
                let mut headings = self.headings();
                let keys = template.arguments_of("Label");
                headings["Label"] =
                    keys.into_iter().map(|key| (key.clone(), Value::from(heading(&key)))).collect();
                table.row(template.render(&headings)?.split('\t'));
                for row in rows {
                    table.row(template.render(row)?.split('\t'));
                }
                context.print(format_args!("{table}"))
            }
            Format::Table => {
                let headings = self.headings();
                let mut table = Table::new();
                table.row(self.default_fields.iter().map(|field| cell(&headings, field)));
                for row in rows {
                    table.row(self.default_fields.iter().map(|field| cell(row, field)));
                }
                context.print(format_args!("{table}"))
            }
        }
    }

    /// Whether there are the fields that `format` names, which is known without any row.
    pub fn check(&self, format: &Format) -> Result<(), CliError> {
        match format {
            Format::Template(template) => Ok(template.render(&self.headings()).map(drop)?),
            _ => Ok(()),
        }
    }

    /// A row of headings; `Label` is a map, for `{{.Label "key"}}`.
    fn headings(&self) -> Value {
        let columns = self.columns.iter();
        let mut headings: serde_json::Map<String, Value> =
            columns.map(|column| (column.field.to_owned(), Value::from(column.heading))).collect();
        headings.insert("Label".to_owned(), Value::Object(serde_json::Map::new()));
        Value::Object(headings)
    }
}

/// Docker's heading of a label's column: the last part of its key.
fn heading(key: &str) -> String {
    key.rsplit('.').next().unwrap_or(key).replace(['-', '_'], " ")
}

fn cell(row: &Value, field: &str) -> String {
    match &row[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `Label` takes an argument in templates; as data it would repeat `Labels`.
fn without_methods(row: &Value) -> Value {
    let mut row = row.clone();
    if let Value::Object(map) = &mut row {
        map.remove("Label");
    }
    row
}

/// Looks at each of several things and prints what was found, also when something was not.
pub fn print_each_inspected(
    context: &Context,
    format: Option<&str>,
    names: &[String],
    look: impl Fn(&str) -> Result<Value, CliError>,
) -> Result<Status, CliError> {
    let (mut found, mut status) = (Vec::new(), Status::SUCCESS);
    for name in names {
        match look(name) {
            Ok(value) => found.push(value),
            Err(error) => {
                context.say(format_args!("strake: {error}"));
                status = Status::FAILURE;
            }
        }
    }
    if !found.is_empty() || format.is_none() {
        print_inspected(context, format, &found)?;
    }
    Ok(status)
}

/// Prints what `inspect` found: an array of indented JSON, or a line of a template each.
pub fn print_inspected(context: &Context, format: Option<&str>, found: &[Value]) -> Result<(), CliError> {
    match format {
        None | Some("") => {
            let text = serde_json::to_string_pretty(&found)?;
            context.print_line(indent_by_four(&text))
        }
        Some("json") => context.print_line(serde_json::to_string(&found)?),
        Some(text) => {
            let template = Template::parse(text)?;
            found.iter().try_for_each(|value| context.print_line(template.render(&with_absent(value))?))
        }
    }
}

/// Fields that docker leaves out of its JSON when they are empty, but knows in templates.
const ABSENT: &[(&str, &[(&str, Absent)])] = &[
    ("", &[("SizeRw", Absent::Null), ("SizeRootFs", Absent::Null)]),
    ("/State", &[("Health", Absent::Null)]),
    (
        "/Config",
        &[
            ("Healthcheck", Absent::Null),
            ("ExposedPorts", Absent::Null),
            ("StopSignal", Absent::Empty),
            ("StopTimeout", Absent::Null),
            ("Shell", Absent::Null),
        ],
    ),
];

/// What a field is that is not there.
#[derive(Clone, Copy)]
enum Absent {
    Null,
    Empty,
}

/// The value with the fields of [`ABSENT`], so that a template may ask for them.
fn with_absent(value: &Value) -> Value {
    let mut value = value.clone();
    for (pointer, fields) in ABSENT {
        if pointer.is_empty() && value.get("HostConfig").is_none() {
            continue; // what only containers have
        }
        let Some(Value::Object(map)) = value.pointer_mut(pointer) else { continue };
        for (field, absent) in *fields {
            map.entry(*field).or_insert(match absent {
                Absent::Null => Value::Null,
                Absent::Empty => "".into(),
            });
        }
    }
    if let Some(Value::Array(mounts)) = value.get_mut("Mounts") {
        for mount in mounts.iter_mut().filter_map(Value::as_object_mut) {
            for field in ["Name", "Driver"] {
                mount.entry(field).or_insert("".into());
            }
        }
    }
    value
}

/// Docker indents by four spaces where serde indents by two.
fn indent_by_four(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let inner = line.trim_start_matches(' ');
        " ".repeat((line.len() - inner.len()) * 2) + inner
    });
    lines.collect::<Vec<_>>().join("\n")
}
