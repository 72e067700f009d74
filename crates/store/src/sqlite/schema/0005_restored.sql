-- The release that last wrote this file, for whoever cannot read it.
ALTER TABLE meta ADD COLUMN release TEXT;
-- After a restore: epoch and revision of the backup, until an operator confirms that what is ahead
-- of it may go.
ALTER TABLE meta ADD COLUMN ahead_epoch INTEGER;
ALTER TABLE meta ADD COLUMN ahead_revision INTEGER;
