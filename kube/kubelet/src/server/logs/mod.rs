//! `/containerLogs`: what a container has written, as the runtime keeps it in files.
//!
//! [`options`] reads what is asked, [`line`] the lines of the CRI's format; both are pure.
//! `file` goes through a file and its successors, woken by inotify.

mod file;
pub mod line;
pub mod options;
mod which;

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame};
use jiff::Timestamp;
use rpc::cri::ContainerStatusRequest;
use tokio::sync::mpsc;

use super::Server;
use super::answer::{Body, Refusal};
use super::node;
pub(super) use options::query;
use options::{Options, OptionsError};

/// Pieces of a log that wait for the client.
const QUEUE: usize = 4;

impl Server {
    pub(super) async fn logs(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        text: &str,
    ) -> Result<Response<Body>, Refusal> {
        let options = Options::parse(&query(text), Timestamp::now()).map_err(|error| match error {
            OptionsError::Undecodable => Refusal::bad_request("{\"message\": \"Unable to decode query.\"}"),
            OptionsError::Invalid(why) => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why),
        })?;
        let pod = node::pod(self.node.as_ref(), namespace, name)
            .ok_or_else(|| Refusal::not_found(format!("pod {name:?} does not exist\n")))?;
        if !which::is_in_spec(&pod, container) {
            return Err(Refusal::not_found(format!("container {container:?} not found in pod {name:?}\n")));
        }
        let id = which::container(&pod, container, options.previous).map_err(Refusal::bad_request)?;
        let runtime = self.node.runtime();
        let request = ContainerStatusRequest { container_id: id.clone(), verbose: false };
        let status = runtime.container_status(request).await.map_err(|status| {
            Refusal::bad_request(format!("failed to get container status {id:?}: {}", status.message()))
        })?;
        let path = status.status.map(|status| status.log_path).unwrap_or_default();
        if path.is_empty() {
            return Err(Refusal::bad_request(format!("container {container:?} writes no log file")));
        }
        let opened = file::Reading::open(path.into(), options).await.map_err(Refusal::bad_request)?;
        let (pieces, queue) = mpsc::channel(QUEUE);
        let ended = file::Ended::new(Arc::clone(&runtime), id);
        let mut shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = opened.send(ended, pieces) => {}
                () = client::asked_to_end(&mut shutdown) => {}
            }
        });
        let stream = futures_util::stream::unfold(queue, |mut queue| async move {
            let piece: Bytes = queue.recv().await?;
            Some((Ok(Frame::data(piece)), queue))
        });
        let mut response = Response::new(http_body_util::StreamBody::new(stream).boxed());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(response)
    }
}
