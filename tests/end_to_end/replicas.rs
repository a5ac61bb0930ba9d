//! Several gateways of one state on one database.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::home::{Backend, set};
use support::line::Line;
use support::postgres::Cluster;
use support::{Home, Pair, balancer, event, sign, wait_for};

/// Iraq with two gateways on one database, Jordan with one on a file.
struct Three {
    pair: Pair,
    second: Home,
}

impl Three {
    fn set_up() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let mut iq = Home::init_on(folder.path(), "IQ/traffic-police", Backend::Shared);
        let jo = Home::init_file(folder.path(), "JO/public-security");
        iq.add_partner(&jo, None);
        jo.add_partner(&iq, None);
        iq.with_operations();
        let second = iq.replica("iq-2");
        Self { pair: Pair { iq, jo, folder }, second }
    }

    fn start() -> Self {
        let mut three = Self::set_up();
        three.pair.iq.start();
        three.second.start();
        three.pair.jo.start();
        three
    }

    fn gateways(&self) -> [&Home; 2] {
        [&self.pair.iq, &self.second]
    }
}

fn submitted(home: &Home, event: &Value) -> String {
    let taken = home.back_end("IQ/traffic-police").submit(event);
    assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
    taken.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_gateways_keep_one_history_of_what_both_take_and_send() {
    let three = Three::start();
    let Three { pair, second } = &three;
    // Both directions, each gateway in turn.
    let mut ids = Vec::new();
    for n in 0..20 {
        let home = three.gateways()[n % 2];
        ids.push((n, submitted(home, &event("IQ/traffic-police", "JO/public-security"))));
        let sent = sign(&pair.jo.message_key(), &event("JO/public-security", "IQ/traffic-police"));
        assert_eq!(pair.jo.as_partner_of(home).message(&sent.bytes).status, 200);
        // The same message at the other gateway: the first answer again.
        let other = three.gateways()[(n + 1) % 2];
        let again = pair.jo.as_partner_of(other).message(&sent.bytes);
        assert_eq!((again.status, again.header("silkgate-replay")), (200, Some("true")));
    }
    for (n, id) in &ids {
        // Asked for at the gateway that did not take it.
        let other = three.gateways()[(n + 1) % 2].back_end("IQ/traffic-police");
        assert_eq!(other.outcome(id)["state"], "receipted");
    }
    let log = |home: &Home| home.log(&["--type", "alert.vehicle"]);
    let kinds = |log: &[Value], kind: &str| log.iter().filter(|entry| entry["kind"] == kind).count();
    let (ours, theirs) = (log(&pair.iq), log(&pair.jo));
    assert_eq!((kinds(&ours, "sent"), kinds(&ours, "received"), kinds(&ours, "receipted")), (20, 20, 20));
    assert_eq!(kinds(&theirs, "received"), 20, "each was sent once, as far as anybody counts");
    assert_eq!(log(second), ours, "one history, whichever gateway is asked");
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn who_waits_at_one_gateway_is_woken_by_what_the_other_committed() {
    let three = Three::start();
    let Three { pair, second } = &three;
    let waiting = {
        let back_end = second.back_end("IQ/traffic-police");
        std::thread::spawn(move || (back_end.deliveries("?wait=60"), std::time::Instant::now()))
    };
    let sent = sign(&pair.jo.message_key(), &event("JO/public-security", "IQ/traffic-police"));
    assert_eq!(pair.jo.as_partner_of(&pair.iq).message(&sent.bytes).status, 200);
    let accepted = std::time::Instant::now();
    let (got, at) = waiting.join().unwrap();
    assert_eq!(got[0]["id"], sent.id.as_str());
    // Not a measure of speed: without news the poll would have ended after a minute, with nothing.
    assert!(at.saturating_duration_since(accepted).as_secs() < 30);
    // Leased there, it is not handed out here, and may be acknowledged here.
    let here = pair.iq.back_end("IQ/traffic-police");
    assert!(here.deliveries("").is_empty());
    assert_eq!(here.acknowledge(&got[0]).status, 200);
    assert!(second.back_end("IQ/traffic-police").deliveries("").is_empty());
}

#[test]
fn versions_of_one_record_go_in_order_whichever_gateway_took_them() {
    let mut three = Three::set_up();
    three.pair.iq.start();
    three.second.start();
    let first = event("IQ/traffic-police", "JO/public-security");
    let mut last = three.pair.iq.back_end("IQ/traffic-police").submit(&first).json();
    let mut ids = vec![last["id"].as_str().unwrap().to_owned()];
    for version in 2..=8 {
        let mut next = event("IQ/traffic-police", "JO/public-security");
        next["subject"] = first["subject"].clone();
        next["data"]["recordId"] = first["subject"].clone();
        next["data"]["recordVersion"] = json!(version);
        next["data"]["action"] = json!("update");
        next["data"]["supersedes"] = json!({ "messageId": last["id"], "digest": last["digest"] });
        let home = three.gateways()[version % 2];
        let taken = home.back_end("IQ/traffic-police").submit(&next);
        assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
        last = taken.json();
        ids.push(last["id"].as_str().unwrap().to_owned());
    }
    three.pair.jo.start();
    for id in &ids {
        assert_eq!(three.second.back_end("IQ/traffic-police").outcome(id)["state"], "receipted");
    }
    let received = three.pair.jo.log(&["--type", "alert.vehicle"]);
    let order: Vec<&str> = received.iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert_eq!(order, ids);
}

#[test]
fn gateways_are_restarted_one_after_another_and_no_message_is_refused() {
    let mut three = Three::set_up();
    for home in [&three.pair.iq, &three.second] {
        set(home, "drain_seconds", "1");
    }
    let behind = vec![three.pair.iq.behind(), three.second.behind()];
    three.pair.iq.start();
    three.second.start();
    three.pair.jo.start();
    let balanced = balancer::start(behind);
    wait_for("both gateways to be ready", || {
        let ready = |home: &Home| balancer::is_ready(&home.behind().operations);
        (ready(&three.pair.iq) && ready(&three.second)).then_some(())
    });
    let client = three.pair.jo.as_partner_at(&three.pair.iq, &balanced);
    let key = three.pair.jo.message_key();
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let load: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut sent = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let message = sign(&key, &event("JO/public-security", "IQ/traffic-police"));
                        let answer = client.message(&message.bytes);
                        assert_eq!(answer.status, 200, "{}", answer.code());
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        for _ in 0..2 {
            for home in [&mut three.pair.iq, &mut three.second] {
                assert_eq!(home.stop(), Some(0));
                home.start();
                wait_for("it to be ready again", || {
                    balancer::is_ready(&home.behind().operations).then_some(())
                });
            }
        }
        stop.store(true, Ordering::SeqCst);
        load.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert!(sent > 20, "messages passed all the time: {sent}");
    assert_eq!(three.pair.iq.log(&["--type", "alert.vehicle", "--verdict", "accepted"]).len(), sent);
    assert!(three.pair.iq.audit().is_empty());
}

#[test]
fn a_server_that_hangs_or_restarts_costs_no_message() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = Cluster::own(&folder.path().join("server"));
    let mut iq = Home::init_at(folder.path(), "IQ/traffic-police", cluster.database("home"));
    let jo = Home::init_file(folder.path(), "JO/public-security");
    iq.add_partner(&jo, None);
    jo.add_partner(&iq, None);
    iq.with_operations();
    let mut pair = Pair { iq, jo, folder };
    pair.iq.start();
    pair.jo.start();
    let operations = pair.iq.behind().operations;
    wait_for("the gateway to be ready", || balancer::is_ready(&operations).then_some(()));
    let client = pair.jo.as_partner_of(&pair.iq);
    let key = pair.jo.message_key();
    let send = || {
        let message = sign(&key, &event("JO/public-security", "IQ/traffic-police"));
        (client.message(&message.bytes), message)
    };
    assert_eq!(send().0.status, 200);
    let mut open = Vec::new();
    // It hangs: every process of it is stopped, as a machine that swaps or a disk that stalls would do.
    cluster.signal("STOP");
    wait_for("the gateway to say so", || (!balancer::is_ready(&operations)).then_some(()));
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(send);
        cluster.signal("CONT");
        waiting.join().unwrap()
    });
    open.push(waiting);
    // A commit waits for a standby that never comes, and the server ends: what became of it is not known, and nobody who
    // asks is left without an answer until it is.
    cluster.admin("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    cluster.admin("SELECT pg_reload_conf()");
    let in_doubt = std::thread::scope(|scope| {
        let first = scope.spawn(send);
        wait_for("the commit to wait", || cluster.waits_for_a_standby().then_some(()));
        cluster.stop();
        let second = send();
        [first.join().unwrap(), second]
    });
    assert_eq!(in_doubt.each_ref().map(|(answer, _)| answer.status), [503, 503]);
    cluster.forget_settings();
    cluster.start();
    wait_for("the gateway to go on by itself", || (send().0.status == 200).then_some(()));
    open.extend(in_doubt);
    // It is stopped at once and started again; what was under way is not known.
    for _ in 0..2 {
        let during = std::thread::scope(|scope| {
            let load: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
            cluster.stop();
            load.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        open.extend(during);
        assert!(!balancer::is_ready(&operations));
        assert_eq!(send().0.status, 503);
        cluster.start();
        wait_for("the gateway to go on by itself", || (send().0.status == 200).then_some(()));
    }
    for (answer, message) in &open {
        assert!(matches!(answer.status, 200 | 503), "{}", answer.code());
        // Sent again, as a partner does until it has a receipt: what was acknowledged is there.
        let again = client.message(&message.bytes);
        assert_eq!(again.status, 200, "{}", again.code());
        if answer.status == 200 {
            assert_eq!(again.header("silkgate-replay"), Some("true"), "an acknowledged message was lost");
        }
    }
    assert!(pair.iq.is_running() && pair.iq.audit().is_empty());
}

#[test]
fn gateways_with_keys_of_their_own_do_not_share_a_database() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut iq = Home::init_on(folder.path(), "IQ/traffic-police", Backend::Postgres);
    iq.add_partner(&Home::init_file(folder.path(), "JO/public-security"), None);
    let second = iq.replica("iq-2");
    iq.start();
    let refused = second.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("another key store"), "{said}");
    // Should one be there all the same, by a claim that could not be renewed: neither reads what the other takes.
    let claim = "UPDATE duty SET holder = '\\x00', until_ms = 9000000000000 WHERE name = 'key store'";
    assert_eq!(iq.execute(claim), 1);
    let police = iq.back_end("IQ/traffic-police");
    let refused = wait_for("nothing to be taken", || {
        let answer = police.submit(&event("IQ/traffic-police", "JO/public-security"));
        (answer.status == 503).then_some(answer)
    });
    assert!(refused.json()["detail"].as_str().unwrap().contains("another key store"));
    assert_eq!(iq.execute("DELETE FROM duty WHERE name = 'key store'"), 1);
    let unsent = event("IQ/traffic-police", "JO/public-security");
    wait_for("it to go on", || (police.submit(&unsent).code() != "unavailable").then_some(()));
}

