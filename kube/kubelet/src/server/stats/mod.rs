//! What pods and the node use: `/stats/summary`, `/metrics/resource`, `/metrics/cadvisor`, `/metrics`.
//!
//! Figures come from the runtime (containers, sandboxes) and from `/proc` (the node); everything
//! that turns them into answers is pure.

mod collect;
mod figures;
mod host;
mod summary;
mod text;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use rpc::cri::ListContainersRequest;
use serde_json::Value;

use super::Server;
use super::answer::{Body, Refusal, full};

/// The last figures of each container, for rates where the runtime tells none.
#[derive(Default)]
pub(super) struct Samples(Mutex<HashMap<String, (i64, u64)>>);

impl Samples {
    /// Nanocores between the last sample of `id` and this one; remembers this one.
    fn rate(&self, id: &str, time: i64, cumulative: u64) -> Option<u64> {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = samples.insert(id.to_owned(), (time, cumulative))?;
        let (elapsed, used) =
            (u64::try_from(time.checked_sub(before.0)?).ok()?, cumulative.checked_sub(before.1)?);
        if elapsed == 0 {
            samples.insert(id.to_owned(), before);
            return None;
        }
        u64::try_from(u128::from(used) * 1_000_000_000 / u128::from(elapsed)).ok()
    }

    /// Forgets all others.
    fn retain(&self, ids: &[&str]) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.retain(|id, _| ids.contains(&id.as_str()));
    }
}

impl Server {
    pub(super) async fn summary(&self) -> Result<Value, Refusal> {
        let (figures, host) = (self.add_stored(self.figures().await?).await, self.host());
        let images = self.node.images().image_fs_info(rpc::cri::ImageFsInfoRequest {}).await.ok();
        Ok(summary::of(self.node.name(), &figures, &host, images.as_ref()))
    }

    pub(super) async fn resource(&self) -> String {
        let host = self.host();
        match self.figures().await {
            Ok(figures) => text::resource(&figures, &host, false),
            // The node's figures are there all the same.
            Err(_) => text::resource(&figures::Figures::default(), &host, true),
        }
    }

    pub(super) async fn cadvisor(&self) -> Result<String, Refusal> {
        Ok(text::cadvisor(&self.figures().await?))
    }

    pub(super) async fn metrics(&self) -> Result<String, Refusal> {
        let containers =
            self.node.runtime().list_containers(ListContainersRequest::default()).await?.containers;
        let pods = self.node.pods().len();
        let requests = self.requests.load(std::sync::atomic::Ordering::Relaxed);
        Ok(text::kubelet(self.node.name(), pods, &containers, requests))
    }
}

/// An answer in the text format of Prometheus.
pub(super) fn exposition(text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, version);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_between_samples() {
        let samples = Samples::default();
        let second = 1_000_000_000;
        assert_eq!(samples.rate("a", 10 * second, 0), None);
        assert_eq!(samples.rate("a", 12 * second, 1_000_000_000), Some(500_000_000));
        assert_eq!(samples.rate("a", 12 * second, 1_000_000_000), None);
        assert_eq!(samples.rate("a", 13 * second, 500_000_000), None, "it began again");
        assert_eq!(samples.rate("a", 14 * second, 600_000_000), Some(100_000_000));
        samples.retain(&["b"]);
        assert_eq!(samples.rate("a", 15 * second, 700_000_000), None);
    }
}
