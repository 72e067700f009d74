-- Who alone does something, among several processes.
CREATE TABLE leases (
    name   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    number INTEGER NOT NULL,  -- rises with every other holder
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
