-- As witness: of each log of a partner's the newest checkpoint that we cosigned, with our cosignature, and how often we cosigned.
CREATE TABLE witnessed (
    origin  TEXT PRIMARY KEY,
    partner TEXT NOT NULL,
    note    BLOB NOT NULL,
    times   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Partners' cosignatures on our checkpoints: the signature line, verbatim.
CREATE TABLE cosignature (
    log     INTEGER NOT NULL REFERENCES log (id),
    size    INTEGER NOT NULL,
    witness TEXT NOT NULL,
    line    TEXT NOT NULL,
    PRIMARY KEY (log, size, witness)
) STRICT, WITHOUT ROWID;

-- Two histories of one log. `fork`: of a partner's, `ours` is what we cosigned and `theirs` what it showed later. `rollback`: of our own, `ours`
-- is what we hold and `theirs` what the partner cosigned.
CREATE TABLE alarm (
    id         INTEGER PRIMARY KEY,
    partner    TEXT NOT NULL,
    origin     TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('fork', 'rollback')),
    at_ms      INTEGER NOT NULL,
    ours       BLOB NOT NULL,
    theirs     BLOB NOT NULL,
    settled_ms INTEGER
) STRICT;

-- How many rows of `cosignature` a log has, and, for a channel log, how many `times` of `witnessed` and rows of `alarm` its partner has: one that
-- is taken away is missed.
ALTER TABLE log ADD COLUMN cosigned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN witnessed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN alarms INTEGER NOT NULL DEFAULT 0;

-- The partner's clock by its newest cosignature, and ours when that came in.
ALTER TABLE partner ADD COLUMN clock_theirs_ms INTEGER;
ALTER TABLE partner ADD COLUMN clock_ours_ms INTEGER;

-- When an operator last gave the word in the partner's place; it holds until the partner witnesses again.
ALTER TABLE partner ADD COLUMN confirmed_ms INTEGER;
