//! Images: whether they have to be pulled, as whom, and when they go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rpc::cri::{AuthConfig, ImageSpec, ImageStatusRequest, PodSandboxConfig, PullImageRequest};
use serde_json::Value;

use crate::events::{normal, warning};
use crate::jobs::Failed;
use crate::kubelet::Shared;
use crate::model::Wanted;
use crate::objects::Reference;
use crate::read::{items, namespace, text, uid};
use crate::spec::{ImageUser, Kind, sandbox_config};

/// An image that is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present {
    /// The name by which containers are made of it.
    pub(crate) reference: String,
    /// The user that it runs as.
    pub(crate) user: ImageUser,
}

/// Sees to it that a container's image is there.
pub(crate) async fn ensure(
    shared: &Shared,
    pod: &Value,
    wanted: &Wanted<'_>,
    sandbox: &PodSandboxConfig,
) -> Result<Present, Failed> {
    let image = text(wanted.spec, &["image"]);
    let asked =
        pull(shared, pod, image, text(wanted.spec, &["imagePullPolicy"]), Some(wanted.name()), sandbox);
    asked.await
}

/// Sees to it that a volume's image is there, and gives the name to mount it by.
pub(crate) async fn volume(shared: &Shared, pod: &Value, spec: &Value) -> Result<String, String> {
    let sandbox = sandbox_config(pod, 0, &shared.sandbox_node());
    let found =
        pull(shared, pod, text(spec, &["reference"]), text(spec, &["pullPolicy"]), None, &sandbox).await;
    found.map(|found| found.reference).map_err(|failed| failed.message)
}

async fn pull(
    shared: &Shared,
    pod: &Value,
    image: &str,
    policy: &str,
    container: Option<&str>,
    sandbox: &PodSandboxConfig,
) -> Result<Present, Failed> {
    let name = with_tag(image).ok_or_else(|| Failed {
        reason: "InvalidImageName",
        message: format!(
            "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
        ),
    })?;
    let tell = |event| match container {
        Some(container) => shared.recorder.container(pod, container, shared.now(), event),
        None => shared.recorder.pod(pod, shared.now(), event),
    };
    let policy = match policy {
        "" if name.ends_with(":latest") => "Always",
        "" => "IfNotPresent",
        policy => policy,
    };
    let found = status(shared, &name).await.map_err(|why| Failed {
        reason: "ImageInspectError",
        message: format!("Failed to inspect image \"{image}\": {why}"),
    })?;
    if let Some(found) = found.filter(|_| policy != "Always") {
        tell(normal("Pulled", format!("Container image \"{image}\" already present on machine")));
        shared.images.used(&found.reference);
        return Ok(found);
    }
    if policy == "Never" {
        let message = format!("Container image \"{image}\" is not present with pull policy of Never");
        tell(warning("ErrImageNeverPull", message.clone()));
        return Err(Failed { reason: "ErrImageNeverPull", message });
    }
    tell(normal("Pulling", format!("Pulling image \"{image}\"")));
    let begun = Instant::now();
    let reference = fetch(shared, pod, &name, sandbox).await.map_err(|why| {
        let message = why.clone();
        tell(warning("Failed", format!("Failed to pull image \"{image}\": {why}")));
        tell(warning("Failed", "Error: ErrImagePull"));
        Failed { reason: "ErrImagePull", message }
    })?;
    let took = begun.elapsed().as_millis();
    tell(normal(
        "Pulled",
        format!("Successfully pulled image \"{image}\" in {took}ms ({took}ms including waiting)"),
    ));
    let found = status(shared, &reference).await.ok().flatten();
    let found = found.unwrap_or(Present { reference: reference.clone(), user: ImageUser::default() });
    shared.images.used(&found.reference);
    Ok(found)
}

