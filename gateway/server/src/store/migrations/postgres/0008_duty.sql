-- Which of several gateways on this database does what only one has to, for a while.
CREATE TABLE duty (
    name     TEXT COLLATE "C" PRIMARY KEY,
    holder   BYTEA NOT NULL,
    until_ms BIGINT NOT NULL
);
