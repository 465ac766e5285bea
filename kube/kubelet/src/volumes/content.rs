//! What files hold: config maps, secrets, fields of the pod, tokens.

use std::time::Duration;

use client::Call;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};

use super::atomic::{File, Payload};
use crate::kubelet::Shared;
use crate::objects::Reference;
use crate::read::{at, flag, items, namespace, number, text, texts, uid};
use crate::spec::{Kind, Place, field, resource};

/// The files of a volume; nothing where its kind has none.
pub(super) async fn payload(
    shared: &Shared,
    pod: &Value,
    volume: &Value,
    addresses: &[String],
    refresh: &mut Option<Duration>,
) -> Result<Option<Payload>, String> {
    let mut reader = Reader { shared, pod, addresses, files: Payload::new(), refresh };
    if let Some(source) = at(volume, &["configMap"]) {
        reader.object(Kind::ConfigMap, text(source, &["name"]), source, default_mode(source)).await?;
    } else if let Some(source) = at(volume, &["secret"]) {
        reader.object(Kind::Secret, text(source, &["secretName"]), source, default_mode(source)).await?;
    } else if let Some(source) = at(volume, &["downwardAPI"]) {
        reader.fields(source, default_mode(source))?;
    } else if let Some(projected) = at(volume, &["projected"]) {
        reader.projected(projected).await?;
    } else {
        return Ok(None);
    }
    Ok(Some(reader.files))
}

fn default_mode(source: &Value) -> u32 {
    mode(source, "defaultMode").unwrap_or(0o644)
}

fn mode(source: &Value, name: &str) -> Option<u32> {
    u32::try_from(number(source, &[name])?).ok()
}

struct Reader<'a> {
    shared: &'a Shared,
    pod: &'a Value,
    addresses: &'a [String],
    files: Payload,
    refresh: &'a mut Option<Duration>,
}

