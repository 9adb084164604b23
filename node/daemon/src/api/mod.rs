//! The control API: HTTP and JSON for the one in front of the machine.
//!
//! In: requests of callers that may ask. Out: what the node answers, as `zt-api` says it.
//! Never: an answer that the engine did not give.

mod convert;
mod doors;
mod guard;
mod ipx;
mod lan;
mod routes;
mod selftest;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use zt_driver::{Exit, Handle};
use zt_engine::Mono;

pub use doors::Doors;
use doors::{Caller, Listening};

/// What the routes share.
#[derive(Clone, Debug)]
struct Node {
    handle: Handle,
    world: [u8; 16],
    since: Mono,
}

/// Serves until a listener fails.
pub async fn serve(handle: Handle, world: [u8; 16], doors: Doors) -> Exit {
    let node = Node {
        handle,
        world,
        since: zt_driver::clock::mono(),
    };
    let routes = routes::routes(node);
    let Listening {
        unix,
        tcp,
        _removed,
    } = match doors.listen() {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!(%error, "the control API is not served");
            return Exit::Failed;
        }
    };
    let unix = axum::serve(
        unix,
        guarded_by_peer(routes.clone()).into_make_service_with_connect_info::<Caller>(),
    );
    let tcp = async {
        match tcp {
            Some((listener, token)) => axum::serve(listener, guarded_by_token(routes, token)).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = unix => ended,
        ended = tcp => ended,
    };
    tracing::error!(error = ?ended.err(), "the control API has ended");
    Exit::Failed
}

fn guarded_by_peer(routes: Router) -> Router {
    routes.layer(middleware::from_fn(guard::by_peer))
}

fn guarded_by_token(routes: Router, token: String) -> Router {
    routes.layer(middleware::from_fn_with_state(
        Arc::<str>::from(token),
        guard::by_token,
    ))
}
