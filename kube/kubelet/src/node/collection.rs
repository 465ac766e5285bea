//! Images that nobody uses, removed when the disk is full.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rpc::cri::{ImageFsInfoRequest, ImageSpec, ListImagesRequest, RemoveImageRequest};

use crate::config::ImageCollection;
use crate::events::warning;
use crate::images::in_use;
use crate::kubelet::Shared;

/// An image that could go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    id: String,
    bytes: u64,
    idle: Duration,
}

/// Removes images if the disk is fuller than it should be.
pub(super) async fn collect(shared: &Shared) {
    detect(shared).await;
    let Some((used, total)) = disk(shared).await else { return };
    let wanted = to_free(used, total, &shared.config.image_collection);
    if wanted > 0 {
        let freed = free(shared, wanted).await;
        if freed < wanted {
            let why = format!(
                "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
            );
            shared.recorder.node(&shared.config.node.name, shared.now(), warning("FreeDiskSpaceFailed", why));
        }
    }
}

/// Counts from now how long images are unused that nobody has seen before.
async fn detect(shared: &Shared) {
    if let Ok(listed) = shared.config.images.list_images(ListImagesRequest::default()).await {
        for image in &listed.images {
            let _ = shared.images.last_used(&image.id);
        }
    }
}

/// How full the images' disk is: bytes used and in all.
async fn disk(shared: &Shared) -> Option<(u64, u64)> {
    let info = shared.config.images.image_fs_info(ImageFsInfoRequest {}).await.ok()?;
    let place = info.image_filesystems.first()?.fs_id.as_ref()?.mountpoint.clone();
    let found = rustix::fs::statvfs(place.as_str()).ok()?;
    let total = found.f_blocks.saturating_mul(found.f_frsize);
    Some((total.saturating_sub(found.f_bavail.saturating_mul(found.f_frsize)), total))
}

/// Bytes to free: from above the high mark down to the low one.
fn to_free(used: u64, total: u64, config: &ImageCollection) -> u64 {
    let mark = |percent: u8| total / 100 * u64::from(percent);
    let is_roomy = total.saturating_sub(used) >= config.free_bytes_most;
    if total == 0 || is_roomy || used < mark(config.high_percent) {
        0
    } else {
        used.saturating_sub(mark(config.low_percent))
    }
}

/// Removes unused images until so many bytes are free; tells how many were.
pub(super) async fn free(shared: &Shared, wanted: u64) -> u64 {
    let Ok(listed) = shared.config.images.list_images(ListImagesRequest::default()).await else { return 0 };
    let used = in_use(shared);
    let now = Instant::now();
    let candidates = listed.images.iter().filter(|image| !image.pinned && !is_used(image, &used));
    let candidates = candidates.map(|image| Candidate {
        id: image.id.clone(),
        bytes: image.size,
        idle: now.saturating_duration_since(shared.images.last_used(&image.id)),
    });
    let mut freed = 0;
    for victim in victims(candidates.collect(), wanted, shared.config.image_collection.age_least) {
        let request =
            RemoveImageRequest { image: Some(ImageSpec { image: victim.id, ..ImageSpec::default() }) };
        if shared.config.images.remove_image(request).await.is_ok() {
            freed += victim.bytes;
        }
    }
    freed
}

fn is_used(image: &rpc::cri::Image, used: &BTreeMap<String, String>) -> bool {
    let names = image.repo_tags.iter().chain(&image.repo_digests).chain(std::iter::once(&image.id));
    let short = |name: &str| {
        name.trim_start_matches("docker.io/library/").trim_start_matches("docker.io/").to_owned()
    };
    names.into_iter().any(|name| used.contains_key(name) || used.contains_key(&short(name)))
}

/// The longest unused first, none that is young.
fn victims(mut candidates: Vec<Candidate>, wanted: u64, age_least: Duration) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.idle >= age_least);
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.idle));
    let mut freed = 0;
    candidates
        .into_iter()
        .take_while(|candidate| {
            let go_on = freed < wanted;
            freed += candidate.bytes;
            go_on
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frees_from_the_high_mark_to_the_low() {
        let config = ImageCollection {
            high_percent: 85,
            low_percent: 80,
            free_bytes_most: 1000,
            ..ImageCollection::default()
        };
        assert_eq!(
            [to_free(84, 100, &config), to_free(85, 100, &config), to_free(99, 100, &config)],
            [0, 5, 19]
        );
        assert_eq!(to_free(1, 0, &config), 0);
        // Of a large disk a part is plenty.
        assert_eq!(to_free(9900, 11_000, &config), 0);
    }

    #[test]
    fn the_longest_unused_go_first() {
        let one =
            |id: &str, bytes, idle| Candidate { id: id.to_owned(), bytes, idle: Duration::from_secs(idle) };
        let all =
            vec![one("young", 50, 10), one("old", 10, 900), one("older", 10, 1000), one("mid", 10, 500)];
        let found: Vec<String> =
            victims(all, 15, Duration::from_secs(120)).into_iter().map(|it| it.id).collect();
        assert_eq!(found, ["older", "old"]);
    }
}
