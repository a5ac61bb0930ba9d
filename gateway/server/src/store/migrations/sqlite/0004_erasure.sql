-- The payload's own key, wrapped under the day key `key_id` of the key store. NULL where key_id is 0: not encrypted, of an older version.
ALTER TABLE payload ADD COLUMN wrapped BLOB;
CREATE INDEX payload_key ON payload (key_id);

-- Payloads that were erased: each stands in its channel's log as `entry`, kind `erased`. An operator's reason, of which the house log has a salted
-- digest, is kept until `reason_day` (days since 1970, UTC) and then taken away, without harm to the log.
CREATE TABLE erasure (
    seq        INTEGER PRIMARY KEY REFERENCES message (seq),
    entry      INTEGER NOT NULL,
    rule       TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    salt       BLOB,
    reason     TEXT,
    reason_day INTEGER
) STRICT;
CREATE INDEX erasure_reason ON erasure (reason_day) WHERE reason IS NOT NULL;
