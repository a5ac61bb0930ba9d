-- Questions asked or received, until their final answer or their deadline.
CREATE TABLE question (
    seq         INTEGER PRIMARY KEY REFERENCES message (seq),
    -- 1 where a back end of ours asked: it is told when no answer came.
    ours        INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'answered', 'missed')),
    -- The message that answered finally.
    answer      INTEGER REFERENCES message (seq)
) STRICT;
CREATE INDEX question_due ON question (deadline_ms) WHERE ours = 1 AND state = 'open';
CREATE INDEX question_answer ON question (answer) WHERE answer IS NOT NULL;

-- Why a delivery is more than the message itself: `answer_late`, `answer_missing`.
ALTER TABLE delivery ADD COLUMN notice TEXT;
