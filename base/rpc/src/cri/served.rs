//! Any implementation of the traits, for the generated gRPC servers.

use std::sync::Arc;

use tonic::{Request, Response};

use super::services::{answer, image_calls, runtime_calls};
use super::*;

/// An implementation as the generated servers want it:
/// `RuntimeServiceServer::new(Served(runtime))`.
#[derive(Debug)]
pub struct Served<T: ?Sized>(pub Arc<T>);

impl<T: ?Sized> Clone for Served<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

macro_rules! served_service {
    ($service:ident, $_cm:ident, $_c:ident, $server_module:ident;
     $($(#[$_doc:meta])* $kind:ident $call:ident $_name:ident ($request:ident) $response:ident $(as $stream:ident)?;)+) => {
        #[tonic::async_trait]
        impl<T: $service + ?Sized + 'static> $server_module::$service for Served<T> {
            $( $( type $stream = BoxStream<$response>; )? )+
            $(
                async fn $call(
                    &self,
                    request: Request<$request>,
                ) -> Result<Response<answer!($kind $response)>, Status> {
                    Ok(Response::new(self.0.$call(request.into_inner()).await?))
                }
            )+
        }
    };
}

runtime_calls!(served_service);
image_calls!(served_service);
