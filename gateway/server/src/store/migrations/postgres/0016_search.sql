-- What became of messages, counted by hour since 1970 (UTC) for the overview. Derived, and kept up in the transactions that it counts; the
-- first counts are taken from the messages, whose ends are counted with their beginnings. `outcome` is `submitted` where a message of ours was taken
-- over, else `accepted`, the code of a refusal, or how it ended.
CREATE TABLE tally (
    hour      BIGINT NOT NULL,
    partner   TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    outcome   TEXT COLLATE "C" NOT NULL,
    messages  BIGINT NOT NULL,
    PRIMARY KEY (hour, partner, direction, type, outcome)
);
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
    key_id BIGINT NOT NULL,
    key    BYTEA NOT NULL,
    seq    BIGINT NOT NULL REFERENCES message (seq),
    PRIMARY KEY (key_id, key, seq)
);
CREATE INDEX match_key_seq ON match_key (seq);

-- Payloads below this one were kept by a version without match keys, and have still to get theirs.
CREATE TABLE unmatched (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    upto BIGINT NOT NULL
);
INSERT INTO unmatched (id, upto) SELECT 1, coalesce(max(seq), 0) FROM payload;

-- What the data may be used for; NULL: of a message taken by an older version, or of a refused one that does not say.
ALTER TABLE message ADD COLUMN purpose TEXT COLLATE "C";
CREATE INDEX message_type ON message (type, seq);
