//! The environment of a container.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::expand::expand;
use super::{ConfigError, Place, field, resource};
use crate::read::{at, flag, items, maybe_flag, name, namespace, number, text, text_map};

/// Objects that a pod refers to, as far as they are there.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// By name, in the pod's namespace.
    pub config_maps: BTreeMap<String, Arc<Value>>,
    /// Likewise.
    pub secrets: BTreeMap<String, Arc<Value>>,
    /// Of the pod's namespace and of `default`.
    pub services: Vec<Arc<Value>>,
}

/// The container's variables, in the order in which they were first named.
pub fn environment(
    pod: &Value,
    container: &Value,
    sources: &Sources,
    place: &Place<'_>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let services = service_variables(pod, &sources.services);
    let mut found = Ordered::default();
    for from in items(container, &["envFrom"]) {
        found.add_all(from, sources, namespace(pod))?;
    }
    // What `$(NAME)` sees: services, and whatever stands before.
    let mut known = services.clone();
    known.extend(found.values.clone());
    for variable in items(container, &["env"]) {
        let key = text(variable, &["name"]);
        let value = match at(variable, &["valueFrom"]) {
            None => Some(expand(text(variable, &["value"]), &known)),
            Some(from) => value_from(pod, container, from, sources, place)?,
        };
        if let Some(value) = value {
            known.insert(key.to_owned(), value.clone());
            found.put(key, value);
        }
    }
    for (key, value) in services {
        if !found.values.contains_key(&key) {
            found.put(&key, value);
        }
    }
    Ok(found.take())
}

#[derive(Default)]
struct Ordered {
    order: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Ordered {
    fn put(&mut self, key: &str, value: String) {
        if self.values.insert(key.to_owned(), value).is_none() {
            self.order.push(key.to_owned());
        }
    }

    fn take(mut self) -> Vec<(String, String)> {
        let take = |key: String| {
            let value = self.values.remove(&key)?;
            Some((key, value))
        };
        self.order.into_iter().filter_map(take).collect()
    }

    fn add_all(&mut self, from: &Value, sources: &Sources, namespace: &str) -> Result<(), ConfigError> {
        let prefix = text(from, &["prefix"]);
        let (kind, reference) = match (at(from, &["configMapRef"]), at(from, &["secretRef"])) {
            (Some(reference), _) => (Kind::ConfigMap, reference),
            (None, Some(reference)) => (Kind::Secret, reference),
            (None, None) => return Ok(()),
        };
        let name = text(reference, &["name"]);
        let Some(object) = kind.find(sources, name) else {
            if flag(reference, &["optional"]) {
                return Ok(());
            }
            return Err(kind.missing(namespace, name));
        };
        for (key, value) in kind.texts(object) {
            self.put(&format!("{prefix}{key}"), value);
        }
        Ok(())
    }
}

/// A config map or a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    pub(crate) fn find<'a>(self, sources: &'a Sources, name: &str) -> Option<&'a Value> {
        let map = if self == Self::ConfigMap { &sources.config_maps } else { &sources.secrets };
        map.get(name).map(|object| &**object)
    }

    pub(crate) fn missing(self, namespace: &str, name: &str) -> ConfigError {
        let kind = if self == Self::ConfigMap { "configmap" } else { "secret" };
        // As upstream's cache says it; the namespace is not in it.
        let _ = namespace;
        ConfigError::NotFound { kind, name: name.to_owned() }
    }

    /// The values, by key.
    pub(crate) fn bytes(self, object: &Value) -> BTreeMap<String, Vec<u8>> {
        let decode = |(key, value): (String, String)| Some((key, STANDARD.decode(value).ok()?));
        if self == Self::Secret {
            return text_map(object, &["data"]).into_iter().filter_map(decode).collect();
        }
        let plain = text_map(object, &["data"]).into_iter().map(|(key, value)| (key, value.into_bytes()));
        plain.chain(text_map(object, &["binaryData"]).into_iter().filter_map(decode)).collect()
    }

    fn texts(self, object: &Value) -> BTreeMap<String, String> {
        if self == Self::ConfigMap {
            return text_map(object, &["data"]);
        }
        let text = |(key, value): (String, Vec<u8>)| (key, String::from_utf8_lossy(&value).into_owned());
        self.bytes(object).into_iter().map(text).collect()
    }
}

fn value_from(
    pod: &Value,
    container: &Value,
    from: &Value,
    sources: &Sources,
    place: &Place<'_>,
) -> Result<Option<String>, ConfigError> {
    if let Some(spec) = at(from, &["fieldRef"]) {
        return field(pod, text(spec, &["fieldPath"]), place).map(Some);
    }
    if let Some(spec) = at(from, &["resourceFieldRef"]) {
        return resource(pod, Some(container), spec, place).map(Some);
    }
    for (member, kind) in [("configMapKeyRef", Kind::ConfigMap), ("secretKeyRef", Kind::Secret)] {
        let Some(spec) = at(from, &[member]) else { continue };
        let (wanted, key) = (text(spec, &["name"]), text(spec, &["key"]));
        let is_optional = flag(spec, &["optional"]);
        let Some(object) = kind.find(sources, wanted) else {
            return if is_optional { Ok(None) } else { Err(kind.missing(namespace(pod), wanted)) };
        };
        return match kind.texts(object).remove(key) {
            Some(value) => Ok(Some(value)),
            None if is_optional => Ok(None),
            None => Err(ConfigError::NoKey {
                kind: if kind == Kind::ConfigMap { "ConfigMap" } else { "Secret" },
                key: key.to_owned(),
                object: format!("{}/{wanted}", namespace(pod)),
            }),
        };
    }
    Ok(None)
}

