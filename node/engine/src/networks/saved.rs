//! A joined network as kept across restarts: version 1 of an encoding that only this file knows.
//!
//! In: a network. Out: bytes, and back. What was signed is verified again on the way in.
//! Never: a certificate of another member; they introduce themselves anew.

use std::vec::Vec;

use zt_wire::message::{DirectoryDelta, DirectoryEntry};
use zt_wire::{Address, Identity, KeyId, Malformed, NetworkId, Put, Reader, Signed};

use super::Around;
use super::joined::{Joined, Listing, Stage};
use crate::interface::Consent;

const VERSION: u8 = 1;

/// The bytes to keep.
pub(super) fn encode(joined: &Joined) -> Vec<u8> {
    let mut out = Vec::new();
    out.u8(VERSION);
    optional(
        joined
            .pin
            .map(KeyId::to_bytes)
            .as_ref()
            .map(<[u8; 32]>::as_slice),
        &mut out,
    );
    out.u8(u8::from(joined.pinned_on_first_use));
    optional(
        joined
            .controller
            .map(|identity| identity.to_bytes())
            .as_ref()
            .map(<[u8; Identity::LEN]>::as_slice),
        &mut out,
    );
    optional(joined.token.as_ref().map(<[u8; 16]>::as_slice), &mut out);
    let Consent {
        managed,
        global,
        default_route,
        dns,
        selftest,
    } = joined.consent;
    let bits = [managed, global, default_route, dns, selftest]
        .iter()
        .rev()
        .fold(0, |bits, &bit| bits << 1 | u8::from(bit));
    out.u8(bits);
    optional(
        joined
            .shared
            .as_ref()
            .map(|shared| shared.signed.as_slice()),
        &mut out,
    );
    optional(
        joined.own.as_ref().map(|own| own.signed.as_slice()),
        &mut out,
    );
    out.u64(joined.directory);
    let entries: Vec<DirectoryEntry> = joined.listed.iter().map(entry).collect();
    let pages: Vec<_> = entries.chunks(PAGE).collect();
    put_len(pages.len(), &mut out);
    for page in pages {
        let delta = DirectoryDelta {
            from: 0,
            to: 0,
            more: false,
            entries: page.to_vec(),
        };
        bytes(&delta.encode(), &mut out);
    }
    put_len(joined.revoked.len(), &mut out);
    for revoked in joined.revoked.values() {
        bytes(&revoked.signed, &mut out);
    }
    out
}

fn entry((&address, listing): (&Address, &Listing)) -> DirectoryEntry {
    let Listing {
        ips,
        bridge,
        replicator,
    } = listing.clone();
    DirectoryEntry {
        address,
        removed: false,
        bridge,
        replicator,
        ips,
    }
}

/// The network as it was kept.
pub(super) fn decode(id: NetworkId, saved: &[u8], around: &Around) -> Result<Joined, Malformed> {
    let mut r = Reader::new(saved);
    let version = r.u8()?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let pin = option(&mut r)?
        .map(array)
        .transpose()?
        .map(KeyId::from_bytes);
    let mut joined = Joined::new(id, pin, None);
    joined.pinned_on_first_use = r.u8()? != 0;
    joined.controller = match option(&mut r)? {
        None => None,
        Some(bytes) => Some(Identity::from_bytes(&array(bytes)?)?),
    };
    joined.token = option(&mut r)?.map(array).transpose()?;
    let bits = r.u8()?;
    joined.consent = Consent {
        managed: bits & 1 != 0,
        global: bits & 2 != 0,
        default_route: bits & 4 != 0,
        dns: bits & 8 != 0,
        selftest: bits & 16 != 0,
    };
    if joined
        .controller
        .is_some_and(|identity| Some(zt_crypto::key_id(&identity)) != joined.pin)
    {
        joined.controller = None;
    }
    let shared = option(&mut r)?;
    let own = option(&mut r)?;
    let directory = r.u64()?;
    for _ in 0..r.u32()? {
        for entry in DirectoryDelta::decode(slice(&mut r)?)?.entries {
            joined.listed.insert(
                entry.address,
                Listing {
                    ips: entry.ips,
                    bridge: entry.bridge,
                    replicator: entry.replicator,
                },
            );
        }
    }
    for _ in 0..r.u32()? {
        // A damaged one changes nothing.
        let _ = joined.take_revocation(Signed::parse(slice(&mut r)?)?, &around.proofs);
    }
    r.end()?;
    let shared = shared
        .map(Signed::parse)
        .transpose()?
        .is_some_and(|signed| joined.take_shared(signed, &around.proofs));
    let own = own
        .map(Signed::parse)
        .transpose()?
        .is_some_and(|signed| joined.take_own((around.me, around.key), signed, &around.proofs));
    if shared && own && joined.own_valid() {
        joined.directory = directory;
        joined.stage = Stage::Member;
    } else {
        joined.listed.clear();
    }
    Ok(joined)
}

/// Entries in one directory part: no more than its decoder takes.
const PAGE: usize = DirectoryDelta::MAX;

fn put_len(len: usize, out: &mut Vec<u8>) {
    // The limits keep every list far below 2^32.
    out.u32(u32::try_from(len).unwrap_or(u32::MAX));
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_len(bytes.len(), out);
    out.put(bytes);
}

fn optional(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.u8(u8::from(value.is_some()));
    if let Some(value) = value {
        bytes(value, out);
    }
}

fn slice<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = r.u32()?;
    r.take(usize::try_from(len).map_err(|_| Malformed::Length)?)
}

fn option<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match r.u8()? {
        0 => Ok(None),
        1 => slice(r).map(Some),
        _ => Err(Malformed::Code),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed::Length)
}
