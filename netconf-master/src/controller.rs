//! The controller: answers members, without knowing how a question arrives.
//!
//! Owner: the program or the simulator. In: NETCONF requests with a proven sender, the present. Out: answers, pushes, log lines.
//! Never: a socket, a clock, a thread, chance: callers bring them.

mod answers;

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use zt_api::master::Audit;
use zt_crypto::{SecretIdentity, Verified, hash256};
use zt_engine::Unix;
use zt_wire::message::{NetconfRequest, NetconfStatus};
use zt_wire::{Address, KeyId, Malformed, NetworkId};

use answers::reply;

use crate::decide::{Change, Decision, Door, Refusal, Shown, Who, decide};
use crate::limits;
use crate::model::{Actor, Invite, Member, Network, NewEntry};
use crate::store::{Applied, Batch, Store, StoreError, Write};

/// A controller over a store. Its methods may block on the store; many threads may call them at once.
pub struct Controller {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: SecretIdentity,
    pub(crate) address: Address,
    world: RwLock<Arc<[u8]>>,
    heard: Mutex<Heard>,
}

/// Who was heard when and from where, not stored yet.
type Heard = BTreeMap<(NetworkId, Address), (Unix, Option<String>)>;

/// Something done, with what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<T> {
    /// The result.
    pub value: T,
    /// What members have to be told.
    pub pushes: Vec<Push>,
    /// The lines added to the log.
    pub log: Vec<Audit>,
}

/// Something that members have to be told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// One member should ask now.
    HintOne {
        /// In which network.
        network: NetworkId,
        /// Whom.
        to: Address,
        /// The network's revision.
        revision: u64,
    },
    /// Every member should ask soon.
    HintAll {
        /// In which network.
        network: NetworkId,
        /// But this one, which knows.
        except: Option<Address>,
        /// The network's revision.
        revision: u64,
    },
    /// Every member has to stop talking to a key now.
    RevokeAll {
        /// In which network.
        network: NetworkId,
        /// The network's revision.
        revision: u64,
        /// The signed revocation.
        signed: Arc<[u8]>,
    },
}

/// The answer to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The payload of a `NETCONF_ANSWER`.
    pub payload: Vec<u8>,
    /// Which network it is about.
    pub network: NetworkId,
    /// The revision that the member has after this; `None`: it is no member.
    pub pulled: Option<u64>,
}

/// Why a request gets no answer; the member asks again.
#[derive(Debug)]
pub enum Unanswered {
    /// It is no request.
    Malformed(Malformed),
    /// The store cannot say.
    Store(StoreError),
}

