//! Batches as SQL.
//!
//! Owner: the `SQLite` store's writing thread. In: batches. Out: what each led to, after one synced commit.
//! Never: half a batch.

use std::net::IpAddr;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Savepoint, TransactionBehavior, params,
};
use serde::Serialize;
use zt_api::master::Audit;
use zt_wire::NetworkId;

use super::rows::{int, status_name};
use super::unavailable;
use crate::model::{Invite, Member, Network, NewEntry, Revocation};
use crate::store::{Applied, Batch, StoreError, Write};

/// Commits `batches` together; each is refused or written for itself.
pub(super) fn commit(
    connection: &mut Connection,
    batches: Vec<Batch>,
) -> Vec<Result<Applied, StoreError>> {
    let asked = batches.len();
    match try_commit(connection, batches) {
        Ok(results) => results,
        Err(error) => {
            let text = error.to_string();
            (0..asked)
                .map(|_| Err(StoreError::Unavailable(text.clone().into())))
                .collect()
        }
    }
}

fn try_commit(
    connection: &mut Connection,
    batches: Vec<Batch>,
) -> rusqlite::Result<Vec<Result<Applied, StoreError>>> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        // Dropped without commit, a savepoint takes its writes back.
        let savepoint = transaction.savepoint()?;
        let result = write_all(&savepoint, batch);
        if result.is_ok() {
            savepoint.commit()?;
        }
        results.push(result);
    }
    transaction.commit()?;
    Ok(results)
}

fn write_all(savepoint: &Savepoint<'_>, batch: Batch) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    for write in batch.writes {
        if let Some(revision) = write_one(savepoint, write)? {
            applied.revision = Some(revision);
        }
    }
    for entry in batch.log {
        applied.log.push(note(savepoint, entry)?);
    }
    Ok(applied)
}

fn write_one(sql: &Connection, write: Write) -> Result<Option<u64>, StoreError> {
    match write {
        Write::AddNetwork(network) => add_network(sql, &network),
        Write::PutNetwork { network, was } => put_network(sql, &network, was),
        Write::RemoveNetwork(id) => {
            let gone = run(
                sql,
                "DELETE FROM networks WHERE id = ?1",
                params![id.to_string()],
            )?;
            if gone == 0 {
                return Err(StoreError::Gone);
            }
            Ok(None)
        }
        Write::PutMember { member, relist } => put_member(sql, &member, relist),
        Write::ForgetMember(network, address) => {
            let statement = "DELETE FROM members WHERE network = ?1 AND address = ?2";
            run(
                sql,
                statement,
                params![network.to_string(), address.to_string()],
            )?;
            Ok(None)
        }
        Write::Seen {
            network,
            address,
            at,
            endpoint,
        } => {
            let statement =
                "UPDATE members SET seen = ?3, endpoint = ?4 WHERE network = ?1 AND address = ?2";
            let values = params![
                network.to_string(),
                address.to_string(),
                int(at.0),
                endpoint
            ];
            run(sql, statement, values)?;
            Ok(None)
        }
        Write::PutInvite(invite) => put_invite(sql, &invite),
        Write::PutRevocation(revocation) => put_revocation(sql, &revocation),
        Write::DropRevocation(network, key) => {
            let statement = "DELETE FROM revocations WHERE network = ?1 AND key = ?2";
            run(
                sql,
                statement,
                params![network.to_string(), key.to_string()],
            )?;
            Ok(None)
        }
    }
}

fn add_network(sql: &Connection, network: &Network) -> Result<Option<u64>, StoreError> {
    let id = network.id.to_string();
    run(sql, "INSERT INTO used_ids VALUES (?1)", params![id])
        .map_err(|error| if_unique(error, StoreError::Exists))?;
    let statement = "INSERT INTO networks (id, name, public, mtu, bridging, pools, assign, rfc4193, routes,
        dns, link_local_groups, multicast_limit, window, epoch_period, epoch, epoch_since, revision, shared,
        shared_hash, created, rules, compiled) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
        ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";
    let is = &network.settings;
    let values = params![
        id,
        is.name,
        is.public,
        is.mtu,
        is.bridging,
        json(&is.pools)?,
        is.assign,
        is.rfc4193,
        json(&is.routes)?,
        json(&is.dns)?,
        is.link_local_groups,
        is.multicast_limit,
        is.window,
        int(is.epoch_period),
        int(network.epoch),
        int(network.epoch_since.0),
        int(network.revision),
        &*network.shared,
        network.shared_hash,
        int(network.created.0),
        is.rules.text,
        is.rules.compiled,
    ];
    run(sql, statement, values)?;
    Ok(Some(network.revision))
}

