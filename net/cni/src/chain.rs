//! What a plugin of a chain is given on its standard input: section 4, "Deriving execution
//! configuration from plugin configuration". Pure.

use serde_json::{Map, Value, json};

use crate::attachment::Attachment;
use crate::list::{NetworkList, Plugin};
use crate::names::{ContainerId, InterfaceName};

/// The attachments that a `GC` keeps.
const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";

/// The configuration of `plugin` for `ADD`, `CHECK` and `DEL`.
pub(crate) fn for_attachment(
    list: &NetworkList,
    plugin: &Plugin,
    attachment: &Attachment,
    previous: Option<&Value>,
) -> Vec<u8> {
    let mut config = base(list, plugin);
    if let Some(previous) = previous {
        config.insert("prevResult".to_owned(), previous.clone());
    }
    let wanted = |(name, _): &(&String, &Value)| plugin.capabilities.contains(*name);
    let told: Map<String, Value> = attachment
        .capabilities
        .iter()
        .filter(wanted)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !told.is_empty() {
        config.insert("runtimeConfig".to_owned(), Value::Object(told));
    }
    Value::Object(config).to_string().into_bytes()
}

/// The configuration of `plugin` for `GC`.
pub(crate) fn for_gc(list: &NetworkList, plugin: &Plugin, valid: &[(ContainerId, InterfaceName)]) -> Vec<u8> {
    let mut config = base(list, plugin);
    let valid = valid.iter().map(|(id, interface)| json!({ "containerID": id, "ifname": interface }));
    config.insert(VALID_ATTACHMENTS.to_owned(), Value::Array(valid.collect()));
    Value::Object(config).to_string().into_bytes()
}

/// The configuration of `plugin` for `STATUS`.
pub(crate) fn for_status(list: &NetworkList, plugin: &Plugin) -> Vec<u8> {
    Value::Object(base(list, plugin)).to_string().into_bytes()
}

/// `capabilities` is for the runtime alone; name and version are the list's.
fn base(list: &NetworkList, plugin: &Plugin) -> Map<String, Value> {
    let mut config = plugin.config.clone();
    for field in ["capabilities", "runtimeConfig", "prevResult"] {
        config.remove(field);
    }
    config.insert("name".to_owned(), json!(list.name));
    config.insert("cniVersion".to_owned(), json!(list.version));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = br#"{"cniVersion":"1.1.0","name":"n","plugins":[
        {"type":"bridge","bridge":"cbr0","capabilities":{"ips":true}},
        {"type":"portmap","cniVersion":"0.1.0","name":"other","capabilities":{"portMappings":true,"mac":false}}]}"#;

    fn attachment() -> Attachment {
        Attachment {
            container: ContainerId::parse("c").expect("valid"),
            namespace: "/ns".to_owned(),
            interface: InterfaceName::parse("eth0").expect("valid"),
            arguments: vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())],
            capabilities: [("portMappings", json!([1])), ("ips", json!(["10.0.0.9"])), ("mac", json!("x"))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        }
    }

    #[track_caller]
    fn check(at: usize, previous: Option<&Value>, expected: &Value) {
        let list = NetworkList::parse(LIST).expect("valid");
        let bytes = for_attachment(&list, &list.plugins[at], &attachment(), previous);
        assert_eq!(&serde_json::from_slice::<Value>(&bytes).expect("JSON"), expected);
    }

    #[test]
    fn each_plugin_is_told_what_it_asked_for() {
        let version = "1.1.0";
        let ips = json!({"ips": ["10.0.0.9"]});
        let told = json!({"type": "bridge", "bridge": "cbr0", "name": "n", "cniVersion": version, "runtimeConfig": ips});
        check(0, None, &told);
        let previous = json!({"cniVersion": version});
        let told = json!({"type": "portmap", "name": "n", "cniVersion": version,
            "runtimeConfig": {"portMappings": [1]}, "prevResult": previous});
        check(1, Some(&previous), &told);
        assert_eq!(attachment().arguments_text(), "A=1;B=2");
    }

    #[test]
    fn gc_is_told_who_stays() {
        let list = NetworkList::parse(LIST).expect("valid");
        let valid = [(attachment().container, attachment().interface)];
        let config: Value = serde_json::from_slice(&for_gc(&list, &list.plugins[0], &valid)).expect("JSON");
        assert_eq!(config[VALID_ATTACHMENTS], json!([{"containerID": "c", "ifname": "eth0"}]));
        let config: Value = serde_json::from_slice(&for_gc(&list, &list.plugins[0], &[])).expect("JSON");
        assert_eq!(config[VALID_ATTACHMENTS], json!([]));
        assert!(!String::from_utf8_lossy(&for_status(&list, &list.plugins[0])).contains("cni.dev"));
    }
}
