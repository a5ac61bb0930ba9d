//! A database administrator who changes what is in force, or how a value is stored, and leaves the logs as they are.

use support::Pair;

#[test]
fn settings_that_no_log_states_are_found() {
    let pair = Pair::set_up_files(None);
    let jo = &pair.jo;
    jo.ok(&["client", "add", "auditor", "alice"]);
    jo.ok(&["partner", "allow", "IQ", "--rate", "7"]);
    jo.ok(&["partner", "suspend", "IQ"]);
    jo.ok(&["partner", "allow", "IQ", "--resume"]);
    assert!(jo.audit().is_empty(), "what the operator did is stated");
    for (change, back, says) in [
        (
            "UPDATE partner SET agreement = replace(agreement, 'rate_per_second = 7', 'rate_per_second = 70')",
            "UPDATE partner SET agreement = replace(agreement, 'rate_per_second = 70', 'rate_per_second = 7')",
            "its agreement is not the one",
        ),
        ("UPDATE partner SET state = 'removed'", "UPDATE partner SET state = 'active'", "it is removed"),
        (
            "INSERT INTO client SELECT zeroblob(32), role, subject, until_ms, added_ms FROM client WHERE role = 'auditor'",
            "DELETE FROM client WHERE certificate = zeroblob(32)",
            "the house log does not state it",
        ),
        (
            "INSERT INTO revocation_list VALUES ('IQ', zeroblob(32), zeroblob(9), NULL, 1, 1)",
            "DELETE FROM revocation_list",
            "a list that the log of the channel does not state",
        ),
        (
            "INSERT INTO revocation_history SELECT id, 1, zeroblob(9), NULL FROM log WHERE partner = 'IQ'",
            "DELETE FROM revocation_history",
            "a list that the log of the channel does not state there",
        ),
        ("UPDATE log SET lists_from = 1", "UPDATE log SET lists_from = 0", "it says that lists are lost"),
    ] {
        jo.execute(change);
        let found = jo.audit();
        assert!(!found.is_empty(), "{change}");
        let text = serde_json::Value::from(found).to_string();
        assert!(text.contains(says), "{change}: {text}");
        jo.execute(back);
        assert!(jo.audit().is_empty(), "{back}");
    }
    jo.execute("DELETE FROM client WHERE role = 'auditor'");
    let found = serde_json::Value::from(jo.audit()).to_string();
    assert!(found.contains("is registered by the house log, and is not there"), "{found}");
}

#[test]
fn a_revocation_list_that_was_taken_away_is_found() {
    let pair = Pair::set_up_files(None);
    pair.iq.ok(&["key", "crl"]);
    let list = pair.iq.path.join("certs/tls.crl").to_string_lossy().into_owned();
    pair.jo.ok(&["partner", "crl", "IQ", &list]);
    assert!(pair.jo.audit().is_empty());
    pair.jo.execute("DELETE FROM revocation_list");
    let found = serde_json::Value::from(pair.jo.audit()).to_string();
    assert!(found.contains("the list that came into force last is not there"), "{found}");
}

/// An older list in the place of the newest, in force and in the history: each is one that the log states.
#[test]
fn an_older_revocation_list_put_back_is_found() {
    let pair = Pair::set_up_files(None);
    let list = pair.iq.path.join("certs/tls.crl").to_string_lossy().into_owned();
    for _ in 0..2 {
        pair.iq.ok(&["key", "crl"]);
        pair.jo.ok(&["partner", "crl", "IQ", &list]);
    }
    let jo = &pair.jo;
    assert!(jo.audit().is_empty());
    let first = "(SELECT list FROM revocation_history ORDER BY entry LIMIT 1)";
    let told = || serde_json::Value::from(jo.audit()).to_string();
    jo.execute(&format!("UPDATE revocation_list SET list = {first}"));
    let found = told();
    assert!(found.contains("does not state as the newest"), "{found}");
    jo.execute(&format!("UPDATE revocation_history SET list = {first}"));
    let found = told();
    assert!(found.contains("a list that the log of the channel does not state there"), "{found}");
    jo.execute("DELETE FROM revocation_history");
    let found = told();
    assert!(found.contains("the log of the channel states a list that is not there"), "{found}");
}

/// The bytes are the same, and the program would read them as if nothing were.
#[test]
fn a_value_of_another_kind_is_found() {
    let pair = Pair::set_up_files(None);
    let jo = &pair.jo;
    assert!(jo.audit().is_empty());
    let strict = "replace(replace(sql, 'STRICT, ', '/*STRICT,*/ '), ' STRICT', ' /*STRICT*/')";
    let back = "replace(replace(sql, '/*STRICT,*/ ', 'STRICT, '), ' /*STRICT*/', ' STRICT')";
    let schema = |sql: &str| {
        jo.execute(&format!(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = {sql} WHERE name = 'checkpoint'"
        ))
    };
    schema(strict);
    assert!(jo.execute("UPDATE checkpoint SET note = CAST(note AS TEXT)") > 0);
    schema(back);
    let found = serde_json::Value::from(jo.audit()).to_string();
    assert!(found.contains("non-BLOB value in checkpoint.note"), "{found}");
}
