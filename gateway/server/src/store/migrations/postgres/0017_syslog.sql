-- How far each log is at the collector. Below `next_index` every entry was written on a connection that still stood a while afterwards; from it
-- on entries are sent again.
CREATE TABLE syslog_position (
    log        BIGINT PRIMARY KEY,
    next_index BIGINT NOT NULL
);
