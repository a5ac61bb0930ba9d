-- What one operator proposes and another one approves. Both signatures are over the whole row as it then was.
CREATE TABLE proposal (
    id               TEXT COLLATE "C" PRIMARY KEY,
    plan             BYTEA NOT NULL,
    at_ms            BIGINT NOT NULL,
    until_ms         BIGINT NOT NULL,
    first            BYTEA NOT NULL,
    first_signature  BYTEA NOT NULL,
    state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'approved', 'refused')),
    second           BYTEA,
    second_signature BYTEA,
    settled_ms       BIGINT,
    CHECK ((state = 'open') = (second IS NULL))
);
