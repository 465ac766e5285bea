//! What a client asks of the API, in the words of the kubelet.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupKind;
use kube_object::status::Status;

/// The pairs of a query, still encoded, in their order.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// As the API reads a boolean of a query.
fn is_true(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

/// The query of exec and attach.
pub(super) fn command(query: &str) -> String {
    let mut out = Vec::new();
    for (theirs, ours) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if pairs(query).any(|(name, value)| name == theirs && is_true(value)) {
            out.push(format!("{ours}=1"));
        }
    }
    let words = pairs(query).filter(|(name, _)| *name == "command");
    out.extend(words.map(|(_, word)| format!("command={word}")));
    out.join("&")
}

/// The query of port-forward.
pub(super) fn ports(query: &str) -> String {
    let ports: Vec<&str> = pairs(query).filter(|(name, _)| *name == "ports").map(|(_, port)| port).collect();
    if ports.is_empty() { String::new() } else { format!("port={}", ports.join("%2C")) }
}

/// The query of logs, or what is wrong with it.
pub(super) fn log(pod: &str, query: &str) -> Result<String, Status> {
    let text = |wanted: &str| pairs(query).find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let mut out = Vec::new();
    for name in ["follow", "previous", "timestamps"] {
        if text(name).is_some_and(is_true) {
            out.push(format!("{name}=true"));
        }
    }
    let mut errors = Vec::new();
    for (name, least) in [("sinceSeconds", 1), ("tailLines", 0), ("limitBytes", 1)] {
        let Some(value) = text(name).filter(|value| !value.is_empty()) else { continue };
        let number: i64 = value.parse().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))
        })?;
        if number < least {
            let detail = format!("must be greater than or equal to {least}");
            errors.push(FieldError::invalid(name, number, detail));
        }
        out.push(format!("{name}={number}"));
    }
    if let Some(time) = text("sinceTime").filter(|time| !time.is_empty()) {
        if text("sinceSeconds").is_some() {
            let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(FieldError::forbidden("", detail));
        }
        out.push(format!("sinceTime={time}"));
    }
    if let Some(stream) = text("stream").filter(|stream| !stream.is_empty()) {
        match stream {
            "All" | "Stdout" | "Stderr" => out.push(format!("stream={stream}")),
            other => errors.push(FieldError::not_supported("stream", other, &["All", "Stderr", "Stdout"])),
        }
        if stream != "All" && text("tailLines").is_some() {
            let detail = "`tailLines` and specific `stream` are mutually exclusive for now";
            errors.push(FieldError::forbidden("", detail));
        }
    }
    if errors.is_empty() {
        Ok(out.join("&"))
    } else {
        Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), pod, &errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_in_the_kubelets_words() {
        for (asked, expected) in [
            (
                "command=ls&command=%2Ftmp&stdout=true&stderr=true",
                "output=1&error=1&command=ls&command=%2Ftmp",
            ),
            ("stdin=true&tty=1&stdout=&container=c", "input=1&output=1&tty=1"),
            ("stdin=false&stdout=0", ""),
        ] {
            assert_eq!(command(asked), expected, "{asked}");
        }
        assert_eq!(ports("ports=80&ports=443"), "port=80%2C443");
        assert_eq!(ports(""), "");
    }

    #[test]
    fn checks_what_is_asked_of_logs() {
        for (asked, expected) in [
            ("follow=true&container=c&previous=false", Ok("follow=true")),
            (
                "tailLines=5&sinceTime=2026-01-01T00%3A00%3A00Z",
                Ok("tailLines=5&sinceTime=2026-01-01T00%3A00%3A00Z"),
            ),
            (
                "tailLines=-1",
                Err(
                    "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
                ),
            ),
            (
                "limitBytes=0",
                Err(
                    "PodLogOptions \"p\" is invalid: limitBytes: Invalid value: 0: must be greater than or equal to 1",
                ),
            ),
            ("tailLines=x", Err("strconv.ParseInt: parsing \"x\": invalid syntax")),
        ] {
            let done = log("p", asked);
            assert_eq!(done.as_deref().map_err(|status| status.message.as_str()), expected, "{asked}");
        }
        assert!(log("p", "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z").is_err());
    }
}
