//! The catalogue, for a reader.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use silkgate_message::catalogue::{Catalogue, ExampleKind, MessageType, Severity};

use super::frame::Frame;
use super::page;
use crate::gateway::Gateway;
use crate::http;

#[derive(Template)]
#[template(path = "schemas.html")]
struct SchemasPage {
    f: Frame,
    types: &'static [MessageType],
}

/// `GET /schemas`
pub async fn schemas(State(_): State<Arc<Gateway>>, f: Frame) -> Response {
    page(&SchemasPage { f, types: Catalogue::embedded().types() })
}

/// A member of a type.
struct Member {
    place: String,
    is_required: bool,
    meaning: String,
}

/// A rule of a type.
struct Rule {
    id: String,
    is_error: bool,
    text: String,
}

#[derive(Template)]
#[template(path = "schema.html")]
struct SchemaPage {
    f: Frame,
    kind: &'static MessageType,
    members: Vec<Member>,
    rules: Vec<Rule>,
    example: &'static str,
    accepted: i64,
    rejected: i64,
}

/// `GET /schemas/{type}/{version}`
pub async fn schema(
    State(_): State<Arc<Gateway>>,
    f: Frame,
    Path((name, version)): Path<(String, u32)>,
) -> Result<Response, Response> {
    let Some(kind) = Catalogue::embedded().find(&name, version) else {
        return Err(http::not_found().await);
    };
    let members = kind.outline().into_iter().map(|(place, field)| Member {
        place: place.trim_start_matches('/').replace("/*", "[]").replace('/', "."),
        is_required: field.required,
        meaning: field.description.or(field.title).unwrap_or_default(),
    });
    let is_arabic = f.language.code == "ar";
    let rules = kind.rules().map(|rule| Rule {
        id: rule.id.to_string(),
        is_error: rule.severity == Severity::Error,
        text: if is_arabic { rule.ar.to_string() } else { rule.en.to_string() },
    });
    let number = |of: ExampleKind| i64::try_from(kind.examples(of).len()).unwrap_or(i64::MAX);
    Ok(page(&SchemaPage {
        members: members.collect(),
        rules: rules.collect(),
        example: kind.example(),
        accepted: number(ExampleKind::Accept),
        rejected: number(ExampleKind::Reject),
        kind,
        f,
    }))
}