#[test]
fn an_older_database_put_in_place_under_a_running_gateway_is_noticed_before_anything_is_written() {
    let mut pair = Pair::set_up_on(None, Backend::Postgres);
    set(&pair.iq, "show_seconds", "1");
    pair.iq.start();
    pair.jo.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let deliver = |pair: &Pair| {
        let id = submitted(&pair.iq, &event("IQ/traffic-police", "JO/public-security"));
        assert_eq!(police.outcome(&id)["state"], "receipted");
    };
    let cosigned = |pair: &Pair| {
        wait_for("Jordan to cosign all of it", || {
            let status = pair.iq.json(&["status"]);
            let size =
                status["logs"].as_array()?.iter().find(|log| log["partner"] == "JO")?["size"].as_u64()?;
            let sql = "SELECT coalesce(max(size), 0) FROM cosignature WHERE log = (SELECT id FROM log WHERE partner = 'JO')";
            let row = pair.iq.database.as_ref()?.rows(sql).remove(0);
            (sqlx::Row::get::<i64, _>(&row, 0) == i64::try_from(size).ok()?).then_some(())
        });
    };
    deliver(&pair);
    cosigned(&pair);
    let cluster = Cluster::shared();
    let database = pair.iq.database.clone().unwrap();
    // A copy is made of a database that nobody is connected to.
    pair.iq.stop();
    let older = database.copy(cluster, "older");
    pair.iq.start();
    deliver(&pair);
    cosigned(&pair);
    older.replace(cluster, &database);
    let ended = wait_for("the gateway to notice", || {
        let body = event("IQ/traffic-police", "JO/public-security").to_string();
        let answer =
            police.request("POST", "/v1/submissions", "application/cloudevents+json", body.as_bytes());
        let taken = answer.is_ok_and(|answer| answer.status == 202);
        assert!(!taken, "nothing is written on top of an older history");
        let log = pair.iq.gateway_log();
        // Whichever comes first: its own memory of what was committed, or the partner's word.
        let ended = log.contains("holds less than was committed");
        (ended || log.contains("LATER OR OTHER history")).then_some(ended)
    });
    if ended {
        pair.iq.wait_for_end();
        pair.iq.start();
        wait_for("the partner's word", || {
            pair.iq.gateway_log().contains("LATER OR OTHER history").then_some(())
        });
    }
    let refused =
        pair.iq.back_end("IQ/traffic-police").submit(&event("IQ/traffic-police", "JO/public-security"));
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
}

