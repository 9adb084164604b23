//! One joined network: its pin, configuration, certificate, device and status.
//!
//! Owner: the networks room. In: what was verified. Out: actions when something changed.
//! Never: a configuration older than the one in force; a status that nobody hears of.

use core::time::Duration;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::string::String;
use std::vec::Vec;

use zt_crypto::hash256;
use zt_crypto::sign::BadSignature;
use zt_wire::{
    Address, Certificate, Identity, KeyId, Mac, NetworkId, Record, Rights, SharedConfig, Signed,
};

use super::action::{Action, Actions};
use super::groups::Groups;
use super::loops::Loops;
use super::members::Contact;
use super::replicators::Replicators;
use super::revocations::Revoked;
use super::timers::Timer;
use super::{Around, Join, plan, saved};
use crate::interface::{Consent, Event, Failure, NetworkInfo, Saved, Status, TapPlan};
use crate::proofs::{Claim, Proofs};
use crate::shard::{NetworkUp, Policy, Update};
use crate::time::Mono;

/// One network.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) id: NetworkId,
    pub(super) pin: Option<KeyId>,
    pub(super) pinned_on_first_use: bool,
    pub(super) controller: Option<Identity>,
    pub(super) token: Option<[u8; 16]>,
    pub(super) consent: Consent,
    pub(super) stage: Stage,
    pub(super) shared: Option<Box<Shared>>,
    pub(super) own: Option<Box<Own>>,
    pub(super) directory: u64,
    pub(super) listed: BTreeMap<Address, Listing>,
    pub(super) contacts: BTreeMap<Address, Contact>,
    pub(super) revoked: BTreeMap<KeyId, Revoked>,
    pub(super) epoch: u64,
    pub(super) asking: Asking,
    device: Option<Result<String, String>>,
    plan: Option<TapPlan>,
    up: Option<NetworkUp>,
    pub(super) policy: Option<Box<Policy>>,
    pub(super) loops: Loops,
    told: Status,
    pub(super) groups: Groups,
    pub(super) replicators: Replicators,
}

/// Where joining stands, without the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No decision yet.
    Asking,
    /// No answer, for so long that a person should know.
    Silent,
    /// No.
    Denied,
    /// No such network.
    NotFound,
    /// Yes: configuration and certificate are there.
    Member,
}

/// The open question to the controller.
#[derive(Debug, Default)]
pub(super) struct Asking {
    pub(super) request: u32,
    pub(super) open: bool,
    pub(super) since: Option<Mono>,
    pub(super) wait: Duration,
    /// The newest revision hinted at while the question was open.
    pub(super) hinted: u64,
}

/// The configuration in force, as signed.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) signed: Vec<u8>,
    pub(super) hash: [u8; 32],
    pub(super) config: SharedConfig,
}

/// Our certificate, as signed.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) signed: Vec<u8>,
    pub(super) certificate: Certificate,
}

/// What the controller lists of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) ips: Vec<IpAddr>,
    pub(super) bridge: bool,
    pub(super) replicator: bool,
}

impl Joined {
    pub(super) fn new(id: NetworkId, pin: Option<KeyId>, token: Option<[u8; 16]>) -> Self {
        Self {
            id,
            pin,
            pinned_on_first_use: false,
            controller: None,
            token,
            consent: Consent::default(),
            stage: Stage::Asking,
            shared: None,
            own: None,
            directory: 0,
            listed: BTreeMap::new(),
            contacts: BTreeMap::new(),
            revoked: BTreeMap::new(),
            epoch: 0,
            asking: Asking::default(),
            device: None,
            plan: None,
            up: None,
            policy: None,
            loops: Loops::default(),
            told: Status::Requesting,
            groups: Groups::default(),
            replicators: Replicators::default(),
        }
    }

    /// Joining what is joined already.
    pub(super) fn again(
        &mut self,
        around: &mut Around,
        now: Mono,
        with: Join,
        out: &mut Actions,
    ) -> Result<(), Failure> {
        if let (Some(pin), Some(given)) = (self.pin, with.fingerprint)
            && pin != given
        {
            if self.controller.is_some() && self.stage == Stage::Member {
                return Err(Failure::Pinned(pin));
            }
            // The former pin never led to a membership: the person corrects it.
            self.controller = None;
        }
        if let Some(given) = with.fingerprint {
            self.pin = Some(given);
            self.pinned_on_first_use = false;
        }
        self.token = with.token.or(self.token);
        self.save(out);
        if matches!(self.device, Some(Err(_))) {
            self.device = None;
            if let Some(plan) = self.plan.clone() {
                out.push(Action::Tap(self.id, plan));
            }
        }
        if self.stage != Stage::Member {
            self.stage = Stage::Asking;
        }
        self.tell(out);
        self.start(around, now, out);
        Ok(())
    }