/// `NAME_SERVICE_HOST` and its kin, of the namespace's services (if the pod wants them) and of the API.
pub(crate) fn service_variables(pod: &Value, services: &[Arc<Value>]) -> BTreeMap<String, String> {
    let links = maybe_flag(pod, &["spec", "enableServiceLinks"]).unwrap_or(true);
    let mut found = BTreeMap::new();
    for service in services {
        let of_api = namespace(service) == "default" && name(service) == "kubernetes";
        let address = text(service, &["spec", "clusterIP"]);
        let wanted = of_api || (links && namespace(service) == namespace(pod));
        if !wanted || matches!(address, "" | "None") {
            continue;
        }
        one_service(&mut found, service, address);
    }
    found
}

fn one_service(found: &mut BTreeMap<String, String>, service: &Value, address: &str) {
    let upper = |name: &str| name.to_uppercase().replace('-', "_");
    let prefix = upper(name(service));
    let ports = items(service, &["spec", "ports"]);
    let number_of = |port: &Value| number(port, &["port"]).unwrap_or_default();
    let mut set = |key: String, value: String| drop(found.insert(key, value));
    set(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    let Some(first) = ports.first() else { return };
    set(format!("{prefix}_SERVICE_PORT"), number_of(first).to_string());
    for port in ports.iter().filter(|port| !text(port, &["name"]).is_empty()) {
        set(format!("{prefix}_SERVICE_PORT_{}", upper(text(port, &["name"]))), number_of(port).to_string());
    }
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    for (at, port) in ports.iter().enumerate() {
        let protocol = match text(port, &["protocol"]) {
            "" => "TCP",
            protocol => protocol,
        };
        let number = number_of(port);
        let url = format!("{}://{host}:{number}", protocol.to_lowercase());
        if at == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let key = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        set(key.clone(), url);
        set(format!("{key}_PROTO"), protocol.to_lowercase());
        set(format!("{key}_PORT"), number.to_string());
        set(format!("{key}_ADDR"), address.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources() -> Sources {
        let config = json!({"data": {"k": "v", "x": "y"}});
        let secret = json!({"data": {"p": "c2VjcmV0"}});
        let api = json!({"metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.43.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]}});
        let web = json!({"metadata": {"name": "my-web", "namespace": "n"},
            "spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 80}]}});
        Sources {
            config_maps: BTreeMap::from([("cm".to_owned(), Arc::new(config))]),
            secrets: BTreeMap::from([("s".to_owned(), Arc::new(secret))]),
            services: vec![Arc::new(api), Arc::new(web)],
        }
    }

    fn read(pod: &Value, container: &Value) -> Result<Vec<(String, String)>, ConfigError> {
        let place = Place { host_addresses: &[], pod_addresses: &[], allocatable: &Value::Null };
        environment(pod, container, &sources(), &place)
    }

    #[test]
    fn values_from_everywhere() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"enableServiceLinks": false}});
        let container = json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}},
                {"secretRef": {"name": "none", "optional": true}}],
            "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)-$(P_k)-$(KUBERNETES_SERVICE_PORT)"},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
                {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no", "optional": true}}},
                {"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]});
        let found = read(&pod, &container).unwrap();
        let own: Vec<String> = found
            .iter()
            .filter(|it| !it.0.starts_with("KUBERNETES"))
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(own, ["P_k=v", "P_x=y", "A=a", "B=a-v-443", "C=secret", "E=p"]);
        assert!(found.contains(&("KUBERNETES_PORT_443_TCP_ADDR".to_owned(), "10.43.0.1".to_owned())));
        assert!(!found.iter().any(|it| it.0.starts_with("MY_WEB")));
        let linked = json!({"metadata": {"name": "p", "namespace": "n"}});
        let found = read(&linked, &json!({})).unwrap();
        assert!(found.contains(&("MY_WEB_PORT".to_owned(), "tcp://10.43.0.9:80".to_owned())));
    }

    #[test]
    fn says_what_is_missing() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}});
        for (container, expected) in [
            (json!({"envFrom": [{"configMapRef": {"name": "z"}}]}), "configmap \"z\" not found"),
            (
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "q"}}}]}),
                "couldn't find key q in Secret n/s",
            ),
        ] {
            assert_eq!(read(&pod, &container).unwrap_err().to_string(), expected);
        }
    }
}
