-- What is rendered with: templates and the facts that they see, as one value that never changes.
CREATE TABLE editions (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    digest  BLOB NOT NULL UNIQUE,  -- SHA-256 of the content
    content BLOB NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- From one edition to another, by groups of proxies. One is under way at a time.
CREATE TABLE rollouts (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    turn    INTEGER NOT NULL,
    is_over INTEGER NOT NULL,
    rollout TEXT NOT NULL  -- JSON
) STRICT;
CREATE UNIQUE INDEX rollouts_under_way ON rollouts (is_over) WHERE is_over = 0;

-- Which edition each group is given: one row.
CREATE TABLE given (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL,  -- 0: nothing was given yet
    editions TEXT NOT NULL,     -- JSON: pairs of a pattern and a number
    offered  INTEGER,           -- what the configuration is
    is_taken INTEGER NOT NULL   -- whether a roll-out to that was begun
) STRICT;
INSERT INTO given VALUES (1, 0, '[]', NULL, 0);
