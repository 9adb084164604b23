//! Invites: made, listed, taken back.
//!
//! Owner: the controller. In: requests, chance. Out: records, and once the text to hand over. Never: a token stored in clear.

use zt_api::master::{self, InviteSettings, NewInvite};
use zt_crypto::hash256;
use zt_engine::Unix;
use zt_wire::NetworkId;

use super::{Refused, Thing, entry, outcome, until_settled};
use crate::controller::{Controller, Outcome};
use crate::model::{Actor, Invite, InviteId};
use crate::settings;
use crate::store::{Batch, Write};

impl Controller {
    /// Makes an invite; its token and id come from `chance`.
    ///
    /// # Errors
    /// No such network, a wrong field, or the store.
    pub fn create_invite(
        &self,
        network: NetworkId,
        request: &InviteSettings,
        chance: [u8; 32],
        now: Unix,
    ) -> Result<Outcome<NewInvite>, Refused> {
        let network = self.load_network(network)?;
        let [token @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = chance;
        let [.., a, b, c, d, e, f, g, h] = chance;
        let id = InviteId::from_bits(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let invite = settings::invite(&network, request, id, hash256(&token), now)?;
        let text = zt_wire::Invite {
            network: network.id,
            controller_key: self.key(),
            controller: *self.signer.public(),
            token,
            world: self.world().to_vec(),
        };
        let mut log = entry(
            network.id,
            Actor::Admin,
            "invite.create",
            id.to_string(),
            now,
        );
        log.detail.clone_from(&invite.label);
        let batch = Batch {
            writes: vec![Write::PutInvite(invite.clone())],
            log: vec![log],
        };
        let applied = self.store.apply(batch)?;
        let value = NewInvite {
            record: show(&invite),
            invite: text.to_string(),
        };
        Ok(outcome(value, applied.log))
    }

    /// Takes an invite back: nobody comes in with it any more, who came stays.
    ///
    /// # Errors
    /// No such network or invite, or the store.
    pub fn revoke_invite(
        &self,
        network: NetworkId,
        id: InviteId,
        now: Unix,
    ) -> Result<Outcome<master::Invite>, Refused> {
        until_settled(|_| {
            let old = self.load_invite(network, id)?;
            if old.revoked {
                return Ok(outcome(show(&old), Vec::new()));
            }
            let invite = Invite {
                revoked: true,
                ..old
            };
            let mut log = entry(network, Actor::Admin, "invite.revoke", id.to_string(), now);
            log.detail.clone_from(&invite.label);
            let batch = Batch {
                writes: vec![Write::PutInvite(invite.clone())],
                log: vec![log],
            };
            let applied = self.store.apply(batch)?;
            Ok(outcome(show(&invite), applied.log))
        })
    }

    /// One invite as the API shows it.
    ///
    /// # Errors
    /// No such network or invite, or the store.
    pub fn invite(&self, network: NetworkId, id: InviteId) -> Result<master::Invite, Refused> {
        self.load_invite(network, id).map(|invite| show(&invite))
    }

    /// A page of invites as the API shows them.
    ///
    /// # Errors
    /// No such network, or the store.
    pub fn invites(
        &self,
        network: NetworkId,
        after: Option<InviteId>,
        limit: usize,
    ) -> Result<Vec<master::Invite>, Refused> {
        let network = self.load_network(network)?;
        let page = self.store.invites(network.id, after, limit)?;
        Ok(page.iter().map(show).collect())
    }

    fn load_invite(&self, network: NetworkId, id: InviteId) -> Result<Invite, Refused> {
        let network = self.load_network(network)?;
        let found = self.store.invite(network.id, id)?;
        found.ok_or(Refused::NotFound(Thing::Invite))
    }
}

fn show(invite: &Invite) -> master::Invite {
    master::Invite {
        id: invite.id.to_string(),
        network: invite.network,
        label: invite.label.clone(),
        max_uses: invite.max_uses,
        uses: invite.uses,
        expires_at: invite.expires.map(|expires| expires.0),
        authorize: invite.authorize,
        revoked: invite.revoked,
        created_at: invite.created.0,
    }
}
