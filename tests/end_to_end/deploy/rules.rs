//! Alerts and dashboard: they know the figures that there are, each alert is tested, and a real Prometheus that reads a real gateway runs
//! them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Child, Command};

use serde_json::Value;
use support::home::free_ports;
use support::{Pair, event, wait_for};
use tempfile::TempDir;

use super::{file, run, text};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts.test.yml";
const DASHBOARD: &str = "deploy/grafana/silkgate.json";

#[test]
fn promtool_accepts_the_files_and_each_alert_fires_when_it_should() {
    for (what, path) in [
        (["check", "config"], "deploy/prometheus/prometheus.yml"),
        (["check", "config"], "deploy/compose/prometheus.yml"),
        (["test", "rules"], TESTS),
    ] {
        let (passed, said) = run(Command::new("promtool").args(what).arg(file(path)));
        assert!(passed, "{path}: {said}");
    }
}

/// Each alert's name with its text.
fn alerts(rules: &str) -> BTreeMap<&str, &str> {
    let blocks = rules.split("- alert: ").skip(1);
    blocks.map(|block| block.split_once('\n').unwrap()).collect()
}

#[test]
fn each_alert_says_how_urgent_it_is_and_what_to_do_and_is_tested() {
    let (rules, tests) = (text(ALERTS), text(TESTS));
    let alerts = alerts(&rules);
    assert!(alerts.len() > 35, "{alerts:?}");
    for (name, alert) in alerts {
        let urgent = ["page", "ticket"].map(|s| alert.contains(&format!("severity: {s} ")));
        assert!(urgent[0] ^ urgent[1], "{name}");
        for words in ["summary: ", "action: "] {
            assert!(alert.contains(words), "{name} has no {words}");
        }
        let docs = alert.lines().find_map(|line| line.trim().strip_prefix("docs: ")).expect(name);
        let (page, anchor) = docs.split_once('#').unwrap_or((docs, ""));
        let page = text(page);
        let slug = |line: &str| {
            line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-").replace(['\'', ',', '`'], "")
        };
        let headings: Vec<String> = page.lines().filter(|line| line.starts_with('#')).map(slug).collect();
        assert!(anchor.is_empty() || headings.iter().any(|heading| heading == anchor), "{name}: {docs}");
        let fires = format!("labels: '{{alertname=\"{name}\"}}', value: 1");
        let other = format!("ALERTS{{alertname=\"{name}\"");
        assert!(tests.contains(&fires) || tests.contains(&other), "{name} is not tested");
    }
}

/// Every `silkgate_…` of an expression, and the labels that it is asked by.
fn figures(expressions: &str) -> Vec<(String, Vec<String>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expressions.match_indices("silkgate_") {
        let rest = &expressions[at..];
        let name: String = rest.chars().take_while(|c| word(*c)).collect();
        let labels = rest[name.len()..].strip_prefix('{').map(|rest| rest.split('}').next().unwrap());
        // A pattern may hold a comma, a label's name stands before an operator.
        let labels = labels.unwrap_or_default().split('"').step_by(2);
        let labels = labels.map(|label| label.trim_matches([',', ' ', '=', '~', '!', '\\']).to_owned());
        found.push((name, labels.filter(|label| !label.is_empty()).collect()));
    }
    found
}

/// Every expression of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    targets.flatten().map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The manual is held against `/metrics` both ways by another test.
#[test]
fn alerts_and_dashboard_know_each_figure_and_no_other() {
    let manual = text("docs/operations/monitoring.md");
    // Name, labels, whether an alert is suggested.
    let rows: BTreeMap<&str, (&str, bool)> = manual
        .lines()
        .filter(|line| line.starts_with("| `silkgate_"))
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            let name = cells[0].trim_matches(['|', ' ', '`']);
            (name, (cells[1], !cells.last().unwrap().trim_matches([' ', '|']).is_empty()))
        })
        .collect();
    let rules = text(ALERTS);
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let (alerted, shown) = (figures(&rules), figures(&expressions(&dashboard).join("\n")));
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for (place, named) in [(0, &alerted), (1, &shown)] {
        for (name, labels) in named {
            let ends = ["", "_bucket", "_sum", "_count"];
            let (figure, (known, _)) = ends
                .iter()
                .find_map(|end| rows.get_key_value(name.strip_suffix(end)?))
                .unwrap_or_else(|| panic!("{name} is no figure of the manual"));
            seen[place].insert(*figure);
            for label in labels {
                let of_scrape = ["job", "instance"].contains(&label.as_str());
                assert!(of_scrape || known.contains(&format!("`{label}`")), "{name} has no label {label}");
            }
        }
    }
    for (figure, (_, suggested)) in rows {
        // The median of a batch says nothing without the time of a commit, which has an alert.
        let alert = seen[0].contains(figure) || figure == "silkgate_commit_batch_jobs";
        let receipts = figure == "silkgate_submission_to_receipt_seconds";
        assert!(!suggested || alert || receipts, "the manual suggests an alert on {figure}");
        assert!(seen[1].contains(figure), "{figure} is not on the dashboard");
    }
}