impl Reader<'_> {
    fn put(&mut self, path: &str, bytes: Vec<u8>, mode: u32) {
        self.files.insert(path.to_owned(), File { bytes, mode, owner: None });
    }

    async fn projected(&mut self, projected: &Value) -> Result<(), String> {
        let mode = default_mode(projected);
        for source in items(projected, &["sources"]) {
            if let Some(map) = at(source, &["configMap"]) {
                self.object(Kind::ConfigMap, text(map, &["name"]), map, mode).await?;
            } else if let Some(secret) = at(source, &["secret"]) {
                self.object(Kind::Secret, text(secret, &["name"]), secret, mode).await?;
            } else if let Some(fields) = at(source, &["downwardAPI"]) {
                self.fields(fields, mode)?;
            } else if let Some(token) = at(source, &["serviceAccountToken"]) {
                self.token(token, mode).await?;
            } else if let Some(bundle) = at(source, &["clusterTrustBundle"]) {
                self.bundle(bundle, mode).await?;
            }
        }
        Ok(())
    }

    /// The keys of a config map or secret.
    async fn object(&mut self, kind: Kind, name: &str, source: &Value, mode: u32) -> Result<(), String> {
        let within = namespace(self.pod);
        let resource = if kind == Kind::ConfigMap { "configmaps" } else { "secrets" };
        let reference = Reference { resource, namespace: within.to_owned(), name: name.to_owned() };
        let found = self.shared.objects.get(&reference).await.map_err(|status| status.to_string())?;
        let is_optional = flag(source, &["optional"]);
        let Some(found) = found else {
            if is_optional {
                return Ok(());
            }
            return Err(kind.missing(within, name).to_string());
        };
        let data = kind.bytes(&found);
        let wanted = items(source, &["items"]);
        if wanted.is_empty() {
            for (key, bytes) in data {
                self.put(&key, bytes, mode);
            }
            return Ok(());
        }
        for item in wanted {
            let (key, path) = (text(item, &["key"]), text(item, &["path"]));
            match data.get(key) {
                Some(bytes) => self.put(path, bytes.clone(), self::mode(item, "mode").unwrap_or(mode)),
                None if is_optional => {}
                None => return Err(format!("references non-existent {} key: {key}", kind_name(kind))),
            }
        }
        Ok(())
    }

    /// Fields of the pod.
    fn fields(&mut self, source: &Value, mode: u32) -> Result<(), String> {
        let view = self.shared.view();
        let place = Place {
            host_addresses: &self.shared.config.node.addresses,
            pod_addresses: self.addresses,
            allocatable: &view.allocatable,
        };
        for item in items(source, &["items"]) {
            let value = match (at(item, &["fieldRef"]), at(item, &["resourceFieldRef"])) {
                (Some(reference), _) => field(self.pod, text(reference, &["fieldPath"]), &place),
                (None, Some(reference)) => resource(self.pod, None, reference, &place),
                (None, None) => continue,
            };
            let value = value.map_err(|error| error.to_string())?;
            let mode = self::mode(item, "mode").unwrap_or(mode);
            self.put(text(item, &["path"]), value.into_bytes(), mode);
        }
        Ok(())
    }

    /// A token of the pod's service account, asked for anew when four fifths of its time are over.
    async fn token(&mut self, source: &Value, mode: u32) -> Result<(), String> {
        let seconds = number(source, &["expirationSeconds"]).unwrap_or(3600);
        let audience = text(source, &["audience"]);
        let token = self.shared.tokens.get(self.shared, self.pod, audience, seconds).await?;
        let left = token.refresh_at.duration_since(self.shared.now());
        let left = Duration::try_from(left).unwrap_or_default().max(Duration::from_secs(1));
        *self.refresh = Some(self.refresh.map_or(left, |before| before.min(left)));
        let (owner, group) =
            (common_user(self.pod), number(self.pod, &["spec", "securityContext", "fsGroup"]));
        // Whom it is for may read it, and nobody else.
        let mode = if owner.is_some() || group.is_some() { 0o600 } else { mode };
        let file = File { bytes: token.text.into_bytes(), mode, owner };
        self.files.insert(text(source, &["path"]).to_owned(), file);
        Ok(())
    }

    /// Certificates that the cluster trusts for a purpose.
    async fn bundle(&mut self, source: &Value, mode: u32) -> Result<(), String> {
        let bundles = GroupVersionResource::new("certificates.k8s.io", "v1beta1", "clustertrustbundles");
        let api = &self.shared.config.api;
        let name = text(source, &["name"]);
        let found = if name.is_empty() {
            let signer = text(source, &["signerName"]).to_owned();
            let call = Call::list(&bundles, "").with(|options| {
                options.field_selector = Some(format!("spec.signerName={signer}"));
                options.label_selector = Some(selector_text(&source["labelSelector"]));
            });
            api.call(call).await.map(|list| items(&list, &["items"]).to_vec())
        } else {
            api.call(Call::get(&bundles, "", name)).await.map(|one| vec![one])
        };
        let found = match found {
            Ok(found) if !found.is_empty() => found,
            _ if flag(source, &["optional"]) => return Ok(()),
            Ok(_) => {
                return Err(
                    "combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned()
                );
            }
            Err(status) => return Err(status.to_string()),
        };
        let pem: Vec<&str> = found.iter().map(|one| text(one, &["spec", "trustBundle"]).trim_end()).collect();
        self.put(text(source, &["path"]), format!("{}\n", pem.join("\n")).into_bytes(), mode);
        Ok(())
    }
}

fn kind_name(kind: Kind) -> &'static str {
    if kind == Kind::ConfigMap { "config" } else { "secret" }
}

