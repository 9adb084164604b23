//! `NETCONF_REQUEST` at a controller.
//!
//! Owner: nobody. In: the message. Out: a question to the host program, its answer.
//! Never: a decision about membership: the controller's program makes it.

use zt_wire::message::Message;

use super::payload;
use crate::counters::DropReason;
use crate::engine::{Asked, Engine};
use crate::interface::HostRequest;
use crate::outbox::Outbox;
use crate::shard::{Path, PeerHandle};
use crate::time::Now;

impl Engine {
    /// `NETCONF_REQUEST`: handed to the controller's program.
    pub(crate) fn netconf_request(
        &mut self,
        handle: PeerHandle,
        from: Path,
        message: &Message<'_>,
        out: &mut Outbox,
    ) {
        let Some(peer) = self.peers.get(handle) else {
            return;
        };
        if !self.config.role.decides_membership() {
            self.drop(DropReason::NotAllowed);
            return;
        }
        let endpoint = match (from, peer.paths.active) {
            (Path::Direct(at), _) | (Path::Relay { .. }, Some(Path::Direct(at))) => Some(at),
            (Path::Relay { .. }, Some(Path::Relay { .. }) | None) => None,
        };
        let request = HostRequest::Netconf {
            identity: peer.identity(),
            key: peer.key(),
            address: peer.address(),
            endpoint,
            request: payload(message),
        };
        self.ask_host(Asked::Netconf(handle), request, out);
    }

    /// The controller's program has answered.
    pub(crate) fn netconf_decided(
        &mut self,
        now: Now,
        handle: PeerHandle,
        answer: &[u8],
        out: &mut Outbox,
    ) {
        let Ok(length) = u16::try_from(answer.len()) else {
            return;
        };
        let mut body = std::vec![zt_wire::message::MessageType::NetconfAnswer as u8];
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(answer);
        self.send_to_peer(now, handle, body, out);
    }
}
