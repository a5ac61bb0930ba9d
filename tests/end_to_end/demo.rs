//! The demo, as a newcomer runs it.

use std::process::{Command, Stdio};

use support::{binary, wait_for};
use tempfile::TempDir;

#[test]
fn tells_the_whole_story_and_leaves_nothing_running() {
    let folder = TempDir::new().unwrap();
    let homes = folder.path().join("two states");
    let output =
        Command::new(binary()).arg("demo").arg("--dir").arg(&homes).stdin(Stdio::null()).output().unwrap();
    let story = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{story}\n{}", String::from_utf8_lossy(&output.stderr));
    for told in [
        "new     Jordan holds version 1: white Honda, plate 22 A 12345, stolen",
        "update  Jordan holds version 2: silver Honda",
        "hit     Iraq learns: seized at JO-IQ-EXAMPLE1, an exact match",
        "cancel  Jordan holds version 3",
        "asked   Iraq holds 4 questions",
        "answer  Jordan holds the final answer: none",
        "refused question_answered: one final answer is given",
        "Iraq holds JO2026-0042: 2 items, 130 packages, 2050.75 kg",
        "refused 422 schema_invalid: Iraq found all of these at once",
        "/data/carrier                      `carrier` is missing.",
        "`totals/items` must be the number of items.",
        "The route must start in the country of loading.",
        "receipt: rejected, entry",
        "refused signature_invalid: entry",
        "Jordan holds a red car, as signed",
        "the very same receipt, byte for byte; 0 more deliveries",
        "refused   operator cannot approve what operator proposed",
        "approved  by samira: the agreement holds revenue-collection",
        "9 of 9 receipts verify",
        "Iraq's logs verify",
        "Jordan's logs verify",
    ] {
        assert!(story.contains(told), "the story lacks: {told}\n{story}");
    }
    for home in ["iq", "jo"] {
        assert!(homes.join(home).join("silkgate.toml").exists(), "{home}");
        // Nobody holds the lock of a gateway that has ended.
        let lock = std::fs::File::open(homes.join(home).join("silkgate.lock")).unwrap();
        assert!(lock.try_lock().is_ok(), "{home}'s gateway still runs");
    }
}

#[test]
fn keeps_both_gateways_until_interrupted() {
    let folder = TempDir::new().unwrap();
    let mut demo = Command::new(binary())
        .args(["demo", "--keep", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut story = std::io::BufReader::new(demo.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains("Ctrl-C ends them") {
        let read = std::io::BufRead::read_line(&mut story, &mut told).unwrap();
        assert!(read > 0, "the demo ended early: {told}");
    }
    let status = Command::new(binary())
        .arg("-d")
        .arg(folder.path().join("iq"))
        .args(["status", "--json"])
        .output()
        .unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["running"], true);
    assert!(status["partner_plane"]["listen"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(status["national_plane"]["listen"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(Command::new("kill").arg("-TERM").arg(demo.id().to_string()).status().unwrap().success());
    let ended = wait_for("the demo to end", || demo.try_wait().unwrap());
    assert!(ended.success());
    for home in ["iq", "jo"] {
        let lock = std::fs::File::open(folder.path().join(home).join("silkgate.lock")).unwrap();
        assert!(lock.try_lock().is_ok(), "{home}'s gateway still runs");
    }
}
