use kube_object::user::User;

use super::read::parse;
use super::{Asked, Level, Resource, Stage};

/// Upstream's own example of a policy, and what its tests ask of it.
const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ['system:kube-proxy'], verbs: [watch], resources: [{group: '', resources: [endpoints]}]}
- {level: None, userGroups: [quiet, silent], nonResourceURLs: ['/api*', /version]}
- {level: Request, resources: [{group: '', resources: [configmaps], resourceNames: [controller-leader]}], omitStages: [Panic]}
- {level: RequestResponse, namespaces: [kube-system], resources: [{group: '*', resources: ['*/scale', 'pods/*']}]}
- {level: Metadata, resources: [{group: '', resources: [secrets, pods/log]}, {group: metrics.k8s.io}], omitManagedFields: false}
- {level: Request, namespaces: ['']}
- {level: RequestResponse, verbs: [delete, deletecollection], resources: [{group: apps, resources: ['*']}]}
- {level: None, nonResourceURLs: ['*']}
- {level: Metadata, users: [root]}
";

fn level(user: &str, verb: &str, what: &str) -> super::Decision {
    let mut words = user.split('+');
    let user = User {
        name: words.next().unwrap_or_default().to_owned(),
        groups: words.map(str::to_owned).collect(),
        ..User::default()
    };
    let mut asked = Asked { user: Some(&user), verb, path: what, resource: None };
    let mut resource = Resource { version: "v1", ..Resource::default() };
    if !what.starts_with('/') {
        // group:namespace:resource/name/subresource
        let parts: Vec<&str> = what.split(':').collect();
        let mut names = parts[2].split('/');
        resource.group = parts[0];
        resource.namespace = parts[1];
        resource.resource = names.next().unwrap_or_default();
        resource.name = names.next().unwrap_or_default();
        resource.subresource = names.next().unwrap_or_default();
        asked.resource = Some(resource);
    }
    parse(POLICY.as_bytes()).unwrap().policy.decide(&asked)
}

#[test]
fn the_first_rule_that_fits_decides() {
    for (user, verb, what, expected) in [
        ("system:kube-proxy", "watch", ":a:endpoints", Level::None),
        ("system:kube-proxy", "list", ":a:endpoints", Level::None),
        ("root", "watch", ":a:endpoints", Level::Metadata),
        ("bob+quiet", "get", "/apis/apps", Level::None),
        ("bob+x+silent", "get", "/version", Level::None),
        ("bob", "get", "/healthz", Level::None),
        // A rule about paths does not fit objects, whatever their path.
        ("root+quiet", "get", ":a:services/x", Level::Metadata),
        ("root", "update", ":a:configmaps/controller-leader", Level::Request),
        ("root", "update", ":a:configmaps/other", Level::Metadata),
        ("bob", "update", ":a:configmaps/other", Level::None),
        ("bob", "update", "apps:kube-system:deployments/x/scale", Level::RequestResponse),
        ("bob", "get", "apps:kube-system:deployments/x", Level::None),
        ("bob", "get", "apps:default:deployments/x/scale", Level::None),
        // `pods/*` is all of pods' subresources and pods.
        ("bob", "create", ":kube-system:pods/x/exec", Level::RequestResponse),
        ("bob", "get", ":kube-system:pods/x", Level::RequestResponse),
        ("bob", "create", ":default:pods/x/exec", Level::None),
        ("bob", "get", ":default:pods/x/log", Level::Metadata),
        ("bob", "get", ":default:pods/x", Level::None),
        ("bob", "list", ":default:secrets", Level::Metadata),
        ("bob", "list", ":default:secrets/x/status", Level::None),
        ("bob", "list", "other:default:secrets", Level::None),
        ("bob", "get", "metrics.k8s.io:default:pods/x", Level::Metadata),
        // What has no namespace has the empty one.
        ("bob", "get", "::nodes/x", Level::Request),
        ("bob", "delete", "apps:default:deployments/x", Level::RequestResponse),
        ("bob", "delete", "apps:default:deployments/x/scale", Level::RequestResponse),
        ("bob", "patch", "apps:default:deployments/x", Level::None),
    ] {
        assert_eq!(level(user, verb, what).level, expected, "{user} {verb} {what}");
    }
}

