//! The messages of `openapi.v2`, as far as documents of this server have what they hold.
//!
//! Names and numbers: <https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto>

use serde_json::Value;

use super::{Kind, Message};

use Kind::{Any, Choice, Each, Flag, Number, One, Text, Whole, Within};

pub(super) const PATH: Kind = One(&PATH_ITEM);
pub(super) const DEFINITION: Kind = One(&SCHEMA);

/// Without paths and definitions, which are written piece by piece.
pub(super) static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Text),
        ("info", 2, One(&INFO)),
        ("host", 3, Text),
        ("basePath", 4, Text),
        ("schemes", 5, TEXTS),
        ("consumes", 6, TEXTS),
        ("produces", 7, TEXTS),
        ("security", 12, Each(&One(&SECURITY_REQUIREMENT))),
        ("securityDefinitions", 13, One(&SECURITY_DEFINITIONS)),
        ("externalDocs", 15, One(&EXTERNAL_DOCS)),
    ],
    extensions: Some(16),
    others: None,
};

static INFO: Message = Message {
    fields: &[
        ("title", 1, Text),
        ("version", 2, Text),
        ("description", 3, Text),
        ("termsOfService", 4, Text),
    ],
    extensions: Some(7),
    others: None,
};

static PATH_ITEM: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, PARAMETERS),
    ],
    extensions: Some(10),
    others: None,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, TEXTS),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("externalDocs", 4, One(&EXTERNAL_DOCS)),
        ("operationId", 5, Text),
        ("produces", 6, TEXTS),
        ("consumes", 7, TEXTS),
        ("parameters", 8, PARAMETERS),
        ("responses", 9, One(&RESPONSES)),
        ("schemes", 10, TEXTS),
        ("deprecated", 11, Flag),
        ("security", 12, Each(&One(&SECURITY_REQUIREMENT))),
    ],
    extensions: Some(13),
    others: None,
};

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, One(&SCHEMA)),
    ],
    extensions: Some(6),
    others: None,
};

/// Of a header or of a path: both messages have the same fields.
static PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("default", 9, Any),
        ("pattern", 16, Text),
        ("uniqueItems", 19, Flag),
        ("enum", 20, Each(&Any)),
    ],
    extensions: Some(22),
    others: None,
};

/// Of a query or of a form: as the other, with one field more in between.
static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("allowEmptyValue", 5, Flag),
        ("type", 6, Text),
        ("format", 7, Text),
        ("default", 10, Any),
        ("pattern", 17, Text),
        ("uniqueItems", 20, Flag),
        ("enum", 21, Each(&Any)),
    ],
    extensions: Some(23),
    others: None,
};

static RESPONSES: Message =
    Message { fields: &[], extensions: Some(2), others: Some((1, Choice(response_kind))) };

static RESPONSE: Message = Message {
    fields: &[("description", 1, Text), ("schema", 2, Within(&[1], &One(&SCHEMA)))],
    extensions: Some(5),
    others: None,
};

pub(super) static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Whole),
        ("minLength", 12, Whole),
        ("pattern", 13, Text),
        ("maxItems", 14, Whole),
        ("minItems", 15, Whole),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Whole),
        ("minProperties", 18, Whole),
        ("required", 19, TEXTS),
        ("enum", 20, Each(&Any)),
        ("additionalProperties", 21, Choice(additional_kind)),
        ("type", 22, Within(&[1], &TEXTS)),
        ("items", 23, Within(&[1], &Each(&One(&SCHEMA)))),
        ("allOf", 24, Each(&One(&SCHEMA))),
        ("properties", 25, One(&PROPERTIES)),
        ("discriminator", 26, Text),
        ("readOnly", 27, Flag),
        ("externalDocs", 29, One(&EXTERNAL_DOCS)),
        ("example", 30, Any),
    ],
    extensions: Some(31),
    others: None,
};

static PROPERTIES: Message = Message { fields: &[], extensions: None, others: Some((1, One(&SCHEMA))) };

static EXTERNAL_DOCS: Message =
    Message { fields: &[("description", 1, Text), ("url", 2, Text)], extensions: Some(3), others: None };

static REFERENCE: Message =
    Message { fields: &[("$ref", 1, Text), ("description", 2, Text)], extensions: None, others: None };

static SECURITY_REQUIREMENT: Message =
    Message { fields: &[], extensions: None, others: Some((1, Within(&[1], &TEXTS))) };

static SECURITY_DEFINITIONS: Message =
    Message { fields: &[], extensions: None, others: Some((1, Within(&[2], &One(&API_KEY)))) };

static API_KEY: Message = Message {
    fields: &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)],
    extensions: Some(5),
    others: None,
};

const TEXTS: Kind = Each(&Text);
const PARAMETERS: Kind = Each(&Choice(parameter_kind));

/// A reference, the body, or one of the four other places.
fn parameter_kind(parameter: &Value) -> Kind {
    match parameter.get("in").and_then(Value::as_str) {
        _ if is_reference(parameter) => const { Within(&[2], &One(&REFERENCE)) },
        Some("body") => const { Within(&[1, 1], &One(&BODY_PARAMETER)) },
        Some("header") => const { Within(&[1, 2, 1], &One(&PARAMETER)) },
        Some("formData") => const { Within(&[1, 2, 2], &One(&QUERY_PARAMETER)) },
        Some("query") => const { Within(&[1, 2, 3], &One(&QUERY_PARAMETER)) },
        _ => const { Within(&[1, 2, 4], &One(&PARAMETER)) },
    }
}

fn response_kind(response: &Value) -> Kind {
    if is_reference(response) {
        const { Within(&[2], &One(&REFERENCE)) }
    } else {
        const { Within(&[1], &One(&RESPONSE)) }
    }
}

fn additional_kind(additional: &Value) -> Kind {
    if additional.is_boolean() {
        const { Within(&[2], &Flag) }
    } else {
        const { Within(&[1], &One(&SCHEMA)) }
    }
}

fn is_reference(value: &Value) -> bool {
    value.get("$ref").is_some()
}
