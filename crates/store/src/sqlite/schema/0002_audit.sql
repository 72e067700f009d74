-- What happened and who asked for it. Only ever appended to: each row's hash covers the one before.
CREATE TABLE audit (
    seq          INTEGER PRIMARY KEY,  -- 1, 2, 3, without a gap
    at           INTEGER NOT NULL,
    writer       TEXT NOT NULL,        -- the file that wrote it: `meta.writer` at that time
    entry        TEXT NOT NULL,        -- JSON, whole; what else there is to look for is taken from it
    hash         BLOB NOT NULL,
    object       TEXT GENERATED ALWAYS AS (entry ->> '$.object') VIRTUAL,
    organization TEXT GENERATED ALWAYS AS (entry ->> '$.owner.organization') VIRTUAL,
    space        TEXT GENERATED ALWAYS AS (entry ->> '$.owner.space') VIRTUAL
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_of_object ON audit (object);
CREATE INDEX audit_of_owner ON audit (organization, space);

CREATE TRIGGER audit_is_appended BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
BEGIN SELECT raise(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only appended to'); END;

-- Who writes this file: drawn when it is made, and again when it is restored.
ALTER TABLE meta ADD COLUMN writer TEXT;
UPDATE meta SET writer = lower(hex(randomblob(8)));
