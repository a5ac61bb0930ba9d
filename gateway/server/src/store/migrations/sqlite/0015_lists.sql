-- Every revocation list that came into force, under its entry in the log of the channel. For ever, as rows of messages are:
-- evidence of any of them names the lists that it was taken under.
CREATE TABLE revocation_history (
    log   INTEGER NOT NULL REFERENCES log (id),
    entry INTEGER NOT NULL,
    list  BLOB NOT NULL,
    -- The certificate of an issuer that is no anchor of the card.
    above BLOB,
    PRIMARY KEY (log, entry)
) STRICT, WITHOUT ROWID;
-- Behind the last entry of a list that is not kept, in a home from before there was a history. 0: every list is kept. Those in force are
-- taken in when the database is opened, since SQLite makes no digests.
ALTER TABLE log ADD COLUMN lists_from INTEGER NOT NULL DEFAULT 0;
UPDATE log SET lists_from = coalesce(
    (SELECT max(idx) + 1 FROM entry WHERE entry.log = log.id AND instr(body, CAST('"what":"crl","digest":' AS BLOB)) > 0), 0)
    WHERE partner IS NOT NULL;