    /// Goes on where an earlier run stopped: up at once, and asks for news.
    pub(super) fn resume(&mut self, around: &mut Around, now: Mono, out: &mut Actions) {
        if self.stage == Stage::Member {
            self.come_up(around, out);
            self.keep_replicators(around, now, out);
        }
        self.start(around, now, out);
    }

    pub(super) fn consent(&mut self, around: &Around, consent: Consent, out: &mut Actions) {
        self.consent = consent;
        self.save(out);
        self.replan(around, out);
    }

    /// Takes a shared configuration that the pinned controller has signed. Tells whether it is in force now.
    pub(super) fn take_shared(&mut self, signed: Signed<'_>, proofs: &Proofs) -> bool {
        let Ok(config) = SharedConfig::decode(signed.body) else {
            return false;
        };
        if !self.may_follow(&config) || self.signed::<SharedConfig>(&signed, proofs) != Ok(true) {
            return false;
        }
        self.epoch = self.epoch.max(config.epoch);
        self.shared = Some(Box::new(Shared {
            signed: signed.to_vec(),
            hash: hash256(signed.body),
            config,
        }));
        true
    }

    /// Whether a configuration is about this network and no older than the one in force.
    pub(super) fn may_follow(&self, config: &SharedConfig) -> bool {
        let known = self.shared.as_ref();
        let older = known.is_some_and(|known| config.revision < known.config.revision);
        config.network == self.id && Some(config.controller) == self.pin && !older
    }

    /// Takes a certificate of ours. Tells whether it is in force now.
    pub(super) fn take_own(
        &mut self,
        me: (Address, KeyId),
        signed: Signed<'_>,
        proofs: &Proofs,
    ) -> bool {
        let Ok(certificate) = Certificate::decode(signed.body) else {
            return false;
        };
        if !self.is_ours(me, &certificate)
            || self.signed::<Certificate>(&signed, proofs) != Ok(true)
        {
            return false;
        }
        self.epoch = self.epoch.max(certificate.epoch);
        let known = self.own.as_ref();
        let fresh = known.is_none_or(|known| known.certificate != certificate);
        self.own = Some(Box::new(Own {
            signed: signed.to_vec(),
            certificate,
        }));
        if fresh {
            for contact in self.contacts.values_mut() {
                contact.ours_sent = false;
            }
        }
        true
    }

    /// Whether a certificate is about us and no older than the one in force.
    pub(super) fn is_ours(&self, me: (Address, KeyId), certificate: &Certificate) -> bool {
        let known = self.own.as_ref();
        let older = known.is_some_and(|known| certificate.serial < known.certificate.serial);
        let ours = (certificate.address, certificate.key) == me;
        certificate.network == self.id
            && ours
            && !older
            && certificate.mac == Mac::of(me.0, self.id)
    }

    /// Whether the pinned controller has signed this; not as long as it is not known.
    ///
    /// # Errors
    /// [`BadSignature`]: somebody else has.
    pub(super) fn signed<R: Record>(
        &self,
        signed: &Signed<'_>,
        proofs: &Proofs,
    ) -> Result<bool, BadSignature> {
        let Some(controller) = &self.controller else {
            return Ok(false);
        };
        proofs
            .verify::<R>(controller.ed25519(), signed)
            .map(|()| true)
    }

    /// That the pinned controller has signed this; none as long as it is not known.
    pub(super) fn claim<R: Record>(&self, signed: &Signed<'_>) -> Option<Claim> {
        let controller = self.controller.as_ref()?;
        Some(Claim::new::<R>(controller.ed25519(), signed))
    }

    /// How far a certificate's epoch may lie behind the newest one.
    pub(super) fn in_window(&self, epoch: u64) -> bool {
        let window = self
            .shared
            .as_ref()
            .map_or(SharedConfig::DEFAULT_WINDOW, |shared| shared.config.window);
        self.epoch.saturating_sub(epoch) <= u64::from(window)
    }

    /// Whether our own certificate still counts at the others.
    pub(super) fn own_valid(&self) -> bool {
        self.own.as_ref().is_some_and(|own| {
            let certificate = &own.certificate;
            self.in_window(certificate.epoch)
                && !self.is_revoked(certificate.key, certificate.serial)
        })
    }

