//! A network's configuration: section 1, "Network configuration format".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::names::{InvalidName, NetworkName, PluginType};
use crate::version::{UnsupportedVersion, Version};

/// A chain of plugins with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkList {
    /// The network's name.
    pub name: NetworkName,
    /// The version all its plugins are called with.
    pub version: Version,
    /// `CHECK` is not to be called.
    pub disable_check: bool,
    /// `GC` is not to be called.
    pub disable_gc: bool,
    /// Plugins are not looked for in files beside it.
    pub load_only_inlined_plugins: bool,
    /// The plugins, first to last.
    pub plugins: Vec<Plugin>,
}

/// A plugin of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// The program's name.
    pub kind: PluginType,
    /// What it wants to be told.
    pub capabilities: BTreeSet<String>,
    /// Its whole configuration.
    pub config: Map<String, Value>,
}

/// A text is not a network's configuration.
#[derive(Debug, thiserror::Error)]
pub enum InvalidList {
    /// Not JSON.
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    /// Something has another type.
    #[error("`{field}` is not {expected}")]
    Type {
        /// Which field.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Something is not there.
    #[error("`{field}` is missing")]
    Missing {
        /// Which field.
        field: String,
    },
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A version that is not spoken.
    #[error(transparent)]
    Version(#[from] UnsupportedVersion),
    /// None of several versions is spoken.
    #[error(
        "none of the cniVersions {versions:?} is supported; add one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
    )]
    Versions {
        /// Which it has.
        versions: Vec<String>,
    },
    /// No plugin.
    #[error("it has no plugins; name at least one in `plugins`")]
    Empty,
}

impl NetworkList {
    /// Reads a list (`.conflist`).
    ///
    /// It may be without plugins when those are in files beside it: ask [`NetworkList::is_empty`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidList> {
        Self::from_object(&object(serde_json::from_slice(bytes)?, "the configuration")?)
    }

    /// Reads the configuration of a single plugin (`.conf`, `.json`): a list of one.
    pub fn parse_single(bytes: &[u8]) -> Result<Self, InvalidList> {
        let config = object(serde_json::from_slice(bytes)?, "the configuration")?;
        let single = Plugin::from_object(config.clone(), "type")?;
        let mut list = config;
        list.remove("plugins");
        let mut list = Self::from_object(&list)?;
        list.plugins.push(single);
        Ok(list)
    }

    fn from_object(list: &Map<String, Value>) -> Result<Self, InvalidList> {
        let name = list.get("name").ok_or_else(|| missing("name"))?;
        let name = NetworkName::parse(text(name, "name")?)?;
        let plugins = match list.get("plugins") {
            None => Vec::new(),
            Some(Value::Array(plugins)) if plugins.is_empty() => return Err(InvalidList::Empty),
            Some(Value::Array(plugins)) => {
                plugins.iter().enumerate().map(plugin_at).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(wrong("plugins", "a list")),
        };
        Ok(Self {
            name,
            version: version(list)?,
            disable_check: flag(list, "disableCheck")?,
            disable_gc: flag(list, "disableGC")?,
            load_only_inlined_plugins: flag(list, "loadOnlyInlinedPlugins")?,
            plugins,
        })
    }

    /// Whether it has no plugin at all.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
    }

    /// What any of its plugins wants to be told.
    pub fn capabilities(&self) -> BTreeSet<&str> {
        self.plugins.iter().flat_map(|plugin| plugin.capabilities.iter().map(String::as_str)).collect()
    }

    /// The list as a text that [`NetworkList::parse`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plugins: Vec<&Map<String, Value>> = self.plugins.iter().map(|plugin| &plugin.config).collect();
        let mut list = json!({
            "cniVersion": self.version,
            "name": self.name,
            "disableCheck": self.disable_check,
            "disableGC": self.disable_gc,
            "loadOnlyInlinedPlugins": self.load_only_inlined_plugins,
        });
        // An empty list of them is refused; none means that they are in files beside it.
        if !plugins.is_empty() {
            list["plugins"] = json!(plugins);
        }
        list.to_string().into_bytes()
    }
}

impl Plugin {
    /// Reads one plugin's part.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidList> {
        Self::from_object(object(serde_json::from_slice(bytes)?, "the configuration")?, "type")
    }

    fn from_object(config: Map<String, Value>, field: &str) -> Result<Self, InvalidList> {
        let kind = config.get("type").ok_or_else(|| missing(field))?;
        let kind = PluginType::parse(text(kind, field)?)?;
        let capabilities: BTreeMap<String, bool> = match config.get("capabilities") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| wrong("capabilities", "a map of names to true or false"))?,
        };
        let capabilities =
            capabilities.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect();
        Ok(Self { kind, capabilities, config })
    }
}

