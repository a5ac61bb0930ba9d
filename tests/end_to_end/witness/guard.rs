//! The rollback guard: an older database is noticed before anything is written, and what is lost is given up on the record.

use serde_json::{Value, json};
use support::home::{Home, set};
use support::{event, sign, wait_for};

use super::{IQ, JO, OF_IQ, all_cosigned, quick, ring_sha256, stop, submit, told};

#[test]
fn an_older_database_put_back_is_noticed_before_anything_is_written() {
    put_back_and_recover(false);
}

#[test]
fn a_neighbour_may_give_up_the_lost_history_first() {
    put_back_and_recover(true);
}

fn put_back_and_recover(witness_first: bool) {
    let mut pair = quick();
    pair.iq.start();
    pair.jo.start();
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.jo);
    stop(&mut pair.jo);
    let older = pair.jo.snapshot();
    pair.jo.start();
    let lost = submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.jo);
    stop(&mut pair.jo);
    pair.jo.put_back(&older);
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let message = sign(&pair.iq.message_key(), &event(IQ, JO));
    let answer = client.message(&message.bytes);
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("read-only"), "{}", answer.json());
    assert_eq!(pair.jo.back_end(JO).submit(&event(JO, IQ)).status, 503);
    assert_eq!(pair.jo.back_end(JO).get("/v1/deliveries").status, 503);
    let status = pair.jo.json(&["status"]);
    assert_eq!(
        (&status["alarms"][0]["kind"], &status["alarms"][0]["partner"]),
        (&json!("rollback"), &json!("IQ"))
    );
    wait_for("the alarm", || pair.jo.gateway_log().contains("The gateway is READ-ONLY").then_some(()));
    let refused = pair.jo.run(&["partner", "allow", "IQ", "--purpose", "customs-control"]);
    assert_eq!(refused.status.code(), Some(2), "an operator's command writes nothing either");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("silkgate log recover IQ"));
    assert_eq!(client.get("/v1/log/checkpoint").status, 200, "the log can still be read");
    // It stays so after a restart, also while nobody can be asked.
    pair.iq.kill();
    assert_eq!(pair.jo.stop(), Some(0));
    pair.jo.start();
    assert_eq!(client.message(&message.bytes).status, 503);
    pair.iq.start();

    // The way out, on both sides, under one code.
    let (jo, iq) = (told(&pair.jo, "IQ"), told(&pair.iq, "JO"));
    assert_eq!((&jo["lost"], &iq["lost"]), (&json!("ours"), &json!("theirs")));
    assert_eq!((&jo["code"], &jo["given_up"]), (&iq["code"], &iq["given_up"]), "both operators see the same");
    let code = jo["code"].as_str().unwrap();
    let mut order = [(&pair.jo, "IQ"), (&pair.iq, "JO")];
    if witness_first {
        order.reverse();
    }
    for (home, partner) in order {
        home.ok(&["log", "recover", partner, "--code", code]);
    }
    for (home, partner, what) in
        [(&pair.jo, "IQ", "log_recovered"), (&pair.iq, "JO", "partner_log_recovered")]
    {
        assert!(home.log(&["--partner", partner]).iter().any(|entry| entry["what"] == what), "{what}");
    }
    wait_for("messages to pass again", || (client.message(&message.bytes).status == 200).then_some(()));
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.jo);
    all_cosigned(&pair.iq);
    // Both sides know what was given up. (The message sent past Iraq's gateway by hand differs, as it must.)
    for (home, partner) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        let output = home.run(&["reconcile", partner, "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let given_up = report["given_up"].as_array().unwrap();
        assert!(given_up.iter().any(|found| found["id"] == lost.as_str()), "{report}");
        assert_eq!(report["inconsistent"], json!([]));
        let differ = ["only_ours", "only_theirs", "different_digest", "different_verdict"];
        let differ: Vec<&Value> = differ.iter().flat_map(|name| report[name].as_array().unwrap()).collect();
        assert!(differ.iter().all(|found| found["id"] == message.id.as_str()), "{report}");
    }
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
    // How an alarm was settled is what the house logs state.
    for home in [&mut pair.iq, &mut pair.jo] {
        assert_eq!(home.stop(), Some(0));
        let sound = home.snapshot();
        for change in
            ["goes_on = NULL", "goes_on = theirs", "settled_ms = settled_ms + 1", "settled_ms = NULL"]
        {
            home.execute(&format!("UPDATE alarm SET {change}"));
            let findings = home.audit();
            assert!(
                findings.iter().any(|found| found["place"].as_str().unwrap().starts_with("alarm")),
                "{change}"
            );
            home.put_back(&sound);
        }
    }
}

