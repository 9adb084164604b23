//! Networks: made, changed, deleted; their epochs.
//!
//! Owner: the controller. In: requests, time. Out: networks, hints to their members. Never: a network id used twice.

use zt_api::master::{self, MemberCounts, NetworkRules, NetworkSettings};
use zt_crypto::hash256;
use zt_engine::Unix;
use zt_wire::NetworkId;

use super::{Refused, Thing, entry, outcome, until_settled};
use crate::controller::{Controller, Outcome, Push};
use crate::documents;
use crate::model::{Actor, Network, Revocation, Settings};
use crate::settings;
use crate::store::{Batch, StoreError, Write};

impl Controller {
    /// Makes a network. `chance` chooses its number, so that nobody can tell how many there are.
    ///
    /// # Errors
    /// A wrong field, or the store.
    pub fn create_network(
        &self,
        request: &NetworkSettings,
        mut chance: [u8; 32],
        now: Unix,
    ) -> Result<Outcome<master::Network>, Refused> {
        let mut settings = settings::network(&Settings::default(), request)?;
        loop {
            let [a, b, c, ..] = chance;
            let number = u32::from_be_bytes([0, a, b, c]);
            let Ok(id) = NetworkId::new(self.address, number) else {
                // 24 bits by construction.
                return Err(Refused::Store(StoreError::Exists));
            };
            if settings.name.is_empty() {
                settings.name = id.to_string();
            }
            let mut network = Network {
                id,
                settings: settings.clone(),
                epoch: 1,
                epoch_since: now,
                revision: 1,
                shared: [].into(),
                shared_hash: [0; 32],
                created: now,
            };
            documents::sign_shared(&mut network, &self.signer);
            let mut log = entry(id, Actor::Admin, "network.create", String::new(), now);
            log.detail.clone_from(&network.settings.name);
            let batch = Batch {
                writes: vec![Write::AddNetwork(network.clone())],
                log: vec![log],
            };
            match self.store.apply(batch) {
                Ok(applied) => return Ok(outcome(self.show_network(&network)?, applied.log)),
                Err(StoreError::Exists) => chance = hash256(&chance),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Changes a network; its members are told.
    ///
    /// # Errors
    /// No such network, a wrong field, another revision than the request's, or the store.
    pub fn change_network(
        &self,
        id: NetworkId,
        request: &NetworkSettings,
        now: Unix,
    ) -> Result<Outcome<master::Network>, Refused> {
        until_settled(|_| {
            let old = self.load_network(id)?;
            if request
                .revision
                .is_some_and(|revision| revision != old.revision)
            {
                return Err(Refused::Changed);
            }
            let settings = settings::network(&old.settings, request)?;
            if settings == old.settings {
                return Ok(outcome(self.show_network(&old)?, Vec::new()));
            }
            let mut log = entry(id, Actor::Admin, "network.update", String::new(), now);
            log.detail = differences(&old.settings, &settings);
            let network = Network {
                settings,
                ..old.clone()
            };
            self.replace_network(&old, network, Vec::new(), log)
        })
    }

    /// Deletes a network; its members are told that it is no more.
    ///
    /// # Errors
    /// No such network, or the store.
    pub fn delete_network(&self, id: NetworkId, now: Unix) -> Result<Outcome<()>, Refused> {
        let old = self.load_network(id)?;
        let mut log = entry(id, Actor::Admin, "network.delete", String::new(), now);
        log.detail = old.settings.name;
        let batch = Batch {
            writes: vec![Write::RemoveNetwork(id)],
            log: vec![log],
        };
        let applied = self.store.apply(batch)?;
        let hint = Push::HintAll {
            network: id,
            except: None,
            revision: old.revision + 1,
        };
        Ok(Outcome {
            value: (),
            pushes: vec![hint],
            log: applied.log,
        })
    }

    /// Begins a network's next epoch: members get new certificates, revocations that are still needed are signed again.
    ///
    /// # Errors
    /// No such network, or the store.
    pub fn advance_epoch(
        &self,
        id: NetworkId,
        actor: Actor,
        now: Unix,
    ) -> Result<Outcome<master::Network>, Refused> {
        until_settled(|_| {
            let old = self.load_network(id)?;
            let epoch = old.epoch + 1;
            let network = Network {
                epoch,
                epoch_since: now,
                ..old.clone()
            };
            let repeated = self.store.revocations(id)?.into_iter().map(|revocation| {
                self.repeat_revocation(&revocation, epoch, network.settings.window)
            });
            let writes = repeated.collect();
            let mut log = entry(id, actor, "epoch.advance", String::new(), now);
            log.detail = epoch.to_string();
            self.replace_network(&old, network, writes, log)
        })
    }

    /// Begins the epochs that are due. Also says when the next one is.
    ///
    /// # Errors
    /// The store; what was due stays due.
    pub fn advance_due(&self, now: Unix) -> Result<Outcome<Option<Unix>>, Refused> {
        let mut all = outcome(None, Vec::new());
        let mut after = None;
        loop {
            let page = self.store.networks(after, crate::limits::PAGE_MOST)?;
            let Some(last) = page.last() else {
                return Ok(all);
            };
            after = Some(last.id);
            for network in page {
                let Some(mut due) = network.epoch_due() else {
                    continue;
                };
                if due <= now {
                    let advanced = self.advance_epoch(network.id, Actor::Master, now)?;
                    all.pushes.extend(advanced.pushes);
                    all.log.extend(advanced.log);
                    due = Unix(now.0.saturating_add(network.settings.epoch_period));
                }
                let next: &mut Option<Unix> = &mut all.value;
                *next = Some(next.map_or(due, |other| other.min(due)));
            }
        }
    }

    /// Writes `network` in place of `old`, with the next revision, signed.
    fn replace_network(
        &self,
        old: &Network,
        mut network: Network,
        mut writes: Vec<Write>,
        log: crate::model::NewEntry,
    ) -> Result<Outcome<master::Network>, Refused> {
        network.revision = old.revision + 1;
        documents::sign_shared(&mut network, &self.signer);
        writes.push(Write::PutNetwork {
            network: network.clone(),
            was: old.revision,
        });
        let applied = self.store.apply(Batch {
            writes,
            log: vec![log],
        })?;
        let hint = Push::HintAll {
            network: network.id,
            except: None,
            revision: network.revision,
        };
        Ok(Outcome {
            value: self.show_network(&network)?,
            pushes: vec![hint],
            log: applied.log,
        })
    }

    /// A revocation in a new epoch: signed again, or dropped when the certificates that it kills have lapsed.
    fn repeat_revocation(&self, revocation: &Revocation, epoch: u64, window: u16) -> Write {
        if epoch > revocation.since_epoch.saturating_add(u64::from(window)) {
            return Write::DropRevocation(revocation.network, revocation.key);
        }
        let body = zt_wire::Revocation {
            network: revocation.network,
            key: revocation.key,
            minimum: revocation.min_serial,
            epoch,
        };
        let signed = self.signer.sign(&body);
        Write::PutRevocation(Revocation {
            signed,
            ..revocation.clone()
        })
    }

    pub(super) fn load_network(&self, id: NetworkId) -> Result<Network, Refused> {
        self.store
            .network(id)?
            .ok_or(Refused::NotFound(Thing::Network))
    }

    /// One network as the API shows it.
    ///
    /// # Errors
    /// No such network, or the store.
    pub fn network(&self, id: NetworkId) -> Result<master::Network, Refused> {
        self.show_network(&self.load_network(id)?)
    }

    /// The flow rules of a network, as written and as members get them.
    ///
    /// # Errors
    /// No such network, or the store.
    pub fn rules(&self, id: NetworkId) -> Result<NetworkRules, Refused> {
        let rules = self.load_network(id)?.settings.rules;
        let set = zt_rules::RuleSet::decode(&rules.compiled).ok();
        Ok(NetworkRules {
            // What we compiled can be read, and a set is plain JSON.
            compiled: serde_json::to_value(set).unwrap_or_default(),
            bytes: rules.compiled.len(),
            text: rules.text,
        })
    }

    /// A page of networks as the API shows them.
    ///
    /// # Errors
    /// The store.
    pub fn networks(
        &self,
        after: Option<NetworkId>,
        limit: usize,
    ) -> Result<Vec<master::Network>, Refused> {
        let page = self.store.networks(after, limit)?;
        page.iter()
            .map(|network| self.show_network(network))
            .collect()
    }

    fn show_network(&self, network: &Network) -> Result<master::Network, Refused> {
        let counts = self.store.counts(network.id)?;
        let settings = network.settings.clone();
        Ok(master::Network {
            id: network.id,
            fingerprint: self.key(),
            name: settings.name,
            public: settings.public,
            mtu: settings.mtu,
            bridging: settings.bridging,
            ipv4_pools: settings.pools,
            ipv4_assign: settings.assign,
            ipv6_rfc4193: settings.rfc4193,
            routes: settings.routes,
            dns: settings.dns,
            rules: settings.rules.text,
            link_local_groups: settings.link_local_groups,
            multicast_limit: settings.multicast_limit,
            epoch: network.epoch,
            window: settings.window,
            epoch_period_s: settings.epoch_period,
            revision: network.revision,
            created_at: network.created.0,
            members: MemberCounts {
                pending: counts.pending,
                authorized: counts.authorized,
                denied: counts.denied,
            },
        })
    }
}

/// The names of the settings that differ, for the audit.
fn differences(old: &Settings, new: &Settings) -> String {
    let fields = [
        ("name", old.name != new.name),
        ("public", old.public != new.public),
        ("mtu", old.mtu != new.mtu),
        ("bridging", old.bridging != new.bridging),
        ("ipv4_pools", old.pools != new.pools),
        ("ipv4_assign", old.assign != new.assign),
        ("ipv6_rfc4193", old.rfc4193 != new.rfc4193),
        ("routes", old.routes != new.routes),
        ("dns", old.dns != new.dns),
        ("rules", old.rules != new.rules),
        (
            "link_local_groups",
            old.link_local_groups != new.link_local_groups,
        ),
        (
            "multicast_limit",
            old.multicast_limit != new.multicast_limit,
        ),
        ("window", old.window != new.window),
        ("epoch_period_s", old.epoch_period != new.epoch_period),
    ];
    let changed: Vec<&str> = fields
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name)
        .collect();
    changed.join(" ")
}
