//! What frames may be on a network, as its configuration and our certificate say.
//!
//! Owner: the networks room. In: what was verified. Out: the shard's policy when it changed.
//! Never: rules that were not understood wholly; those in force stay, and where none are, nothing passes.

use std::boxed::Box;
use std::vec::Vec;

use zt_rules::{Action as Deed, Condition, Rule, RuleSet};
use zt_wire::{Address, Certificate, Cidr, SharedConfig};

use super::action::{Action, Actions};
use super::joined::Joined;
use crate::shard::{Policy, Update};

impl Joined {
    /// Tells the shard what may pass, if that changed or the network is new there.
    pub(super) fn impose(&mut self, me: Address, anew: bool, out: &mut Actions) {
        let (Some(shared), Some(own)) = (&self.shared, &self.own) else {
            return;
        };
        let running = self.policy.take();
        let rules = RuleSet::decode(&shared.config.rules).unwrap_or_else(|_| {
            running
                .as_ref()
                .map_or_else(closed, |policy| policy.rules.clone())
        });
        let policy = Box::new(policy(me, &shared.config, &own.certificate, rules));
        if anew || running.as_ref() != Some(&policy) {
            out.push(Action::Update(Update::Policy {
                network: self.id(),
                policy: policy.clone(),
            }));
        }
        self.policy = Some(policy);
    }
}

/// The tags of a certificate as rules look at them.
pub(super) fn tags(certificate: &Certificate) -> Vec<(u32, u32)> {
    let tags = certificate.tags.iter();
    tags.map(|tag| (tag.id, tag.value)).collect()
}

fn policy(me: Address, shared: &SharedConfig, own: &Certificate, rules: RuleSet) -> Policy {
    let gateway = |route: &zt_wire::NetworkRoute| Some((route.target, route.via?));
    Policy {
        network: shared.network,
        me,
        rights: own.rights,
        ips: own.ips.iter().map(Cidr::ip).collect(),
        tags: tags(own),
        rules,
        manages_v4: shared.pools.iter().any(|pool| pool.ip().is_ipv4()),
        computes_v6: shared.rfc4193,
        routes: shared.routes.iter().filter_map(gateway).collect(),
        link_local_groups: shared.link_local_groups,
        multicast_limit: usize::from(shared.multicast_limit),
    }
}

/// Rules that cannot be read must not be an open door.
fn closed() -> RuleSet {
    RuleSet {
        rules: [Rule {
            action: Deed::Drop,
            condition: Condition::default(),
            line: 0,
        }]
        .into(),
        ..RuleSet::default()
    }
}
