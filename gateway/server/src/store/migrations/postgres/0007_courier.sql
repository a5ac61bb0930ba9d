CREATE TABLE couriered (
    seq BIGINT PRIMARY KEY REFERENCES message (seq)
);
