-- Back ends that are told what is for them, and where.
CREATE TABLE push (
    party    TEXT COLLATE "C" PRIMARY KEY,
    -- https://… of a server, or tls://… of a NATS server with JetStream.
    url      TEXT COLLATE "C" NOT NULL,
    -- The certificates by which the server is known, PEM.
    anchors  BYTEA NOT NULL,
    -- By the key of the home that signs deliveries: who can write here alone sends nothing anywhere.
    signature BYTEA NOT NULL CHECK (length(signature) = 64),
    added_ms BIGINT NOT NULL
);