fn plugin_at((at, value): (usize, &Value)) -> Result<Plugin, InvalidList> {
    let config = object(value.clone(), &format!("plugins[{at}]"))?;
    Plugin::from_object(config, &format!("plugins[{at}].type"))
}

/// The newest version that both sides speak: `cniVersions` since 1.1.0, else `cniVersion`.
fn version(list: &Map<String, Value>) -> Result<Version, InvalidList> {
    let single = match list.get("cniVersion") {
        Some(value) => Some(text(value, "cniVersion")?),
        None => None,
    };
    let Some(several) = list.get("cniVersions") else {
        return Ok(single.ok_or_else(|| missing("cniVersion"))?.parse()?);
    };
    let several = several.as_array().ok_or_else(|| wrong("cniVersions", "a list"))?;
    let several: Vec<&str> = several
        .iter()
        .map(|value| text(value, "cniVersions"))
        .chain(single.map(Ok))
        .collect::<Result<_, _>>()?;
    let best = several.iter().filter_map(|raw| raw.parse::<Version>().ok()).max();
    best.ok_or_else(|| InvalidList::Versions {
        versions: several.iter().map(|&raw| raw.to_owned()).collect(),
    })
}

/// `true`, `false`, and both as text, which the reference implementation takes too.
fn flag(list: &Map<String, Value>, field: &str) -> Result<bool, InvalidList> {
    match list.get(field) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(wrong(field, "true or false")),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, InvalidList> {
    value.as_str().ok_or_else(|| wrong(field, "a text"))
}

fn object(value: Value, field: &str) -> Result<Map<String, Value>, InvalidList> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(wrong(field, "an object")),
    }
}

fn missing(field: &str) -> InvalidList {
    InvalidList::Missing { field: field.to_owned() }
}

fn wrong(field: &str, expected: &'static str) -> InvalidList {
    InvalidList::Type { field: field.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = match NetworkList::parse(text.as_bytes()) {
            Ok(list) => {
                let kinds: Vec<&str> = list.plugins.iter().map(|plugin| plugin.kind.as_str()).collect();
                format!("{} {} {}", list.name, list.version, kinds.join(","))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn lists_are_read_and_refused() {
        check(
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},{"type":"portmap"}]}"#,
            "n 1.0.0 bridge,portmap",
        );
        check(
            r#"{"cniVersion":"0.4.0","cniVersions":["1.0.0","1.1.0","2.0.0"],"name":"n","plugins":[{"type":"a"}]}"#,
            "n 1.1.0 a",
        );
        check(
            r#"{"cniVersions":["2.0.0"],"name":"n"}"#,
            "none of the cniVersions [\"2.0.0\"] is supported; add one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
        );
        check(r#"{"cniVersion":"1.0.0","name":"n"}"#, "n 1.0.0 ");
        check("{", "it is not JSON");
        check("[]", "`the configuration` is not an object");
        check(r#"{"cniVersion":"1.0.0","plugins":[{"type":"a"}]}"#, "`name` is missing");
        check(r#"{"name":"n","plugins":[{"type":"a"}]}"#, "`cniVersion` is missing");
        check(
            r#"{"cniVersion":"0.2.0","name":"n"}"#,
            "cniVersion \"0.2.0\" is not supported; use one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
        );
        check(r#"{"cniVersion":1,"name":"n"}"#, "`cniVersion` is not a text");
        check(r#"{"cniVersion":"1.0.0","name":"../n"}"#, "invalid characters found in network name \"../n\"");
        check(
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#,
            "it has no plugins; name at least one in `plugins`",
        );
        check(r#"{"cniVersion":"1.0.0","name":"n","plugins":[{}]}"#, "`plugins[0].type` is missing");
        check(
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../../sh"}]}"#,
            "plugin type \"../../sh\" is not the name of a program: it is empty or has a `/`",
        );
        check(r#"{"cniVersion":"1.0.0","name":"n","disableCheck":3}"#, "`disableCheck` is not true or false");
        check(
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","capabilities":[]}]}"#,
            "`capabilities` is not a map of names to true or false",
        );
    }

    #[test]
    fn a_single_plugin_is_a_list_of_one() {
        let text =
            br#"{"cniVersion":"0.3.1","name":"n","type":"macvlan","capabilities":{"ips":true,"mac":false}}"#;
        let list = NetworkList::parse_single(text).expect("valid");
        assert_eq!(list.capabilities().into_iter().collect::<Vec<_>>(), ["ips"]);
        assert_eq!(NetworkList::parse(&list.to_bytes()).expect("as written"), list);
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (NetworkList::parse(&bytes), NetworkList::parse_single(&bytes), Plugin::parse(&bytes));
        }
    }
}
