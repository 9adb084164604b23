-- Version 2. Names are text as people write them, so that an operator can read a dump.
CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    public INTEGER NOT NULL,
    mtu INTEGER NOT NULL,
    bridging INTEGER NOT NULL,
    pools TEXT NOT NULL,
    assign INTEGER NOT NULL,
    rfc4193 INTEGER NOT NULL,
    routes TEXT NOT NULL,
    dns TEXT NOT NULL,
    link_local_groups INTEGER NOT NULL,
    multicast_limit INTEGER NOT NULL,
    window INTEGER NOT NULL,
    epoch_period INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    epoch_since INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    shared BLOB NOT NULL,
    shared_hash BLOB NOT NULL,
    created INTEGER NOT NULL,
    rules TEXT NOT NULL,
    compiled BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Every id ever given: a deleted network's certificates must never fit a new network.
CREATE TABLE used_ids (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    network TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    key TEXT,
    status TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    name TEXT NOT NULL,
    static_ips TEXT NOT NULL,
    ips TEXT NOT NULL,
    rights INTEGER NOT NULL,
    tags TEXT NOT NULL,
    invite TEXT,
    serial INTEGER NOT NULL,
    content BLOB NOT NULL,
    listed INTEGER NOT NULL,
    seen INTEGER,
    endpoint TEXT,
    created INTEGER NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX members_listed ON members (network, listed) WHERE listed > 0;
CREATE INDEX members_status ON members (network, status) WHERE deleted = 0;

-- The primary key is what makes double assignment impossible.
CREATE TABLE ips (
    network TEXT NOT NULL,
    ip TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (network, ip),
    FOREIGN KEY (network, address) REFERENCES members (network, address) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX ips_member ON ips (network, address);

CREATE TABLE invites (
    network TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    label TEXT NOT NULL,
    max_uses INTEGER,
    uses INTEGER NOT NULL,
    expires INTEGER,
    authorize INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    created INTEGER NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (network, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations (
    network TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    min_serial INTEGER NOT NULL,
    since_epoch INTEGER NOT NULL,
    signed BLOB NOT NULL,
    PRIMARY KEY (network, key)
) STRICT, WITHOUT ROWID;

-- Outlives its network: who deleted what is a question for later.
CREATE TABLE log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    network TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX log_network ON log (network, seq);

PRAGMA user_version = 2;