#[test]
fn a_rule_adds_stages_and_overrides_managed_fields() {
    for (what, omitted, managed) in [
        (":a:configmaps/controller-leader", vec![Stage::RequestReceived, Stage::Panic], true),
        (":a:secrets/x", vec![Stage::RequestReceived], false),
        (":a:services/x", vec![Stage::RequestReceived], true),
    ] {
        let decision = level("root", "get", what);
        let stages: Vec<_> = Stage::ALL.into_iter().filter(|stage| decision.omit.has(*stage)).collect();
        assert_eq!((stages, decision.omit_managed_fields), (omitted, managed), "{what}");
    }
}

#[test]
fn nobody_is_in_no_list() {
    let rules = |rule: &str| {
        let text =
            format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{{level: Metadata{rule}}}]}}");
        let asked = Asked { user: None, verb: "get", path: "/x", resource: None };
        parse(text.as_bytes()).unwrap().policy.decide(&asked).level
    };
    assert_eq!(rules(""), Level::Metadata);
    assert_eq!(rules(", users: ['']"), Level::None);
    assert_eq!(rules(", userGroups: [a]"), Level::None);
    assert_eq!(rules(", nonResourceURLs: ['/x']"), Level::Metadata);
}

#[test]
fn refuses_in_upstreams_words() {
    let v1 = |rest: &str| format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rest}");
    for (text, words) in [
        (String::new(), "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy"),
        (
            "rules: [{level: None}]".to_owned(),
            "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy",
        ),
        (
            "{apiVersion: audit.k8s.io/v1beta1, kind: Policy}".to_owned(),
            "failed decoding: no kind \"Policy\" is registered for version \"audit.k8s.io/v1beta1\" in scheme \
             \"pkg/audit/scheme.go:30\"",
        ),
        (v1(""), "loaded illegal policy with 0 rules"),
        (v1("rules: []"), "loaded illegal policy with 0 rules"),
        (v1("rules: [{}]"), "rules[0].level: Required value"),
        (
            v1("rules: [{level: All}]"),
            "rules[0].level: Unsupported value: \"All\": supported values: \"None\", \"Metadata\", \"Request\", \
             \"RequestResponse\"",
        ),
        (
            v1("omitStages: [Never]\nrules: [{level: None, omitStages: [foo]}]"),
            "[omitStages[0]: Invalid value: \"Never\": allowed stages are \
             RequestReceived,ResponseStarted,ResponseComplete,Panic, rules[0].omitStages[0]: Invalid value: \"foo\": \
             allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic]",
        ),
        (
            v1("rules: [{level: None, nonResourceURLs: [abc, '/a*b']}]"),
            "[rules[0].nonResourceURLs[0]: Invalid value: \"abc\": non-resource URL rules must begin with a '/' \
             character, rules[0].nonResourceURLs[1]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be \
             the final character of the rule]",
        ),
        (
            v1("rules: [{level: None, nonResourceURLs: ['/x'], namespaces: [a]}]"),
            "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and \
             non-resource URLs",
        ),
        (
            v1("rules: [{level: None, resources: [{group: rbac.authorization.k8s.io/v1beta1}]}]"),
            "rules[0].resources.group: Invalid value: \"rbac.authorization.k8s.io/v1beta1\": a lowercase RFC 1123 \
             subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
             alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            v1("rules: [{level: None, resources: [{resourceNames: [leader]}]}]"),
            "rules[0].resources.resourceNames: Invalid value: [\"leader\"]: using resourceNames requires at least one \
             resource",
        ),
        (
            v1("rules: {level: None}"),
            "failed decoding: json: cannot unmarshal object into Go struct field Policy.rules of type []v1.PolicyRule",
        ),
        (
            v1("rules: [{level: None, users: [1]}]"),
            "failed decoding: json: cannot unmarshal number into Go struct field PolicyRule.rules.users of type string",
        ),
        (
            v1("rules: [{level: None, resources: [{group: [a]}]}]"),
            "failed decoding: json: cannot unmarshal array into Go struct field GroupResources.rules.resources.group of \
             type string",
        ),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), words, "{text}");
    }
}

#[test]
fn reads_over_what_it_does_not_know() {
    let text = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  resources:
  - group: coordination.k8s.io
    resources: [leases]
    verbs: [watch] # one level too deep
  level: Metadata
";
    let loaded = parse(text.as_bytes()).unwrap();
    assert_eq!(
        loaded.warning.unwrap(),
        "Audit policy contains errors, falling back to lenient decoding: strict decoding error: yaml: unmarshal \
         errors:\n  line 10: key \"level\" already set in map, unknown field \"rules[0].resources[0].verbs\""
    );
    assert!(parse(POLICY.as_bytes()).unwrap().warning.is_none());
}
