//! What people are told of an in-place resize.

use serde_json::{Value, json};

use super::Worker;
use crate::events::{normal, warning};
use crate::model::{Observed, Wanted};
use crate::read::{at, number, uid};

impl Worker {
    /// Tells that a resize waits, has begun or is done; each once for a generation of the pod.
    pub(super) fn tell_resize(&mut self) {
        let generation = number(&self.pod, &["metadata", "generation"]).unwrap_or_default();
        let now = self.shared.now();
        if let Some((reason, why)) = &self.resize_pending {
            let subject = format!("resize {}", uid(&self.pod));
            if self.shared.once.is_news(&subject, &format!("{reason} {generation}")) {
                let event = if reason == "Infeasible" { "ResizeInfeasible" } else { "ResizeDeferred" };
                let text = message(&format!("Pod resize {reason}"), &self.pod, Some(why));
                self.shared.recorder.pod(&self.pod, now, warning(event, text));
            }
        }
        let seen = Observed {
            sandboxes: &self.state.sandboxes,
            containers: &self.state.containers,
            memory: &self.memory,
        };
        let resizes = self.memory.ending.is_none() && crate::status::resizes(&self.effective, seen);
        if resizes && self.resizing != Some(generation) {
            self.resizing = Some(generation);
            let text = message("Pod resize started", &self.effective, None);
            self.shared.recorder.pod(&self.pod, now, normal("ResizeStarted", text));
        } else if !resizes && self.resizing.take().is_some() && self.memory.ending.is_none() {
            let text = message("Pod resize completed", &self.effective, None);
            self.shared.recorder.pod(&self.pod, now, normal("ResizeCompleted", text));
        }
    }

    /// What a resize that failed is told as.
    pub(super) fn resize_error(&self, why: &str) -> String {
        message("Pod resize error", &self.effective, Some(why))
    }
}

/// `Pod resize started: {"containers":[…],"generation":2}`, as upstream writes it.
fn message(what: &str, pod: &Value, error: Option<&str>) -> String {
    let one = |wanted: Wanted<'_>| {
        let resources = at(wanted.spec, &["resources"]).cloned().unwrap_or_else(|| json!({}));
        json!({"name": wanted.name(), "resources": resources})
    };
    let (init, main): (Vec<Value>, Vec<Value>) =
        (Wanted::init(pod).map(one).collect(), Wanted::main(pod).map(one).collect());
    let mut text = format!("{what}: {{");
    if !init.is_empty() {
        text.push_str(&format!("\"initContainers\":{},", Value::Array(init)));
    }
    let generation = number(pod, &["metadata", "generation"]).unwrap_or_default();
    text.push_str(&format!("\"containers\":{},\"generation\":{generation}", Value::Array(main)));
    if let Some(error) = error {
        text.push_str(&format!(",\"error\":{}", json!(error)));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_clients_read_them() {
        let resources = json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}});
        let pod = json!({"metadata": {"generation": 2}, "spec": {"containers": [{"name": "c", "resources": resources}]}});
        assert_eq!(
            message("Pod resize started", &pod, None),
            r#"Pod resize started: {"containers":[{"name":"c","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1"}}}],"generation":2}"#
        );
        let found = message("Pod resize Deferred", &pod, Some("no \"room\""));
        assert!(found.ends_with(r#""generation":2,"error":"no \"room\""}"#), "{found}");
    }
}
