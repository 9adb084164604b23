//! The node's control API as functions.
//!
//! In: what a person asks. Out: the node's answer. Never: a guess about what the node decided.

use core::time::Duration;
use std::path::PathBuf;

use zt_wire::{Address, NetworkId};

use crate::error::ApiError;
use crate::http::Http;
use crate::types::{
    Counters, Info, JoinRequest, Network, Path, Peer, PingReply, PingRequest, SettingsChange, Why,
};

/// Where the node's socket is unless said otherwise: `$ZT_SOCKET`, else in the default state directory.
pub fn default_socket() -> PathBuf {
    std::env::var_os("ZT_SOCKET").map_or_else(
        || PathBuf::from("/var/lib/zt/node/node.sock"),
        PathBuf::from,
    )
}

/// A client of one node.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: Http,
}

impl NodeClient {
    /// A client of the node behind this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            http: Http::unix(socket),
        }
    }

    pub(crate) const fn http(&self) -> &Http {
        &self.http
    }

    /// Who the node is.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn info(&self) -> Result<Info, ApiError> {
        self.http.get("/v1/info").await
    }

    /// The networks joined.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn networks(&self) -> Result<Vec<Network>, ApiError> {
        self.http.get("/v1/networks").await
    }

    /// One network, as soon as joining it has come to an end ([`Network::settled`]) or after `limit`.
    /// The daemon waits, so that nobody has to poll.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn settled(&self, network: NetworkId, limit: Duration) -> Result<Network, ApiError> {
        let wait_ms = limit.as_millis();
        let http = self.http.clone().with_limit(limit + Duration::from_secs(5));
        http.get(&format!("/v1/networks/{network}?wait_ms={wait_ms}"))
            .await
    }

    /// The peers known.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        self.http.get("/v1/peers").await
    }

    /// Every path to a peer.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn paths(&self, peer: Address) -> Result<Vec<Path>, ApiError> {
        self.http.get(&format!("/v1/peers/{peer}/paths")).await
    }

    /// Why the path to a peer is what it is.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn why(&self, peer: Address) -> Result<Why, ApiError> {
        self.http.get(&format!("/v1/peers/{peer}/why")).await
    }

    /// One echo inside the session with a peer.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn ping(&self, peer: Address, limit: Duration) -> Result<PingReply, ApiError> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        // The daemon gives up by itself; the client only has to outlast it.
        let http = self.http.clone().with_limit(limit + Duration::from_secs(5));
        http.post(&format!("/v1/peers/{peer}/ping"), &PingRequest { limit_ms })
            .await
    }

    /// Every counter.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn counters(&self) -> Result<Counters, ApiError> {
        self.http.get("/v1/counters").await
    }

    /// Everything above and more, for a bug report. Holds no secret.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn dump(&self) -> Result<serde_json::Value, ApiError> {
        self.http.get("/v1/dump").await
    }

    /// Joins a network; returns as soon as the node has taken note.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn join(&self, network: NetworkId, request: &JoinRequest) -> Result<(), ApiError> {
        self.http
            .put::<serde_json::Value>(&format!("/v1/networks/{network}"), request)
            .await
            .map(drop)
    }

    /// Leaves a network and forgets its credentials.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn leave(&self, network: NetworkId) -> Result<(), ApiError> {
        self.http
            .delete::<serde_json::Value>(&format!("/v1/networks/{network}"))
            .await
            .map(drop)
    }

    /// Changes what the member allows a network to do to its machine.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn set(&self, network: NetworkId, change: SettingsChange) -> Result<(), ApiError> {
        self.http
            .patch::<serde_json::Value>(&format!("/v1/networks/{network}"), &change)
            .await
            .map(drop)
    }
}
