//! The HTTP API: one file per resource, one place for errors, one for who may ask.
//!
//! In: requests on a listener. Out: JSON. Never: a decision (that is `admin`), an answer to a wrong Host, a panic.

mod about;
mod audit;
mod events;
mod failure;
mod guard;
mod input;
mod invites;
mod members;
mod networks;

#[cfg(test)]
mod mutated;
#[cfg(test)]
mod ruled;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::desk::Desk;
use crate::limits;

pub use guard::AdminToken;

/// What the handlers share.
#[derive(Debug)]
pub struct Api {
    desk: Arc<Desk>,
    token: AdminToken,
    /// Names under which the API may be asked for, besides addresses and `localhost`.
    hosts: Vec<String>,
    streams: Arc<Semaphore>,
    answers: Answers,
}

/// Answers given, by hundreds of the status.
#[derive(Debug, Default)]
struct Answers {
    good: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Api {
    /// An API before `desk` for whoever has `token`, known under `hosts` besides its addresses and `localhost`.
    pub fn new(desk: Arc<Desk>, token: AdminToken, hosts: Vec<String>) -> Arc<Self> {
        let streams = Arc::new(Semaphore::new(limits::STREAMS));
        Arc::new(Self {
            desk,
            token,
            hosts,
            streams,
            answers: Answers::default(),
        })
    }

    /// Every route.
    pub fn router(self: &Arc<Self>) -> Router {
        let guarded = Router::new()
            .route(
                "/api/v1/networks",
                get(networks::list).post(networks::create),
            )
            .route(
                "/api/v1/networks/{network}",
                get(networks::show)
                    .patch(networks::change)
                    .delete(networks::delete),
            )
            .route("/api/v1/networks/{network}/rules", get(networks::rules))
            .route(
                "/api/v1/networks/{network}/epoch",
                post(networks::advance_epoch),
            )
            .route("/api/v1/networks/{network}/members", get(members::list))
            .route(
                "/api/v1/networks/{network}/members/{address}",
                get(members::show)
                    .put(members::put)
                    .patch(members::change)
                    .delete(members::delete),
            )
            .route(
                "/api/v1/networks/{network}/invites",
                get(invites::list).post(invites::create),
            )
            .route(
                "/api/v1/networks/{network}/invites/{invite}",
                get(invites::show).delete(invites::revoke),
            )
            .route("/api/v1/networks/{network}/audit", get(audit::list))
            .route("/api/v1/events", get(events::stream))
            .route_layer(from_fn_with_state(Arc::clone(self), guard::authorized));
        let open = Router::new()
            .route("/healthz", get(about::health))
            .route("/readyz", get(about::ready))
            .route("/metrics", get(about::metrics))
            .route("/api/openapi.json", get(about::openapi));
        guarded
            .merge(open)
            .fallback(failure::no_such_path)
            .method_not_allowed_fallback(failure::no_such_method)
            .layer(DefaultBodyLimit::max(limits::BODY))
            .layer(from_fn_with_state(Arc::clone(self), guard::right_host))
            .with_state(Arc::clone(self))
    }

    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let seats = Arc::new(Semaphore::new(limits::API_CONNECTIONS));
        let router = self.router();
        let mut open = tokio::task::JoinSet::new();
        loop {
            // Never closed.
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
                return;
            };
            while open.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: a moment without new connections frees some.
                    tracing::warn!(%error, "a connection to the API was not accepted");
                    tokio::time::sleep(core::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(router.clone());
            open.spawn(async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits::API_PATIENCE)
                    .max_buf_size(limits::BODY)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection to the API ended early");
                }
                drop(seat);
            });
        }
    }
}
