-- A row without a certificate's number revokes all of a node that were issued before a moment, also those
-- that this store does not know: it may have been restored, or put back.
ALTER TABLE revocations ADD COLUMN node TEXT;
ALTER TABLE revocations ADD COLUMN before INTEGER;
CREATE INDEX revocations_of_serial ON revocations (serial);
CREATE INDEX revocations_of_node ON revocations (node, before);