async fn status(shared: &Shared, name: &str) -> Result<Option<Present>, String> {
    let image = Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() });
    let answer = shared.config.images.image_status(ImageStatusRequest { image, verbose: false }).await;
    let answer = answer.map_err(|status| status.message().to_owned())?;
    Ok(answer.image.map(|image| Present {
        reference: image.id,
        user: ImageUser { uid: image.uid.map(|uid| uid.value), name: image.username },
    }))
}

/// Pulls with each credential that fits, or without one.
async fn fetch(
    shared: &Shared,
    pod: &Value,
    name: &str,
    sandbox: &PodSandboxConfig,
) -> Result<String, String> {
    let mut credentials = credentials(shared, pod, name).await;
    if credentials.is_empty() {
        credentials.push(None);
    }
    let mut errors = Vec::new();
    for auth in credentials {
        let request = PullImageRequest {
            image: Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() }),
            auth,
            sandbox_config: Some(sandbox.clone()),
        };
        match shared.config.images.pull_image(request).await {
            Ok(answer) => return Ok(answer.image_ref),
            Err(status) => errors.push(status.message().to_owned()),
        }
    }
    Err(errors.join(", "))
}

async fn credentials(shared: &Shared, pod: &Value, name: &str) -> Vec<Option<AuthConfig>> {
    let mut found = Vec::new();
    for secret in items(pod, &["spec", "imagePullSecrets"]) {
        let (within, secret) = (namespace(pod).to_owned(), text(secret, &["name"]).to_owned());
        let reference = Reference { resource: "secrets", namespace: within, name: secret };
        // A secret that is not there is not an error: others may fit.
        let Ok(Some(secret)) = shared.objects.get(&reference).await else { continue };
        for (key, bytes) in Kind::Secret.bytes(&secret) {
            let Ok(file) = serde_json::from_slice::<Value>(&bytes) else { continue };
            let hosts = match key.as_str() {
                ".dockerconfigjson" => file.get("auths").cloned(),
                ".dockercfg" => Some(file),
                _ => None,
            };
            found.extend(hosts.as_ref().map(|hosts| fitting(hosts, name)).unwrap_or_default());
        }
    }
    found.into_iter().map(Some).collect()
}

/// The entries of a docker configuration that are meant for an image.
fn fitting(hosts: &Value, image: &str) -> Vec<AuthConfig> {
    let (registry, path) = split(image);
    let mut found: Vec<(usize, AuthConfig)> = Vec::new();
    for (host, entry) in hosts.as_object().into_iter().flatten() {
        let plain = host.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let plain = plain.trim_end_matches("/v1").trim_end_matches("/v2");
        let (for_host, for_path) = plain.split_once('/').unwrap_or((plain, ""));
        let docker = |name: &str| matches!(name, "docker.io" | "index.docker.io" | "registry-1.docker.io");
        let fits = for_host == registry
            || (docker(for_host) && docker(&registry))
            || for_host
                .strip_prefix("*.")
                .is_some_and(|rest| registry.split_once('.').is_some_and(|(_, behind)| behind == rest));
        let inside = for_path.is_empty() || path == for_path || path.starts_with(&format!("{for_path}/"));
        if fits && inside {
            found.push((plain.len(), auth(entry)));
        }
    }
    // The most particular first.
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().map(|(_, auth)| auth).collect()
}

fn auth(entry: &Value) -> AuthConfig {
    let both = STANDARD.decode(text(entry, &["auth"])).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let both = both.as_deref().and_then(|both| both.split_once(':')).unwrap_or_default();
    let pick = |name: &str, other: &str| match text(entry, &[name]) {
        "" => other.to_owned(),
        own => own.to_owned(),
    };
    AuthConfig {
        username: pick("username", both.0),
        password: pick("password", both.1),
        identity_token: text(entry, &["identitytoken"]).to_owned(),
        registry_token: text(entry, &["registrytoken"]).to_owned(),
        ..AuthConfig::default()
    }
}

