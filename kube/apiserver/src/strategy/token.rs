//! Tokens of service accounts: POST to `serviceaccounts/NAME/token`.

use kube_object::resource::GroupVersionKind;
use kube_object::status::Status;
use serde_json::Value;

use crate::registry::{Body, Context, GetOptions, Outcome, Registry, Target, WriteOptions};

/// Answers a `TokenRequest`.
pub(crate) async fn request(
    registry: &Registry,
    context: &Context,
    target: &Target,
    body: Body,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let gvk = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    let mut wanted = body.value;
    kube_api::default(&gvk, &mut wanted);
    crate::registry::core::set_type(&mut wanted, &gvk);
    let whole = Target { subresource: String::new(), ..target.clone() };
    let account = registry.core.get(&whole, &GetOptions::default()).await?.to_value();
    let mut asked =
        registry.admission_request(context, target, admission::Operation::Create, options.dry_run);
    asked.object = Some(wanted);
    registry.mutate(context, &mut asked).await?;
    registry.validate(context, &asked).await?;
    let wanted = asked.object.unwrap_or_default();
    let bound = bound(registry, &target.namespace, &wanted).await?;
    let tokens = registry.tokens.get().ok_or_else(Status::no_such_path)?;
    let answer = tokens.issue(&account, bound.as_ref(), &wanted, registry.core.unix())?;
    Ok(Outcome::value(201, gvk, answer))
}

/// The object that the token is to be bound to, if it exists; who issues the token judges it.
async fn bound(registry: &Registry, namespace: &str, wanted: &Value) -> Result<Option<Value>, Status> {
    let Some((resource, name)) = auth::token::bound_object(wanted)? else { return Ok(None) };
    let namespace = if resource.resource == "nodes" { "" } else { namespace };
    registry.core.cache.catch_up().await?;
    let found = client::Mirror::item(&*registry.core.cache, &resource, namespace, name);
    Ok(found.map(|object| object.decode()))
}
