-- What is laid down for a team (an organisation's space), where that is not what the settings say.
CREATE TABLE teams (
    organization TEXT NOT NULL,
    space        TEXT NOT NULL,
    policy       TEXT NOT NULL,  -- JSON
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (organization, space)
) STRICT, WITHOUT ROWID;

-- What each team has, counted by the triggers below as it comes and goes.
CREATE TABLE usage (
    organization TEXT NOT NULL,
    space        TEXT NOT NULL,
    instances    INTEGER NOT NULL DEFAULT 0,  -- neither deleted nor failed
    hostnames    INTEGER NOT NULL DEFAULT 0,
    paced_until  INTEGER NOT NULL DEFAULT 0,  -- how far its changes are ahead of their even pace
    PRIMARY KEY (organization, space)
) STRICT, WITHOUT ROWID;

INSERT INTO usage (organization, space, instances, hostnames)
SELECT organization, space, sum(state NOT IN ('deleted', 'failed')),
       sum((SELECT count(*) FROM hostnames h WHERE h.instance = i.id))
FROM instances i GROUP BY organization, space;

CREATE TRIGGER instance_comes AFTER INSERT ON instances
WHEN NEW.state NOT IN ('deleted', 'failed')
BEGIN
    INSERT INTO usage (organization, space, instances) VALUES (NEW.organization, NEW.space, 1)
    ON CONFLICT (organization, space) DO UPDATE SET instances = instances + 1;
END;

CREATE TRIGGER instance_changes AFTER UPDATE OF state, organization, space ON instances
WHEN (OLD.state IN ('deleted', 'failed')) <> (NEW.state IN ('deleted', 'failed'))
     OR OLD.organization <> NEW.organization OR OLD.space <> NEW.space
BEGIN
    UPDATE usage SET instances = instances - (OLD.state NOT IN ('deleted', 'failed')),
        hostnames = hostnames - (SELECT count(*) FROM hostnames WHERE instance = OLD.id)
    WHERE organization = OLD.organization AND space = OLD.space;
    INSERT INTO usage (organization, space) VALUES (NEW.organization, NEW.space)
    ON CONFLICT (organization, space) DO NOTHING;
    UPDATE usage SET instances = instances + (NEW.state NOT IN ('deleted', 'failed')),
        hostnames = hostnames + (SELECT count(*) FROM hostnames WHERE instance = NEW.id)
    WHERE organization = NEW.organization AND space = NEW.space;
END;

-- Its hostnames go first: they are counted by whose it is.
CREATE TRIGGER instance_goes BEFORE DELETE ON instances
BEGIN
    DELETE FROM hostnames WHERE instance = OLD.id;
    UPDATE usage SET instances = instances - (OLD.state NOT IN ('deleted', 'failed'))
    WHERE organization = OLD.organization AND space = OLD.space;
END;

CREATE TRIGGER hostname_comes AFTER INSERT ON hostnames
BEGIN
    INSERT INTO usage (organization, space, hostnames)
    SELECT organization, space, 1 FROM instances WHERE id = NEW.instance
    ON CONFLICT (organization, space) DO UPDATE SET hostnames = hostnames + 1;
END;

CREATE TRIGGER hostname_goes AFTER DELETE ON hostnames
BEGIN
    UPDATE usage SET hostnames = hostnames - 1
    WHERE (organization, space) = (SELECT organization, space FROM instances WHERE id = OLD.instance);
END;

-- Whether a publish has gone out while the instance held the name: such a name is not free at once
-- when it is given up.
ALTER TABLE hostnames ADD COLUMN served INTEGER;
UPDATE hostnames SET served = 1;

-- Names given up, which for a while only the team that had them may take.
CREATE TABLE reservations (
    hostname     TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    space        TEXT NOT NULL,
    service      TEXT NOT NULL,
    until        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_by_end ON reservations (until);

-- Names below a wildcard, and the team that its owner lets have each.
CREATE TABLE consents (
    hostname     TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,  -- who may take it
    space        TEXT NOT NULL,
    by_organization TEXT NOT NULL,  -- who lets them: the owner of the wildcard at that time
    by_space     TEXT NOT NULL,
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Services offered to another team, which has not taken them yet.
CREATE TABLE transfers (
    instance     TEXT NOT NULL PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
    organization TEXT NOT NULL,  -- to whom
    space        TEXT NOT NULL,
    offered_by   TEXT NOT NULL,  -- the credential
    at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
