-- One row: the counters of the store.
CREATE TABLE meta (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    epoch     INTEGER NOT NULL,  -- raised by restore
    revision  INTEGER NOT NULL,  -- of the last publish of any instance
    fence     INTEGER NOT NULL,  -- of the last lease of any job
    forgotten INTEGER NOT NULL   -- the highest revision that `forget` removed from the feed
) STRICT;
INSERT INTO meta VALUES (1, 1, 0, 0, 0);

CREATE TABLE instances (
    id               TEXT NOT NULL PRIMARY KEY,
    service          TEXT NOT NULL,
    organization     TEXT NOT NULL,
    space            TEXT NOT NULL,
    platform_context TEXT NOT NULL,  -- JSON
    state            TEXT NOT NULL,
    spec             TEXT NOT NULL,  -- JSON
    revision         INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX instances_of_owner ON instances (organization, space, id);
CREATE INDEX instances_of_service ON instances (service, id);
CREATE INDEX tombstones ON instances (updated_at) WHERE state = 'deleted';

CREATE TABLE operations (
    seq      INTEGER PRIMARY KEY,  -- in order of acceptance
    id       TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL REFERENCES instances ON DELETE CASCADE,
    state    TEXT NOT NULL,
    document TEXT NOT NULL         -- JSON, whole
) STRICT;
CREATE INDEX operations_of_instance ON operations (instance, seq);
-- One at a time an instance: held here, whatever the code above believes.
CREATE UNIQUE INDEX operation_in_progress ON operations (instance) WHERE state = 'in progress';

CREATE TABLE jobs (
    seq       INTEGER PRIMARY KEY,
    operation TEXT NOT NULL UNIQUE REFERENCES operations (id) ON DELETE CASCADE,
    queued_at INTEGER NOT NULL,
    due_at    INTEGER NOT NULL,  -- ready from then on; of a leased job: when the lease expires
    fence     INTEGER NOT NULL   -- of the lease that holds it; 0: nobody does
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at);
CREATE INDEX jobs_queued ON jobs (queued_at);

CREATE TABLE hostnames (
    hostname TEXT NOT NULL PRIMARY KEY,
    instance TEXT NOT NULL REFERENCES instances ON DELETE CASCADE,
    since    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hostnames_of_instance ON hostnames (instance);

-- What the control plane reads: the feed, one row an instance, at its latest revision.
CREATE TABLE published (
    instance      TEXT NOT NULL PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    revision      INTEGER NOT NULL UNIQUE,
    spec          TEXT,              -- JSON; NULL: unpublished
    proven        INTEGER NOT NULL,  -- whether the fleet had this revision in full
    good_revision INTEGER,           -- the last that it had, where this is another
    good_spec     TEXT               -- JSON
) STRICT;

CREATE TABLE blobs (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
