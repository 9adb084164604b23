//! What goes wrong, as HTTP: the one place where errors get a status and a sentence.
//!
//! In: refusals of the controller, faults of a request. Out: a status with `{"error", "field"}`.
//! Never: an inside of the database in an answer; that goes to the log.

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::admin::{Refused, Thing};
use crate::store::StoreError;

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Body {
    error: String,
    /// Null where no field is wrong.
    field: Option<String>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            body: Body {
                error: error.into(),
                field: None,
            },
        }
    }

    pub(super) fn field(field: impl Into<String>, error: impl Into<String>) -> Self {
        let body = Body {
            error: error.into(),
            field: Some(field.into()),
        };
        Self {
            status: StatusCode::BAD_REQUEST,
            body,
        }
    }

    /// The program is ending, or a handler panicked.
    pub(super) fn gone() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request could not be finished",
        )
    }

    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(Thing::Network) => {
                Self::new(StatusCode::NOT_FOUND, "there is no such network here")
            }
            Refused::NotFound(Thing::Member) => {
                Self::new(StatusCode::NOT_FOUND, "the network has no such member")
            }
            Refused::NotFound(Thing::Invite) => {
                Self::new(StatusCode::NOT_FOUND, "the network has no such invite")
            }
            Refused::Invalid(invalid) => Self::field(invalid.field, invalid.expected),
            Refused::Changed => Self::field(
                "revision",
                "the record has changed since; read it again and repeat the change",
            )
            .with_status(StatusCode::CONFLICT),
            Refused::Taken(ip) => Self::field("static_ips", format!("another member holds {ip}"))
                .with_status(StatusCode::CONFLICT),
            Refused::KeyKnown => Self::field(
                "fingerprint",
                "the member has shown another key; delete it first to let a new one in",
            )
            .with_status(StatusCode::CONFLICT),
            Refused::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store refused");
        match error {
            StoreError::Gone => Self::new(StatusCode::NOT_FOUND, "there is no such network here"),
            StoreError::Conflict | StoreError::Taken(_) | StoreError::Exists => Self::new(
                StatusCode::CONFLICT,
                "too many changes of the same record at once; try again",
            ),
            StoreError::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not answer",
            ),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Failure {
    let error = format!(
        "there is no {}; /api/openapi.json lists what there is",
        uri.path()
    );
    Failure::new(StatusCode::NOT_FOUND, error)
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Failure {
    let error = format!("{} does not know {method}", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, error)
}