fn selector_text(selector: &Value) -> String {
    let labels = crate::read::text_map(selector, &["matchLabels"]);
    let mut parts: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for rule in items(selector, &["matchExpressions"]) {
        let (key, values) = (text(rule, &["key"]), texts(rule, &["values"]).join(","));
        parts.push(match text(rule, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}

/// The user of all containers, if they have one in common.
fn common_user(pod: &Value) -> Option<u32> {
    let of_pod = number(pod, &["spec", "securityContext", "runAsUser"]);
    let mut users = crate::model::Wanted::all(pod)
        .map(|wanted| number(wanted.spec, &["securityContext", "runAsUser"]).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(u32::try_from(first).ok()?)
}

/// When a token is to be replaced: four fifths of its time later, and after a day at the latest.
fn refresh_at(answer: &Value, seconds: i64, now: Timestamp) -> Timestamp {
    let lifetime = crate::read::time(answer, &["status", "expirationTimestamp"])
        .map_or(seconds, |end| end.duration_since(now).as_secs());
    let refresh = (lifetime * 8 / 10).min(DAY);
    now.checked_add(jiff::SignedDuration::from_secs(refresh)).unwrap_or(now)
}

/// A token and when it is to be replaced.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    text: String,
    refresh_at: Timestamp,
}

/// Tokens that were asked for, by pod, audience and time.
#[derive(Default)]
pub(crate) struct Tokens {
    known: std::sync::Mutex<std::collections::HashMap<(String, String, i64), Token>>,
}

impl Tokens {
    async fn get(&self, shared: &Shared, pod: &Value, audience: &str, seconds: i64) -> Result<Token, String> {
        let key = (uid(pod).to_owned(), audience.to_owned(), seconds);
        let now = shared.now();
        let held = self.lock().get(&key).filter(|token| token.refresh_at > now).cloned();
        if let Some(token) = held {
            return Ok(token);
        }
        let accounts = GroupVersionResource::new("", "v1", "serviceaccounts");
        let account = match text(pod, &["spec", "serviceAccountName"]) {
            "" => "default",
            account => account,
        };
        let audiences = if audience.is_empty() { json!([]) } else { json!([audience]) };
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod", "name": crate::read::name(pod), "uid": uid(pod)}},
        });
        let mut call = Call::create(&accounts, namespace(pod), request).at("token");
        call.name = Some(account.to_owned());
        let answer = shared
            .config
            .api
            .call(call)
            .await
            .map_err(|status| format!("failed to fetch token: {status}"))?;
        let refresh_at = refresh_at(&answer, seconds, now);
        let token = Token { text: text(&answer, &["status", "token"]).to_owned(), refresh_at };
        self.lock().insert(key, token.clone());
        Ok(token)
    }

    /// Forgets a pod's tokens.
    pub(crate) fn forget(&self, uid: &str) {
        self.lock().retain(|key, _| key.0 != uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<(String, String, i64), Token>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// No token is kept for longer, however long it lives.
const DAY: i64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_in_time() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (expires, seconds, after) in [
            ("2026-01-01T00:10:00Z", 3600, 480),
            ("2026-01-01T01:00:00Z", 600, 2880),
            ("2027-01-01T00:00:00Z", 600, DAY),
            ("", 1000, 800),
        ] {
            let answer = json!({"status": {"expirationTimestamp": expires}});
            assert_eq!(refresh_at(&answer, seconds, now).duration_since(now).as_secs(), after, "{expires}");
        }
    }

    #[test]
    fn a_token_is_for_the_user_of_all_containers() {
        let pod = |of_pod: Value, users: &[Value]| {
            let containers: Vec<Value> = users
                .iter()
                .map(|user| json!({"name": "c", "securityContext": {"runAsUser": user}}))
                .collect();
            json!({"spec": {"securityContext": {"runAsUser": of_pod}, "containers": containers}})
        };
        for (pod, expected) in [
            (pod(Value::Null, &[Value::Null]), None),
            (pod(json!(7), &[Value::Null, Value::Null]), Some(7)),
            (pod(json!(7), &[json!(8), json!(8)]), Some(8)),
            (pod(json!(7), &[json!(8), Value::Null]), None),
            (pod(Value::Null, &[json!(8), Value::Null]), None),
        ] {
            assert_eq!(common_user(&pod), expected, "{pod}");
        }
    }
}
