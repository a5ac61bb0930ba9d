//! The command itself: help, exit codes, times.

use std::process::Command;

use support::home::{Home, set};
use support::{Pair, binary, event, wait_for};

#[test]
fn every_command_has_help_with_an_example_and_speaks_json() {
    let help = |path: &[&str]| {
        let output = Command::new(binary()).args(path).arg("--help").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = |text: &str| -> Vec<String> {
        let list =
            text.split("Commands:").nth(1).unwrap_or_default().split("Options:").next().unwrap_or_default();
        let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
    };
    let top = help(&[]);
    assert!(top.contains("Exit codes: 0 done; 1"));
    let mut seen = 0;
    for command in commands(&top) {
        let text = help(&[&command]);
        let below = commands(&text);
        if below.is_empty() {
            seen += 1;
            assert!(text.contains("Example") && text.contains("--json"), "{command}");
        }
        for name in below {
            seen += 1;
            let text = help(&[&command, &name]);
            assert!(text.contains("Example") && text.contains("--json"), "{command} {name}");
        }
    }
    assert!(seen >= 20, "{seen} commands");
}

#[test]
fn what_cannot_be_done_says_why_and_ends_with_2() {
    let folder = tempfile::TempDir::new().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(binary()).current_dir(folder.path()).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for args in [
        ["status", "--json"],
        ["log", "--json"],
        ["audit", "verify"],
        ["card", "--json"],
        ["serve", "--json"],
    ] {
        let (code, said) = run(&args);
        assert_eq!(code, Some(2), "{args:?}");
        assert!(said.contains("silkgate init"), "{args:?}: {said}");
    }
    assert_eq!(run(&["init", "Iraq", "--host", "x"]).0, Some(2));
    assert_eq!(run(&["init", "IQ/x", "--host", "Not A Host"]).0, Some(2));
    let home = Home::init(folder.path(), "IQ/traffic-police");
    let again = home.run(&["init", "IQ/traffic-police", "--host", "gateway.iq.example"]);
    assert_eq!(again.status.code(), Some(2), "an existing home is never overwritten");
}

#[test]
fn keys_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::new().unwrap();
    let home = Home::init(folder.path(), "IQ/traffic-police");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut keys = 0;
    for place in ["keys", "clients"] {
        assert_eq!(mode(&home.path.join(place)), 0o700);
        for entry in std::fs::read_dir(home.path.join(place)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "key") {
                keys += 1;
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert_eq!(
        keys, 10,
        "tls-ca, tls, message, log, witness, card, national-ca, national, operator, back end"
    );
    // A key that others can read is not used.
    let log = home.path.join("keys/log.key");
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = home.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod 600"));
}

#[test]
fn times_are_shown_in_utc_and_local() {
    let folder = tempfile::TempDir::new().unwrap();
    let home = Home::init(folder.path(), "IQ/traffic-police");
    let show = |zone: &str| {
        let output =
            Command::new(binary()).env("TZ", zone).arg("-d").arg(&home.path).arg("log").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(show("<+03>-3").contains("+03:00)"), "{}", show("<+03>-3"));
    assert!(!show("UTC0").contains("local"));
}

#[test]
fn one_submission_goes_to_several_neighbours() {
    let mut pair = Pair::set_up(None);
    let mut sa = Home::init(pair.folder.path(), "SA/border-guard");
    pair.iq.add_partner(&sa, None);
    sa.add_partner(&pair.iq, None);
    for home in [&mut pair.iq, &mut pair.jo, &mut sa] {
        home.start();
    }
    let file = pair.folder.path().join("alert.json");
    let alert = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alert.json");
    std::fs::copy(alert, &file).unwrap();
    let file = file.to_string_lossy().into_owned();
    let said = pair.iq.ok(&["submit", &file, "--to", "JO/public-security", "--to", "SA/border-guard"]);
    assert!(
        said.contains("JO/public-security: receipted") && said.contains("SA/border-guard: receipted"),
        "{said}"
    );
    for home in [&pair.jo, &sa] {
        assert_eq!(home.back_end(&home.party).deliveries("").len(), 1);
        assert!(home.audit().is_empty());
    }
    assert!(pair.iq.log(&["--partner", "SA"]).iter().all(|entry| entry["to"] != "JO/public-security"));
}

#[test]
fn what_is_refused_again_and_again_for_its_form_is_put_aside() {
    let mut pair = Pair::set_up(None);
    set(&pair.iq, "refusals_until_dead", "2");
    pair.jo.ok(&["partner", "allow", "IQ", "--body-max-bytes", "500"]);
    pair.iq.start();
    pair.jo.start();
    let police = pair.iq.back_end("IQ/traffic-police");
    let event = event("IQ/traffic-police", "JO/public-security");
    assert_eq!(police.submit(&event).status, 202);
    let outcome = police.outcome(event["id"].as_str().unwrap());
    assert_eq!((&outcome["state"], &outcome["code"]), (&"dead".into(), &"body_too_large".into()));
    assert_eq!(outcome["attempts"], 2);
    let dead = wait_for("the house log", || {
        pair.iq.log(&["--partner", "house"]).into_iter().find(|entry| entry["kind"] == "dead")
    });
    assert_eq!(dead["id"], event["id"]);
    assert_eq!(pair.iq.json(&["status"])["queues"]["dead"][0]["count"], 1);
    assert!(pair.iq.audit().is_empty());
}

#[test]
fn every_types_example_passes_as_it_is_printed() {
    let folder = tempfile::TempDir::new().unwrap();
    let run = |args: &[&str]| Command::new(binary()).args(args).output().unwrap();
    let listed: serde_json::Value =
        serde_json::from_slice(&run(&["schema", "list", "--json"]).stdout).unwrap();
    let types = listed.as_array().unwrap();
    assert!(types.len() >= 3);
    for kind in types.iter().map(|t| t["type"].as_str().unwrap()) {
        let file = folder.path().join("example.json");
        std::fs::write(&file, run(&["schema", "example", kind]).stdout).unwrap();
        let checked = run(&["check", &file.to_string_lossy()]);
        assert_eq!(checked.status.code(), Some(0), "{kind}: {}", String::from_utf8_lossy(&checked.stdout));
        let shown = String::from_utf8(run(&["schema", "show", kind]).stdout).unwrap();
        assert!(shown.contains("unevaluatedProperties") && shown.contains("common.subject"), "{kind}");
    }
    assert_eq!(run(&["schema", "example", "alert.nothing"]).status.code(), Some(2));
}

#[test]
fn ready_tells_by_its_exit_code_what_the_operations_plane_says() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut home = Home::init_file(folder.path(), "IQ/traffic-police");
    let ready = |home: &Home, args: &[&str]| {
        let output = home.run(&[&["ready"], args].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).trim().to_owned())
    };
    let (code, said) = ready(&home, &[]);
    assert!(code == Some(2) && said.contains("`[operations] listen`"), "{said}");
    home.with_operations();
    let (code, said) = ready(&home, &[]);
    assert!(code == Some(2) && said.contains("is the gateway running?"), "{said}");
    home.start();
    assert_eq!(ready(&home, &[]), (Some(0), "ready".to_owned()));
    assert_eq!(ready(&home, &["--live", "--json"]), (Some(0), "{\"live\":true}".to_owned()));
    std::fs::rename(home.path.join("keys/payload-keys.db"), home.path.join("keys/aside")).unwrap();
    let (code, said) = ready(&home, &[]);
    assert!(code == Some(1) && said.starts_with("missing: key_store: "), "{said}");
    assert_eq!(ready(&home, &["--live"]), (Some(0), "live".to_owned()), "no restart would mend it");
    // One that listens everywhere is asked by the loopback.
    let everywhere = home.operations.clone().unwrap().replace("127.0.0.1", "0.0.0.0");
    assert_eq!(home.stop(), Some(0));
    std::fs::rename(home.path.join("keys/aside"), home.path.join("keys/payload-keys.db")).unwrap();
    let file = home.path.join("silkgate.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, settings.replace(home.operations.as_deref().unwrap(), &everywhere)).unwrap();
    home.start();
    assert_eq!(ready(&home, &[]), (Some(0), "ready".to_owned()));
}

#[test]
fn init_writes_where_monitoring_asks() {
    let folder = tempfile::TempDir::new().unwrap();
    let home = folder.path().join("iq");
    let made = Command::new(binary())
        .arg("-d")
        .arg(&home)
        .args([
            "init",
            "IQ/traffic-police",
            "--host",
            "gateway.iq.example",
            "--operations-listen",
            "127.0.0.1:9464",
        ])
        .status();
    assert!(made.unwrap().success());
    let settings = std::fs::read_to_string(home.join("silkgate.toml")).unwrap();
    assert!(settings.contains("\nlisten = \"127.0.0.1:9464\"\n"), "{settings}");
}
