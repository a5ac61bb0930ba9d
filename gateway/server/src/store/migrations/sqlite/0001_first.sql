-- Instants are milliseconds since 1970 in UTC; digests are 32 bytes of SHA-256; ids are the 16 bytes of a UUIDv7.

-- One row per log: the house log (partner NULL) and one channel log per partner.
CREATE TABLE log (
    id      INTEGER PRIMARY KEY,
    origin  TEXT NOT NULL UNIQUE,
    partner TEXT UNIQUE,
    size    INTEGER NOT NULL,
    root    BLOB NOT NULL,
    -- How many checkpoints were signed: one that is taken away is missed.
    signed  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Entries verbatim: their bytes are what the leaf hashes cover.
CREATE TABLE entry (
    log  INTEGER NOT NULL REFERENCES log (id),
    idx  INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (log, idx)
) STRICT, WITHOUT ROWID;

-- C2SP tlog-tiles, height 8: at most 256 hashes of 32 bytes.
CREATE TABLE tile (
    log    INTEGER NOT NULL REFERENCES log (id),
    level  INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (log, level, idx)
) STRICT, WITHOUT ROWID;

-- Every signed checkpoint, so that a receipt can be made again byte for byte.
CREATE TABLE checkpoint (
    log  INTEGER NOT NULL REFERENCES log (id),
    size INTEGER NOT NULL,
    note BLOB NOT NULL,
    PRIMARY KEY (log, size)
) STRICT, WITHOUT ROWID;

-- One row per message with a verdict (received) or submitted (sent), in order of arrival, so that rows grow at one end.
CREATE TABLE message (
    seq        INTEGER PRIMARY KEY,
    direction  TEXT NOT NULL CHECK (direction IN ('received', 'sent')),
    partner    TEXT NOT NULL,
    source     TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    id         BLOB NOT NULL,
    type       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    subject    TEXT NOT NULL,
    digest     BLOB NOT NULL,
    signed_ms  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    log        INTEGER NOT NULL REFERENCES log (id),
    entry      INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    state      TEXT NOT NULL,
    code       TEXT,
    request    BLOB
) STRICT;
CREATE UNIQUE INDEX message_id ON message (partner, direction, id, source);
CREATE INDEX message_subject ON message (subject, seq);
CREATE INDEX message_dead ON message (partner) WHERE state = 'dead';

-- The signed bytes. key_id 0: not encrypted.
CREATE TABLE payload (
    seq    INTEGER PRIMARY KEY REFERENCES message (seq),
    key_id INTEGER NOT NULL DEFAULT 0,
    bytes  BLOB NOT NULL
) STRICT;

-- The problem document of a refusal: ours of a received message, the partner's of a sent one. It holds codes, pointers and rule ids.
CREATE TABLE refusal (
    seq     INTEGER PRIMARY KEY REFERENCES message (seq),
    problem BLOB NOT NULL
) STRICT;

-- The partner's receipt for a message sent.
CREATE TABLE receipt (
    seq   INTEGER PRIMARY KEY REFERENCES message (seq),
    bytes BLOB NOT NULL
) STRICT;

-- Messages still to be sent. A row goes when the message has its outcome. `record` is the state that the record takes once the partner
-- accepts, a JSON object.
CREATE TABLE outbox (
    seq      INTEGER PRIMARY KEY REFERENCES message (seq),
    partner  TEXT NOT NULL,
    subject  TEXT NOT NULL,
    due_ms   INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL DEFAULT 0,
    lease    BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    record   TEXT
) STRICT;
CREATE INDEX outbox_lane ON outbox (partner, subject, seq);
CREATE INDEX outbox_due ON outbox (due_ms, seq);

-- What became of each attempt to send.
CREATE TABLE attempt (
    seq     INTEGER NOT NULL REFERENCES message (seq),
    n       INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;

-- Accepted messages to be handed over to a back end; done_ms is set by the acknowledgement.
CREATE TABLE delivery (
    seq       INTEGER PRIMARY KEY REFERENCES message (seq),
    recipient TEXT NOT NULL,
    partner   TEXT NOT NULL,
    subject   TEXT NOT NULL,
    lease_ms  INTEGER NOT NULL DEFAULT 0,
    lease     BLOB,
    handed    INTEGER NOT NULL DEFAULT 0,
    done_ms   INTEGER
) STRICT;
CREATE INDEX delivery_open ON delivery (recipient, seq) WHERE done_ms IS NULL;
CREATE INDEX delivery_lane ON delivery (partner, subject, seq) WHERE done_ms IS NULL;

-- The last version of each record: the lifecycle is decided on this row, never on payloads. For messages sent, `head` is the last one
-- submitted and `settled` the last one the partner accepted; for messages received both are the same. Each is a JSON object.
CREATE TABLE record (
    partner   TEXT NOT NULL,
    direction TEXT NOT NULL,
    subject   TEXT NOT NULL,
    head      TEXT,
    settled   TEXT,
    PRIMARY KEY (partner, direction, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE partner (
    country   TEXT PRIMARY KEY,
    state     TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    card      BLOB NOT NULL,
    agreement TEXT NOT NULL,
    connect   TEXT,
    added_ms  INTEGER NOT NULL
) STRICT;

-- Every card that was ever in force: an entry is judged, years later, by the card of its time.
CREATE TABLE card (
    country TEXT NOT NULL,
    digest  BLOB NOT NULL,
    bytes   BLOB NOT NULL,
    at_ms   INTEGER NOT NULL,
    PRIMARY KEY (country, digest)
) STRICT, WITHOUT ROWID;

-- Certificates on the national plane; one back end may hold several.
CREATE TABLE client (
    certificate BLOB PRIMARY KEY,
    role        TEXT NOT NULL CHECK (role IN ('backend', 'operator', 'auditor')),
    subject     TEXT NOT NULL,
    until_ms    INTEGER NOT NULL,
    added_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counts up with every change to partner or client, so that a running gateway sees it.
CREATE TABLE generation (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO generation (id, value) VALUES (1, 1);
