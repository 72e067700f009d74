-- Who offers, beside to whom: both sides look for their offers.
ALTER TABLE transfers ADD COLUMN from_organization TEXT;
ALTER TABLE transfers ADD COLUMN from_space TEXT;
UPDATE transfers SET (from_organization, from_space) =
    (SELECT organization, space FROM instances WHERE id = transfers.instance);
CREATE INDEX transfers_to ON transfers (organization, space, instance);
CREATE INDEX transfers_from ON transfers (from_organization, from_space, instance);

-- An offer is of this service, not of one that is made under its id when it is gone.
CREATE TRIGGER offer_ends AFTER UPDATE OF state ON instances
WHEN NEW.state IN ('deprovisioning', 'deleted', 'failed')
BEGIN
    DELETE FROM transfers WHERE instance = NEW.id;
END;
DELETE FROM transfers WHERE instance IN
    (SELECT id FROM instances WHERE state IN ('deprovisioning', 'deleted', 'failed'));
