-- What partners' authorities have revoked: the newest list of each issuer.
CREATE TABLE revocation_list (
    partner TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the issuer's name, DER.
    issuer  BYTEA NOT NULL CHECK (length(issuer) = 32),
    list    BYTEA NOT NULL,
    -- The certificate of an issuer that is no anchor of the card.
    above   BYTEA,
    next_ms BIGINT NOT NULL,
    at_ms   BIGINT NOT NULL,
    PRIMARY KEY (partner, issuer)
);
-- Where they are fetched.
CREATE TABLE revocation_source (
    partner    TEXT COLLATE "C" NOT NULL,
    url        TEXT COLLATE "C" NOT NULL,
    -- For an https:// source: by which authorities its server is known, PEM.
    roots      BYTEA,
    checked_ms BIGINT NOT NULL,
    failure    TEXT COLLATE "C",
    PRIMARY KEY (partner, url)
);