fn put_network(sql: &Connection, network: &Network, was: u64) -> Result<Option<u64>, StoreError> {
    if network.revision != was + 1 {
        return Err(StoreError::Conflict);
    }
    let statement =
        "UPDATE networks SET name = ?3, public = ?4, mtu = ?5, bridging = ?6, pools = ?7,
        assign = ?8, rfc4193 = ?9, routes = ?10, dns = ?11, link_local_groups = ?12,
        multicast_limit = ?13, window = ?14, epoch_period = ?15, epoch = ?16, epoch_since = ?17,
        revision = ?2 + 1, shared = ?18, shared_hash = ?19, rules = ?20, compiled = ?21 WHERE id = ?1 AND revision = ?2";
    let is = &network.settings;
    let values = params![
        network.id.to_string(),
        int(was),
        is.name,
        is.public,
        is.mtu,
        is.bridging,
        json(&is.pools)?,
        is.assign,
        is.rfc4193,
        json(&is.routes)?,
        json(&is.dns)?,
        is.link_local_groups,
        is.multicast_limit,
        is.window,
        int(is.epoch_period),
        int(network.epoch),
        int(network.epoch_since.0),
        &*network.shared,
        network.shared_hash,
        is.rules.text,
        is.rules.compiled,
    ];
    if run(sql, statement, values)? == 0 {
        require_network(sql, network.id)?;
        return Err(StoreError::Conflict);
    }
    Ok(Some(network.revision))
}

fn put_member(sql: &Connection, member: &Member, relist: bool) -> Result<Option<u64>, StoreError> {
    let (network, address) = (member.network.to_string(), member.address.to_string());
    require_network(sql, member.network)?;
    let revision = if relist {
        Some(next_revision(sql, &network)?)
    } else {
        None
    };
    let listed = revision.map_or(int(member.listed), int);
    let statement = if member.row == 0 {
        "INSERT INTO members (network, address, key, status, deleted, name, static_ips, ips, rights, tags,
            invite, serial, content, listed, seen, endpoint, created, row)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18 + 1)"
    } else {
        "UPDATE members SET key = ?3, status = ?4, deleted = ?5, name = ?6, static_ips = ?7, ips = ?8,
            rights = ?9, tags = ?10, invite = ?11, serial = ?12, content = ?13, listed = ?14, seen = ?15,
            endpoint = ?16, created = ?17, row = ?18 + 1 WHERE network = ?1 AND address = ?2 AND row = ?18"
    };
    let values = params![
        network,
        address,
        member.key.map(|key| key.to_string()),
        status_name(member.status),
        member.deleted,
        member.name,
        json(&member.static_ips)?,
        json(&member.ips)?,
        member.rights.bits(),
        json(&member.tags)?,
        member.invite.map(|invite| invite.to_string()),
        int(member.serial),
        member.content,
        listed,
        member.seen.map(|seen| int(seen.0)),
        member.endpoint,
        int(member.created.0),
        int(member.row),
    ];
    let written =
        run(sql, statement, values).map_err(|error| if_unique(error, StoreError::Conflict))?;
    if written == 0 {
        return Err(StoreError::Conflict);
    }
    hold(sql, &network, &address, &member.ips)?;
    Ok(revision)
}

/// Makes `ips` the addresses that a member holds, and no others.
fn hold(sql: &Connection, network: &str, address: &str, ips: &[IpAddr]) -> Result<(), StoreError> {
    let statement = "DELETE FROM ips WHERE network = ?1 AND address = ?2";
    run(sql, statement, params![network, address])?;
    for ip in ips {
        let statement = "INSERT INTO ips (network, ip, address) VALUES (?1, ?2, ?3)";
        run(sql, statement, params![network, ip.to_string(), address])
            .map_err(|error| if_unique(error, StoreError::Taken(*ip)))?;
    }
    Ok(())
}

