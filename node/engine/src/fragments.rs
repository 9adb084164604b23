//! Messages in assembly: fragments go in, whole messages come out.
//!
//! Owner: the shard. In: authentic FRAGMENT payloads with their peer. Out: the message, in the order its last part came.
//! Never: more memory than the limits say, for one peer or for all; an allocation once warm.

use std::boxed::Box;
use std::vec::Vec;

use crate::counters::{Counters, DropReason};
use crate::limits;
use crate::shard::PeerHandle;
use crate::time::Mono;

/// All messages in assembly.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    entries: Vec<Entry>,
    free: Vec<u32>,
    peers: Vec<Option<Box<Ring>>>,
    oldest: Option<u32>,
    newest: Option<u32>,
    bytes: usize,
    /// Room of the buffers that wait for the next message.
    kept: usize,
}

/// One fragment as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) id: u32,
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) bytes: &'a [u8],
}

/// The messages of one peer by the low bits of their id.
#[derive(Debug)]
struct Ring {
    slots: [Option<u32>; limits::ASSEMBLIES_PER_PEER],
    bytes: usize,
}

/// One message. Pieces are kept in the order they came and put in order when all are there.
#[derive(Debug)]
struct Entry {
    peer: PeerHandle,
    id: u32,
    count: u8,
    missing: u8,
    since: Mono,
    places: [(u32, u32); limits::CONTROL_FRAGMENTS],
    data: Vec<u8>,
    older: Option<u32>,
    newer: Option<u32>,
}

impl Fragments {
    /// Takes one fragment. `Ok(true)`: the message is whole and now in `whole`, in place of what was there.
    pub(crate) fn take(
        &mut self,
        now: Mono,
        peer: PeerHandle,
        piece: Piece<'_>,
        whole: &mut Vec<u8>,
        counters: &mut Counters,
    ) -> Result<bool, DropReason> {
        let count = usize::from(piece.count);
        if !(2..=limits::CONTROL_FRAGMENTS).contains(&count)
            || piece.index >= piece.count
            || piece.bytes.is_empty()
        {
            return Err(DropReason::FragmentBad);
        }
        self.expire(now, counters);
        let at = self.entry(now, peer, piece, counters)?;
        let entry = &mut self.entries[at as usize];
        if entry.count != piece.count {
            return Err(DropReason::FragmentBad);
        }
        let place = &mut entry.places[usize::from(piece.index)];
        if place.1 != 0 {
            return Err(DropReason::Replayed);
        }
        // A datagram has at most 2^16 bytes and a message at most 64 of them.
        *place = (narrow(entry.data.len()), narrow(piece.bytes.len()));
        entry.data.extend_from_slice(piece.bytes);
        entry.missing -= 1;
        let done = entry.missing == 0;
        self.bytes += piece.bytes.len();
        if let Some(ring) = self.ring(peer) {
            ring.bytes += piece.bytes.len();
        }
        if !done {
            return Ok(false);
        }
        let entry = &self.entries[at as usize];
        whole.clear();
        for &(start, len) in &entry.places[..usize::from(entry.count)] {
            let start = start as usize;
            whole.extend_from_slice(&entry.data[start..start + len as usize]);
        }
        self.release(at);
        Ok(true)
    }

    /// Forgets everything of a peer.
    pub(crate) fn forget(&mut self, peer: PeerHandle) {
        let Some(ring) = self.peers.get_mut(peer.0 as usize).and_then(Option::take) else {
            return;
        };
        for at in ring.slots.into_iter().flatten() {
            self.release(at);
        }
    }

    fn expire(&mut self, now: Mono, counters: &mut Counters) {
        while let Some(at) = self.oldest
            && now.since(self.entries[at as usize].since) >= limits::ASSEMBLY_FOR
        {
            counters.drop(DropReason::FragmentExpired);
            self.release(at);
        }
    }

