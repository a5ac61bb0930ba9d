-- Received messages that came by courier: for as long as their sender waits, their answers go into the files for it.
CREATE TABLE couriered (
    seq INTEGER PRIMARY KEY REFERENCES message (seq)
) STRICT;
