-- As the key store's file for SQLite, for several gateways on one database: a database of its own, whose backups are not the data's.
CREATE TABLE day_key (
    id           BIGINT PRIMARY KEY,
    partner      TEXT COLLATE "C" NOT NULL,
    day          BIGINT NOT NULL,
    key          BYTEA NOT NULL CHECK (length(key) = 32),
    made_ms      BIGINT NOT NULL,
    destroyed_ms BIGINT
);
CREATE UNIQUE INDEX day_key_live ON day_key (partner, day) WHERE destroyed_ms IS NULL;
CREATE INDEX day_key_day ON day_key (day) WHERE destroyed_ms IS NULL;
