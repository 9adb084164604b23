//! Messages of members that were opened when they came and are judged later, when a certificate is here.
//!
//! Owner: the shard. In: what was kept meanwhile. Out: verdicts as if it had come now.
//! Never: a second look at keys or replay window.

use core::ops::Range;

use zt_wire::message::MessageType;

use super::Shard;
use super::found::{Found, Home, Origin, What, Whence};
use super::verdict::{Notes, Path, PeerHandle, Verdict, Whose};
use crate::counters::DropReason;
use crate::time::Now;

impl Shard {
    /// The engine has been handed control messages of this peer: frames behind them may need what they say.
    pub(crate) fn asked(&mut self, peer: PeerHandle) {
        if let Some(peer) = self.sessions.peer_mut(peer) {
            peer.asked = peer.asked.saturating_add(1);
        }
    }

    /// The engine has dealt with control messages of this peer.
    pub(crate) fn answered(&mut self, peer: PeerHandle) {
        if let Some(peer) = self.sessions.peer_mut(peer) {
            peer.asked = peer.asked.saturating_sub(1);
        }
    }

    /// Judges a message that was `Verdict::Early`.
    pub(crate) fn again<'a>(
        &'a mut self,
        now: Now,
        whose: &Whose,
        message: &'a mut [u8],
        notes: &mut Notes,
    ) -> Verdict<'a> {
        let Whose(origin) = *whose;
        let whence = Whence {
            now,
            ..origin.whence
        };
        let origin = Origin { whence, ..origin };
        let range = 0..message.len();
        let kind = message.first().copied().map(MessageType::from_code);
        let found = match kind {
            Some(Ok(kind)) => self.frame_of(origin, kind, message, range, notes),
            Some(Err(_)) | None => Err(DropReason::Malformed),
        };
        match found {
            Ok(found) => self.verdict(found, message),
            Err(reason) => self.dropped(reason),
        }
    }

    /// Judges a FRAME that was `Verdict::Unvouched`, from the peer that passed it on.
    pub fn enter<'a>(
        &'a mut self,
        now: Now,
        peer: PeerHandle,
        message: &'a mut [u8],
        notes: &mut Notes,
    ) -> Verdict<'a> {
        let Some(known) = self.sessions.peer(peer) else {
            return self.dropped(DropReason::NoSession);
        };
        let origin = Origin {
            whence: Whence {
                now,
                from: known.path.unwrap_or(Path::Relay {
                    via: known.address,
                    peer: known.address,
                }),
                depth: 0,
            },
            peer,
            key: known.key,
            session: 0,
            parts: 1,
        };
        let range = 0..message.len();
        match self.frame(origin, message, range, notes) {
            Ok(found) if matches!(found.what, What::Frame { .. }) => self.verdict(found, message),
            Ok(_) => self.dropped(DropReason::NotMember),
            Err(reason) => self.dropped(reason),
        }
    }

    /// A frame of a member, or one that it asks us to pass on.
    pub(super) fn frame_of(
        &mut self,
        origin: Origin,
        kind: MessageType,
        bytes: &mut [u8],
        range: Range<usize>,
        notes: &mut Notes,
    ) -> Result<Found, DropReason> {
        if kind == MessageType::Frame
            && let Some(found) = self.followed(&origin, bytes, &range)
        {
            return Ok(found);
        }
        let found = if kind == MessageType::Replicate {
            self.share_of(origin, bytes, range.clone(), notes)
        } else {
            self.frame(origin, bytes, range.clone(), notes)
        };
        let asked = |peer| self.sessions.peer(peer).is_some_and(|peer| peer.asked > 0);
        match found {
            Err(DropReason::NotMember) if asked(origin.peer) => Ok(Found {
                what: What::Early(Whose(origin)),
                home: Home::Datagram,
                range,
            }),
            found => found,
        }
    }

    /// A frame like the one before it.
    fn followed(
        &mut self,
        origin: &Origin,
        bytes: &mut [u8],
        range: &Range<usize>,
    ) -> Option<Found> {
        let found = self.track.as_ref()?.follow(origin, bytes, range)?;
        let peer = self.sessions.peer(origin.peer)?;
        peer.flow.frame(origin.whence.now.mono);
        Some(found)
    }

    /// Counts what goes no further.
    pub(super) fn dropped(&mut self, reason: DropReason) -> Verdict<'static> {
        self.count_drop(reason);
        Verdict::Drop(reason)
    }

    /// Counts a drop.
    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.counters.drop(reason);
    }
}
