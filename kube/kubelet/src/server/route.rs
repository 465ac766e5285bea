//! Paths: what they ask for, and which part of the node's API that is.

use http::Method;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Plain(Endpoint),
    Logs { namespace: &'a str, pod: &'a str, container: &'a str },
    Exec { namespace: &'a str, pod: &'a str, uid: &'a str, container: &'a str },
    Attach { namespace: &'a str, pod: &'a str, uid: &'a str, container: &'a str },
    Forward { namespace: &'a str, pod: &'a str, uid: &'a str },
}

/// Paths without names in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Health,
    Pods,
    RunningPods,
    Configuration,
    Summary,
    Metrics,
    Resource,
    Cadvisor,
    Probes,
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
        let plain = match parts.as_slice() {
            ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => Endpoint::Health,
            ["pods"] => Endpoint::Pods,
            ["runningpods"] => Endpoint::RunningPods,
            ["configz"] => Endpoint::Configuration,
            ["stats", "summary"] => Endpoint::Summary,
            ["metrics"] => Endpoint::Metrics,
            ["metrics", "resource"] => Endpoint::Resource,
            ["metrics", "cadvisor"] => Endpoint::Cadvisor,
            ["metrics", "probes"] => Endpoint::Probes,
            _ => return Self::named(&parts),
        };
        Some(Self::Plain(plain))
    }

    fn named(parts: &[&'a str]) -> Option<Self> {
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        match *parts {
            ["containerLogs", namespace, pod, container] => Some(Self::Logs { namespace, pod, container }),
            ["exec", namespace, pod, container] => Some(Self::Exec { namespace, pod, uid: "", container }),
            ["exec", namespace, pod, uid, container] => Some(Self::Exec { namespace, pod, uid, container }),
            ["attach", namespace, pod, container] => {
                Some(Self::Attach { namespace, pod, uid: "", container })
            }
            ["attach", namespace, pod, uid, container] => {
                Some(Self::Attach { namespace, pod, uid, container })
            }
            ["portForward", namespace, pod] => Some(Self::Forward { namespace, pod, uid: "" }),
            ["portForward", namespace, pod, uid] => Some(Self::Forward { namespace, pod, uid }),
            _ => None,
        }
    }

    /// Whether it may be asked by POST too.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Exec { .. } | Self::Attach { .. } | Self::Forward { .. })
    }
}

/// The verb of a method on `nodes`.
pub(super) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The subresources of `nodes` of which one must be allowed, the finest first.
pub(super) fn subresources(path: &str) -> Vec<&'static str> {
    let under =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if under("/stats") {
        vec!["stats"]
    } else if under("/metrics") {
        vec!["metrics"]
    } else if under("/logs") {
        vec!["log"]
    } else if under("/checkpoint") {
        vec!["checkpoint"]
    } else if under("/pods") || under("/runningpods") {
        vec!["pods", "proxy"]
    } else if under("/healthz") {
        vec!["healthz", "proxy"]
    } else if under("/configz") {
        vec!["configz", "proxy"]
    } else {
        vec!["proxy"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_ask_for_things() {
        use Route::*;
        for (path, expected) in [
            ("/healthz", Some(Plain(Endpoint::Health))),
            ("/healthz/syncloop", Some(Plain(Endpoint::Health))),
            ("/pods", Some(Plain(Endpoint::Pods))),
            ("/pods/", Some(Plain(Endpoint::Pods))),
            ("/metrics/resource", Some(Plain(Endpoint::Resource))),
            ("/stats/summary", Some(Plain(Endpoint::Summary))),
            ("/containerLogs/n/p/c", Some(Logs { namespace: "n", pod: "p", container: "c" })),
            ("/exec/n/p/c", Some(Exec { namespace: "n", pod: "p", uid: "", container: "c" })),
            ("/exec/n/p/u/c", Some(Exec { namespace: "n", pod: "p", uid: "u", container: "c" })),
            ("/attach/n/p/u/c", Some(Attach { namespace: "n", pod: "p", uid: "u", container: "c" })),
            ("/portForward/n/p", Some(Forward { namespace: "n", pod: "p", uid: "" })),
            ("/portForward/n/p/u", Some(Forward { namespace: "n", pod: "p", uid: "u" })),
            ("/exec/n//c", None),
            ("/containerLogs/n/p", None),
            ("/run/n/p/c", None),
            ("/checkpoint/n/p/c", None),
            ("/", None),
        ] {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_are_parts_of_the_node() {
        for (path, expected) in [
            ("/stats/summary", &["stats"][..]),
            ("/metrics", &["metrics"]),
            ("/metrics/cadvisor", &["metrics"]),
            ("/metricsx", &["proxy"]),
            ("/logs/x", &["log"]),
            ("/pods", &["pods", "proxy"]),
            ("/healthz/ping", &["healthz", "proxy"]),
            ("/configz", &["configz", "proxy"]),
            ("/exec/n/p/c", &["proxy"]),
            ("/containerLogs/n/p/c", &["proxy"]),
        ] {
            assert_eq!(subresources(path), expected, "{path}");
        }
    }
}
