//! Leading traffic away from a pod before it is asked to stop.

use std::sync::Arc;

use client::BoxFuture;

/// A pod, for those who know it by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// The pod's addresses.
    pub addresses: Vec<String>,
}

/// Who leads traffic to pods on this node.
///
/// When a pod is deleted, its endpoints are taken out of the API. The kubelet holds the signal to its
/// processes until this says that nothing more is led there, but no longer than half of their time.
pub trait Traffic: Send + Sync {
    /// Returns when no new connection is led to the pod.
    fn drained<'a>(&'a self, pod: &'a PodRef) -> BoxFuture<'a, ()>;
}

/// Nobody leads traffic: there is nothing to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTraffic;

impl Traffic for NoTraffic {
    fn drained<'a>(&'a self, _pod: &'a PodRef) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
