//! Rows and what they mean.
//!
//! Owner: the `SQLite` store. In: rows. Out: models. Never: a default for a column that makes no sense: that is an error.

use core::str::FromStr;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Result, Row};
use serde::de::DeserializeOwned;
use zt_api::master::{Audit, MemberStatus};
use zt_engine::Unix;
use zt_wire::Rights;

use crate::model::{Counts, Invite, Listing, Member, Network, Revocation, Rules, Settings};

pub(super) fn network(row: &Row<'_>) -> Result<Network> {
    let shared: Vec<u8> = row.get("shared")?;
    Ok(Network {
        id: parsed(row, "id")?,
        settings: Settings {
            name: row.get("name")?,
            public: row.get("public")?,
            mtu: row.get("mtu")?,
            bridging: row.get("bridging")?,
            pools: json(row, "pools")?,
            assign: row.get("assign")?,
            rfc4193: row.get("rfc4193")?,
            routes: json(row, "routes")?,
            dns: json(row, "dns")?,
            rules: Rules {
                text: row.get("rules")?,
                compiled: row.get("compiled")?,
            },
            link_local_groups: row.get("link_local_groups")?,
            multicast_limit: row.get("multicast_limit")?,
            window: row.get("window")?,
            epoch_period: number(row, "epoch_period")?,
        },
        epoch: number(row, "epoch")?,
        epoch_since: Unix(number(row, "epoch_since")?),
        revision: number(row, "revision")?,
        shared: Arc::from(shared),
        shared_hash: row.get("shared_hash")?,
        created: Unix(number(row, "created")?),
    })
}

pub(super) fn member(row: &Row<'_>) -> Result<Member> {
    let key: Option<String> = row.get("key")?;
    let seen: Option<i64> = row.get("seen")?;
    let invite: Option<String> = row.get("invite")?;
    let status: String = row.get("status")?;
    Ok(Member {
        network: parsed(row, "network")?,
        address: parsed(row, "address")?,
        key: key
            .map(|key| key.parse().map_err(|error| senseless("key", error)))
            .transpose()?,
        status: status_of(&status).ok_or_else(|| senseless("status", NoStatus))?,
        deleted: row.get("deleted")?,
        name: row.get("name")?,
        static_ips: json(row, "static_ips")?,
        ips: json(row, "ips")?,
        rights: Rights::from_bits(row.get("rights")?)
            .map_err(|error| senseless("rights", error))?,
        tags: json(row, "tags")?,
        invite: invite
            .map(|id| id.parse().map_err(|error| senseless("invite", error)))
            .transpose()?,
        serial: number(row, "serial")?,
        content: row.get("content")?,
        listed: number(row, "listed")?,
        seen: seen.map(|seen| Unix(seen.unsigned_abs())),
        endpoint: row.get("endpoint")?,
        created: Unix(number(row, "created")?),
        row: number(row, "row")?,
    })
}

pub(super) fn listing(row: &Row<'_>) -> Result<Listing> {
    let (keyed, deleted): (bool, bool) = (row.get("keyed")?, row.get("deleted")?);
    let authorized = row.get_ref("status")?.as_str()? == status_name(MemberStatus::Authorized);
    Ok(Listing {
        address: parsed(row, "address")?,
        listed: number(row, "listed")?,
        is_in: authorized && keyed && !deleted,
        rights: Rights::from_bits(row.get("rights")?)
            .map_err(|error| senseless("rights", error))?,
        ips: json(row, "ips")?,
    })
}

pub(super) fn counts(row: &Row<'_>) -> Result<Counts> {
    Ok(Counts {
        pending: number(row, "pending")?,
        authorized: number(row, "authorized")?,
        denied: number(row, "denied")?,
    })
}

pub(super) fn invite(row: &Row<'_>) -> Result<Invite> {
    let expires: Option<i64> = row.get("expires")?;
    Ok(Invite {
        network: parsed(row, "network")?,
        id: parsed(row, "id")?,
        token_hash: row.get("token_hash")?,
        label: row.get("label")?,
        max_uses: row.get("max_uses")?,
        uses: row.get("uses")?,
        expires: expires.map(|expires| Unix(expires.unsigned_abs())),
        authorize: row.get("authorize")?,
        revoked: row.get("revoked")?,
        created: Unix(number(row, "created")?),
        row: number(row, "row")?,
    })
}

pub(super) fn revocation(row: &Row<'_>) -> Result<Revocation> {
    Ok(Revocation {
        network: parsed(row, "network")?,
        key: parsed(row, "key")?,
        min_serial: number(row, "min_serial")?,
        since_epoch: number(row, "since_epoch")?,
        signed: row.get("signed")?,
    })
}

pub(super) fn audit(row: &Row<'_>) -> Result<Audit> {
    Ok(Audit {
        seq: number(row, "seq")?,
        at: number(row, "at")?,
        network: parsed(row, "network")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        detail: row.get("detail")?,
    })
}

/// A column whose text is a name.
pub(super) fn parsed<T>(row: &Row<'_>, column: &str) -> Result<T>
where
    T: FromStr,
    T::Err: core::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| senseless(column, error))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| senseless(column, error))
}

pub(super) fn number(row: &Row<'_>, column: &str) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|error| senseless(column, error))
}

/// A number of ours as a column: none of them reaches 2^63.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) const fn status_name(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Pending => "pending",
        MemberStatus::Authorized => "authorized",
        MemberStatus::Denied => "denied",
    }
}

fn status_of(name: &str) -> Option<MemberStatus> {
    let known = [
        MemberStatus::Pending,
        MemberStatus::Authorized,
        MemberStatus::Denied,
    ];
    known
        .into_iter()
        .find(|status| status_name(*status) == name)
}

fn senseless(
    column: &str,
    error: impl core::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column.len(), Type::Text, Box::new(error))
}

/// The column holds none of the three.
#[derive(Clone, Copy, Debug)]
struct NoStatus;

impl core::fmt::Display for NoStatus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("expected pending, authorized or denied")
    }
}

impl core::error::Error for NoStatus {}
