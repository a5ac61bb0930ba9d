//! What the audit covers, and what it does not, each with its reason. A test changes every other column.

use serde::Serialize;

/// Tables that evidence rests on.
pub const COVERED: [&str; 18] = [
    "alarm",
    "checkpoint",
    "cosignature",
    "delivery",
    "entry",
    "erasure",
    "log",
    "message",
    "payload",
    "question",
    "reading",
    "receipt",
    "refusal",
    "revocation_history",
    "revocation_list",
    "tile",
    "timestamp",
    "witnessed",
];

/// A table, or a column of a covered one, that no evidence rests on.
#[derive(Serialize, Clone, Copy)]
pub struct Excluded {
    /// The table.
    pub table: &'static str,
    /// The column; None: the whole table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<&'static str>,
    /// Why.
    pub reason: &'static str,
}

const fn table(table: &'static str, reason: &'static str) -> Excluded {
    Excluded { table, column: None, reason }
}

const fn column(table: &'static str, column: &'static str, reason: &'static str) -> Excluded {
    Excluded { table, column: Some(column), reason }
}

/// Tables that no evidence rests on.
pub const EXCLUDED: [Excluded; 19] = [
    table("_sqlx_migrations", "the history of the schema, checked when the database is opened"),
    table(
        "attempt",
        "how sending went, for the operator; but an expired message with or without one is in another state",
    ),
    table(
        "card",
        "settings; but each card's signature is verified, and its digest held against the house log",
    ),
    table(
        "client",
        "settings; each certificate is held against the house log, and says its role and name itself",
    ),
    table(
        "couriered",
        "which answers go into a courier's next files; each is made again from what is covered",
    ),
    table("duty", "who of several gateways does what at present"),
    table("key_exchange", "what the house log says last of each partner's connections, for the operator"),
    table("match_key", "derived, by what messages are found; nothing is proved by it"),
    table("tally", "counts for the overview, derived"),
    table("unmatched", "how far payloads of an older version have still to be made findable"),
    table("generation", "a counter that tells a running gateway to read again"),
    table("outbox", "work still to be done; a message without its outcome must stand in it"),
    table(
        "proposal",
        "signed by both operators; the house log has what was proposed and decided, and by which certificate, by digest",
    ),
    table(
        "partner",
        "settings; card, agreement and state are held against the logs; where it is dialled is the operator's",
    ),
    table(
        "push",
        "settings, signed by a key of the home; what came into force is in the house log, by digest",
    ),
    table("revocation_source", "settings, and when they were last asked"),
    table(
        "syslog_position",
        "how far the logs are at the collector; set wrongly, what it gets shows it by its index",
    ),
    table("told", "from which message on back ends are told of the end of their messages"),
    table("record", "derived: the last version of each record, to decide the next"),
];

/// Why nothing holds what only the body of a message says.
const OF_THE_BODY: &str =
    "of a refused or erased message, whose body is not there; of all others it is checked";

/// Columns of covered tables that no evidence rests on, or not in every row.
pub const EXCLUDED_COLUMNS: [Excluded; 23] = [
    column(
        "alarm",
        "at_ms",
        "of a rollback, while nothing may be written to the log; of a fork it is checked",
    ),
    column("delivery", "handed", "a count for the operator"),
    column("delivery", "lease", "passing"),
    column("delivery", "lease_ms", "passing"),
    column("delivery", "priority", "derived from the type, for the order"),
    column("delivery", "refusals", "a count for the operator"),
    column("delivery", "waits", "derived, for the order; put right at each start"),
    column(
        "delivery",
        "notice",
        "of an erased answer that was not the final one; of all others it is checked",
    ),
    column(
        "erasure",
        "reason",
        "an operator's reason may have been taken away; one that stands there is checked",
    ),
    column("erasure", "salt", "as the reason"),
    column("erasure", "reason_day", "when the reason is taken away, which leaves the log as it is"),
    column("log", "id", "a key; every row that names it is checked"),
    column("message", "expires_ms", OF_THE_BODY),
    column(
        "message",
        "purpose",
        "of a refused or erased message, and where it is not told; one that is told of a body that is there is checked",
    ),
    column(
        "message",
        "request",
        "of the back end's own bytes, to know a repeated submission; that there is one is checked",
    ),
    column(
        "message",
        "signed_ms",
        "of a refused message, and of an erased one within 300 s; of all others it is checked",
    ),
    column("message", "subject", OF_THE_BODY),
    column(
        "question",
        "answer",
        "of two erased answers between the same parties, which one; of all others it is checked",
    ),
    column(
        "question",
        "deadline_ms",
        "of an erased message, but for whether its answer came in time; of all others it is checked",
    ),
    column("revocation_list", "at_ms", "for the operator; its entry in the log has the time"),
    column("refusal", "problem", "the words that explain a refusal; its code and its form are checked"),
    column(
        "timestamp",
        "token",
        "certificates in it that nothing rests on; the statement, its signature and the chain to an anchor are checked",
    ),
    column("witnessed", "times", "how often, of one of a partner's logs; the sum over both is checked"),
];
