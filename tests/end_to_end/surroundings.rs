//! What surrounds a gateway fails: the line between two states, and the disk.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::line::Line;
use support::netns::Network;
use support::{Home, Message, Pair, event, sign, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// Jordan's gateway in a network of its own, Iraq's on the host.
fn apart() -> (Pair, Network) {
    let folder = tempfile::TempDir::new().unwrap();
    let network = Network::new();
    let iq = Home::init_file(folder.path(), IQ);
    let jo = Home::init_in(folder.path(), JO, &network);
    iq.add_partner(&jo, None);
    jo.add_partner(&iq, None);
    let mut pair = Pair { iq, jo, folder };
    // An attempt on a dead line is given up soon.
    for home in [&pair.iq, &pair.jo] {
        support::home::set(home, "attempt_seconds", "2");
        support::home::set(home, "backoff_longest_ms", "1000");
    }
    pair.iq.start();
    pair.jo.start();
    (pair, network)
}

fn submit(pair: &Pair, count: usize) -> Vec<String> {
    let police = pair.iq.back_end(IQ);
    let one = |_| {
        let event = event(IQ, JO);
        assert_eq!(police.submit(&event).status, 202);
        event["id"].as_str().unwrap().to_owned()
    };
    (0..count).map(one).collect()
}

/// Each message arrived, and once.
fn arrived(pair: &Pair, ids: &[String]) {
    for id in ids {
        assert_eq!(pair.iq.back_end(IQ).outcome(id)["state"], "receipted");
    }
    let received = pair.jo.log(&["--type", "alert.vehicle"]);
    assert_eq!(received.len(), ids.len());
    assert!(pair.iq.audit().is_empty() && pair.jo.audit().is_empty());
}

#[test]
fn a_line_that_is_cut_and_joined_again_loses_and_doubles_nothing() {
    let (pair, network) = apart();
    let mut ids = submit(&pair, 5);
    for _ in 0..2 {
        // In the middle of what is under way.
        ids.extend(submit(&pair, 20));
        network.cut(true);
        ids.extend(submit(&pair, 5));
        let last = ids.last().unwrap().clone();
        wait_for("an attempt on the dead line", || {
            let status = pair.iq.back_end(IQ).get(&format!("/v1/submissions/{last}")).json();
            (status["attempts"].as_u64() > Some(0)).then_some(())
        });
        network.cut(false);
        wait_for("the last one to arrive", || {
            let status = pair.iq.back_end(IQ).get(&format!("/v1/submissions/{last}?wait=1")).json();
            (status["state"] == "receipted").then_some(())
        });
    }
    arrived(&pair, &ids);
}

#[test]
fn a_line_that_loses_packets_and_is_slow_loses_and_doubles_no_message() {
    let (pair, network) = apart();
    network.lose(10);
    let mut ids = submit(&pair, 15);
    network.lose(30);
    ids.extend(submit(&pair, 5));
    let last = ids.last().unwrap().clone();
    wait_for("one to get through", || {
        let status = pair.iq.back_end(IQ).get(&format!("/v1/submissions/{last}?wait=1")).json();
        (status["state"] == "receipted" || status["attempts"].as_u64() > Some(1)).then_some(())
    });
    network.lose(0);
    network.slow("256kbit");
    ids.extend(submit(&pair, 10));
    arrived(&pair, &ids);
}

/// A small file system in memory; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        assert!(done.unwrap().success(), "a small disk is mounted");
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_that_is_not_there_and_goes_on_when_there_is_room() {
    let folder = tempfile::TempDir::new().unwrap();
    let disk_folder = folder.path().join("disk");
    let _disk = SmallDisk::mount(&disk_folder, "24m");
    let iq = Home::init_file(folder.path(), IQ);
    let jo = Home::init_file(&disk_folder, JO);
    iq.add_partner(&jo, None);
    jo.add_partner(&iq, None);
    let mut pair = Pair { iq, jo, folder };
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let key = pair.iq.message_key();
    let message = || sign(&key, &event(IQ, JO));
    let mut accepted: Vec<Message> = Vec::new();
    // What else grows on the same disk takes all but a little of it.
    let filler = disk_folder.join("filler");
    let free = |leave: u64| {
        let room = 24_000_000_u64.saturating_sub(leave);
        std::fs::write(&filler, vec![0; usize::try_from(room).unwrap()]).is_ok()
    };
    assert_eq!(client.message(&message().bytes).status, 200);
    let mut leave = 8_000_000;
    while !free(leave) {
        leave += 500_000;
    }
    let refused = wait_for("the disk to be full", || {
        let message = message();
        let answer = client.request("POST", "/v1/messages", "application/jose+json", &message.bytes);
        match answer {
            Ok(answer) if answer.status == 200 => {
                accepted.push(message);
                None
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.code());
                Some(message)
            }
            // It ended rather than guess what a failed commit left behind.
            Err(_) => Some(message),
        }
    });
    std::fs::remove_file(&filler).unwrap();
    wait_for("the gateway to go on", || {
        // It ends where a commit fails, and whoever looks after it starts it again.
        if !pair.jo.is_alive() {
            pair.jo.wait_for_end();
            pair.jo.start();
        }
        let answer = client.request("POST", "/v1/messages", "application/jose+json", &refused.bytes);
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    for message in &accepted {
        let again = client.message(&message.bytes);
        assert_eq!(
            (again.status, again.header("silkgate-replay")),
            (200, Some("true")),
            "acknowledged and lost"
        );
    }
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_line_half_way_round_the_world_loses_and_doubles_no_message() {
    let folder = tempfile::TempDir::new().unwrap();
    let (iq, jo) = (Home::init_file(folder.path(), IQ), Home::init_file(folder.path(), JO));
    let delay = Duration::from_millis(300);
    let (there, back) = (Line::to(&jo.partner_plane, delay), Line::to(&iq.partner_plane, delay));
    iq.add_partner(&jo, Some(&there.address));
    jo.add_partner(&iq, Some(&back.address));
    let mut pair = Pair { iq, jo, folder };
    for home in [&pair.iq, &pair.jo] {
        support::home::set(home, "attempt_seconds", "3");
        support::home::set(home, "backoff_longest_ms", "500");
    }
    pair.iq.start();
    pair.jo.start();
    let ids = submit(&pair, 40);
    // In the middle of it the line stands still, with bytes in it, for longer than an attempt may take.
    wait_for("something to be under way", || there.is_busy().then_some(()));
    there.hold(true);
    wait_for("an attempt without an answer", || {
        pair.iq.gateway_log().contains("no answer within 3 s").then_some(())
    });
    there.hold(false);
    arrived(&pair, &ids);
}
