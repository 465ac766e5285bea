#![expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]

use serde_json::{Value, json};

use super::{validate_crd, validate_crd_with, warnings};
use crate::default_crd;
use crate::rules::{CompiledRule, InvalidRule, RuleCompiler, RuleFailure, RuleInput, RuleProgram};
use crate::schema::{Rule, Structural};

fn crd(schema: Value) -> Value {
    let mut crd = json!({"metadata": {"name": "foos.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    default_crd(&mut crd);
    crd
}

fn set(mut crd: Value, pointer: &str, value: Value) -> Value {
    *crd.pointer_mut(pointer).unwrap() = value;
    crd
}

fn with(mut crd: Value, pointer: &str, name: &str, value: Value) -> Value {
    crd.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
    crd
}

fn errors(crd: &Value) -> Vec<String> {
    validate_crd(crd, None).iter().map(ToString::to_string).collect()
}

fn fine() -> Value {
    crd(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string"}}}}}),
    )
}

#[test]
fn a_usual_definition_is_fine() {
    assert!(errors(&fine()).is_empty());
    let open = crd(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    assert!(errors(&open).is_empty());
    let port =
        json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true});
    assert!(errors(&crd(json!({"type": "object", "properties": {"port": port}}))).is_empty());
}

#[test]
fn specs_are_checked() {
    let v = "/spec/versions/0";
    for (crd, expected) in [
        (
            set(fine(), "/metadata/name", json!("x")),
            vec!["metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"],
        ),
        (
            set(set(fine(), "/spec/group", json!("example")), "/metadata/name", json!("foos.example")),
            vec!["spec.group: Invalid value: \"example\": should be a domain with at least one dot"],
        ),
        (
            set(fine(), "/spec/scope", json!("Both")),
            vec!["spec.scope: Unsupported value: \"Both\": supported values: \"Cluster\", \"Namespaced\""],
        ),
        (
            with(fine(), v, "schema", json!(null)),
            vec!["spec.versions[0].schema.openAPIV3Schema: Required value"],
        ),
        (
            with(fine(), "/spec", "preserveUnknownFields", json!(true)),
            vec![
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ],
        ),
        (
            with(fine(), "/spec/names", "listKind", json!("Foo")),
            vec!["spec.names.listKind: Invalid value: \"Foo\": kind and listKind may not be the same"],
        ),
        (
            with(
                fine(),
                v,
                "additionalPrinterColumns",
                json!([{"name": "a", "type": "text", "jsonPath": "spec"}]),
            ),
            vec![
                "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
                "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"spec\": must be a simple json path starting with .",
            ],
        ),
        (
            with(
                fine(),
                v,
                "subresources",
                json!({"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ""}}),
            ),
            vec![
                "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
                "spec.subresources.scale.statusReplicasPath: Required value",
            ],
        ),
        (
            with(
                fine(),
                v,
                "selectableFields",
                json!([{"jsonPath": ".spec.x"}, {"jsonPath": ".spec.y"}, {"jsonPath": ".spec"}]),
            ),
            vec![
                "spec.selectableFields[1].jsonPath: Invalid value: \".spec.y\": is an invalid path: does not refer to a valid field",
                "spec.selectableFields[2].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ],
        ),
        (
            with(fine(), v, "deprecationWarning", json!("old")),
            vec![
                "spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for deprecated versions",
            ],
        ),
        (
            with(fine(), "/spec", "conversion", json!({"strategy": "Webhook"})),
            vec![
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
        (
            with(
                fine(),
                "/spec",
                "conversion",
                json!({"strategy": "Webhook", "webhook": {
                "clientConfig": {"url": "http://x/y?z"}, "conversionReviewVersions": ["v2"]}}),
            ),
            vec![
                "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "spec.conversion.webhookClientConfig.url: Invalid value: \"z\": query parameters are not permitted in the URL",
                "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
            ],
        ),
        (
            with(fine(), "/status", "storedVersions", json!(["v1", "v0"])),
            vec![
                "status.storedVersions[1]: Invalid value: \"v0\": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions",
            ],
        ),
        (
            with(
                with(fine(), "/metadata", "name", json!("foos.x.k8s.io")),
                "/spec",
                "group",
                json!("x.k8s.io"),
            ),
            vec![
                "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
            ],
        ),
    ] {
        assert_eq!(errors(&crd), expected);
    }
    let none = set(fine(), "/spec/versions/0/storage", json!(false));
    let error = &errors(&none)[0];
    assert!(error.starts_with("spec.versions: Invalid value: [{"), "{error}");
    assert!(error.ends_with(": must have exactly one version marked as storage version"), "{error}");
}

#[test]
fn schemas_are_structural() {
    let x = |schema: Value| json!({"type": "object", "properties": {"x": schema}});
    let p = "spec.validation.openAPIV3Schema";
    let px = "spec.validation.openAPIV3Schema.properties[x]";
    for (schema, expected) in [
        (json!({}), vec![format!("{p}.type: Required value: must not be empty at the root")]),
        (
            json!({"type": "string"}),
            vec![format!("{p}.type: Invalid value: \"string\": must be object at the root")],
        ),
        (
            x(json!({})),
            vec![format!("{px}.type: Required value: must not be empty for specified object fields")],
        ),
        (x(json!({"type": "array"})), vec![format!("{px}.items: Required value: must be specified")]),
        (
            x(json!({"type": "array", "items": {}})),
            vec![format!("{px}.items.type: Required value: must not be empty for specified array items")],
        ),
        (
            x(
                json!({"type": "object", "anyOf": [{"type": "object", "description": "d", "properties": {"y": {"minimum": 1}}}]}),
            ),
            vec![
                format!("{px}.anyOf[0].description: Forbidden: must be empty to be structural"),
                format!("{px}.anyOf[0].type: Forbidden: must be empty to be structural"),
            ],
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"y": {"minimum": 1}}}]}),
            vec![format!(
                "{p}.properties[y]: Required value: because it is defined in {p}.anyOf[0].properties[y]"
            )],
        ),
        (
            x(json!({"type": "string", "pattern": "("})),
            vec![format!(
                "{px}.pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`"
            )],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            vec![format!(
                "{p}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
            )],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}}}),
            vec![],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            vec![format!("{p}.additionalProperties: Forbidden: must not be used at the root")],
        ),
        (
            x(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
            vec![format!(
                "{px}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
            )],
        ),
        (
            x(json!({"type": "int"})),
            vec![format!(
                "{px}.type: Unsupported value: \"int\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""
            )],
        ),
        (
            x(json!({"type": "string", "$ref": "#/x"})),
            vec![format!("{px}.$ref: Forbidden: $ref is not supported")],
        ),
        (
            x(json!({"type": "string", "$schema": "x"})),
            vec![format!("{p}: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported")],
        ),
        (
            x(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
            vec![format!(
                "{px}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            )],
        ),
        (
            x(
                json!({"type": "object", "properties": {"y": {"type": "string"}}, "additionalProperties": false}),
            ),
            vec![format!(
                "{px}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"
            )],
        ),
        (
            json!({"type": "object", "nullable": true}),
            vec![format!("{p}.nullable: Forbidden: nullable cannot be true at the root")],
        ),
    ] {
        assert_eq!(errors(&crd(schema.clone())), expected, "{schema}");
    }
}

#[test]
fn lists_and_defaults_are_checked() {
    let x = |schema: Value| json!({"type": "object", "properties": {"x": schema}});
    let px = "spec.validation.openAPIV3Schema.properties[x]";
    let map = |extra: Value| {
        let mut list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}});
        list.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        x(list)
    };
    for (schema, expected) in [
        (map(json!({})), vec![]),
        (
            map(json!({"x-kubernetes-list-map-keys": ["z"]})),
            vec![format!("{px}.x-kubernetes-list-map-keys: Invalid value: [\"z\"]: entries must all be names of item properties")],
        ),
        (
            map(json!({"items": {"type": "object", "properties": {"k": {"type": "string"}}}})),
            vec![format!("{px}.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property")],
        ),
        (
            map(json!({"x-kubernetes-list-type": "bag"})),
            vec![
                format!("{px}.x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"map\", \"set\""),
                format!("{px}.x-kubernetes-list-type: Invalid value: \"bag\": must be map if x-kubernetes-list-map-keys is non-empty"),
            ],
        ),
        (
            x(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}})),
            vec![format!("{px}.items.x-kubernetes-map-type: Invalid value: \"null\": must be atomic as item of a list with x-kubernetes-list-type=set")],
        ),
        (
            x(json!({"type": "string", "x-kubernetes-map-type": "atomic"})),
            vec![format!("{px}.type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified")],
        ),
        (
            x(json!({"type": "integer", "default": "a"})),
            vec![format!("{px}.default: Invalid value: \"string\":  in body must be of type integer: \"string\"")],
        ),
        (
            x(json!({"type": "object", "default": {"y": 1}, "properties": {"z": {"type": "string"}}})),
            vec![format!("{px}.default: Invalid value: {{\"y\":1}}: must not have unknown fields")],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "default": "a"}}}}}),
            vec!["spec.validation.openAPIV3Schema.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata".to_owned()],
        ),
    ] {
        assert_eq!(errors(&crd(schema.clone())), expected, "{schema}");
    }
}

