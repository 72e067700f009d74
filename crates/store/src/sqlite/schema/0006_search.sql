-- What people look for: services by name, within a team or a state; operations by team and state.
CREATE INDEX instances_of_team ON instances (organization, space, service, id);
-- Nearly all are ready: only what is not is worth an index.
CREATE INDEX instances_of_state ON instances (state, service, id) WHERE state <> 'ready';

-- Whose an operation is: its instance's owner, whoever writes either.
ALTER TABLE operations ADD COLUMN organization TEXT;
ALTER TABLE operations ADD COLUMN space TEXT;
UPDATE operations SET (organization, space) =
    (SELECT organization, space FROM instances WHERE id = operations.instance);
CREATE INDEX operations_of_team ON operations (organization, space);
CREATE INDEX operations_of_state ON operations (state);

-- A release that does not know these columns leaves them empty.
CREATE TRIGGER operation_has_an_owner AFTER INSERT ON operations WHEN NEW.organization IS NULL
BEGIN
    UPDATE operations SET (organization, space) =
        (SELECT organization, space FROM instances WHERE id = NEW.instance)
    WHERE seq = NEW.seq;
END;
CREATE TRIGGER operations_follow_the_owner AFTER UPDATE OF organization, space ON instances
WHEN NEW.organization IS NOT OLD.organization OR NEW.space IS NOT OLD.space
BEGIN
    UPDATE operations SET organization = NEW.organization, space = NEW.space
    WHERE instance = NEW.id;
END;
