//! The documents of these tests.

use serde_json::{Value, json};

/// The project's own.
pub(super) const PLAN: &str = include_str!("../../docs/api/openapi.yaml");

/// Parameters of every kind, and a body that may have many mistakes.
pub(super) const MANY: &str = r"
openapi: 3.1.0
info: {title: Many, version: '1'}
paths:
  /many:
    post:
      requestBody:
        content:
          application/json:
            schema: {type: array, items: {type: integer}}
  /items/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer}}
    put:
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1}}
        - {name: tag, in: query, schema: {type: array, items: {type: string, maxLength: 1}}}
        - {name: X-Kind, in: header, schema: {enum: [a, b]}}
      requestBody:
        content:
          application/json: {schema: {type: object}}
";

/// `OrchestrationRequest`, written out once more.
pub(super) fn request_schema() -> Value {
    json!({
        "type": "object",
        "required": ["query", "mode"],
        "properties": {
            "query": { "type": "string", "minLength": 1, "maxLength": 10000 },
            "mode": { "enum": ["query_automatic", "query_manual", "rag_query", "multi_agent", "autonomous"] },
            "sessionId": { "type": "string", "format": "uuid" },
        },
    })
}
