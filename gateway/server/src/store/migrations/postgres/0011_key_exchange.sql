-- In which group keys were exchanged with each partner: `in` on its connections, `out` on ours.
CREATE TABLE key_exchange (
    partner   TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL CHECK (direction IN ('in', 'out')),
    kx        TEXT COLLATE "C" NOT NULL,
    at_ms     BIGINT NOT NULL,
    PRIMARY KEY (partner, direction)
);
