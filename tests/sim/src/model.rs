//! Who must get what: a reference that knows only membership.
//!
//! Owner: the world. In: frames sent and delivered, members let in and put out. Out: violations, and what is still missing.
//! Never: a session, a path, a certificate; it would then share the errors that it is to find.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use zt_engine::Mono;
use zt_wire::NetworkId;

use crate::internet::HostId;

/// How long frames may still pass after a member was put out.
pub const CUT_WITHIN: Duration = Duration::from_secs(5);

/// What ought to be.
#[derive(Debug, Default)]
pub struct Model {
    members: BTreeMap<(NetworkId, HostId), Membership>,
    frames: BTreeMap<Vec<u8>, Frame>,
    violations: Vec<String>,
    delivered: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Membership {
    since: Option<Mono>,
    until: Option<Mono>,
}

#[derive(Debug)]
struct Frame {
    network: NetworkId,
    from: HostId,
    to: Option<HostId>,
    at: Mono,
    got: BTreeSet<HostId>,
}

impl Model {
    /// A member is let in.
    pub fn authorized(&mut self, network: NetworkId, host: HostId, now: Mono) {
        self.members.insert(
            (network, host),
            Membership {
                since: Some(now),
                until: None,
            },
        );
    }

    /// A member is put out.
    pub fn deauthorized(&mut self, network: NetworkId, host: HostId, now: Mono) {
        self.members.entry((network, host)).or_default().until = Some(now);
    }

    /// Whether a host ought to be a member now.
    pub fn is_member(&self, network: NetworkId, host: HostId) -> bool {
        self.members
            .get(&(network, host))
            .is_some_and(|member| member.since.is_some() && member.until.is_none())
    }

    /// A host gives a frame to its device. `to`: `None` for a group address.
    pub fn sent(
        &mut self,
        network: NetworkId,
        from: HostId,
        to: Option<HostId>,
        bytes: &[u8],
        now: Mono,
    ) {
        let frame = Frame {
            network,
            from,
            to,
            at: now,
            got: BTreeSet::new(),
        };
        if self.frames.insert(bytes.to_vec(), frame).is_some() {
            self.violations
                .push("the scenario sent the same frame twice".into());
        }
    }

    /// A host's device gets a frame.
    pub fn got(&mut self, network: NetworkId, host: HostId, bytes: &[u8], now: Mono) {
        self.delivered += 1;
        let may = |host: HostId| {
            let member = self
                .members
                .get(&(network, host))
                .copied()
                .unwrap_or_default();
            member.since.is_some()
                && member
                    .until
                    .is_none_or(|until| now.since(until) <= CUT_WITHIN)
        };
        let Some(frame) = self.frames.get_mut(bytes) else {
            let head = &bytes[..bytes.len().min(24)];
            self.violations.push(format!(
                "{now:?} {host:?} got a frame of {} bytes that nobody sent: {head:02x?}",
                bytes.len()
            ));
            return;
        };
        let from = frame.from;
        let mut say = |what: &str| {
            self.violations
                .push(format!("{now:?} {host:?} got a frame of {from:?}: {what}"));
        };
        if frame.network != network {
            say("it was sent on another network");
        }
        if !may(host) {
            say("the receiver is no member");
        }
        if !may(from) {
            say("the sender is no member");
        }
        if frame.to.is_some_and(|to| to != host) {
            say("it was for another");
        }
        if host == from {
            say("it is its own");
        }
        if !frame.got.insert(host) {
            say("it came twice");
        }
    }

    /// Forgets frames sent before `before`; what has not arrived is not missed any more.
    pub fn forget(&mut self, before: Mono) {
        self.frames.retain(|_, frame| frame.at >= before);
    }

    /// Whether `host` has got these bytes.
    pub fn has_got(&self, host: HostId, bytes: &[u8]) -> bool {
        self.frames
            .get(bytes)
            .is_some_and(|frame| frame.got.contains(&host))
    }

    /// How many have got these bytes.
    pub fn receivers(&self, bytes: &[u8]) -> usize {
        self.frames.get(bytes).map_or(0, |frame| frame.got.len())
    }

    /// Frames delivered.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Everything that must not have happened.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(1);
    const B: HostId = HostId(2);

    fn model() -> (Model, NetworkId) {
        let network = "0123456789abcdef".parse().unwrap();
        let mut model = Model::default();
        model.authorized(network, A, Mono::ZERO);
        model.authorized(network, B, Mono::ZERO);
        model.sent(network, A, Some(B), b"frame", Mono::ZERO);
        (model, network)
    }

    #[test]
    fn a_frame_that_arrives_once_is_right_and_twice_is_wrong() {
        let (mut model, network) = model();
        model.got(network, B, b"frame", Mono::ZERO);
        assert!(model.violations().is_empty());
        model.got(network, B, b"frame", Mono::ZERO);
        assert_eq!(model.violations().len(), 1);
    }

    #[test]
    fn a_changed_or_strayed_frame_is_wrong() {
        let (mut model, network) = model();
        model.got(network, B, b"framE", Mono::ZERO);
        model.got(network, A, b"frame", Mono::ZERO);
        assert_eq!(model.violations().len(), 3, "{:?}", model.violations());
    }

    #[test]
    fn frames_of_one_who_was_put_out_are_wrong_after_five_seconds() {
        let (mut model, network) = model();
        model.deauthorized(network, A, Mono::ZERO);
        model.got(network, B, b"frame", Mono::ZERO + Duration::from_secs(5));
        assert!(model.violations().is_empty());
        model.sent(network, A, Some(B), b"later", Mono::ZERO);
        model.got(
            network,
            B,
            b"later",
            Mono::ZERO + Duration::from_millis(5001),
        );
        assert_eq!(model.violations().len(), 1);
    }
}
