//! What the networks room wants done; the engine does it.
//!
//! In: nothing. Out: `Action`, pushed in order.
//! Never: a decision.

use std::vec::Vec;

use zt_wire::{Address, NetworkId};

use crate::interface::{Event, Saved, TapPlan};
use crate::shard::Update;

/// One thing to do.
#[derive(Debug)]
pub enum Action {
    /// Send this message (with its header) inside a session; connect first if there is none, and keep it meanwhile.
    SendTo(Address, Vec<u8>),
    /// Send this message if a session exists now, else not at all.
    SendIfUp(Address, Vec<u8>),
    /// Make a session with this member; `Networks::session_up` or `Networks::unreachable` follows.
    Connect(Address),
    /// Frames held for this member on this network may go now.
    Flush(NetworkId, Address),
    /// A replicator of this network is ready: what waits for one may go now.
    FlushShares(NetworkId),
    /// This member was neither listed nor certified until now: what was asked a moment ago is for it, too.
    Entered(NetworkId, Address),
    /// This member's certificate is here: frames that others passed on for it may enter.
    Welcome(NetworkId, Address),
    /// Frames held for this member on this network will never go.
    Discard(NetworkId, Address),
    /// A frame of our own for our device.
    Deliver(NetworkId, Vec<u8>),
    /// News for the shard.
    Update(Update),
    /// The device is to look like this.
    Tap(NetworkId, TapPlan),
    /// The device is to go.
    TapDown(NetworkId),
    /// The kernel is to be asked what the device listens to.
    Groups(NetworkId),
    /// To be kept across restarts.
    Save(Saved),
    /// To be forgotten.
    Unsave(NetworkId),
    /// Something a person could notice.
    Event(Event),
}

/// Actions of one or several calls, in order.
pub type Actions = Vec<Action>;
