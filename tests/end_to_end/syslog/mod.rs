//! The logs on their way to a collector of syslog: nothing is lost, whoever dies when, and nothing waits for it.

mod refused;
mod replicas;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::collector::{Collector, Mood};
use support::home::Backend;
use support::trace::forms;
use support::{Home, Pair, event, sign, wait_for};

use crate::erasure::{IQ, JO, alert, exchange};

/// Iraq sends Jordan a message; its id.
fn send(pair: &Pair) -> String {
    let message = sign(&pair.iq.message_key(), &event(IQ, JO));
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&message.bytes).status, 200);
    message.id
}

fn wait_for_all(collector: &Collector, home: &Home) {
    wait_for("the collector to have every entry", || collector.has_all_of(home).then_some(()));
}

/// Entries that do not count as sent yet, as `silkgate status` tells them.
fn waiting(home: &Home) -> u64 {
    let status = home.json(&["status"]);
    let logs = status["syslog"]["logs"].as_array().unwrap();
    logs.iter().map(|log| log["waiting"].as_u64().unwrap()).sum()
}

/// Entries that do.
fn counted(home: &Home) -> u64 {
    let status = home.json(&["status"]);
    status["syslog"]["logs"].as_array().unwrap().iter().map(|log| log["next"].as_u64().unwrap()).sum()
}

