-- Time-stamps (RFC 3161) over our checkpoints. `at_ms` is when the authority states that it saw the checkpoint of `size` entries.
CREATE TABLE timestamp (
    log   INTEGER NOT NULL REFERENCES log (id),
    size  INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (log, size)
) STRICT;

-- How many rows of `timestamp` a log has: one that is taken away is missed.
ALTER TABLE log ADD COLUMN stamped INTEGER NOT NULL DEFAULT 0;
