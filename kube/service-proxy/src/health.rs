//! `healthCheckNodePort`: a load balancer asks each node whether it has endpoints of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proxy_rules::HealthCheck;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::error::Error;

/// Connections of load balancers that one port serves at a time; they ask and go.
const CONNECTIONS_MAX: usize = 64;

/// The ports that are served. Dropping it closes them.
#[derive(Default)]
pub(crate) struct Health {
    ports: HashMap<u16, Port>,
}

struct Port {
    answer: Arc<RwLock<HealthCheck>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Health {
    /// Serves exactly `checks`; returns those that cannot be.
    pub(crate) async fn serve<'a>(
        &mut self,
        address: IpAddr,
        checks: impl Iterator<Item = &'a HealthCheck>,
    ) -> Vec<Error> {
        let wanted: HashMap<u16, &HealthCheck> = checks.map(|check| (check.port, check)).collect();
        self.ports.retain(|port, _| wanted.contains_key(port));
        let mut errors = Vec::new();
        for (port, check) in wanted {
            if let Some(known) = self.ports.get(&port) {
                *known.answer.write().unwrap_or_else(PoisonError::into_inner) = check.clone();
                continue;
            }
            let address = SocketAddr::new(address, port);
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let answer = Arc::new(RwLock::new(check.clone()));
                    let task = tokio::spawn(accept(listener, Arc::clone(&answer)));
                    self.ports.insert(port, Port { answer, task });
                }
                Err(source) => {
                    errors.push(Error::Health { service: check.service.to_string(), address, source });
                }
            }
        }
        errors
    }
}

async fn accept(listener: TcpListener, answer: Arc<RwLock<HealthCheck>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                let Ok((stream, _)) = accepted else { continue };
                let answer = Arc::clone(&answer);
                connections.spawn(async move {
                    let service = service_fn(move |_: Request<Incoming>| {
                        let check = answer.read().unwrap_or_else(PoisonError::into_inner).clone();
                        async move { Ok::<_, Infallible>(respond(&check)) }
                    });
                    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    drop(served.await);
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// As kube-proxy answers.
fn respond(check: &HealthCheck) -> Response<Full<Bytes>> {
    let count = check.local_endpoints;
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {:?},\n\t\t\"name\": {:?}\n\t}},\n\t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": true\n}}",
        check.service.namespace, check.service.name,
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = if count > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    headers.insert("x-load-balancing-endpoint-weight", http::HeaderValue::from(count));
    response
}

#[cfg(test)]
mod tests {
    use proxy_rules::ServiceName;

    use super::*;

    #[test]
    fn answers_as_load_balancers_expect() {
        let mut check =
            HealthCheck { service: ServiceName::new("a", "web"), port: 30500, local_endpoints: 2 };
        let response = respond(&check);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-load-balancing-endpoint-weight"], "2");
        check.local_endpoints = 0;
        assert_eq!(respond(&check).status(), 503);
    }
}
