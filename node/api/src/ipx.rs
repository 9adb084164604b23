//! The JSON of IPX on a network, and the questions about it.
//!
//! In: what a person asks. Out: the node's answer. Never: a host that was not heard.

use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use zt_wire::{Mac, NetworkId};

use crate::error::ApiError;
use crate::node::NodeClient;
use crate::text;

/// `GET /v1/networks/ID/ipx`: IPX on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipx {
    /// The hosts heard, by number.
    pub hosts: Vec<IpxHost>,
    /// Where this node serves `ipxnet`; `null` when it does not.
    pub ipxnet: Option<SocketAddr>,
    /// Why it cannot although it should.
    pub ipxnet_error: Option<String>,
    /// The clients of that server.
    pub clients: Vec<IpxClient>,
}

/// A host heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpxHost {
    /// Its number, as a rule its MAC.
    #[serde(with = "text")]
    pub node: Mac,
    /// The MAC its frames came from.
    #[serde(with = "text")]
    pub mac: Mac,
    /// The network number it says, eight hex digits; zero when it knows none.
    pub network: String,
    /// `ethernet2`, `802.3-raw`, `802.2` or `snap`.
    pub framing: String,
    /// Packets heard.
    pub packets: u64,
    /// Milliseconds since the last.
    pub heard_ms_ago: u64,
}

/// A client of the `ipxnet` server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpxClient {
    /// Where it is.
    pub endpoint: SocketAddr,
    /// The number it was given.
    #[serde(with = "text")]
    pub node: Mac,
}

/// `PUT /v1/networks/ID/ipx`: where to serve `ipxnet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpxServe {
    /// The address; `null` for nowhere.
    pub ipxnet: Option<SocketAddr>,
}

/// `POST /v1/networks/ID/ipx/ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpxPingRequest {
    /// Whose answer counts; everybody's when absent.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub node: Option<Mac>,
    /// How long to wait, in milliseconds.
    pub limit_ms: u64,
}

/// One who answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IpxEcho {
    /// Its number.
    #[serde(with = "text")]
    pub node: Mac,
    /// The network number it says, eight hex digits.
    pub network: String,
    /// Its framing, or `ipxnet` for a client of this node's server.
    pub framing: String,
    /// How long it took, in milliseconds.
    pub rtt_ms: f64,
}

impl NodeClient {
    /// What is known of IPX on a network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn ipx(&self, network: NetworkId) -> Result<Ipx, ApiError> {
        self.http()
            .get(&format!("/v1/networks/{network}/ipx"))
            .await
    }

    /// Serves `ipxnet` for a network at this address, or no more.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn ipx_serve(
        &self,
        network: NetworkId,
        ipxnet: Option<SocketAddr>,
    ) -> Result<(), ApiError> {
        self.http()
            .put::<serde_json::Value>(&format!("/v1/networks/{network}/ipx"), &IpxServe { ipxnet })
            .await
            .map(drop)
    }

    /// Asks the IPX hosts of a network who is there; for one, ends with its answer.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn ipx_ping(
        &self,
        network: NetworkId,
        node: Option<Mac>,
        limit: Duration,
    ) -> Result<Vec<IpxEcho>, ApiError> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        // The daemon gives up by itself; the client only has to outlast it.
        self.http()
            .clone()
            .with_limit(limit + Duration::from_secs(5))
            .post(
                &format!("/v1/networks/{network}/ipx/ping"),
                &IpxPingRequest { node, limit_ms },
            )
            .await
    }
}
