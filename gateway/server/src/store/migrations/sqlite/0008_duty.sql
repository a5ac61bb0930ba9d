-- Which of several gateways on a database does what only one has to, for a while. A file has one gateway: nothing stands here.
CREATE TABLE duty (
    name     TEXT PRIMARY KEY,
    holder   BLOB NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