#[test]
fn each_panel_says_what_it_shows_and_stands_in_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let grid = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in grid("x")..grid("x") + grid("w") {
            for y in grid("y")..grid("y") + grid("h") {
                assert!(x < 24 && places.insert((x, y)), "{} lies over another one", panel["title"]);
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|words| words.len() > 10), "{}", panel["title"]);
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
    }
}

/// A Prometheus of the test's own.
struct Prometheus {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Prometheus {
    /// With the configuration that is shipped, which asks these gateways, often.
    fn watching(gateways: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let config = text("deploy/prometheus/prometheus.yml").replace(": 15s", ": 1s");
        assert!(config.contains("127.0.0.1:9464"));
        let config = config.replace("127.0.0.1:9464", gateways);
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::copy(file(ALERTS), folder.path().join("alerts.yml")).unwrap();
        let [port, _] = free_ports();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("run tests/run once");
        Self { child, port, folder }
    }

    fn ask(&self, path: &str, query: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let asked = Command::new("curl")
            .args(["--silent", "--get", &url, "--data-urlencode", &format!("query={query}")])
            .output();
        serde_json::from_slice(&asked.unwrap().stdout).ok()
    }

    /// How many series answer.
    fn series(&self, query: &str) -> usize {
        let answer = self.ask("query", query).unwrap_or_default();
        assert!(answer.is_null() || answer["status"] == "success", "{query}: {answer}");
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

#[test]
fn a_prometheus_reads_a_gateway_and_runs_each_rule_and_each_panel() {
    let mut pair = Pair::set_up(None);
    pair.iq.with_operations();
    pair.jo.with_operations();
    pair.iq.start();
    pair.jo.start();
    let [iq, jo] = [&pair.iq, &pair.jo].map(|home| home.operations.clone().unwrap());
    let prometheus = Prometheus::watching(&format!("{iq}\", \"{jo}"));
    let (event, police) =
        (event("IQ/traffic-police", "JO/public-security"), pair.iq.back_end("IQ/traffic-police"));
    assert_eq!(police.submit(&event).status, 202);
    assert_eq!(police.outcome(event["id"].as_str().unwrap())["state"], "receipted");
    wait_for("the gateways to be read twice", || {
        let twice = "count_over_time(silkgate_messages_total[1m]) > 1";
        (prometheus.series("up{job=\"silkgate\"} == 1") == 2 && prometheus.series(twice) > 1).then_some(())
    });
    let rules = wait_for("each rule to be evaluated", || {
        let answer = prometheus.ask("rules", "")?;
        let groups = answer["data"]["groups"].as_array()?.clone();
        let rules: Vec<Value> =
            groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    });
    assert_eq!(rules.len(), alerts(&text(ALERTS)).len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "nothing is wrong with these gateways: {rule}");
    }
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let mut empty = BTreeSet::new();
    for expression in expressions(&dashboard) {
        let query =
            expression.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$partner", ".*");
        if prometheus.series(&query) == 0 {
            empty.insert(expression);
        }
    }
    // Nothing is pushed, handed out, revoked, kept in hardware, sent to a collector or reconciled here, and nothing was refused.
    let absent = [
        "push",
        "back_end_reached",
        "deliveries_",
        "crl",
        "token",
        "reconcile",
        "> 0",
        "files_refused",
        "questions",
        "connections_refused",
        "timestamped",
        "syslog_waiting",
        "syslog_oldest",
    ];
    let unexplained: Vec<_> =
        empty.iter().filter(|query| !absent.iter().any(|word| query.contains(word))).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
}