/// An image's registry and repository.
fn split(image: &str) -> (String, &str) {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host.to_owned(), rest),
        _ => ("docker.io".to_owned(), image),
    }
}

/// The image with a tag or digest; nothing where it is not a name of an image.
fn with_tag(image: &str) -> Option<String> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (repository, tag) = match name.get(slash..).and_then(|last| last.find(':')) {
        Some(at) => (name.get(..slash + at)?, Some(name.get(slash + at + 1..)?)),
        None => (name, None),
    };
    let (host, path) = split(repository);
    let part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !part.is_empty()
            && part.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
            && part.bytes().next().is_some_and(plain)
            && part.bytes().last().is_some_and(plain)
    };
    let host_is_good = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let tag_is_good = tag.is_none_or(|tag| {
        !tag.is_empty()
            && tag.len() <= 128
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    });
    let digest_is_good = digest.is_none_or(|digest| {
        digest
            .split_once(':')
            .is_some_and(|(_, hex)| hex.len() >= 32 && hex.bytes().all(|it| it.is_ascii_hexdigit()))
    });
    if !path.split('/').all(part) || !host_is_good || !tag_is_good || !digest_is_good {
        return None;
    }
    Some(if tag.is_none() && digest.is_none() { format!("{image}:latest") } else { image.to_owned() })
}

/// When images were last used.
#[derive(Debug, Default)]
pub(crate) struct Images {
    last_used: Mutex<HashMap<String, Instant>>,
}

impl Images {
    pub(crate) fn used(&self, reference: &str) {
        let mut last_used = self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
        last_used.insert(reference.to_owned(), Instant::now());
    }

    /// When it was last used, or first seen.
    pub(crate) fn last_used(&self, reference: &str) -> Instant {
        let mut last_used = self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
        *last_used.entry(reference.to_owned()).or_insert_with(Instant::now)
    }
}

/// Names in use on this node: what no collection may take.
pub(crate) fn in_use(shared: &Shared) -> BTreeMap<String, String> {
    let mut used = BTreeMap::new();
    for (pod, state) in shared.pods.states() {
        for container in &state.containers {
            used.insert(container.image_id.clone(), uid(&pod).to_owned());
            used.insert(container.image.clone(), uid(&pod).to_owned());
        }
        let of_containers = Wanted::all(&pod).map(|wanted| text(wanted.spec, &["image"]));
        let of_volumes =
            items(&pod, &["spec", "volumes"]).iter().map(|volume| text(volume, &["image", "reference"]));
        for image in of_containers.chain(of_volumes) {
            used.insert(with_tag(image).unwrap_or_default(), uid(&pod).to_owned());
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_images() {
        for (image, expected) in [
            ("nginx", Some("nginx:latest")),
            ("nginx:1.2", Some("nginx:1.2")),
            ("localhost:5000/a/b", Some("localhost:5000/a/b:latest")),
            ("registry.k8s.io/pause:3.10", Some("registry.k8s.io/pause:3.10")),
            ("FAKE", None),
            ("", None),
            ("a//b", None),
            ("nginx:", None),
            ("nginx@sha256:0", None),
        ] {
            assert_eq!(with_tag(image).as_deref(), expected, "{image}");
        }
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        assert_eq!(with_tag(&digest), Some(digest.clone()));
    }

    #[test]
    fn credentials_by_registry() {
        let hosts = json!({"https://index.docker.io/v1/": {"auth": STANDARD.encode("me:secret")},
            "r.io": {"username": "a", "password": "b"}, "r.io/team": {"username": "t", "password": "b"}});
        let users =
            |image: &str| fitting(&hosts, image).into_iter().map(|it| it.username).collect::<Vec<_>>();
        assert_eq!(users("nginx"), ["me"]);
        assert_eq!(users("r.io/x"), ["a"]);
        assert_eq!(users("r.io/team/x"), ["t", "a"]);
        assert!(users("other.io/x").is_empty());
    }
}
