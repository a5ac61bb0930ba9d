-- The payload's own key, wrapped under the day key `key_id` of the key store. NULL where key_id is 0: not encrypted, of an older version.
ALTER TABLE payload ADD COLUMN wrapped BLOB;
CREATE INDEX payload_key ON payload (key_id);

-- Payloads that were erased: each stands in its channel's log as `entry`, kind `erased`. An operator's reason, for both of which the house log has
-- one salted digest, is kept beside it and can be taken away without harm to the log.
CREATE TABLE erasure (
    seq    INTEGER PRIMARY KEY REFERENCES message (seq),
    entry  INTEGER NOT NULL,
    rule   TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    salt   BLOB,
    reason TEXT
) STRICT;