#[test]
fn what_a_gateway_had_under_way_when_it_died_another_one_finishes() {
    let folder = tempfile::TempDir::new().unwrap();
    let iq = Home::init_on(folder.path(), "IQ/traffic-police", Backend::Shared);
    let jo = Home::init_file(folder.path(), "JO/public-security");
    let line = Line::to(&jo.partner_plane, Duration::ZERO);
    iq.add_partner(&jo, Some(&line.address));
    jo.add_partner(&iq, None);
    let mut second = iq.replica("iq-2");
    let mut pair = Pair { iq, jo, folder };
    pair.jo.start();
    pair.iq.start();
    // A connection that is open, so that the next message is on the line at once.
    let before = submitted(&pair.iq, &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(pair.iq.back_end("IQ/traffic-police").outcome(&before)["state"], "receipted");
    line.hold(true);
    let id = submitted(&pair.iq, &event("IQ/traffic-police", "JO/public-security"));
    let database = pair.iq.database.clone().unwrap();
    wait_for("the message to be under way", || {
        let begun = database.execute("UPDATE outbox SET attempts = attempts WHERE attempts = 1") == 1;
        (begun && line.is_busy()).then_some(())
    });
    second.start();
    let died = Instant::now();
    pair.iq.kill();
    line.hold(false);
    assert_eq!(second.back_end("IQ/traffic-police").outcome(&id)["state"], "receipted");
    println!("taken over {} ms after SIGKILL", died.elapsed().as_millis());
    // Its line follows the answer.
    wait_for("the line of the other gateway", || second.gateway_log().contains(&id).then_some(()));
    assert_eq!(pair.jo.log(&["--type", "alert.vehicle"]).len(), 2);
    assert!(second.audit().is_empty() && pair.jo.audit().is_empty());
}
