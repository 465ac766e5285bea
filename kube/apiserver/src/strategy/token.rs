//! Tokens of service accounts: POST to `serviceaccounts/NAME/token`.

use kube_object::resource::{GroupResource, GroupVersionKind};
use kube_object::status::Status;
use serde_json::Value;

use crate::registry::{Body, Context, GetOptions, Outcome, Registry, Target, WriteOptions, meta};

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

/// The object that the token is to be bound to.
async fn bound(registry: &Registry, namespace: &str, wanted: &Value) -> Result<Option<Value>, Status> {
    let reference = wanted.get("spec").and_then(|spec| spec.get("boundObjectRef"));
    let Some(reference) = reference.filter(|found| !found.is_null()) else { return Ok(None) };
    let text = |name: &str| reference.get(name).and_then(Value::as_str).unwrap_or_default();
    let (resource, namespace) = match text("kind") {
        "Pod" => ("pods", namespace),
        "Secret" => ("secrets", namespace),
        "Node" => ("nodes", ""),
        other => {
            let why = format!("cannot bind token for serviceaccount to an object of kind {other:?}");
            return Err(Status::bad_request(why));
        }
    };
    registry.core.cache.catch_up().await?;
    let resource = GroupResource::new("", resource);
    let found = client::Mirror::item(&*registry.core.cache, &resource, namespace, text("name"));
    let found = found.ok_or_else(|| Status::not_found(&resource, text("name")))?.decode();
    let (given, own) = (text("uid"), meta::text(&found, "uid"));
    if !given.is_empty() && given != own {
        let why = format!(
            "the UID in the bound object reference ({given}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(&resource, text("name"), why));
    }
    Ok(Some(found))
}
