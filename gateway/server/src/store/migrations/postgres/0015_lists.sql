-- Every revocation list that came into force, under its entry in the log of the channel. For ever, as rows of messages are:
-- evidence of any of them names the lists that it was taken under.
CREATE TABLE revocation_history (
    log   BIGINT NOT NULL REFERENCES log (id),
    entry BIGINT NOT NULL,
    list  BYTEA NOT NULL,
    -- The certificate of an issuer that is no anchor of the card.
    above BYTEA,
    PRIMARY KEY (log, entry)
);
-- Behind the last entry of a list that is not kept, in a home from before there was a history. 0: every list is kept. Those in force are
-- taken in when the database is opened, as with SQLite.
ALTER TABLE log ADD COLUMN lists_from BIGINT NOT NULL DEFAULT 0;
UPDATE log SET lists_from = coalesce(
    (SELECT max(idx) + 1 FROM entry WHERE entry.log = log.id AND position(convert_to('"what":"crl","digest":', 'UTF8') IN body) > 0), 0)
    WHERE partner IS NOT NULL;
