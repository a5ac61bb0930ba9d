-- Urgent messages (`priority` 0) go before others (1). Of each record only the first version that is still open is up for an attempt: the later ones
-- have `waits` 1. With both in the index, what is next is found without reading what is not.
ALTER TABLE outbox ADD COLUMN priority BIGINT NOT NULL DEFAULT 1;
ALTER TABLE outbox ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN expires_ms BIGINT NOT NULL DEFAULT 0;
UPDATE outbox SET
    priority = CASE WHEN (SELECT m.type FROM message m WHERE m.seq = outbox.seq) IN
        ('alert.document', 'alert.person', 'alert.vehicle', 'control.result', 'hit.notice', 'incident.notice', 'query.request',
         'query.response', 'risk.notice') THEN 0 ELSE 1 END,
    waits = CASE WHEN EXISTS (SELECT 1 FROM outbox e
        WHERE e.partner = outbox.partner AND e.subject = outbox.subject AND e.seq < outbox.seq) THEN 1 ELSE 0 END,
    expires_ms = (SELECT m.expires_ms FROM message m WHERE m.seq = outbox.seq);
DROP INDEX outbox_due;
CREATE INDEX outbox_next ON outbox (partner, priority, due_ms, seq) WHERE waits = 0;
CREATE INDEX outbox_expiry ON outbox (expires_ms) WHERE waits = 0;

-- A message can be handed over more than once: a message of ours is told of when it ends, and its question when the answer is missing. `done_ms` is when
-- the hand-over ended, in whichever state.
CREATE TABLE delivery_6 (
    seq       BIGINT NOT NULL REFERENCES message (seq),
    n         BIGINT NOT NULL,
    recipient TEXT COLLATE "C" NOT NULL,
    partner   TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    notice    TEXT COLLATE "C",
    priority  BIGINT NOT NULL,
    waits     BIGINT NOT NULL,
    lease_ms  BIGINT NOT NULL DEFAULT 0,
    lease     BYTEA,
    handed    BIGINT NOT NULL DEFAULT 0,
    refusals  BIGINT NOT NULL DEFAULT 0,
    state     TEXT COLLATE "C" NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'delivered', 'dead', 'dropped')),
    code      TEXT COLLATE "C",
    done_ms   BIGINT,
    PRIMARY KEY (seq, n)
);
INSERT INTO delivery_6 (seq, n, recipient, partner, subject, notice, priority, waits, lease_ms, lease, handed, state, done_ms)
SELECT d.seq, 1, d.recipient, d.partner, d.subject, d.notice,
    CASE WHEN (SELECT m.type FROM message m WHERE m.seq = d.seq) IN
        ('alert.document', 'alert.person', 'alert.vehicle', 'control.result', 'hit.notice', 'incident.notice', 'query.request',
         'query.response', 'risk.notice') THEN 0 ELSE 1 END,
    CASE WHEN EXISTS (SELECT 1 FROM delivery e
        WHERE e.partner = d.partner AND e.subject = d.subject AND e.seq < d.seq AND e.done_ms IS NULL) THEN 1 ELSE 0 END,
    d.lease_ms, d.lease, d.handed, CASE WHEN d.done_ms IS NULL THEN 'open' ELSE 'delivered' END, d.done_ms
FROM delivery d;
DROP TABLE delivery;
ALTER TABLE delivery_6 RENAME TO delivery;
CREATE INDEX delivery_next ON delivery (recipient, priority, seq, n) WHERE done_ms IS NULL AND waits = 0;
CREATE INDEX delivery_free ON delivery (recipient, lease_ms) WHERE done_ms IS NULL AND waits = 0;
CREATE INDEX delivery_lane ON delivery (partner, subject, seq, n) WHERE done_ms IS NULL;
CREATE INDEX delivery_dead ON delivery (recipient) WHERE state = 'dead';

-- Back ends are told of the end of every message after this one. What ended before, was not told.
CREATE TABLE told (
    id        BIGINT PRIMARY KEY CHECK (id = 1),
    after_seq BIGINT NOT NULL
);
INSERT INTO told (id, after_seq) SELECT 1, coalesce(max(seq), 0) FROM message;
