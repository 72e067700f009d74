-- Who may come in. A credential that has ended stays for a while, so that its use can be told.
CREATE TABLE credentials (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,     -- JSON
    platform     INTEGER NOT NULL,  -- whether the role is a platform's
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    rotated_at   INTEGER NOT NULL   -- when its latest secret was made
) STRICT;
CREATE UNIQUE INDEX credential_names ON credentials (name) WHERE revoked_at IS NULL;

-- SHA-256 of secrets. While a credential is rotated it has two.
CREATE TABLE secrets (
    hash       BLOB NOT NULL PRIMARY KEY,
    credential TEXT NOT NULL REFERENCES credentials ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER              -- of the one that a later one has replaced
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_of_credential ON secrets (credential);

-- Sessions of browsers, and the codes that open them.
CREATE TABLE sessions (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    code       INTEGER NOT NULL,    -- 1: a code, to be taken once
    name       TEXT NOT NULL,       -- of the principal
    principal  TEXT NOT NULL,       -- JSON
    credential TEXT REFERENCES credentials ON DELETE CASCADE,  -- which it ends with
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_of_name ON sessions (name, seq);
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_of_credential ON sessions (credential);
