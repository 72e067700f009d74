-- A job that is ready has a turn: one more than its team's last, or than that of the job last leased.
-- So a team with ten thousand jobs stands before nobody who has one.
ALTER TABLE jobs ADD COLUMN team TEXT;     -- whose: organisation and space; NULL: of an earlier release
ALTER TABLE jobs ADD COLUMN turn INTEGER;  -- NULL: delayed, leased, or not yet seen to be ready
ALTER TABLE jobs ADD COLUMN tries INTEGER; -- leases since anything was saved or given back under one
ALTER TABLE meta ADD COLUMN turn INTEGER;  -- of the job last leased
CREATE INDEX jobs_turn ON jobs (turn) WHERE turn IS NOT NULL;
CREATE INDEX jobs_unready ON jobs (due_at) WHERE turn IS NULL;
CREATE TABLE turns (
    team TEXT NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL  -- turn that was given to one of its jobs
) STRICT, WITHOUT ROWID;
