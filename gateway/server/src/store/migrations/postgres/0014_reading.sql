-- What was read on the national plane: what the house log holds only a salted digest of.
CREATE TABLE reading (
    entry  BIGINT PRIMARY KEY,
    name   TEXT COLLATE "C" NOT NULL,
    what   TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    salt   BYTEA NOT NULL
);
