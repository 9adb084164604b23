//! The JSON of a selftest with a member.
//!
//! In: what a person asks. Out: what became of each kind of frame. Never: a verdict of the client's own.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use zt_wire::{Address, NetworkId};

use crate::error::ApiError;
use crate::node::NodeClient;
use crate::text;

/// `POST /v1/networks/ID/selftest`: tests with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelftestRequest {
    /// With whom.
    #[serde(with = "text")]
    pub member: Address,
    /// Whether it sends the same set back.
    pub both: bool,
    /// How long the whole may take, milliseconds.
    pub limit_ms: u64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selftest {
    /// On which network.
    #[serde(with = "text")]
    pub network: NetworkId,
    /// With whom.
    #[serde(with = "text")]
    pub member: Address,
    /// Whether every direction that was asked for came to its end.
    pub whole: bool,
    /// One entry for each direction.
    pub ways: Vec<SelftestWay>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelftestWay {
    /// Who sent.
    #[serde(with = "text")]
    pub from: Address,
    /// Who listened.
    #[serde(with = "text")]
    pub to: Address,
    /// Frames that crossed whole, once and in order.
    pub crossed: usize,
    /// Frames that should have: all but those that policy stopped.
    pub due: usize,
    /// Frames that the network's policy, or a missing right, rightly stopped.
    pub stopped: usize,
    /// Whether the path changed while frames were underway, which may change their order.
    pub path_changed: bool,
    /// Each kind, in the order in which they were sent.
    pub kinds: Vec<SelftestKind>,
}

/// One kind of frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelftestKind {
    /// What people call it.
    pub kind: String,
    /// The frame's length, bytes without the check sequence.
    pub bytes: u16,
    /// What became of it.
    pub verdict: SelftestVerdict,
    /// Why it did not cross; `null` when it did.
    pub why: Option<String>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelftestVerdict {
    /// It came whole, once, in its place.
    Crossed,
    /// Policy, a rule or a missing right stopped it, as it should.
    Stopped,
    /// It did not come.
    Lost,
    /// It came with other bytes.
    Changed,
    /// It came more than once.
    Repeated,
    /// It came behind a frame that was sent later.
    Reordered,
}

impl fmt::Display for SelftestVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Crossed => "crossed",
            Self::Stopped => "stopped",
            Self::Lost => "LOST",
            Self::Changed => "CHANGED",
            Self::Repeated => "REPEATED",
            Self::Reordered => "REORDERED",
        })
    }
}

impl Selftest {
    /// Whether every frame that should cross did, in every direction asked for.
    pub fn passed(&self) -> bool {
        self.whole && self.ways.iter().all(|way| way.crossed == way.due)
    }
}

impl NodeClient {
    /// Tests with a member which frames cross.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn selftest(
        &self,
        network: NetworkId,
        request: SelftestRequest,
    ) -> Result<Selftest, ApiError> {
        // The daemon gives up by itself; the client only has to outlast it.
        let limit = Duration::from_millis(request.limit_ms) + Duration::from_secs(5);
        let http = self.http().clone().with_limit(limit);
        http.post(&format!("/v1/networks/{network}/selftest"), &request)
            .await
    }
}
