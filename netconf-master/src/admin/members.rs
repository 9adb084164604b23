//! Members: let in, put out, changed, forgotten.
//!
//! Owner: the controller. In: requests. Out: members, hints, revocations. Never: a key replaced, a serial that shrinks.

use std::net::IpAddr;
use std::sync::Arc;

use zt_api::master::{self, MemberSettings, MemberStatus};
use zt_engine::Unix;
use zt_wire::{Address, NetworkId, Rights};

use super::{Refused, Thing, entry, outcome, until_settled};
use crate::controller::{Controller, Outcome, Push};
use crate::decide::{Change, Door, settle, unsettle};
use crate::model::{Actor, Member, Network, Revocation};
use crate::settings;
use crate::store::{Batch, StoreError, Write};

/// What to do about a member that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Make it: it is decided about before it comes.
    Make,
    /// Refuse.
    Refuse,
}

impl Controller {
    /// Changes a member, or makes it. Who was let in or put out is told at once, and so is everybody else.
    ///
    /// # Errors
    /// No such network or member, a wrong field, another revision than the request's, an address held by another, or the store.
    pub fn change_member(
        &self,
        network: NetworkId,
        address: Address,
        request: &MemberSettings,
        absent: Absent,
        now: Unix,
    ) -> Result<Outcome<master::Member>, Refused> {
        until_settled(|attempt| {
            let network = self.load_network(network)?;
            let known = self.store.member(network.id, address)?;
            let old = match known {
                Some(known) if !known.deleted => known,
                gone => match absent {
                    Absent::Refuse => return Err(Refused::NotFound(Thing::Member)),
                    Absent::Make => made(&network, address, gone.as_ref(), now),
                },
            };
            let door = Door {
                now,
                crowded: false,
                attempt,
            };
            match self.replace_member(&network, &old, request, door) {
                // An automatic address that another was quicker to take: the next attempt looks elsewhere.
                Err(Refused::Taken(ip)) if !is_static(ip, &old, request) => {
                    Err(Refused::Store(StoreError::Conflict))
                }
                done => done,
            }
        })
    }

    fn replace_member(
        &self,
        network: &Network,
        old: &Member,
        request: &MemberSettings,
        Door { now, attempt, .. }: Door,
    ) -> Result<Outcome<master::Member>, Refused> {
        if request.revision.is_some_and(|revision| revision != old.row) {
            return Err(Refused::Changed);
        }
        let mut member = old.clone();
        settings::member(network, &mut member, request)?;
        if let Some(key) = request.fingerprint {
            if member.key.is_some_and(|pinned| pinned != key) {
                return Err(Refused::KeyKnown);
            }
            member.key = Some(key);
        }
        member.status = request.status.unwrap_or(member.status);
        let revocation = self.place(network, old, &mut member, attempt)?;
        if member == *old && old.row != 0 {
            return Ok(outcome(self.show_member(network, &member), Vec::new()));
        }
        let relist = member.content != old.content;
        let mut log = entry(
            network.id,
            Actor::Admin,
            action(old, &member),
            member.address.to_string(),
            now,
        );
        log.detail.clone_from(&member.name);
        let mut writes = vec![Write::PutMember {
            member: member.clone(),
            relist,
        }];
        writes.extend(revocation.clone().map(Write::PutRevocation));
        let applied = self.store.apply(Batch {
            writes,
            log: vec![log],
        })?;
        member.row += 1;
        let pushes = match applied.revision {
            Some(revision) => {
                member.listed = revision;
                pushes(network.id, member.address, revision, revocation)
            }
            // Nothing that members see changed, but one that waited and is denied asks once more and learns it.
            None if member.status != old.status => {
                let (network, to, revision) = (network.id, member.address, network.revision + 1);
                vec![Push::HintOne {
                    network,
                    to,
                    revision,
                }]
            }
            None => Vec::new(),
        };
        Ok(Outcome {
            value: self.show_member(network, &member),
            pushes,
            log: applied.log,
        })
    }

    /// Gives `member` what its status entitles it to; the revocation that its old certificates need.
    fn place(
        &self,
        network: &Network,
        old: &Member,
        member: &mut Member,
        attempt: u32,
    ) -> Result<Option<Revocation>, Refused> {
        if member.status == MemberStatus::Authorized {
            if member.key.is_none() {
                member.ips.clone_from(&member.static_ips);
                return Ok(None);
            }
            let mut failed = None;
            let address = member.address;
            let _change: Change = settle(network, member, attempt, &mut |ip| {
                self.held_by_another(network, address, ip, &mut failed)
            });
            return match failed {
                Some(error) => Err(error.into()),
                None => Ok(None),
            };
        }
        let dead_below = unsettle(member);
        if !old.is_in() {
            return Ok(None);
        }
        Ok(self.revocation(network, old, dead_below))
    }