#[test]
fn versions_that_differ_have_their_own_paths() {
    let mut two = fine();
    let second = json!({"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": {}}});
    two["spec"]["versions"].as_array_mut().unwrap().push(second);
    assert_eq!(
        errors(&two),
        ["spec.versions[1].schema.openAPIV3Schema.type: Required value: must not be empty at the root"]
    );
    two["spec"]["versions"][1]["name"] = json!("v1");
    assert!(errors(&two).iter().any(|error| error.ends_with("must contain unique version names")));
}

#[test]
fn what_objects_depend_on_does_not_change() {
    let old = with(fine(), "/status", "conditions", json!([{"type": "Established", "status": "True"}]));
    let new = set(set(old.clone(), "/spec/scope", json!("Cluster")), "/spec/names/kind", json!("Bar"));
    let found: Vec<String> = validate_crd(&new, Some(&old)).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Bar\": field is immutable"
        ]
    );
    let new = set(fine(), "/spec/names/kind", json!("Bar"));
    assert!(validate_crd(&new, Some(&fine())).is_empty());
}

#[test]
fn status_subresources_restrict_the_root() {
    let status = json!({"status": {}});
    let crd = with(
        crd(json!({"type": "object", "anyOf": [{"required": ["x"]}]})),
        "/spec/versions/0",
        "subresources",
        status,
    );
    let error = &errors(&crd)[0];
    assert!(error.contains("only [Description Type Format"), "{error}");
}

