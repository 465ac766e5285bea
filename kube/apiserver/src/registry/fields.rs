//! Who owns which fields: `metadata.managedFields` of every write.

use kube_object::apply::{
    self, ApplyError, ApplyOptions, FieldSet, Managers, PathElement, Writer,
    managers::manager_from_user_agent, typed,
};
use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use kube_object::status::Status;
use serde_json::{Value, json};

use super::context::{Context, Target, WriteOptions};
use super::meta;
use crate::kinds::Resource;
use crate::rules;

/// Who writes, in the words of managed fields.
pub(super) fn writer(context: &Context, target: &Target, options: &WriteOptions, now: String) -> Writer {
    let manager = if options.field_manager.is_empty() {
        manager_from_user_agent(&context.user_agent)
    } else {
        options.field_manager.clone()
    };
    let manager = if manager.is_empty() { UNKNOWN.to_owned() } else { manager };
    Writer {
        manager,
        api_version: target.resource.gvk.api_version(),
        subresource: target.subresource.clone(),
        now,
    }
}

/// Notes that `new` was written in place of `old` (null if there was nothing). What the client says
/// about managed fields counts only if it is a list that can be read: an empty one forgets everybody.
pub(super) fn record(
    resource: &Resource,
    old: &Value,
    new: &mut Value,
    writer: &Writer,
) -> Result<(), Status> {
    check_size(resource, new)?;
    let given = meta::get(new, "managedFields");
    let resets = given.as_array().is_some_and(|list| {
        list.is_empty()
            || matches!(list.as_slice(), [only] if only.as_object().is_some_and(serde_json::Map::is_empty))
    });
    if resets && !old.is_null() {
        meta::set(new, "managedFields", Value::Null);
        return Ok(());
    }
    let from = |value: &Value| Managers::from_value(value).ok().filter(|found| !found.entries.is_empty());
    let managers = from(given).or_else(|| from(meta::get(old, "managedFields"))).unwrap_or_default();
    let ignored = ignored(&writer.subresource, resource);
    let managers = apply::record_write(old, new, rules::shape(resource), &managers, writer, &ignored);
    set(new, &managers);
    Ok(())
}

/// Objects with too many fields are refused before anybody comes to own them.
pub(super) fn check_size(resource: &Resource, object: &Value) -> Result<(), Status> {
    if typed::has_more_fields(object, rules::shape(resource), FIELDS_MAX) {
        return Err(Status::too_large(format!("the object has more than {FIELDS_MAX} fields")));
    }
    Ok(())
}

/// Applies a configuration to `live` (null if there is nothing yet).
pub(super) fn applied(
    resource: &Resource,
    live: &Value,
    config: &Value,
    writer: &Writer,
    force: bool,
) -> Result<Value, ApplyError> {
    let managers = Managers::from_value(meta::get(live, "managedFields")).unwrap_or_default();
    let options = ApplyOptions { force, ignored: ignored(&writer.subresource, resource) };
    let mut applied = apply::apply(live, config, rules::shape(resource), &managers, writer, &options)?;
    set(&mut applied.object, &applied.managers);
    Ok(applied.object)
}

/// The answer to an apply that cannot be; `config` is the configuration as the client sent it.
pub(super) fn refused(resource: &Resource, config: &Value, error: ApplyError) -> Status {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let message = ApplyError::Conflicts(conflicts.clone()).to_string();
            let mut status = Status::new(409, "Conflict", message);
            let causes = conflicts.iter().map(|conflict| {
                json!({"reason": "FieldManagerConflict", "message": conflict.message(), "field": conflict.field})
            });
            status.details.get_or_insert_default().causes = causes.collect();
            status
        }
        ApplyError::BringsManagers => Status::bad_request("metadata.managedFields must be nil"),
        ApplyError::Shape(error) => {
            let object = object_text(resource, config);
            unfit(format!("failed to create typed patch object ({object}): {error}"))
        }
    }
}

/// A configuration that does not fit its type. Upstream says the same without a reason too, but with
/// the code 500, which is kept here for what is not the client's doing.
pub(super) fn unfit(message: String) -> Status {
    Status::new(400, "", message)
}

/// `default/web; apps/v1, Kind=Deployment`.
pub(super) fn object_text(resource: &Resource, config: &Value) -> String {
    let (namespace, name) = (meta::text(config, "namespace"), meta::text(config, "name"));
    format!("{namespace}/{name}; {}", kind_text(&resource.gvk))
}

/// `apps/v1, Kind=Deployment`.
pub(super) fn kind_text(gvk: &GroupVersionKind) -> String {
    format!("{}/{}, Kind={}", gvk.group, gvk.version, gvk.kind)
}

/// Fields that a path of the API does not write: nobody comes to own them there.
fn ignored(subresource: &str, resource: &Resource) -> FieldSet {
    let mut set = FieldSet::new();
    let field = |name: &str| PathElement::Field(name.to_owned());
    match subresource {
        "" if resource.subresource("status").is_some() => set.insert(&[field("status")]),
        "status" => {
            set.insert(&[field("spec")]);
            if resource.gvr.group == "apps" {
                set.insert(&[field("metadata"), field("labels")]);
            }
        }
        _ => {}
    }
    set
}

fn set(object: &mut Value, managers: &Managers) {
    let value = managers.to_value();
    let empty = value.as_array().is_none_or(Vec::is_empty);
    meta::set(object, "managedFields", if empty { Value::Null } else { value });
}

/// What apply needs: a manager's name, and force only with it.
pub(super) fn check_options(options: &WriteOptions, applies: bool) -> Result<(), Status> {
    let error = match (applies, options.force) {
        (true, _) if options.field_manager.is_empty() => {
            FieldError::required("fieldManager", "is required for apply patch")
        }
        (false, true) => FieldError::forbidden("force", "may not be specified for non-apply patch"),
        _ => return Ok(()),
    };
    let kind = kube_object::resource::GroupKind::new("meta.k8s.io", "PatchOptions");
    Err(Status::invalid(&kind, "", &[error]))
}

/// Fields that an object may have. Each takes its name twice, as its own and its owner's, and no more
/// of the shortest fit the 1.5 MiB that upstream's store takes.
const FIELDS_MAX: usize = 50_000;
/// The manager of a client without a name.
const UNKNOWN: &str = "unknown";
