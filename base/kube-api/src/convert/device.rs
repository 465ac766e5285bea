//! resource.k8s.io: before v1beta2 a request named its class without `exactly`, and a device
//! of a slice kept what it is in `basic`.

use serde_json::{Map, Value, json};

use crate::value::{object_at, put};

/// Members of a request that stand in `exactly` since v1beta2.
const EXACTLY: [&str; 6] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations"];
/// The newest of them.
const CAPACITY: &str = "capacity";

pub(super) fn between(object: &mut Value, from: &str, to: &str) {
    match (from == "v1beta1", to == "v1beta1") {
        (true, false) => change(object, nest_request, unwrap_device),
        (false, true) => change(object, flatten_request, wrap_device),
        _ => {}
    }
}

fn change(object: &mut Value, request: fn(&mut Value), device: fn(&mut Value)) {
    for pointer in ["/spec/devices/requests", "/spec/spec/devices/requests"] {
        object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten().for_each(request);
    }
    // Of a claim, `devices` is an object; of a slice, a list.
    let devices = object.pointer_mut("/spec/devices").and_then(Value::as_array_mut);
    devices.into_iter().flatten().for_each(device);
}

fn nest_request(request: &mut Value) {
    let Some(members) = request.as_object_mut() else { return };
    let mut exactly = Map::new();
    for name in EXACTLY.into_iter().chain([CAPACITY]) {
        if let Some(value) = members.remove(name) {
            exactly.insert(name.to_owned(), value);
        }
    }
    if exactly.contains_key("deviceClassName") || !members.contains_key("firstAvailable") {
        members.insert("exactly".to_owned(), Value::Object(exactly));
    }
}

fn flatten_request(request: &mut Value) {
    let Some(members) = request.as_object_mut() else { return };
    if let Some(Value::Object(exactly)) = members.remove("exactly") {
        members.extend(exactly);
    }
}

fn unwrap_device(device: &mut Value) {
    let Some(members) = device.as_object_mut() else { return };
    if let Some(Value::Object(basic)) = members.remove("basic") {
        members.extend(basic);
    }
}

fn wrap_device(device: &mut Value) {
    let Some(members) = device.as_object_mut() else { return };
    let name = members.remove("name").unwrap_or_default();
    let basic = std::mem::take(members);
    put(device, "name", name);
    if let Some(found) = object_at(device, "basic") {
        *found = basic;
    } else {
        put(device, "basic", json!(basic));
    }
}
