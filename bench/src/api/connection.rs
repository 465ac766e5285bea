//! The administrator's connections, for calls that must be done.

use std::path::Path;

use anyhow::{Result, ensure};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use wire::connection;
pub(super) use wire::connection::Windows;

/// Connections that take turns.
#[derive(Clone)]
pub(super) struct Pool {
    connections: connection::Pool,
    accept: &'static str,
}

impl Pool {
    pub(super) async fn connect(kubeconfig: &Path) -> Result<Self> {
        Self::connect_with(kubeconfig, CONNECTIONS, None).await
    }

    /// With another number of connections, and windows of their own.
    pub(super) async fn connect_with(
        kubeconfig: &Path,
        connections: usize,
        windows: Option<Windows>,
    ) -> Result<Self> {
        let connections = connection::Pool::connect_with(kubeconfig, connections, windows).await?;
        Ok(Self { connections, accept: "application/json" })
    }

    /// The same connections, but for answers of another media type.
    pub(super) fn accepting(&self, accept: &'static str) -> Self {
        Self { accept, ..self.clone() }
    }

    /// Sends a request; the answer's head must say that it was done.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Response<Incoming>> {
        let merges = method == "PATCH";
        let content_type = if merges { "application/merge-patch+json" } else { "application/json" };
        let headers = [("accept", self.accept), ("content-type", content_type)];
        let response = self.connections.open(method, path, &headers, body.unwrap_or_default()).await?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response)
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<String>) -> Result<Bytes> {
        let response = self.send(method, path, body).await?;
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(!bytes.is_empty(), "{method} {path}: an empty answer");
        Ok(bytes)
    }
}

const CONNECTIONS: usize = 8;
