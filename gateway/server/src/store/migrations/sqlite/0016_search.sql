-- What became of messages, counted by hour since 1970 (UTC) for the overview. Derived, and kept up in the transactions that it counts; the
-- first counts are taken from the messages, whose ends are counted with their beginnings. `outcome` is `submitted` where a message of ours was taken
-- over, else `accepted`, the code of a refusal, or how it ended.
CREATE TABLE tally (
    hour      INTEGER NOT NULL,
    partner   TEXT NOT NULL,
    direction TEXT NOT NULL,
    type      TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    messages  INTEGER NOT NULL,
    PRIMARY KEY (hour, partner, direction, type, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO tally (hour, partner, direction, type, outcome, messages)
    SELECT at_ms / 3600000, partner, direction, type,
           CASE WHEN state IN ('accepted', 'receipted') THEN 'accepted' WHEN state = 'rejected' THEN coalesce(code, state) ELSE state END,
           count(*)
    FROM message WHERE state <> 'queued' GROUP BY 1, 2, 3, 4, 5;
INSERT INTO tally (hour, partner, direction, type, outcome, messages)
    SELECT at_ms / 3600000, partner, direction, type, 'submitted', count(*)
    FROM message WHERE direction = 'sent' GROUP BY 1, 2, 3, 4, 5;

-- By what a message can be found: the first 16 bytes of HMAC-SHA256 under a key made from its day key, so that nothing of a payload stands here
-- in clear, and what was destroyed with the day key can be guessed no more. `key_id` first: what comes in together lies together.
CREATE TABLE match_key (
    key_id INTEGER NOT NULL,
    key    BLOB NOT NULL,
    seq    INTEGER NOT NULL REFERENCES message (seq),
    PRIMARY KEY (key_id, key, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX match_key_seq ON match_key (seq);

-- Payloads below this one were kept by a version without match keys, and have still to get theirs.
CREATE TABLE unmatched (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    upto INTEGER NOT NULL
) STRICT;
INSERT INTO unmatched (id, upto) SELECT 1, coalesce(max(seq), 0) FROM payload;

-- What the data may be used for; NULL: of a message taken by an older version, or of a refused one that does not say.
ALTER TABLE message ADD COLUMN purpose TEXT;
CREATE INDEX message_type ON message (type, seq);