#[test]
fn every_entry_comes_in_order_as_the_cursor_gives_it() {
    let mut pair = Pair::set_up(None);
    pair.jo.ok(&["client", "add", "auditor", "amal"]);
    pair.jo.with_operations();
    let collector = Collector::start(pair.folder.path());
    collector.configure(&pair.jo, "confirm_seconds = 1");
    let status = pair.jo.json(&["status"]);
    assert_eq!(status["syslog"]["address"], collector.address.as_str());
    assert!(waiting(&pair.jo) > 0 && pair.jo.ok(&["status"]).contains(" waits for "));
    pair.iq.start();
    pair.jo.start();
    let id = exchange(&pair, &alert(IQ, JO));
    wait_for("the collector to be reached", || {
        (pair.jo.figure("silkgate_syslog_connected") == Some(1.0)).then_some(())
    });
    // The same lines as the cursor gives, of both logs.
    let amal = pair.jo.national("auditor-amal");
    let mut told = BTreeMap::new();
    for log in ["IQ", "house"] {
        let answer = amal.get(&format!("/v1/audit/events?log={log}"));
        let lines: Vec<String> =
            std::str::from_utf8(&answer.body).unwrap().lines().map(str::to_owned).collect();
        let origin = format!("{}/JO/{log}", pair.jo.host);
        wait_for("the collector to have as much", || {
            let has = collector.entries().get(&origin).map_or(0, BTreeMap::len);
            (has >= lines.len()).then_some(())
        });
        told.insert(origin, lines);
    }
    let entries = collector.entries();
    assert_eq!(entries.keys().collect::<Vec<_>>(), told.keys().collect::<Vec<_>>());
    for (origin, lines) in &told {
        let got: Vec<String> = entries[origin].values().take(lines.len()).cloned().collect();
        assert_eq!(&got, lines);
    }
    let messages = collector.messages();
    let received = messages.iter().find(|message| message.json()["entry"]["id"] == id.as_str()).unwrap();
    assert_eq!(
        (received.pri, received.id.as_str(), received.host.as_str()),
        (110, "received", &*pair.jo.host)
    );
    assert_eq!(received.at, received.json()["entry"]["at"].as_str().unwrap());
    assert_eq!(
        (&*received.params["log"], &*received.params["index"]),
        ("IQ", &*received.json()["index"].to_string())
    );
    let added =
        messages.iter().find(|message| message.params.get("what").is_some_and(|what| what == "client"));
    assert!(added.is_some_and(|added| (added.pri, &*added.params["log"]) == (109, "house")), "{messages:?}");
    for needle in ["Nadelmarke", "amal"].iter().flat_map(|needle| forms(needle)) {
        let needle = String::from_utf8(needle).unwrap();
        assert!(messages.iter().all(|message| !message.text.contains(&needle)), "{needle}");
    }
    // What counts as sent is not sent again.
    wait_for("all to count as sent", || (waiting(&pair.jo) == 0).then_some(()));
    assert!(pair.jo.ok(&["status"]).contains(" has all of "));
    let origin = format!("{}/JO/IQ", pair.jo.host);
    let gauge = format!("silkgate_syslog_waiting_entries{{origin=\"{origin}\"}}");
    assert_eq!(pair.jo.figure(&gauge), Some(0.0));
    let sent = pair.jo.figure("silkgate_syslog_entries_total").unwrap();
    assert_eq!(sent as usize, collector.messages().len(), "each once");
    let size = collector.entries()[&origin].len() as u64;
    assert_eq!(pair.jo.stop(), Some(0));
    pair.jo.start();
    send(&pair);
    wait_for_all(&collector, &pair.jo);
    let messages = collector.messages();
    let second = messages.iter().find(|message| message.connection == 2 && message.params["log"] == "IQ");
    assert_eq!(second.map(|message| message.params["index"].clone()), Some(size.to_string()));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_collector_that_dies_in_the_middle_of_a_frame_misses_nothing() {
    let mut pair = Pair::set_up(None);
    let collector = Collector::start(pair.folder.path());
    pair.jo.with_operations();
    collector.configure(&pair.jo, "confirm_seconds = 10");
    collector.does(Mood::Breaks(3));
    pair.jo.start();
    for _ in 0..2 {
        send(&pair);
        wait_for("it to die", || (collector.mood() == Mood::Away).then_some(()));
        let broken = collector.messages().len();
        collector.does(Mood::Breaks(5));
        wait_for("it to have read on", || (collector.messages().len() > broken).then_some(()));
    }
    // What was written while it read nothing died with it, on a connection that had stood for a moment: the system here had sent it.
    collector.does(Mood::Away);
    let before = collector.connections();
    wait_for("the gateway to say so", || {
        pair.jo.gateway_log().contains("entries are not sent to the collector; they wait").then_some(())
    });
    collector.does(Mood::Stalls);
    send(&pair);
    wait_for("a connection", || (collector.connections() > before).then_some(()));
    wait_for("it to have stood", || (pair.jo.figure("silkgate_syslog_connected") == Some(1.0)).then_some(()));
    collector.does(Mood::Away);
    send(&pair);
    collector.does(Mood::Reads);
    wait_for_all(&collector, &pair.jo);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_gateway_that_is_killed_sends_again_what_did_not_count_as_sent() {
    let mut pair = Pair::set_up(None);
    let collector = Collector::start(pair.folder.path());
    collector.configure(&pair.jo, "confirm_seconds = 3600");
    pair.jo.start();
    for connection in 1..=2 {
        // The one before may still be open there.
        send(&pair);
        wait_for_all(&collector, &pair.jo);
        let begun = collector.messages().into_iter().filter(|message| message.connection == connection);
        let first = begun.map(|message| message.params["index"].clone()).next();
        assert_eq!(first.as_deref(), Some("0"), "nothing counted: from the beginning");
        pair.jo.kill();
        pair.jo.start();
        wait_for("the next connection", || (collector.connections() > connection).then_some(()));
    }
    wait_for_all(&collector, &pair.jo);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_collector_that_reads_nothing_holds_nothing_up_and_nothing_counts_as_sent() {
    let mut pair = Pair::set_up(None);
    let collector = Collector::start(pair.folder.path());
    collector.configure(&pair.jo, "confirm_seconds = 2");
    collector.does(Mood::Stalls);
    pair.jo.start();
    wait_for("a connection", || (collector.connections() > 0).then_some(()));
    let began = Instant::now();
    let ids: Vec<String> = (0..20).map(|_| send(&pair)).collect();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // More is written than there is room for: the connection ends before anything counts.
    wait_for("the gateway to leave it", || (collector.connections() > 2).then_some(()));
    assert_eq!(counted(&pair.jo), 0);
    let stopping = Instant::now();
    assert_eq!(pair.jo.stop(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    collector.does(Mood::Reads);
    pair.jo.start();
    wait_for_all(&collector, &pair.jo);
    let texts: Vec<String> = collector.messages().into_iter().map(|message| message.text).collect();
    assert!(ids.iter().all(|id| texts.iter().any(|text| text.contains(id))));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn an_entry_that_was_damaged_is_told_and_the_stream_goes_on() {
    let mut pair = Pair::set_up_on(None, Backend::Sqlite);
    let collector = Collector::start(pair.folder.path());
    collector.configure(&pair.jo, "");
    collector.does(Mood::Away);
    pair.jo.start();
    let ids: Vec<String> = (0..3).map(|_| send(&pair)).collect();
    let of =
        |id: &str| format!("log = (SELECT id FROM log WHERE partner = 'IQ') AND instr(body, '{id}') > 0");
    assert_eq!(pair.jo.execute(&format!("DELETE FROM entry WHERE {}", of(&ids[0]))), 1);
    let forged = "CAST(replace(CAST(body AS TEXT), '\"received\"', char(10) || '<0>1 forged') AS BLOB)";
    assert_eq!(pair.jo.execute(&format!("UPDATE entry SET body = {forged} WHERE {}", of(&ids[1]))), 1);
    collector.does(Mood::Reads);
    wait_for_all(&collector, &pair.jo);
    let messages = collector.messages();
    let told = |id: &str| messages.iter().any(|message| message.text.contains(id));
    assert_eq!([told(&ids[0]), told(&ids[1]), told(&ids[2])], [false, false, true]);
    let damaged = messages.iter().filter(|message| message.id == "damaged");
    let damaged =
        damaged.map(|message| (message.pri, message.json()["damaged"].as_str().unwrap().to_owned()));
    assert_eq!(damaged.collect::<Vec<_>>(), [(105, "missing".to_owned()), (105, "unreadable".to_owned())]);
    assert!(!pair.jo.audit().is_empty(), "the audit finds it too");
}
