-- How far each log is at the collector. Below `next_index` every entry was written on a connection that still stood a while afterwards; from it
-- on entries are sent again.
CREATE TABLE syslog_position (
    log        INTEGER PRIMARY KEY,
    next_index INTEGER NOT NULL
) STRICT;