#[test]
fn a_partner_that_cannot_be_reached_at_the_start_is_waited_for_or_an_operator_gives_the_word() {
    let mut pair = quick();
    pair.iq.start();
    pair.jo.start();
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.jo);
    all_cosigned(&pair.iq);
    pair.iq.kill();
    pair.jo.kill();
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let message = sign(&pair.iq.message_key(), &event(IQ, JO));
    let answer = client.message(&message.bytes);
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("silkgate log confirm"));
    // Witness and log are served meanwhile: two that start together do not wait for each other.
    assert_eq!(client.get("/v1/log/checkpoint").status, 200);
    assert_eq!(client.get(&format!("/v1/witness/{}/checkpoint", ring_sha256(OF_IQ))).status, 200);
    pair.jo.ok(&["log", "confirm", "IQ"]);
    wait_for("the operator's word", || (client.message(&message.bytes).status == 200).then_some(()));
    assert!(pair.jo.log(&["--partner", "house"]).iter().any(|entry| entry["what"] == "log_confirmed"));
    // It holds until the partner witnesses again.
    pair.jo.kill();
    pair.jo.start();
    assert_eq!(client.message(&sign(&pair.iq.message_key(), &event(IQ, JO)).bytes).status, 200);
    pair.iq.start();
    all_cosigned(&pair.jo);
    pair.iq.kill();
    pair.jo.kill();
    pair.jo.start();
    assert_eq!(client.message(&sign(&pair.iq.message_key(), &event(IQ, JO)).bytes).status, 503);
    // Iraq comes back, and Jordan goes on by itself.
    pair.iq.start();
    wait_for("the partner's word", || {
        (client.message(&sign(&pair.iq.message_key(), &event(IQ, JO)).bytes).status == 200).then_some(())
    });
    assert_eq!(pair.jo.json(&["status"])["alarms"], json!([]));
}

/// Two neighbours have seen what is lost; it is settled with one after the other, and can be again.
#[test]
fn a_loss_is_settled_with_each_neighbour_and_may_come_twice() {
    let mut pair = quick();
    let mut sa = Home::init(pair.folder.path(), "SA/border-guard");
    set(&sa, "show_seconds", "0");
    for home in [&pair.jo, &sa] {
        home.add_partner(if home.country == "JO" { &sa } else { &pair.jo }, None);
    }
    for home in [&mut pair.iq, &mut pair.jo, &mut sa] {
        home.start();
    }
    for _ in 0..2 {
        submit(&pair.iq, IQ, JO);
        submit(&sa, "SA/border-guard", JO);
        all_cosigned(&pair.jo);
        stop(&mut pair.jo);
        let older = pair.jo.snapshot();
        pair.jo.start();
        submit(&pair.iq, IQ, JO);
        submit(&sa, "SA/border-guard", JO);
        all_cosigned(&pair.jo);
        stop(&mut pair.jo);
        pair.jo.put_back(&older);
        pair.jo.start();
        wait_for("both to tell", || {
            let alarms = pair.jo.json(&["status"])["alarms"].clone();
            let of = |partner| alarms.as_array().unwrap().iter().any(|alarm| alarm["partner"] == partner);
            (of("IQ") && of("SA")).then_some(())
        });
        for (other, country) in [(&pair.iq, "IQ"), (&sa, "SA")] {
            let code = told(&pair.jo, country)["code"].clone();
            assert_eq!(told(other, "JO")["code"], code);
            pair.jo.ok(&["log", "recover", country, "--code", code.as_str().unwrap()]);
            other.ok(&["log", "recover", "JO", "--code", code.as_str().unwrap()]);
        }
        all_cosigned(&pair.jo);
    }
    submit(&pair.iq, IQ, JO);
    submit(&sa, "SA/border-guard", JO);
    for home in [&pair.iq, &pair.jo, &sa] {
        assert!(home.audit().is_empty());
    }
}

/// Nothing may be signed in a log that the partner may know to be longer, and nobody told an end that it may know better.
#[test]
fn while_a_word_is_awaited_no_message_of_the_channel_is_given_an_end() {
    let mut pair = quick();
    pair.iq.start();
    pair.jo.start();
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.iq);
    assert_eq!(pair.jo.stop(), Some(0));
    let mut brief = event(IQ, JO);
    let expires = support::now_ms() + 3000;
    brief["expirytime"] = json!(silkgate_message::instant::Instant(expires).to_string());
    let police = pair.iq.back_end(IQ);
    assert_eq!(police.submit(&brief).status, 202);
    let status = || police.get(&format!("/v1/submissions/{}", brief["id"].as_str().unwrap())).json();
    wait_for("an attempt", || (status()["attempts"].as_u64() > Some(0)).then_some(()));
    pair.iq.kill();
    wait_for("the message to expire", || (support::now_ms() > expires).then_some(()));
    pair.iq.start();
    let unheard = "our logs were not witnessed";
    let heard =
        |home: &Home| home.gateway_log().rsplit("serving").next().unwrap_or_default().contains(unheard);
    wait_for("the word to be asked for in vain", || heard(&pair.iq).then_some(()));
    assert_eq!(status()["state"], "queued");
    assert!(pair.iq.log(&["--partner", "JO"]).iter().all(|entry| entry["kind"] != "expired"));
    pair.jo.start();
    let end = wait_for("its end, once the word is given", || {
        Some(status()["state"].clone()).filter(|state| state != "queued")
    });
    assert_eq!(end, "unknown");
    assert!(pair.iq.audit().is_empty());
}
