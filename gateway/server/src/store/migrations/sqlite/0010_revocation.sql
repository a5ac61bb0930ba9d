-- What partners' authorities have revoked: the newest list of each issuer.
CREATE TABLE revocation_list (
    partner TEXT NOT NULL,
    -- SHA-256 of the issuer's name, DER.
    issuer  BLOB NOT NULL CHECK (length(issuer) = 32),
    list    BLOB NOT NULL,
    -- The certificate of an issuer that is no anchor of the card.
    above   BLOB,
    next_ms INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    PRIMARY KEY (partner, issuer)
) STRICT, WITHOUT ROWID;
-- Where they are fetched.
CREATE TABLE revocation_source (
    partner    TEXT NOT NULL,
    url        TEXT NOT NULL,
    -- For an https:// source: by which authorities its server is known, PEM.
    roots      BLOB,
    checked_ms INTEGER NOT NULL,
    failure    TEXT,
    PRIMARY KEY (partner, url)
) STRICT, WITHOUT ROWID;
