-- The authority that signs certificates of proxies: one.
CREATE TABLE authority (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    certificate BLOB NOT NULL,  -- DER
    sealed      BLOB NOT NULL,  -- its private key
    sealed_by   TEXT NOT NULL   -- the id of the key of the keyring
) STRICT;

-- What lets a host in, once: a row that is used is gone.
CREATE TABLE join_tokens (
    hash       BLOB NOT NULL PRIMARY KEY,
    document   TEXT NOT NULL,  -- JSON, whole, without the secret
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX join_tokens_ended ON join_tokens (expires_at);

-- Proxies that have joined.
CREATE TABLE nodes (
    id         TEXT NOT NULL PRIMARY KEY,
    grp        TEXT NOT NULL,
    joined_at  INTEGER NOT NULL,
    invited_by TEXT NOT NULL,
    serial     TEXT NOT NULL,     -- of the latest certificate
    issued_at  INTEGER NOT NULL,  -- it was
    not_after  INTEGER NOT NULL,  -- it ends
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX nodes_of_group ON nodes (grp, id);
CREATE INDEX nodes_ended ON nodes (not_after);

-- Certificates that may be renewed.
CREATE TABLE certificates (
    serial    TEXT NOT NULL PRIMARY KEY,
    node      TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE,
    not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_of_node ON certificates (node, not_after);
CREATE INDEX certificates_ended ON certificates (not_after);

-- Certificates that are good no more, until they would have ended by themselves.
CREATE TABLE revocations (
    seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    serial    TEXT NOT NULL,
    not_after INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_ended ON revocations (not_after);
