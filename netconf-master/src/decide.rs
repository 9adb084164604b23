//! Who gets in: the one decision of a controller.
//!
//! In: a network, what is known of who asks, the invite that was shown. Out: a [`Decision`].
//! Never: a store, a clock, a signature. The same question always has the same answer.

use std::net::Ipv4Addr;

use zt_api::master::MemberStatus;
use zt_engine::Unix;
use zt_wire::{Address, KeyId};

use crate::model::{Invite, Member, Network};
use crate::{assign, documents};

/// Who asks. Its proof of work and its key are proven by the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its key.
    pub key: KeyId,
    /// Its address.
    pub address: Address,
    /// Where it is seen, for people.
    pub endpoint: Option<String>,
}

/// What was shown at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// No token.
    Nothing,
    /// A token that no invite has.
    Unknown,
    /// An invite of this network.
    Invite(&'a Invite),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is a member; the record is as it now has to be.
    Admit {
        /// The record.
        member: Box<Member>,
        /// What has to be stored.
        change: Change,
        /// One more came with the invite.
        counts: bool,
    },
    /// It waits.
    Wait {
        /// The record.
        member: Box<Member>,
        /// What has to be stored.
        change: Change,
        /// One more came with the invite.
        counts: bool,
    },
    /// It does not get in.
    Refuse(Refusal),
}

/// How much of a member's record is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Something that only the controller and people see.
    Record,
    /// Something that the other members see.
    Listed,
}

/// Why somebody does not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A person said so.
    Denied,
    /// Another key has this address here.
    Stranger,
    /// The invite is unknown, used up, expired or taken back.
    BadInvite,
    /// Too many wait already.
    Crowded,
}

/// Decides about a request.
///
/// `crowded`: no more may wait. `held`: whether another member has an address.
pub fn decide(
    network: &Network,
    known: Option<&Member>,
    who: &Who,
    shown: Shown<'_>,
    door: Door,
    held: &mut impl FnMut(Ipv4Addr) -> bool,
) -> Decision {
    let mut member = match known {
        Some(known) if known.deleted => reborn(known, who, door.now),
        Some(known) => known.clone(),
        None => Member::new(network.id, who.address, door.now),
    };
    if member.key.is_some_and(|key| key != who.key) {
        return Decision::Refuse(Refusal::Stranger);
    }
    let newcomer = known.is_none_or(|known| known.deleted);
    let unpinned = member.key.is_none();
    member.key = Some(who.key);
    member.seen = Some(door.now);
    member.endpoint.clone_from(&who.endpoint);
    let mut counts = false;
    match member.status {
        MemberStatus::Authorized => {}
        MemberStatus::Denied => return Decision::Refuse(Refusal::Denied),
        MemberStatus::Pending => match entry(network, &member, shown, door.now) {
            Entry::Open => member.status = MemberStatus::Authorized,
            Entry::Closed => {}
            Entry::Forged => return Decision::Refuse(Refusal::BadInvite),
            Entry::Invited { authorize, invite } => {
                counts = true;
                member.invite = Some(invite.id);
                if member.name.is_empty() {
                    member.name.clone_from(&invite.label);
                }
                if authorize {
                    member.status = MemberStatus::Authorized;
                }
            }
        },
    }
    if member.status == MemberStatus::Authorized {
        let change = settle(network, &mut member, door.attempt, held);
        let change = if unpinned && change == Change::Nothing {
            Change::Record
        } else {
            change
        };
        return Decision::Admit {
            member: Box::new(member),
            change,
            counts,
        };
    }
    if newcomer && door.crowded {
        return Decision::Refuse(Refusal::Crowded);
    }
    let change = if newcomer || unpinned || counts {
        Change::Record
    } else {
        Change::Nothing
    };
    Decision::Wait {
        member: Box::new(member),
        change,
        counts,
    }
}

/// What the controller knows besides the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// The present.
    pub now: Unix,
    /// No more may wait.
    pub crowded: bool,
    /// How often this was decided before and somebody else was quicker.
    pub attempt: u32,
}

/// How somebody who is not in yet comes to the door.
enum Entry<'a> {
    /// Everybody may come in.
    Open,
    /// A person has to decide.
    Closed,
    /// With a token that counts for nothing.
    Forged,
    /// With a good invite, for the first time.
    Invited { authorize: bool, invite: &'a Invite },
}

fn entry<'a>(network: &Network, member: &Member, shown: Shown<'a>, now: Unix) -> Entry<'a> {
    if network.settings.public {
        return Entry::Open;
    }
    match shown {
        Shown::Nothing => Entry::Closed,
        // It came with this one before and still waits: asking again uses nothing up.
        Shown::Invite(invite) if member.invite == Some(invite.id) => Entry::Closed,
        Shown::Invite(invite) if invite.network == network.id && invite.admits(now) => {
            Entry::Invited {
                authorize: invite.authorize,
                invite,
            }
        }
        Shown::Unknown | Shown::Invite(_) => Entry::Forged,
    }
}

/// A deleted member that comes again is new, but its serials and its place in the directory go on.
fn reborn(old: &Member, who: &Who, now: Unix) -> Member {
    Member {
        serial: old.serial,
        listed: old.listed,
        row: old.row,
        ..Member::new(old.network, who.address, now)
    }
}

/// Gives an authorized member its addresses and, when its certificate says something new, a new serial.
///
/// A member without a key is settled when it first comes.
pub fn settle(
    network: &Network,
    member: &mut Member,
    attempt: u32,
    held: &mut impl FnMut(Ipv4Addr) -> bool,
) -> Change {
    let Some(key) = member.key else {
        return Change::Record;
    };
    member.ips = assign::addresses(network, member, attempt, held);
    let content = documents::content(&documents::certificate(network, member, key));
    if content == member.content {
        return Change::Nothing;
    }
    member.content = content;
    member.serial += 1;
    Change::Listed
}

/// Takes an authorized member out: its automatic addresses are free, and its next certificate will have a new serial.
///
/// Certificates below the returned serial have to be revoked.
pub fn unsettle(member: &mut Member) -> u64 {
    member.ips.clone_from(&member.static_ips);
    member.content = [0; 32];
    member.serial + 1
}

#[cfg(test)]
mod tests;