    /// Deletes a member; one that was in is revoked.
    ///
    /// # Errors
    /// No such network or member, or the store.
    pub fn delete_member(
        &self,
        network: NetworkId,
        address: Address,
        now: Unix,
    ) -> Result<Outcome<()>, Refused> {
        until_settled(|_| {
            let network = self.load_network(network)?;
            let known = self.store.member(network.id, address)?;
            let Some(old) = known.filter(|known| !known.deleted) else {
                return Err(Refused::NotFound(Thing::Member));
            };
            let mut log = entry(
                network.id,
                Actor::Admin,
                "member.delete",
                address.to_string(),
                now,
            );
            log.detail.clone_from(&old.name);
            if old.listed == 0 {
                let writes = vec![Write::ForgetMember(network.id, address)];
                let applied = self.store.apply(Batch {
                    writes,
                    log: vec![log],
                })?;
                let revision = network.revision + 1;
                let hint = Push::HintOne {
                    network: network.id,
                    to: address,
                    revision,
                };
                return Ok(Outcome {
                    value: (),
                    pushes: vec![hint],
                    log: applied.log,
                });
            }
            let dead_below = old.serial + 1;
            let revocation = if old.is_in() {
                self.revocation(&network, &old, dead_below)
            } else {
                None
            };
            let member = Member {
                deleted: true,
                status: MemberStatus::Denied,
                key: old.key,
                serial: old.serial,
                listed: old.listed,
                row: old.row,
                ..Member::new(network.id, address, old.created)
            };
            let mut writes = vec![Write::PutMember {
                member,
                relist: true,
            }];
            writes.extend(revocation.clone().map(Write::PutRevocation));
            let applied = self.store.apply(Batch {
                writes,
                log: vec![log],
            })?;
            let revision = applied.revision.unwrap_or(network.revision + 1);
            let pushes = pushes(network.id, address, revision, revocation);
            Ok(Outcome {
                value: (),
                pushes,
                log: applied.log,
            })
        })
    }

    fn revocation(
        &self,
        network: &Network,
        member: &Member,
        min_serial: u64,
    ) -> Option<Revocation> {
        let key = member.key?;
        let body = zt_wire::Revocation {
            network: network.id,
            key,
            minimum: min_serial,
            epoch: network.epoch,
        };
        Some(Revocation {
            network: network.id,
            key,
            min_serial,
            since_epoch: network.epoch,
            signed: self.signer.sign(&body),
        })
    }

    /// One member as the API shows it.
    ///
    /// # Errors
    /// No such network or member, or the store.
    pub fn member(&self, network: NetworkId, address: Address) -> Result<master::Member, Refused> {
        let network = self.load_network(network)?;
        match self.store.member(network.id, address)? {
            Some(member) if !member.deleted => Ok(self.show_member(&network, &member)),
            Some(_) | None => Err(Refused::NotFound(Thing::Member)),
        }
    }

    /// A page of members as the API shows them.
    ///
    /// # Errors
    /// No such network, or the store.
    pub fn members(
        &self,
        network: NetworkId,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<master::Member>, Refused> {
        let network = self.load_network(network)?;
        let page = self.store.members(network.id, after, limit)?;
        Ok(page
            .iter()
            .map(|member| self.show_member(&network, member))
            .collect())
    }

    fn show_member(&self, network: &Network, member: &Member) -> master::Member {
        let (seen, endpoint) = match self.heard_lately(member) {
            Some((seen, endpoint)) => (Some(seen), endpoint),
            None => (member.seen, member.endpoint.clone()),
        };
        let has = |right| member.rights.has(right);
        master::Member {
            network: network.id,
            address: member.address,
            fingerprint: member.key,
            status: member.status,
            name: member.name.clone(),
            static_ips: member.static_ips.clone(),
            ips: member.ips.clone(),
            bridge: has(Rights::BRIDGE),
            dhcp_server: has(Rights::DHCP_SERVER),
            router_advertisement: has(Rights::ROUTER_ADVERTISEMENT),
            replicator: has(Rights::REPLICATOR),
            any_source_ip: has(Rights::ANY_SOURCE_IP),
            tags: member.tags.clone(),
            serial: member.serial,
            last_seen: seen.map(|seen| seen.0),
            endpoint,
            created_at: member.created.0,
            revision: member.row,
        }
    }
}

/// Whether a person gave the member this address, now or before.
fn is_static(ip: IpAddr, old: &Member, request: &MemberSettings) -> bool {
    request
        .static_ips
        .as_ref()
        .unwrap_or(&old.static_ips)
        .contains(&ip)
}

/// A member made before it comes, over what a deleted one left.
fn made(network: &Network, address: Address, gone: Option<&Member>, now: Unix) -> Member {
    let fresh = Member::new(network.id, address, now);
    match gone {
        Some(gone) => Member {
            serial: gone.serial,
            listed: gone.listed,
            row: gone.row,
            ..fresh
        },
        None => fresh,
    }
}

/// What members are told when one came in, went out or changed.
fn pushes(
    network: NetworkId,
    member: Address,
    revision: u64,
    revocation: Option<Revocation>,
) -> Vec<Push> {
    let mut pushes = vec![Push::HintOne {
        network,
        to: member,
        revision,
    }];
    pushes.extend(revocation.map(|revocation| Push::RevokeAll {
        network,
        revision,
        signed: Arc::from(revocation.signed),
    }));
    pushes.push(Push::HintAll {
        network,
        except: Some(member),
        revision,
    });
    pushes
}

const fn action(old: &Member, new: &Member) -> &'static str {
    match (old.status, new.status) {
        (MemberStatus::Authorized, MemberStatus::Authorized)
        | (MemberStatus::Pending, MemberStatus::Pending)
        | (MemberStatus::Denied, MemberStatus::Denied) => {
            if old.row == 0 {
                "member.create"
            } else {
                "member.update"
            }
        }
        (_, MemberStatus::Authorized) => "member.authorize",
        (MemberStatus::Authorized, _) => "member.deauthorize",
        (_, MemberStatus::Denied) => "member.deny",
        (_, MemberStatus::Pending) => "member.reopen",
    }
}
