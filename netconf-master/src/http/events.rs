//! `/api/v1/events`: the log as it grows, as server-sent events.
//!
//! In: a place in the log (`Last-Event-ID`), or none for now. Out: each line after it, in order, once.
//! Never: a line kept for a slow reader: it is read from the store when the reader is ready.

use core::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use zt_api::master::Audit;

use super::Api;
use super::failure::Failure;
use super::input::name;
use crate::limits;

/// Where one reader is.
struct Reader {
    api: Arc<Api>,
    after: u64,
    bell: watch::Receiver<()>,
    ready: std::vec::IntoIter<Audit>,
    _seat: OwnedSemaphorePermit,
}

pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let seat = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many event streams are open",
        )
    })?;
    // Before the place is looked up: what comes between the two rings.
    let bell = api.desk.bell();
    let after = match headers.get("last-event-id").map(|id| id.to_str()) {
        Some(Ok(id)) => name(id, "Last-Event-ID")?,
        Some(Err(_)) => return Err(Failure::field("Last-Event-ID", "expected a number")),
        None => {
            let newest = api
                .desk
                .read(|controller| controller.store().newest())
                .await;
            newest.ok_or_else(Failure::gone)??
        }
    };
    let reader = Reader {
        api,
        after,
        bell,
        ready: Vec::new().into_iter(),
        _seat: seat,
    };
    Ok(Sse::new(stream::unfold(reader, next)).keep_alive(KeepAlive::default()))
}

async fn next(mut reader: Reader) -> Option<(Result<Event, Infallible>, Reader)> {
    loop {
        if let Some(audit) = reader.ready.next() {
            reader.after = audit.seq;
            return Some((Ok(event(&audit)), reader));
        }
        let after = reader.after;
        // Marked before the log is read: a line that comes meanwhile rings again.
        reader.bell.mark_unchanged();
        let lines = reader
            .api
            .desk
            .read(move |controller| controller.store().log(None, after, limits::PAGE))
            .await?
            .ok()?;
        if lines.is_empty() {
            reader.bell.changed().await.ok()?;
        }
        reader.ready = lines.into_iter();
    }
}

fn event(audit: &Audit) -> Event {
    let event = Event::default()
        .id(audit.seq.to_string())
        .event(&audit.action);
    // Strings and numbers always become JSON.
    event.json_data(audit).unwrap_or_default()
}
