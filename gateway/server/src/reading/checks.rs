//! Which checks a message passed.

use crate::store::message::{Message, State};

/// The checks that a message passed, by what its state implies: they are made in this order, and the
/// first that fails ends them. False: it failed.
pub fn checks(row: &Message) -> Vec<(&'static str, bool)> {
    const ORDER: [(&str, &[&str]); 7] = [
        ("signature", &[]),
        ("envelope", &["event_invalid"]),
        ("not seen before", &["id_conflict"]),
        (
            "certificate and times",
            &[
                "certificate_not_yet_valid",
                "certificate_expired",
                "certificate_revoked",
                "iat_in_future",
                "expired",
                "lifetime_too_long",
                "id_time_mismatch",
                "time_in_future",
            ],
        ),
        (
            "parties and agreement",
            &[
                "source_foreign",
                "recipient_foreign",
                "recipient_unknown",
                "schema_unknown",
                "agreement_type",
                "agreement_version",
                "agreement_status",
                "agreement_purpose",
                "agreement_authority",
                "agreement_handling",
                "releasability",
            ],
        ),
        ("schema and rules", &["schema_invalid", "rules_violated"]),
        (
            "lifecycle",
            &[
                "record_exists",
                "record_cancelled",
                "record_originator",
                "record_type",
                "version_not_greater",
                "supersedes_mismatch",
            ],
        ),
    ];
    let code = row.code.as_deref().filter(|_| row.state == State::Rejected);
    let failed = code.and_then(|code| ORDER.iter().position(|(_, codes)| codes.contains(&code)));
    ORDER
        .iter()
        .enumerate()
        .take(failed.map_or(ORDER.len(), |at| at + 1))
        .map(|(at, (name, _))| (*name, Some(at) != failed))
        .collect()
}