    /// The entry of this piece's message, made if it is the first.
    fn entry(
        &mut self,
        now: Mono,
        peer: PeerHandle,
        piece: Piece<'_>,
        counters: &mut Counters,
    ) -> Result<u32, DropReason> {
        let slot = piece.id as usize % limits::ASSEMBLIES_PER_PEER;
        let index = peer.0 as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, || None);
        }
        let ring = self.peers[index].get_or_insert_with(|| {
            Box::new(Ring {
                slots: [None; limits::ASSEMBLIES_PER_PEER],
                bytes: 0,
            })
        });
        if ring.bytes + piece.bytes.len() > limits::ASSEMBLY_BYTES_PER_PEER {
            return Err(DropReason::FragmentFull);
        }
        if let Some(at) = ring.slots[slot] {
            let found = self.entries[at as usize].id;
            if found == piece.id {
                return Ok(at);
            }
            if found.wrapping_sub(piece.id) < u32::MAX / 2 {
                // A late sibling of a message given up already.
                return Err(DropReason::FragmentExpired);
            }
            counters.drop(DropReason::FragmentFull);
            self.release(at);
        }
        while self.bytes + piece.bytes.len() > limits::ASSEMBLY_BYTES
            || self.entries.len() - self.free.len() >= limits::ASSEMBLIES
        {
            let Some(oldest) = self.oldest else {
                return Err(DropReason::FragmentFull);
            };
            counters.drop(DropReason::FragmentFull);
            self.release(oldest);
        }
        let at = self.fresh(now, peer, piece);
        if let Some(ring) = self.ring(peer) {
            ring.slots[slot] = Some(at);
        }
        Ok(at)
    }

    fn fresh(&mut self, now: Mono, peer: PeerHandle, piece: Piece<'_>) -> u32 {
        let known = self.free.pop();
        if let Some(at) = known {
            self.kept -= self.entries[at as usize].data.capacity();
        }
        let at = known.unwrap_or_else(|| {
            self.entries.push(Entry {
                peer,
                id: 0,
                count: 0,
                missing: 0,
                since: now,
                places: [(0, 0); limits::CONTROL_FRAGMENTS],
                data: Vec::new(),
                older: None,
                newer: None,
            });
            narrow(self.entries.len() - 1)
        });
        let older = self.newest.replace(at);
        match older {
            Some(older) => self.entries[older as usize].newer = Some(at),
            None => self.oldest = Some(at),
        }
        let entry = &mut self.entries[at as usize];
        entry.peer = peer;
        entry.id = piece.id;
        entry.count = piece.count;
        entry.missing = piece.count;
        entry.since = now;
        entry.places = [(0, 0); limits::CONTROL_FRAGMENTS];
        entry.older = older;
        entry.newer = None;
        at
    }

    fn release(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        let (older, newer, len) = (entry.older.take(), entry.newer.take(), entry.data.len());
        let (peer, slot) = (entry.peer, entry.id as usize % limits::ASSEMBLIES_PER_PEER);
        entry.data.clear();
        let room = entry.data.capacity();
        if room > limits::ASSEMBLY_BUFFER_KEPT || self.kept + room > limits::ASSEMBLY_KEPT {
            entry.data = Vec::new();
        }
        self.kept += entry.data.capacity();
        match older {
            Some(older) => self.entries[older as usize].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.entries[newer as usize].older = older,
            None => self.newest = older,
        }
        self.bytes -= len;
        if let Some(ring) = self.ring(peer) {
            ring.slots[slot] = None;
            ring.bytes -= len;
        }
        self.free.push(at);
    }

    fn ring(&mut self, peer: PeerHandle) -> Option<&mut Ring> {
        self.peers.get_mut(peer.0 as usize)?.as_deref_mut()
    }
}

