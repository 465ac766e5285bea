//! `grpc.health.v1.Health/Check`.

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

/// Which service is asked about.
#[derive(Clone, PartialEq, Eq, Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// How it is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Asks once; the error is what people are told.
pub(super) async fn check(address: &str, service: &str) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.user_agent("kube-probe/1.36").map_err(|error| error.to_string())?;
    let channel = endpoint.connect().await;
    let channel =
        channel.map_err(|error| format!("error: failed to connect service \"{address}\": {error}"))?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| error.to_string())?;
    let request = tonic::Request::new(CheckRequest { service: service.to_owned() });
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let codec: ProstCodec<CheckRequest, CheckResponse> = ProstCodec::default();
    let answer = client.unary(request, path, codec).await;
    let answer = answer.map_err(|status| match status.code() {
        tonic::Code::Unimplemented => {
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                .to_owned()
        }
        _ => format!("error: health rpc probe failed: {}", status.message()),
    })?;
    match answer.into_inner().status {
        SERVING => Ok(()),
        status => Err(format!("service unhealthy (responded with \"{}\")", word(status))),
    }
}

fn word(status: i32) -> &'static str {
    match status {
        0 => "UNKNOWN",
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        _ => "SERVICE_UNKNOWN",
    }
}

const SERVING: i32 = 1;
