-- What was read on the national plane: what the house log holds only a salted digest of.
CREATE TABLE reading (
    entry  INTEGER PRIMARY KEY,  -- in the house log
    name   TEXT NOT NULL,        -- who
    what   TEXT NOT NULL,        -- what was looked at
    reason TEXT,                 -- what for, where that is asked
    salt   BLOB NOT NULL
) STRICT;
