//! `image inspect`: docker's JSON.

use serde_json::{Map, Value, json};

use super::image::{Name, REPO_DIGEST_LABEL};
use super::{Error, Image, Images};

impl Images {
    /// Everything about an image, under docker's names.
    pub fn inspect(&self, image: &Image) -> Result<Value, Error> {
        let (tags, digests) = self.repo_names(image)?;
        let config = &image.config;
        let raw: Value = serde_json::from_slice(&image.config_raw).unwrap_or_default();
        let text = |name: &str| raw.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let tagged = self.names_of(image)?.iter().map(|record| record.updated).max().unwrap_or(0);
        let layers: Vec<String> = config.rootfs.diff_ids.iter().map(ToString::to_string).collect();
        let mut found = json!({
            "Id": image.id,
            "RepoTags": tags,
            "RepoDigests": digests,
            "Parent": "",
            "Comment": config.history.last().and_then(|step| step.comment.clone()).unwrap_or_default(),
            "Created": config.created.clone().unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned()),
            "DockerVersion": text("docker_version"),
            "Author": config.author.clone().unwrap_or_default(),
            "Config": container_config(&raw),
            "Architecture": config.architecture,
            "Os": config.os,
            "Size": self.size(image)?,
            "GraphDriver": { "Name": "overlayfs", "Data": self.graph(image)? },
            "RootFS": { "Type": "layers", "Layers": layers },
            "Metadata": { "LastTagTime": rfc3339(tagged) },
            "Descriptor": { "mediaType": image.target.media_type, "digest": image.target.digest, "size": image.target.size },
        });
        if let (Some(variant), Value::Object(map)) = (&config.variant, &mut found) {
            map.insert("Variant".to_owned(), variant.clone().into());
        }
        Ok(found)
    }

    /// Tags and digests under which an image is known, as people write them.
    pub fn repo_names(&self, image: &Image) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut tags, mut digests) = (Vec::new(), Vec::new());
        for record in self.names_of(image)? {
            let known =
                record.labels.get(REPO_DIGEST_LABEL).and_then(|text| oci_spec::Reference::parse(text).ok());
            digests.extend(known.map(|reference| reference.familiar()));
            match Name::of(&record) {
                Some(Name::Tag(reference)) => tags.push(reference.familiar()),
                Some(Name::Digest(reference)) => digests.push(reference.familiar()),
                Some(Name::Nameless(_)) | None => {}
            }
        }
        digests.sort();
        digests.dedup();
        Ok((tags, digests))
    }

    /// Where the layers lie, as docker's overlay driver says it.
    fn graph(&self, image: &Image) -> Result<Value, Error> {
        let Some(chain) = image.chain_id() else { return Ok(Value::Null) };
        if !self.snapshots.contains(&chain).map_err(Error::snapshot(&image.called))? {
            return Ok(Value::Null);
        }
        let layers = self.snapshots.layers(&chain).map_err(Error::snapshot(&image.called))?;
        let lower: Vec<String> = layers.iter().rev().map(|layer| layer.path.display().to_string()).collect();
        Ok(json!({ "LowerDir": lower.join(":") }))
    }
}

/// The defaults for containers, with all fields that templates ask for.
fn container_config(raw: &Value) -> Value {
    let mut config = match raw.get("config") {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    for name in ["Env", "Cmd", "Entrypoint", "Labels", "Volumes", "OnBuild"] {
        config.entry(name).or_insert(Value::Null);
    }
    for name in ["User", "WorkingDir"] {
        config.entry(name).or_insert_with(|| "".into());
    }
    Value::Object(config)
}

fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    jiff::Timestamp::from_second(seconds).map(|stamp| stamp.to_string()).unwrap_or_default()
}