#[derive(Debug)]
struct Always(bool);

impl RuleProgram for Always {
    fn evaluate(&self, _: &RuleInput<'_>, _: &mut u64) -> Result<Value, RuleFailure> {
        Ok(json!(self.0))
    }
}

struct Costly;

impl RuleCompiler for Costly {
    fn compile(&self, rule: &Rule, _: &Structural) -> CompiledRule {
        CompiledRule {
            program: match rule.rule.as_str() {
                "?" => Err(InvalidRule { required: false, detail: "compilation failed: ?".to_owned() }),
                text => Ok(Box::new(Always(text != "false"))),
            },
            message: None,
            uses_old_self: rule.rule.contains("oldSelf"),
            cost: rule.rule.parse().unwrap_or(1),
            message_cost: 0,
            max_cardinality: 1000,
        }
    }
}

#[test]
fn rules_are_compiled_and_their_costs_counted() {
    let p = "spec.validation.openAPIV3Schema";
    let list = |rule: &str, max: Value| {
        json!({"type": "object", "properties": {"x": {"type": "array", "maxItems": max,
        "items": {"type": "string", "x-kubernetes-validations": [{"rule": rule}]}}}})
    };
    let limit = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and \
                 strings are declared)";
    let at = format!("{p}.properties[x].items.x-kubernetes-validations[0].rule");
    for (schema, expected) in [
        (list("self", json!(5)), vec![]),
        (list("1000000", json!(5)), vec![]),
        (
            list("1000000", json!(25)),
            vec![format!("{at}: Forbidden: estimated rule cost exceeds budget by factor of 2.5x {limit}")],
        ),
        (
            list("1000000", json!(null)),
            vec![
                format!("{at}: Forbidden: estimated rule cost exceeds budget by factor of 100.0x {limit}"),
                format!(
                    "{at}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
                ),
                format!(
                    "{p}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of 10.0x {limit}"
                ),
            ],
        ),
        (
            list("oldSelf", json!(5)),
            vec![format!(
                "{at}: Invalid value: \"oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within {p}.properties[x]"
            )],
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": " "}]}),
            vec![format!("{p}.x-kubernetes-validations[0].rule: Required value: rule is not specified")],
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "a\nb"}]}),
            vec![format!(
                "{p}.x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks"
            )],
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "a", "fieldPath": ".z", "reason": "Bad"}]}),
            vec![
                format!(
                    "{p}.x-kubernetes-validations[0].reason: Unsupported value: \"Bad\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\""
                ),
                format!(
                    "{p}.x-kubernetes-validations[0].fieldPath: Invalid value: \".z\": must be a valid path"
                ),
            ],
        ),
        (
            json!({"type": "object", "properties": {"x": {"type": "string", "default": "a", "x-kubernetes-validations": [{"rule": "false"}]}}}),
            vec![format!("{p}.properties[x].default: Invalid value: \"a\": failed rule: false")],
        ),
    ] {
        let crd = crd(schema.clone());
        let found: Vec<String> =
            validate_crd_with(&crd, None, Some(&Costly)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{schema}");
    }
    let broken = crd(json!({"type": "object", "x-kubernetes-validations": [{"rule": "?"}]}));
    let found = validate_crd_with(&broken, None, Some(&Costly))[0].to_string();
    assert!(
        found.starts_with(&format!("{p}.x-kubernetes-validations[0].rule: Invalid value: {{\"FieldPath\"")),
        "{found}"
    );
    assert!(found.ends_with(": compilation failed: ?"), "{found}");
}

#[test]
fn warns_of_formats_that_are_not_checked() {
    let new = crd(json!({"type": "object", "properties": {"x": {"type": "string", "format": "fancy"},
        "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object", "x-kubernetes-map-type": "atomic"}}}}));
    assert_eq!(
        warnings(&new, None),
        [
            "unrecognized format \"fancy\"",
            "x-kubernetes-list-type: set for items of type \"object\" is not supported by server-side apply or CEL \
             validation rules"
        ]
    );
    assert!(warnings(&new, Some(&new)).is_empty());
}
