-- Public hostnames outside the allowed zones: each waits until a TXT record proves that its team has it.
CREATE TABLE proofs (
    hostname     TEXT NOT NULL PRIMARY KEY REFERENCES hostnames ON DELETE CASCADE,
    instance     TEXT NOT NULL,
    organization TEXT NOT NULL,  -- the instance's, kept so by the trigger below
    space        TEXT NOT NULL,
    asked_at     INTEGER NOT NULL,
    next_at      INTEGER,  -- when it is looked for; NULL: not any more
    looked_at    INTEGER,  -- when it was last looked for
    problem      TEXT,     -- why it was not found then
    proven_at    INTEGER   -- NULL: it is awaited
) STRICT, WITHOUT ROWID;
CREATE INDEX proofs_due ON proofs (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX proofs_of_instance ON proofs (instance);
CREATE INDEX proofs_awaited ON proofs (organization, space) WHERE proven_at IS NULL;

-- What is awaited must be proven by whom it passes to.
CREATE TRIGGER proof_passes AFTER UPDATE OF organization, space ON instances
BEGIN
    UPDATE proofs SET organization = NEW.organization, space = NEW.space WHERE instance = NEW.id;
END;

-- The hostnames of which a proof is awaited, as the feed tells them: a JSON array; NULL: none.
ALTER TABLE published ADD COLUMN withheld TEXT;
-- Goes into what a team writes into its records, so that a proof for one platform is none for another.
-- Not a secret: what is made of it is public. It is drawn here because it belongs to this file, and
-- goes where its backups go.
ALTER TABLE meta ADD COLUMN proof_key BLOB;
UPDATE meta SET proof_key = randomblob(32);
