//! What comes in: bodies, names in paths, pages; each fault with the field that has it.
//!
//! In: requests. Out: typed values. Never: a field ignored, a number wrapped.

use core::fmt::Display;
use core::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::limits;

/// A JSON body. An empty one counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                let status = rejection.status();
                let error = match status {
                    StatusCode::PAYLOAD_TOO_LARGE => "expected a body of at most 320 KiB",
                    _ => "the body did not arrive whole",
                };
                Failure::new(status, error)
            })?;
        if bytes.is_empty() {
            return parse(b"{}");
        }
        // A form of a web page can send any body but not this type without asking first.
        let json = kind
            .as_ref()
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                let kind = kind.split(';').next().unwrap_or(kind);
                kind.trim().eq_ignore_ascii_case("application/json")
            });
        if !json {
            let error = "expected `Content-Type: application/json`";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
        }
        parse(&bytes)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Failure> {
    // Serde would take a list of values for an object.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "expected a JSON object",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        match field(&path, &cause) {
            Some(field) => Failure::field(field, cause.to_string()),
            None => Failure::new(
                StatusCode::BAD_REQUEST,
                format!("not the JSON expected: {cause}"),
            ),
        }
    })?;
    match reader.end() {
        Ok(()) => Ok(Body(value)),
        Err(error) => Err(Failure::new(
            StatusCode::BAD_REQUEST,
            format!("not the JSON expected: {error}"),
        )),
    }
}

/// The field that a fault is in; none for a fault of the JSON itself.
fn field(path: &str, cause: &serde_json::Error) -> Option<String> {
    (cause.is_data() && path != ".").then(|| path.to_owned())
}

/// Names in the path, in order.
pub(super) fn name<T: FromStr<Err: Display>>(text: &str, field: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|error| Failure::field(field, format!("{error}")))
}

/// `limit` and `after` of a list.
pub(super) struct Page {
    pub(super) limit: usize,
    after: Option<String>,
}

impl Page {
    /// The record after which the page starts.
    pub(super) fn after<T: FromStr<Err: Display>>(&self) -> Result<Option<T>, Failure> {
        self.after
            .as_deref()
            .map(|after| name(after, "after"))
            .transpose()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let mut page = Self {
            limit: limits::PAGE,
            after: None,
        };
        for pair in parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "limit" => page.limit = limit(value)?,
                // Every key of a list is hex or decimal digits, so nothing is ever escaped.
                "after" => page.after = Some(value.to_owned()),
                other => return Err(Failure::field(other, "expected only `limit` and `after`")),
            }
        }
        Ok(page)
    }
}

fn limit(text: &str) -> Result<usize, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(limit) if digits && (1..=limits::PAGE_MOST).contains(&limit) => Ok(limit),
        Ok(_) | Err(_) => Err(Failure::field("limit", "expected 1 to 1000")),
    }
}
