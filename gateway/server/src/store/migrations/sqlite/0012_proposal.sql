-- What one operator proposes and another one approves. Both signatures are over the whole row as it then was.
CREATE TABLE proposal (
    id               TEXT PRIMARY KEY,
    plan             BLOB NOT NULL,
    at_ms            INTEGER NOT NULL,
    until_ms         INTEGER NOT NULL,
    first            BLOB NOT NULL,
    first_signature  BLOB NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('open', 'approved', 'refused')),
    second           BLOB,
    second_signature BLOB,
    settled_ms       INTEGER,
    CHECK ((state = 'open') = (second IS NULL))
) STRICT, WITHOUT ROWID;
