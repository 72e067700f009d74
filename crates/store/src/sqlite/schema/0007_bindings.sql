-- Who may call an instance.
CREATE TABLE bindings (
    id         TEXT NOT NULL PRIMARY KEY,
    instance   TEXT NOT NULL REFERENCES instances ON DELETE CASCADE,
    document   TEXT NOT NULL,     -- JSON, whole, without the private key
    expires_at INTEGER,
    live       INTEGER NOT NULL,  -- 0: expired, and taken out of the feed
    sealed     BLOB NOT NULL,     -- the private key
    sealed_by  TEXT NOT NULL      -- the id of the key of the keyring
) STRICT;
CREATE INDEX bindings_of_instance ON bindings (instance);
CREATE INDEX bindings_due ON bindings (expires_at) WHERE live = 1 AND expires_at IS NOT NULL;
CREATE INDEX bindings_expired ON bindings (expires_at) WHERE live = 0;
CREATE INDEX bindings_sealed_by ON bindings (sealed_by);

-- The revision at which the spec was published, where only callers have changed since.
ALTER TABLE published ADD COLUMN spec_revision INTEGER;
-- Who may call: a JSON array; NULL: nobody.
ALTER TABLE published ADD COLUMN callers TEXT;
