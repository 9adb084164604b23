//! At a first start, an address that belongs to another key: makes another identity and goes on.
//!
//! Owner: the program. In: the engine's word that our claim was refused. Out: a node with another identity.
//! Never: another identity once anything was joined, or for one that an earlier run has made.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use zt_crypto::Params;
use zt_driver::{Handle, StateDir, identity};
use zt_engine::interface::{Command, Event, Reply};

/// Watches; never returns.
pub async fn watch(handle: Handle, state: Arc<StateDir>, params: Params, fresh: bool) {
    let mut events = handle.events();
    let mut left = if fresh { TRIES } else { 0 };
    // The claim may have been refused before anybody listened.
    let mut collided =
        matches!(handle.command(Command::Info).await, Reply::Info(info) if info.collision);
    loop {
        if collided && left > 0 && nothing_joined(&handle).await {
            left -= 1;
            replace(&handle, &state, params).await;
        }
        collided = match events.recv().await {
            Ok(Event::Collision(_)) => true,
            Ok(_) | Err(RecvError::Lagged(_)) => false,
            Err(RecvError::Closed) => return std::future::pending().await,
        };
    }
}

async fn nothing_joined(handle: &Handle) -> bool {
    matches!(handle.command(Command::Networks).await, Reply::Networks(networks) if networks.is_empty())
}

async fn replace(handle: &Handle, state: &Arc<StateDir>, params: Params) {
    tracing::warn!(
        "the address of this first start belongs to another key: making another identity"
    );
    let state = Arc::clone(state);
    match tokio::task::spawn_blocking(move || identity::generate_and_keep(&state, params)).await {
        Ok(Ok(mine)) => handle.become_another(mine.secret, mine.verified),
        Ok(Err(error)) => tracing::error!(%error, "no other identity"),
        Err(error) => tracing::error!(%error, "no other identity"),
    }
}

/// Identities made anew at most: each meets a taken address with a chance of the world's size in 2^40.
const TRIES: u32 = 8;