impl core::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed(bad) => write!(f, "not a request: {bad}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Unanswered {}

impl From<StoreError> for Unanswered {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Controller {
    /// A controller that signs with `signer`, whose proof of work is `me`. `world`: the signed world, for invites.
    pub fn new(
        store: Arc<dyn Store>,
        signer: SecretIdentity,
        me: &Verified,
        world: impl Into<Arc<[u8]>>,
    ) -> Self {
        debug_assert_eq!(signer.key(), me.key(), "the proof is of the signer");
        Self {
            store,
            signer,
            address: me.address(),
            world: RwLock::new(world.into()),
            heard: Mutex::default(),
        }
    }

    /// Its key: what members pin.
    pub fn key(&self) -> KeyId {
        self.signer.key()
    }

    /// Its address: the first half of its networks' ids.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Its store, for questions.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The world became a newer one: later invites carry it.
    pub fn set_world(&self, world: impl Into<Arc<[u8]>>) {
        *self.world.write().unwrap_or_else(PoisonError::into_inner) = world.into();
    }

    pub(crate) fn world(&self) -> Arc<[u8]> {
        Arc::clone(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers a `NETCONF_REQUEST` (its payload) of `who`.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub fn netconf(
        &self,
        who: &Who,
        payload: &[u8],
        now: Unix,
    ) -> Result<Outcome<Answer>, Unanswered> {
        let request = NetconfRequest::parse(payload).map_err(Unanswered::Malformed)?;
        let outcome = again(|attempt| self.consider(who, &request, now, attempt))?;
        Ok(outcome)
    }

    fn consider(
        &self,
        who: &Who,
        request: &NetconfRequest,
        now: Unix,
        attempt: u32,
    ) -> Result<Outcome<Answer>, StoreError> {
        let Some(network) = self.store.network(request.network)? else {
            let status = NetconfStatus::NotFound;
            return Ok(only(reply(request, status, limits::RETRY_REFUSED, &[])));
        };
        let known = self.store.member(network.id, who.address)?;
        let invite = match request.token {
            token if token == [0; 16] => None,
            token => Some(self.store.invite_by_token(&hash256(&token))?),
        };
        let shown = match &invite {
            None => Shown::Nothing,
            Some(None) => Shown::Unknown,
            Some(Some(invite)) => Shown::Invite(invite),
        };
        let door = Door {
            now,
            crowded: self.crowded(&network, known.as_ref())?,
            attempt,
        };
        let mut failed = None;
        let decision = decide(&network, known.as_ref(), who, shown, door, &mut |ip| {
            self.held_by_another(&network, who.address, ip, &mut failed)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        match decision {
            Decision::Refuse(refusal) => Ok(refuse(request, refusal)),
            Decision::Wait {
                member,
                change,
                counts,
            } => {
                let invite = invite.flatten().filter(|_| counts);
                let applied = self.keep(&member, change, invite, known.as_ref(), now)?;
                let status = NetconfStatus::Pending;
                Ok(Outcome {
                    value: reply(request, status, limits::RETRY_PENDING, &[]),
                    pushes: Vec::new(),
                    log: applied.log,
                })
            }
            Decision::Admit {
                member,
                change,
                counts,
            } => {
                let invite = invite.flatten().filter(|_| counts);
                let applied = self.keep(&member, change, invite, known.as_ref(), now)?;
                // The revision of the answer must not run ahead of the shared configuration in it: read them together.
                let network = self.store.network(network.id)?.ok_or(StoreError::Gone)?;
                let hint = (change == Change::Listed).then_some(Push::HintAll {
                    network: network.id,
                    except: Some(who.address),
                    revision: network.revision,
                });
                Ok(Outcome {
                    value: self.admit(&network, &member, request)?,
                    pushes: hint.into_iter().collect(),
                    log: applied.log,
                })
            }
        }
    }

    /// Stores what a decision changed; what only its time is new waits for [`Controller::flush_heard`].
    fn keep(
        &self,
        member: &Member,
        change: Change,
        invite: Option<Invite>,
        known: Option<&Member>,
        now: Unix,
    ) -> Result<Applied, StoreError> {
        let relist = match change {
            Change::Nothing => {
                self.note_heard(member, known, now);
                return Ok(Applied::default());
            }
            Change::Record => false,
            Change::Listed => true,
        };
        let before = known.filter(|known| !known.deleted);
        let action = match (before.map(|known| known.status), member.is_in()) {
            (None, true) => "member.join",
            (None, false) => "member.request",
            (Some(_), true) if before.is_some_and(|known| !known.is_in()) => "member.join",
            (Some(_), _) => "member.update",
        };
        let mut detail = member
            .key
            .map(|key| format!("key {key}"))
            .unwrap_or_default();
        // Writing to a `String` cannot fail.
        for ip in &member.ips {
            let _ = write!(detail, " {ip}");
        }
        if let Some(invite) = &invite {
            let _ = write!(detail, " invite {}", invite.id);
        }
        let mut writes = vec![Write::PutMember {
            member: member.clone(),
            relist,
        }];
        // The row revision makes it impossible that two come in with one use.
        writes.extend(invite.map(|invite| {
            Write::PutInvite(Invite {
                uses: invite.uses.saturating_add(1),
                ..invite
            })
        }));
        let log = vec![NewEntry {
            at: now,
            network: member.network,
            actor: Actor::Member,
            action,
            subject: member.address.to_string(),
            detail,
        }];
        self.store.apply(Batch { writes, log })
    }

    fn crowded(&self, network: &Network, known: Option<&Member>) -> Result<bool, StoreError> {
        if known.is_some_and(|known| !known.deleted) {
            return Ok(false);
        }
        Ok(self.store.counts(network.id)?.pending >= limits::PENDING_PER_NETWORK)
    }

    /// Whether another member than `member` holds `ip`. A store that cannot say counts as yes, and its error is kept.
    pub(crate) fn held_by_another(
        &self,
        network: &Network,
        member: Address,
        ip: Ipv4Addr,
        failed: &mut Option<StoreError>,
    ) -> bool {
        match self.store.holder(network.id, ip.into()) {
            Ok(holder) => holder.is_some_and(|holder| holder != member),
            Err(error) => {
                *failed = Some(error);
                // Ends the search at once.
                false
            }
        }
    }

    fn note_heard(&self, member: &Member, known: Option<&Member>, now: Unix) {
        let stored = known.and_then(|known| known.seen);
        let fresh = |seen: Unix| now.0.saturating_sub(seen.0) < limits::SEEN_AGE.as_secs();
        let moved = known.is_some_and(|known| known.endpoint != member.endpoint);
        if stored.is_some_and(fresh) && !moved {
            return;
        }
        let heard = (now, member.endpoint.clone());
        self.heard().insert((member.network, member.address), heard);
    }

    /// When and where a member was heard last, if that is not stored yet.
    pub(crate) fn heard_lately(&self, member: &Member) -> Option<(Unix, Option<String>)> {
        self.heard().get(&(member.network, member.address)).cloned()
    }

    /// Stores when members were heard. Losing this in a crash loses nothing that was promised, so it is stored in bulk.
    ///
    /// # Errors
    /// What the store says; nothing is forgotten then.
    pub fn flush_heard(&self) -> Result<usize, StoreError> {
        let heard = self.heard().clone();
        let count = heard.len();
        if count == 0 {
            return Ok(0);
        }
        let writes = heard
            .iter()
            .map(|((network, address), (at, endpoint))| Write::Seen {
                network: *network,
                address: *address,
                at: *at,
                endpoint: endpoint.clone(),
            })
            .collect();
        self.store.apply(Batch {
            writes,
            log: Vec::new(),
        })?;
        self.heard()
            .retain(|key, value| heard.get(key) != Some(value));
        Ok(count)
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl core::fmt::Debug for Controller {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Controller({})", self.address)
    }
}

/// Runs `act`, which is told how often it was tried, until the rows it decided on are still the same when it writes.
fn again<T>(mut act: impl FnMut(u32) -> Result<T, StoreError>) -> Result<T, StoreError> {
    for attempt in 0..limits::ATTEMPTS {
        match act(attempt) {
            Err(StoreError::Conflict | StoreError::Taken(_)) => {}
            done => return done,
        }
    }
    act(limits::ATTEMPTS)
}

fn refuse(request: &NetconfRequest, refusal: Refusal) -> Outcome<Answer> {
    let status = match refusal {
        Refusal::Denied | Refusal::Stranger | Refusal::BadInvite => NetconfStatus::Denied,
        // It may come in when others have been decided about.
        Refusal::Crowded => NetconfStatus::Pending,
    };
    only(reply(request, status, limits::RETRY_REFUSED, &[]))
}

fn only(value: Answer) -> Outcome<Answer> {
    Outcome {
        value,
        pushes: Vec::new(),
        log: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