fn narrow(value: usize) -> u32 {
    // Entries, and bytes of one message, are far below 2^32 by the limits.
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerHandle = PeerHandle(3);

    fn piece(id: u32, index: u8, count: u8, bytes: &[u8]) -> Piece<'_> {
        Piece {
            id,
            index,
            count,
            bytes,
        }
    }

    fn at(millis: u64) -> Mono {
        Mono::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn parts_in_any_order_make_one_message() {
        let (mut fragments, mut whole, mut counters) =
            (Fragments::default(), Vec::new(), Counters::default());
        let mut take = |index, bytes| {
            fragments.take(
                at(0),
                PEER,
                piece(9, index, 3, bytes),
                &mut whole,
                &mut counters,
            )
        };
        assert_eq!(take(2, b"last"), Ok(false));
        assert_eq!(take(0, b"first-"), Ok(false));
        assert_eq!(take(0, b"first-"), Err(DropReason::Replayed));
        assert_eq!(take(1, b"second-"), Ok(true));
        assert_eq!(whole, b"first-second-last");
        assert_eq!(fragments.bytes, 0);
    }

    #[test]
    fn parts_of_two_peers_never_mix() {
        let (mut fragments, mut whole, mut counters) =
            (Fragments::default(), Vec::new(), Counters::default());
        assert_eq!(
            fragments.take(at(0), PEER, piece(1, 0, 2, b"a"), &mut whole, &mut counters),
            Ok(false)
        );
        assert_eq!(
            fragments.take(
                at(0),
                PeerHandle(4),
                piece(1, 1, 2, b"b"),
                &mut whole,
                &mut counters
            ),
            Ok(false)
        );
    }

    #[test]
    fn a_message_without_its_last_part_expires_counted() {
        let (mut fragments, mut whole, mut counters) =
            (Fragments::default(), Vec::new(), Counters::default());
        fragments
            .take(at(0), PEER, piece(1, 0, 2, b"a"), &mut whole, &mut counters)
            .unwrap();
        fragments
            .take(
                at(1_000),
                PEER,
                piece(2, 0, 2, b"a"),
                &mut whole,
                &mut counters,
            )
            .unwrap();
        assert_eq!(counters.dropped(DropReason::FragmentExpired), 1);
        assert_eq!(fragments.bytes, 1);
    }

    #[test]
    fn a_peer_cannot_take_more_memory_than_its_share() {
        let (mut fragments, mut whole, mut counters) =
            (Fragments::default(), Vec::new(), Counters::default());
        let big = std::vec![0; 60_000];
        for id in 0..1_000 {
            let _ = fragments.take(
                at(0),
                PEER,
                piece(id, 0, 64, &big),
                &mut whole,
                &mut counters,
            );
            assert!(fragments.bytes <= limits::ASSEMBLY_BYTES_PER_PEER);
        }
        for peer in 0..1_000 {
            for id in 0..2 {
                let _ = fragments.take(
                    at(0),
                    PeerHandle(peer),
                    piece(id, 0, 64, &big),
                    &mut whole,
                    &mut counters,
                );
            }
            assert!(fragments.bytes <= limits::ASSEMBLY_BYTES);
        }
        assert!(counters.dropped(DropReason::FragmentFull) > 0);
    }

    #[test]
    fn forgetting_a_peer_frees_its_parts() {
        let (mut fragments, mut whole, mut counters) =
            (Fragments::default(), Vec::new(), Counters::default());
        fragments
            .take(
                at(0),
                PEER,
                piece(1, 0, 2, b"abc"),
                &mut whole,
                &mut counters,
            )
            .unwrap();
        fragments.forget(PEER);
        assert_eq!(fragments.bytes, 0);
        assert_eq!(fragments.oldest, None);
    }

    #[test]
    fn a_count_that_changes_is_bad() {
        let (mut fragments, mut whole, mut counters) =
            (Fragments::default(), Vec::new(), Counters::default());
        fragments
            .take(at(0), PEER, piece(1, 0, 2, b"a"), &mut whole, &mut counters)
            .unwrap();
        let result = fragments.take(at(0), PEER, piece(1, 2, 3, b"b"), &mut whole, &mut counters);
        assert_eq!(result, Err(DropReason::FragmentBad));
        assert_eq!(
            fragments.take(at(0), PEER, piece(5, 3, 3, b"b"), &mut whole, &mut counters),
            Err(DropReason::FragmentBad)
        );
    }
}
