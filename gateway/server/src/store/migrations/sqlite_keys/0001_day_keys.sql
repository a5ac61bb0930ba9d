-- One key per partner and retention day (days since 1970, UTC): it wraps the keys of the payloads that are to be erased from that day on. A destroyed
-- key is 32 zero bytes; its row stays, to tell what was destroyed from what was lost. Ids are random, so that a key store that begins anew
-- never names another key by an id that payloads hold already.
CREATE TABLE day_key (
    id           INTEGER PRIMARY KEY,
    partner      TEXT NOT NULL,
    day          INTEGER NOT NULL,
    key          BLOB NOT NULL CHECK (length(key) = 32),
    made_ms      INTEGER NOT NULL,
    destroyed_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX day_key_live ON day_key (partner, day) WHERE destroyed_ms IS NULL;
CREATE INDEX day_key_day ON day_key (day) WHERE destroyed_ms IS NULL;
