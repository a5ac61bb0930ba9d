-- Another role on the national plane. A CHECK can only be changed with its table.
CREATE TABLE client_13 (
    certificate BLOB PRIMARY KEY,
    role        TEXT NOT NULL CHECK (role IN ('backend', 'operator', 'auditor', 'data-protection')),
    subject     TEXT NOT NULL,
    until_ms    INTEGER NOT NULL,
    added_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO client_13 (certificate, role, subject, until_ms, added_ms)
    SELECT certificate, role, subject, until_ms, added_ms FROM client;
DROP TABLE client;
ALTER TABLE client_13 RENAME TO client;