fn put_invite(sql: &Connection, invite: &Invite) -> Result<Option<u64>, StoreError> {
    require_network(sql, invite.network)?;
    let there = row_of_invite(sql, invite)?;
    if there != invite.row {
        return Err(StoreError::Conflict);
    }
    let statement = "INSERT INTO invites (network, id, token_hash, label, max_uses, uses, expires, authorize,
        revoked, created, row) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 + 1)
        ON CONFLICT (network, id) DO UPDATE SET token_hash = ?3, label = ?4, max_uses = ?5, uses = ?6,
        expires = ?7, authorize = ?8, revoked = ?9, created = ?10, row = ?11 + 1";
    let values = params![
        invite.network.to_string(),
        invite.id.to_string(),
        invite.token_hash,
        invite.label,
        invite.max_uses,
        invite.uses,
        invite.expires.map(|expires| int(expires.0)),
        invite.authorize,
        invite.revoked,
        int(invite.created.0),
        int(invite.row),
    ];
    run(sql, statement, values).map_err(|error| if_unique(error, StoreError::Exists))?;
    Ok(None)
}

fn row_of_invite(sql: &Connection, invite: &Invite) -> Result<u64, StoreError> {
    let row: Option<i64> = sql
        .prepare_cached("SELECT row FROM invites WHERE network = ?1 AND id = ?2")
        .and_then(|mut statement| {
            let values = params![invite.network.to_string(), invite.id.to_string()];
            statement.query_row(values, |row| row.get(0)).optional()
        })
        .map_err(unavailable)?;
    Ok(row.map_or(0, i64::unsigned_abs))
}

fn put_revocation(sql: &Connection, revocation: &Revocation) -> Result<Option<u64>, StoreError> {
    let statement = "INSERT INTO revocations (network, key, min_serial, since_epoch, signed)
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (network, key)
        DO UPDATE SET min_serial = ?3, since_epoch = ?4, signed = ?5";
    require_network(sql, revocation.network)?;
    let values = params![
        revocation.network.to_string(),
        revocation.key.to_string(),
        int(revocation.min_serial),
        int(revocation.since_epoch),
        revocation.signed,
    ];
    run(sql, statement, values)?;
    Ok(None)
}

fn require_network(sql: &Connection, id: NetworkId) -> Result<(), StoreError> {
    let there = sql
        .prepare_cached("SELECT 1 FROM networks WHERE id = ?1")
        .and_then(|mut statement| statement.exists(params![id.to_string()]))
        .map_err(unavailable)?;
    if there { Ok(()) } else { Err(StoreError::Gone) }
}

fn next_revision(sql: &Connection, network: &str) -> Result<u64, StoreError> {
    let revision: i64 = sql
        .prepare_cached(
            "UPDATE networks SET revision = revision + 1 WHERE id = ?1 RETURNING revision",
        )
        .and_then(|mut statement| statement.query_row(params![network], |row| row.get(0)))
        .map_err(unavailable)?;
    Ok(revision.unsigned_abs())
}

fn note(sql: &Connection, entry: NewEntry) -> Result<Audit, StoreError> {
    let statement = "INSERT INTO log (at, network, actor, action, subject, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![
        int(entry.at.0),
        entry.network.to_string(),
        entry.actor.name(),
        entry.action,
        entry.subject,
        entry.detail,
    ];
    run(sql, statement, values)?;
    Ok(Audit {
        seq: sql.last_insert_rowid().unsigned_abs(),
        at: entry.at.0,
        network: entry.network,
        actor: entry.actor.name().to_owned(),
        action: entry.action.to_owned(),
        subject: entry.subject,
        detail: entry.detail,
    })
}

fn run(
    sql: &Connection,
    statement: &str,
    values: impl rusqlite::Params,
) -> Result<usize, StoreError> {
    sql.prepare_cached(statement)
        .and_then(|mut statement| statement.execute(values))
        .map_err(unavailable)
}

/// What a unique index says by refusing; every other error stays what it is.
fn if_unique(error: StoreError, meaning: StoreError) -> StoreError {
    let StoreError::Unavailable(source) = &error else {
        return error;
    };
    match source.downcast_ref::<rusqlite::Error>() {
        Some(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == ErrorCode::ConstraintViolation =>
        {
            meaning
        }
        _ => error,
    }
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(Box::new(error)))
}
