//! The netconf-master's HTTP API as functions.
//!
//! In: what an administrator asks. Out: the master's answer. Never: a cached answer.

use serde::de::DeserializeOwned;
use zt_wire::{Address, NetworkId};

use crate::error::ApiError;
use crate::http::Http;
use crate::master::{
    Invite, InviteSettings, Member, MemberSettings, Network, NetworkSettings, NewInvite,
};

/// How many rows one request asks for.
const PAGE: usize = 500;

/// A client of one netconf-master.
#[derive(Clone, Debug)]
pub struct MasterClient {
    http: Http,
}

impl MasterClient {
    /// A client of the netconf-master at `url` with its admin token.
    ///
    /// # Errors
    /// [`ApiError::BadUrl`].
    pub fn new(url: &str, token: String) -> Result<Self, ApiError> {
        Http::tcp(url, Some(token)).map(|http| Self { http })
    }

    /// Whether it serves: its database answers.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn ready(&self) -> Result<(), ApiError> {
        self.http.probe("/readyz").await
    }

    /// All networks.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn networks(&self) -> Result<Vec<Network>, ApiError> {
        self.pages("/api/v1/networks", |network: &Network| {
            network.id.to_string()
        })
        .await
    }

    /// One network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn network(&self, network: NetworkId) -> Result<Network, ApiError> {
        self.http.get(&format!("/api/v1/networks/{network}")).await
    }

    /// Makes a network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn create_network(&self, settings: &NetworkSettings) -> Result<Network, ApiError> {
        self.http.post("/api/v1/networks", settings).await
    }

    /// Changes a network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn set_network(
        &self,
        network: NetworkId,
        settings: &NetworkSettings,
    ) -> Result<Network, ApiError> {
        self.http
            .patch(&format!("/api/v1/networks/{network}"), settings)
            .await
    }

    /// Deletes a network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn delete_network(&self, network: NetworkId) -> Result<(), ApiError> {
        self.http
            .delete::<serde_json::Value>(&format!("/api/v1/networks/{network}"))
            .await
            .map(drop)
    }

    /// All members of a network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn members(&self, network: NetworkId) -> Result<Vec<Member>, ApiError> {
        let path = format!("/api/v1/networks/{network}/members");
        self.pages(&path, |member: &Member| member.address.to_string())
            .await
    }

    /// One member.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn member(&self, network: NetworkId, member: Address) -> Result<Member, ApiError> {
        self.http
            .get(&format!("/api/v1/networks/{network}/members/{member}"))
            .await
    }

    /// Makes or changes a member.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn put_member(
        &self,
        network: NetworkId,
        member: Address,
        settings: &MemberSettings,
    ) -> Result<Member, ApiError> {
        self.http
            .put(
                &format!("/api/v1/networks/{network}/members/{member}"),
                settings,
            )
            .await
    }

    /// Changes a member that is known.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn set_member(
        &self,
        network: NetworkId,
        member: Address,
        settings: &MemberSettings,
    ) -> Result<Member, ApiError> {
        self.http
            .patch(
                &format!("/api/v1/networks/{network}/members/{member}"),
                settings,
            )
            .await
    }

    /// Forgets a member.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn remove_member(&self, network: NetworkId, member: Address) -> Result<(), ApiError> {
        let path = format!("/api/v1/networks/{network}/members/{member}");
        self.http.delete::<serde_json::Value>(&path).await.map(drop)
    }

    /// All invites of a network.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn invites(&self, network: NetworkId) -> Result<Vec<Invite>, ApiError> {
        let path = format!("/api/v1/networks/{network}/invites");
        self.pages(&path, |invite: &Invite| invite.id.clone()).await
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn create_invite(
        &self,
        network: NetworkId,
        settings: &InviteSettings,
    ) -> Result<NewInvite, ApiError> {
        self.http
            .post(&format!("/api/v1/networks/{network}/invites"), settings)
            .await
    }

    /// Takes an invite back. `id` must hold nothing but hex digits; a master knows no other.
    ///
    /// # Errors
    /// Whatever [`ApiError`] says.
    pub async fn revoke_invite(&self, network: NetworkId, id: &str) -> Result<(), ApiError> {
        let path = format!("/api/v1/networks/{network}/invites/{id}");
        self.http.delete::<serde_json::Value>(&path).await.map(drop)
    }

    /// Every row of a list: pages follow each other by the last row's key until one is not full.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        key: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, ApiError> {
        let mut rows: Vec<T> = Vec::new();
        loop {
            let after = rows
                .last()
                .map_or_else(String::new, |last| format!("&after={}", key(last)));
            let mut page: Vec<T> = self
                .http
                .get(&format!("{path}?limit={PAGE}{after}"))
                .await?;
            let full = page.len() >= PAGE;
            rows.append(&mut page);
            if !full {
                return Ok(rows);
            }
        }
    }
}