    /// Configuration and certificate are there: network and device come up, or follow a change.
    pub(super) fn come_up(&mut self, around: &Around, out: &mut Actions) {
        let (Some(shared), Some(own)) = (&self.shared, &self.own) else {
            return;
        };
        let up = NetworkUp {
            network: self.id,
            mac: own.certificate.mac,
            mtu: shared.config.mtu,
            bridge: own.certificate.rights.has(Rights::BRIDGE),
        };
        self.stage = Stage::Member;
        self.token = None;
        let was = self.up.replace(up);
        if was != Some(up) {
            out.push(Action::Update(Update::Network(up)));
        }
        self.impose(around.me, was.is_none(), out);
        if was.is_none() {
            for (&address, listing) in &self.listed {
                out.push(self.listing(address, listing));
            }
            self.contacts_up(out);
        }
        self.replan(around, out);
        self.tell(out);
    }

    /// Not a member any more: the device goes, and with it everything the controller gave; pin and consent stay.
    pub(super) fn lost(&mut self, around: &mut Around, stage: Stage, out: &mut Actions) {
        self.down(around, out);
        self.stage = stage;
        self.shared = None;
        self.own = None;
        self.directory = 0;
        self.listed.clear();
        self.save(out);
        self.tell(out);
    }

    /// Takes device and network down.
    pub(super) fn down(&mut self, around: &mut Around, out: &mut Actions) {
        self.contacts_down(around, out);
        self.policy = None;
        self.loops = Loops::default();
        self.groups.down();
        around.timers.clear(Timer::Groups(self.id));
        self.replicators_down(around);
        if self.up.take().is_some() {
            out.push(Action::Update(Update::NetworkDown(self.id)));
        }
        if self.plan.take().is_some() {
            out.push(Action::TapDown(self.id));
        }
        self.device = None;
    }

    /// Works out again how the device is to look.
    pub(super) fn replan(&mut self, around: &Around, out: &mut Actions) {
        let (Some(shared), Some(own)) = (&self.shared, &self.own) else {
            return;
        };
        if self.stage != Stage::Member {
            return;
        }
        let plan = plan::plan(
            around.me,
            &shared.config,
            &own.certificate,
            self.consent,
            &around.underlay,
        );
        if self.plan.as_ref() != Some(&plan) {
            self.plan = Some(plan.clone());
            out.push(Action::Tap(self.id, plan));
        }
    }

    /// What became of the device.
    pub(super) fn device(&mut self, result: Result<String, String>, out: &mut Actions) {
        if self.plan.is_some() {
            self.device = Some(result);
            self.tell(out);
        }
    }

    /// Updates about members go to the shard only while the network is up there.
    pub(super) const fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Whether we may bridge, now.
    pub(super) fn may_bridge(&self) -> bool {
        self.up.is_some_and(|up| up.bridge)
    }

    pub(super) fn listing(&self, address: Address, listing: &Listing) -> Action {
        let Listing {
            ips,
            bridge,
            replicator,
        } = listing.clone();
        Action::Update(Update::Listed {
            network: self.id,
            address,
            ips,
            bridge,
            replicator,
        })
    }

    pub(super) const fn id(&self) -> NetworkId {
        self.id
    }

    pub(super) const fn controller_address(&self) -> Address {
        self.id.controller()
    }

    pub(super) fn status(&self) -> Status {
        match (self.stage, &self.device) {
            (Stage::Asking, _) | (Stage::Member, None) => Status::Requesting,
            (Stage::Silent, _) => Status::Unreachable,
            (Stage::Denied, _) => Status::Denied,
            (Stage::NotFound, _) => Status::NotFound,
            (Stage::Member, Some(Ok(_))) => Status::Ok,
            (Stage::Member, Some(Err(_))) => Status::DeviceError,
        }
    }

    /// Tells a change of the status.
    pub(super) fn tell(&mut self, out: &mut Actions) {
        let status = self.status();
        if core::mem::replace(&mut self.told, status) != status {
            out.push(Action::Event(Event::NetworkStatus(self.id, status)));
        }
    }

    pub(super) fn save(&self, out: &mut Actions) {
        out.push(Action::Save(Saved::Network(self.id, saved::encode(self))));
    }

    pub(super) fn info(&self, around: &Around) -> NetworkInfo {
        let shared = self.shared.as_ref().map(|shared| &shared.config);
        let plan = self.plan.as_ref();
        NetworkInfo {
            id: self.id,
            name: shared.map_or_else(String::new, |config| config.name.clone()),
            status: self.status(),
            device: self.device.clone().and_then(Result::ok),
            device_error: self.device.clone().and_then(Result::err),
            mac: Mac::of(around.me, self.id),
            mtu: shared.map_or(1_500, |config| config.mtu),
            addresses: plan.map_or_else(Vec::new, |plan| plan.addresses.clone()),
            routes: plan.map_or_else(Vec::new, |plan| plan.routes.clone()),
            bridge: self.may_bridge(),
            looped: self.loop_info(),
            members_heard: self.members_heard(),
            pinned: self.pin,
            pinned_on_first_use: self.pinned_on_first_use,
            consent: self.consent,
        }
    }
}
