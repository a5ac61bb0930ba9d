-- In which group keys were exchanged with each partner: `in` on its connections, `out` on ours.
CREATE TABLE key_exchange (
    partner   TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    kx        TEXT NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (partner, direction)
) STRICT, WITHOUT ROWID;
