//! `porter`: serves the text of each `SERVE_PORT_N` and `SERVE_TLS_PORT_N` at its port.

use std::net::SocketAddr;

use anyhow::Context as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::http::{self, Answered, Asked};

/// Serves until one of the servers fails; `echo` answers with the method and the text as JSON.
pub(crate) async fn run(echo: bool) -> anyhow::Result<()> {
    let mut servers = JoinSet::new();
    for (name, text) in std::env::vars() {
        let handler = move |request: Asked, _: SocketAddr| {
            let text = text.clone();
            async move { answer(&request, text, echo) }
        };
        if let Some(port) = name.strip_prefix("SERVE_PORT_") {
            servers.spawn(http::serve(port.parse().with_context(|| name.clone())?, handler));
        } else if let Some(port) = name.strip_prefix("SERVE_TLS_PORT_") {
            servers.spawn(http::serve_tls(
                port.parse().with_context(|| name.clone())?,
                http::unsigned()?,
                handler,
            ));
        }
    }
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

fn answer(request: &Asked, text: String, echo: bool) -> Answered {
    if echo {
        http::json(200, &json!({ "method": request.method().as_str(), "body": text }))
    } else {
        // What looks like a page is one.
        http::kind(200, if text.starts_with('<') { "text/html" } else { "text/plain" }, text)
    }
}
