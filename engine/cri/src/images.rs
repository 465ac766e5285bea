//! The image service over the engine.

use std::collections::BTreeMap;

use engine::images::{Image as StoredImage, Images, PullOptions, Silent};
use oci_spec::Reference;
use registry::{Credential, Secret};
use rpc::cri::*;

use crate::error::status;
use crate::runtime::{Cri, Inner};
use crate::status::now;

impl ImageService for Cri {
    fn list_images(&self, request: ListImagesRequest) -> BoxFuture<'_, Result<ListImagesResponse, Status>> {
        self.does(move |inner| Ok(ListImagesResponse { images: inner.list_images(request.filter)? }))
    }

    fn stream_images(
        &self,
        request: StreamImagesRequest,
    ) -> BoxFuture<'_, Result<BoxStream<StreamImagesResponse>, Status>> {
        let listed = self.does(move |inner| inner.list_images(request.filter));
        crate::runtime::in_pieces(listed, |images| StreamImagesResponse { images })
    }

    fn image_status(
        &self,
        request: ImageStatusRequest,
    ) -> BoxFuture<'_, Result<ImageStatusResponse, Status>> {
        self.does_with(request.image.clone().as_ref(), move |inner| {
            let images = inner.engine.images().map_err(status)?;
            let name = name_of(request.image.as_ref())?;
            let found = images.try_find(name, None).map_err(status)?;
            let mut info = BTreeMap::new();
            if let Some(image) = found.as_ref().filter(|_| request.verbose) {
                let config = String::from_utf8_lossy(&image.config_raw).into_owned();
                info.insert("info".to_owned(), format!("{{\"imageSpec\":{config}}}"));
            }
            let image = found.map(|image| described(&images, &image)).transpose()?;
            Ok(ImageStatusResponse { image, info })
        })
    }

    fn pull_image(&self, request: PullImageRequest) -> BoxFuture<'_, Result<PullImageResponse, Status>> {
        self.does_with(request.image.clone().as_ref(), move |inner| inner.pull(&request))
    }

    fn remove_image(
        &self,
        request: RemoveImageRequest,
    ) -> BoxFuture<'_, Result<RemoveImageResponse, Status>> {
        self.does(move |inner| inner.remove_image(request.image.as_ref()))
    }

    fn image_fs_info(
        &self,
        _request: ImageFsInfoRequest,
    ) -> BoxFuture<'_, Result<ImageFsInfoResponse, Status>> {
        self.does(Inner::image_fs_info)
    }
}

impl Inner {
    fn list_images(&self, filter: Option<ImageFilter>) -> Result<Vec<Image>, Status> {
        let images = self.engine.images().map_err(status)?;
        let wanted = filter.and_then(|filter| filter.image).map(|image| image.image).unwrap_or_default();
        if !wanted.is_empty() {
            let found = images.try_find(&wanted, None).map_err(status)?;
            return found.iter().map(|image| described(&images, image)).collect();
        }
        let mut all: BTreeMap<String, Image> = BTreeMap::new();
        for row in images.list(&[]).map_err(status)? {
            if all.contains_key(&row.id.to_string()) {
                continue;
            }
            // One may be removed in between.
            if let Some(image) = images.try_find(&row.id.to_string(), None).map_err(status)? {
                all.insert(row.id.to_string(), described(&images, &image)?);
            }
        }
        Ok(all.into_values().collect())
    }

    fn pull(&self, request: &PullImageRequest) -> Result<PullImageResponse, Status> {
        let name = name_of(request.image.as_ref())?;
        let reference =
            Reference::parse(name).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let images = self.engine.images().map_err(status)?;
        if engine::Engine::is_tools_image(name)
            && let Some(image) = images.try_find(name, None).map_err(status)?
        {
            // It is made of this very program: no registry has it.
            return Ok(PullImageResponse { image_ref: image.id.to_string() });
        }
        let mut remote = self.remote.clone();
        if let Some(auth) = &request.auth {
            remote.credential = credential(auth)?.or(remote.credential);
        }
        let pulled = images
            .with_remote(remote)
            .pull(&reference, &PullOptions::default(), &mut Silent)
            .map_err(status)?;
        Ok(PullImageResponse { image_ref: pulled.image.id.to_string() })
    }

