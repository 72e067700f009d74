-- The fence of a lease that was taken away while its holder may still have been at work: until the
-- holder gives it back, or `due_at`, nobody else begins.
ALTER TABLE jobs ADD COLUMN revoked INTEGER;
CREATE INDEX jobs_revoked ON jobs (revoked) WHERE revoked IS NOT NULL;
