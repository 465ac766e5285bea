//! Which container's log is meant, by the pod's status; the words where there is none.

use serde_json::Value;

use crate::server::node::at;

/// Whether a pod has a container of this name.
pub(super) fn is_in_spec(pod: &Value, container: &str) -> bool {
    let lists = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];
    let all = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    all.into_iter().any(|found| at(found, "/name") == container)
}

/// The runtime's id of the container whose log is shown, or why there is none.
pub(super) fn container(pod: &Value, container: &str, previous: bool) -> Result<String, String> {
    let name = at(pod, "/metadata/name");
    let lists =
        ["/status/containerStatuses", "/status/initContainerStatuses", "/status/ephemeralContainerStatuses"];
    let mut all = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    let Some(status) = all.find(|status| at(status, "/name") == container) else {
        return Err(format!("container {container:?} in pod {name:?} is not available"));
    };
    let has = |pointer: &str| status.pointer(pointer).is_some_and(Value::is_object);
    let id = |pointer: &str| {
        let id = at(status, pointer);
        let id = id.split_once("://").map_or(id, |(_, id)| id);
        (!id.is_empty()).then(|| id.to_owned())
    };
    let last = id("/lastState/terminated/containerID");
    let terminated = || format!("container {container:?} in pod {name:?} is terminated");
    if previous {
        return last
            .ok_or_else(|| format!("previous terminated container {container:?} in pod {name:?} not found"));
    }
    if has("/state/running") {
        return id("/containerID").ok_or_else(terminated);
    }
    if has("/state/terminated") {
        return id("/state/terminated/containerID").or(last).ok_or_else(terminated);
    }
    if has("/lastState/terminated") {
        return last.ok_or_else(terminated);
    }
    let why = match at(status, "/state/waiting/reason") {
        _ if !has("/state/waiting") => {
            return Err(format!("container {container:?} in pod {name:?} is waiting to start - no logs yet"));
        }
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        reason => reason,
    };
    Err(format!("container {container:?} in pod {name:?} is waiting to start: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: Value, previous: bool, expected: Result<&str, &str>) {
        let mut status = status;
        status["name"] = json!("c");
        let pod = json!({
            "metadata": {"name": "p"}, "spec": {"initContainers": [{"name": "c"}]},
            "status": {"initContainerStatuses": [status]},
        });
        assert!(is_in_spec(&pod, "c") && !is_in_spec(&pod, "d"));
        let found = container(&pod, "c", previous);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn finds_the_container() {
        let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason}}});
        let ended = |id: &str| json!({"terminated": {"containerID": id}});
        check(json!({"state": {"running": {}}, "containerID": "x://1"}), false, Ok("1"));
        check(json!({"state": ended("x://2")}), false, Ok("2"));
        check(json!({"state": ended(""), "lastState": ended("x://1")}), false, Ok("1"));
        check(json!({"state": ended("")}), false, Err("container \"c\" in pod \"p\" is terminated"));
        check(
            json!({"state": {"running": {}}, "containerID": "x://2", "lastState": ended("x://1")}),
            true,
            Ok("1"),
        );
        check(
            json!({"state": {"running": {}}}),
            true,
            Err("previous terminated container \"c\" in pod \"p\" not found"),
        );
        let starting = "container \"c\" in pod \"p\" is waiting to start: ";
        for (reason, why) in [
            ("ContainerCreating", "ContainerCreating"),
            ("ErrImagePull", "image can't be pulled"),
            ("ImagePullBackOff", "trying and failing to pull image"),
        ] {
            check(waiting(reason), false, Err(&format!("{starting}{why}")));
        }
        let mut crashing = waiting("CrashLoopBackOff");
        crashing["lastState"] = ended("x://7");
        check(crashing, false, Ok("7"));
        check(json!({}), false, Err("container \"c\" in pod \"p\" is waiting to start - no logs yet"));
    }
}