    /// Removes an image with all its names. Containers keep the layers that they stand on.
    fn remove_image(&self, image: Option<&ImageSpec>) -> Result<RemoveImageResponse, Status> {
        let images = self.engine.images().map_err(status)?;
        let name = name_of(image)?;
        let Some(found) = images.try_find(name, None).map_err(status)? else {
            return Ok(RemoveImageResponse {});
        };
        // The kubelet decides what is in use: it knows what it is about to start.
        match images.remove(&found.id.to_string(), true, &[]) {
            Err(engine::images::Error::NoSuchImage { .. }) | Ok(_) => Ok(RemoveImageResponse {}),
            Err(error) => Err(status(error)),
        }
    }

    fn image_fs_info(&self) -> Result<ImageFsInfoResponse, Status> {
        let snapshots = self.engine.snapshots().map_err(status)?;
        let images = self.engine.images().map_err(status)?;
        let layers: u64 = snapshots.chains().map_err(status)?.iter().map(|layer| layer.bytes).sum();
        let blobs = images.store().usage().map_err(status)?;
        let usage = |path: &std::path::Path, used: u64| FilesystemUsage {
            timestamp: now(),
            fs_id: Some(FilesystemIdentifier { mountpoint: path.display().to_string() }),
            used_bytes: Some(UInt64Value { value: used }),
            inodes_used: inodes_used(path),
        };
        let of_images = usage(&self.engine.paths().root, layers + blobs.bytes + blobs.partial_bytes);
        let mut written = 0;
        for container in self.index.containers(|_, _, _| true)? {
            written += self.engine.size_rw(&container.record).unwrap_or(0);
        }
        let of_containers = usage(snapshots.root(), written);
        Ok(ImageFsInfoResponse {
            image_filesystems: vec![of_images],
            container_filesystems: vec![of_containers],
        })
    }
}

/// Inodes in use on the file system of a path.
fn inodes_used(path: &std::path::Path) -> Option<UInt64Value> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(UInt64Value { value: stat.f_files.saturating_sub(stat.f_ffree) })
}

fn name_of(image: Option<&ImageSpec>) -> Result<&str, Status> {
    let name = image.map(|image| image.image.as_str()).filter(|name| !name.is_empty());
    name.ok_or_else(|| Status::invalid_argument("the request names no image"))
}

/// What to show to the registry; `None` when nothing was given.
fn credential(auth: &AuthConfig) -> Result<Option<Credential>, Status> {
    use base64::Engine as _;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    if let Some(username) = given(&auth.username) {
        return Ok(Some(Credential::Basic { username, password: Secret::new(auth.password.clone()) }));
    }
    if let Some(token) = given(&auth.identity_token) {
        return Ok(Some(Credential::Identity(Secret::new(token))));
    }
    if let Some(token) = given(&auth.registry_token) {
        return Ok(Some(Credential::Bearer(Secret::new(token))));
    }
    let Some(encoded) = given(&auth.auth) else { return Ok(None) };
    let wrong = || Status::invalid_argument("auth is not user:password in base64");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (username, password) = text.split_once(':').ok_or_else(wrong)?;
    let password = Secret::new(password.trim_end_matches('\0'));
    Ok(Some(Credential::Basic { username: username.to_owned(), password }))
}

fn described(images: &Images, image: &StoredImage) -> Result<Image, Status> {
    let (repo_tags, repo_digests) = names(images, image).map_err(status)?;
    let user = &image.config.config.user;
    let name = user.split(':').next().unwrap_or_default();
    let uid = name.parse::<i64>().ok();
    // Whoever names no user runs as root, and so it is said.
    let uid = if name.is_empty() { Some(0) } else { uid };
    Ok(Image {
        id: image.id.to_string(),
        pinned: repo_tags.iter().any(|tag| engine::Engine::is_tools_image(tag)),
        size: images.size(image).map_err(status)?.max(1),
        username: if uid.is_some() { String::new() } else { name.to_owned() },
        uid: uid.map(|value| Int64Value { value }),
        repo_tags,
        repo_digests,
        spec: Some(ImageSpec::default()),
    })
}

/// Tags and digests in full, as `docker.io/library/nginx:1`.
fn names(images: &Images, image: &StoredImage) -> Result<(Vec<String>, Vec<String>), engine::images::Error> {
    let (tags, digests) = images.repo_names(image)?;
    let full = |names: Vec<String>| -> Vec<String> {
        names
            .into_iter()
            .map(|name| Reference::parse(&name).map_or(name, |reference| reference.to_string()))
            .collect()
    };
    Ok((full(tags), full(digests)))
}

/// What containers say they are made of: the image by digest, or its id without one.
pub(crate) fn reference_of(images: &Images, image: &StoredImage) -> String {
    let digests = names(images, image).map(|(_, digests)| digests).unwrap_or_default();
    digests.into_iter().next().unwrap_or_else(|| image.id.to_string())
}
