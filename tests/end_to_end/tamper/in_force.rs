//! A database administrator who changes what is in force under a gateway: what the logs do not state has no effect.

use serde_json::json;
use silkgate_certs::Authority;
use silkgate_message::revocation::serial;
use support::home::Home;
use support::{Pair, event, now_ms, sign, wait_for};
use time::OffsetDateTime;

use super::{IQ, JO};

/// Has the running gateway read its settings again, as an operator's command does.
const TOUCH: &str = "UPDATE generation SET value = value + 1";
const OPEN: &str =
    "UPDATE partner SET agreement = replace(agreement, 'purposes = [', 'purposes = [\"tax-collection\", ')";
const SHUT: &str = "UPDATE partner SET agreement = replace(agreement, '\"tax-collection\", ', '')";

fn pair() -> Pair {
    let mut pair = Pair::set_up_files(None);
    pair.jo.with_operations();
    pair
}

fn unstated(jo: &Home) -> Option<f64> {
    jo.figure("silkgate_settings_unstated{partner=\"IQ\"}")
}

/// How Jordan answers a message of Iraq's for that purpose.
fn answer(pair: &Pair, purpose: &str) -> String {
    let mut event = event(IQ, JO);
    event["purpose"] = json!(purpose);
    let answer = pair.iq.as_partner_of(&pair.jo).message(&sign(&pair.iq.message_key(), &event).bytes);
    if answer.status == 200 { "accepted".to_owned() } else { answer.code() }
}

/// The purpose that the agreement has from its first day on.
fn usual() -> String {
    event(IQ, JO)["purpose"].as_str().unwrap().to_owned()
}

/// Changes the database under the running gateway, and waits until it has seen that.
fn change(jo: &Home, sql: &str, expected: f64) {
    assert!(jo.execute(sql) > 0, "{sql}");
    jo.execute(TOUCH);
    wait_for(sql, || (unstated(jo) == Some(expected)).then_some(()));
}

#[test]
fn a_running_gateway_goes_on_with_what_the_logs_state() {
    let mut pair = pair();
    pair.jo.start();
    assert_eq!([answer(&pair, &usual()), answer(&pair, "tax-collection")], ["accepted", "agreement_purpose"]);
    assert_eq!(unstated(&pair.jo), Some(0.0));

    change(&pair.jo, OPEN, 1.0);
    assert_eq!([answer(&pair, &usual()), answer(&pair, "tax-collection")], ["accepted", "agreement_purpose"]);
    let alarm = "ALARM: settings that no log states: somebody has changed the database partner=IQ code=settings_unstated";
    wait_for("the alarm", || {
        let log = pair.jo.gateway_log();
        log.lines().find(|line| line.contains(alarm)).map(|line| {
            assert!(
                line.contains("its agreement is not the one") && line.contains("those before stay in force"),
                "{line}"
            );
        })
    });
    // Shown to the operator, whose next command must not put it into the log.
    let status = pair.jo.json(&["status"]);
    assert!(status["partners"][0]["unstated"].as_str().unwrap().contains("agreement"), "{status}");
    let refused = pair.jo.run(&["partner", "allow", "IQ", "--rate", "9"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("somebody has changed the database"), "{said}");
    // The database is put right, or an operator puts a whole agreement into force.
    change(&pair.jo, SHUT, 0.0);
    let file = pair.folder.path().join("iq.toml");
    std::fs::write(&file, pair.jo.ok(&["partner", "show", "IQ", "--agreement"])).unwrap();
    change(&pair.jo, OPEN, 1.0);
    pair.jo.ok(&["partner", "agree", "IQ", &file.to_string_lossy()]);
    wait_for("the operator's word", || (unstated(&pair.jo) == Some(0.0)).then_some(()));
    assert_eq!([answer(&pair, &usual()), answer(&pair, "tax-collection")], ["accepted", "agreement_purpose"]);

    // A suspension is not lifted, also where the gateway has not seen it: what it had before is not what the logs state either.
    pair.jo.ok(&["partner", "suspend", "IQ"]);
    change(&pair.jo, "UPDATE partner SET state = 'active'", 1.0);
    assert_eq!(answer(&pair, &usual()), "partner_suspended");
    change(&pair.jo, "UPDATE partner SET state = 'suspended'", 0.0);
    pair.jo.ok(&["partner", "allow", "IQ", "--resume"]);
    wait_for("Iraq to come in", || (answer(&pair, &usual()) == "accepted").then_some(()));

    // What was revoked stays revoked.
    let read = |path: &str| std::fs::read_to_string(pair.iq.path.join(path)).unwrap();
    let authority = Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap();
    let at = |hours: i64| OffsetDateTime::from_unix_timestamp(now_ms() / 1000 + hours * 3600).unwrap();
    let gateway = support::wire::certificates(&pair.iq.path.join("certs/tls.pem")).remove(0);
    let revoked = [(serial(&gateway).unwrap(), at(-1))];
    let list = pair.folder.path().join("iraq.crl");
    std::fs::write(&list, authority.revocation_list(1, &revoked, at(-1), at(9)).unwrap()).unwrap();
    pair.jo.ok(&["partner", "crl", "IQ", &list.to_string_lossy()]);
    let client = pair.iq.as_partner_of(&pair.jo);
    let is_out = || client.request("GET", "/v1/channel", "application/json", b"").is_err();
    wait_for("Iraq to be out", || is_out().then_some(()));
    change(&pair.jo, "DELETE FROM revocation_list", 1.0);
    assert!(is_out(), "a list that was deleted stays in force");
}

#[test]
fn a_start_halts_a_partner_whose_settings_no_log_states() {
    let mut pair = pair();
    pair.jo.start();
    assert_eq!(answer(&pair, &usual()), "accepted");
    assert_eq!(pair.jo.stop(), Some(0));
    // With and without what an earlier start remembers of the logs.
    for remembered in [true, false] {
        assert!(pair.jo.execute(OPEN) > 0);
        if !remembered {
            std::fs::remove_file(pair.jo.path.join("stated.json")).unwrap();
        }
        pair.jo.start();
        assert_eq!(answer(&pair, &usual()), "partner_suspended");
        wait_for("the alarm", || pair.jo.gateway_log().contains("nothing passes with it").then_some(()));
        assert_eq!(unstated(&pair.jo), Some(1.0));
        change(&pair.jo, SHUT, 0.0);
        assert_eq!(
            [answer(&pair, &usual()), answer(&pair, "tax-collection")],
            ["accepted", "agreement_purpose"]
        );
        assert_eq!(pair.jo.stop(), Some(0));
    }
    assert!(pair.jo.audit().is_empty());
    // An entry that states it, and that nobody signed.
    assert!(pair.jo.execute(OPEN) > 0);
    let forged = "INSERT INTO entry SELECT log.id, log.size, (SELECT body FROM entry AS e WHERE e.log = log.id AND CAST(body AS TEXT) LIKE \
                  '%agreement%' ORDER BY idx DESC LIMIT 1) FROM log WHERE partner = 'IQ'";
    assert!(pair.jo.execute(forged) > 0);
    assert!(pair.jo.execute("UPDATE log SET size = size + 1 WHERE partner = 'IQ'") > 0);
    pair.jo.start();
    assert_eq!(answer(&pair, &usual()), "partner_suspended");
    let log = wait_for("the alarm", || {
        let log = pair.jo.gateway_log();
        log.contains("no key of ours signed its newest checkpoint").then_some(log)
    });
    assert!(log.contains("code=settings_unstated"), "{log}");
}
