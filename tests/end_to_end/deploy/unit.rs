//! The systemd unit: it is read without a complaint, it closes what it says, and a gateway works under it.

use std::fs;
use std::process::{Child, Command};

use support::home::Backend;
use support::{Home, Pair, binary, event, wait_for};
use tempfile::TempDir;

use super::{file, run, text};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
const UNIT: &str = "deploy/systemd/silkgate.service";

#[test]
fn systemd_reads_the_unit_without_a_complaint() {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("silkgate.service");
    // The program is not installed here.
    let unit = text(UNIT).replace("/usr/bin/silkgate", &binary().to_string_lossy());
    fs::write(&copy, unit).unwrap();
    let verified = run(Command::new("systemd-analyze").arg("verify").arg(&copy));
    assert_eq!(verified, (true, String::new()));
}

#[test]
fn the_unit_leaves_open_what_a_gateway_needs_and_nothing_else() {
    // 10 is a service without any bound. What is left: a network, the addresses of partners that nobody knows beforehand.
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=11"])
        .arg(file(UNIT))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}");
    let user = text("deploy/systemd/silkgate.sysusers");
    assert!(user.lines().any(|line| line.starts_with("u silkgate ")), "{user}");
    let limit = text(UNIT).lines().find_map(|line| line.strip_prefix("LimitNOFILE=")?.parse::<u64>().ok());
    let manual = text("gateway/server/src/silkgate.toml");
    let connections =
        manual.lines().find_map(|line| line.strip_prefix("connections = ")?.parse::<u64>().ok());
    // Both planes, and as much again for what it opens itself.
    assert!(
        limit.unwrap() >= 4 * connections.unwrap(),
        "{limit:?} files for {connections:?} connections a plane"
    );
}

/// A real systemd in namespaces of its own, which runs the unit over a home.
struct Booted(Child);

impl Booted {
    fn on(home: &Home) -> Self {
        let booted = Command::new("unshare")
            .args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "bash"])
            .arg(file("tests/end_to_end/deploy/boot.sh"))
            .args([file(UNIT), home.path.clone(), binary()])
            .spawn();
        Self(booted.unwrap())
    }

    /// Its process, the first one of the namespace.
    fn systemd(&self) -> Option<u32> {
        children(self.0.id()).into_iter().next()
    }

    /// The gateway's process.
    fn gateway(&self) -> Option<u32> {
        let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        children(self.systemd()?).into_iter().find(|pid| name(pid) == "silkgate\n")
    }

    /// What systemd says of the unit: its state, how it ended, how often it was started again.
    fn says(&self) -> String {
        let systemd = self.systemd().map(|pid| pid.to_string()).unwrap_or_default();
        let show = ["show", "silkgate.service", "--property=ActiveState,Result,NRestarts"];
        let (_, said) = run(Command::new("nsenter")
            .args(["--mount", "--pid", "--target", &systemd, "--", "systemctl"])
            .args(show));
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    }

    /// The gateway's process once it takes messages.
    fn ready(&self, home: &Home) -> u32 {
        let mut last = String::new();
        let pid = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the gateway to be ready", || {
                let asked = home.run(&["ready"]);
                last = String::from_utf8_lossy(&[asked.stdout, asked.stderr].concat()).into_owned();
                if asked.status.success() { self.gateway() } else { None }
            })
        }));
        pid.unwrap_or_else(|_| panic!("{last}\n{}\n{}", self.says(), home.gateway_log()))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Its child, the first process of the namespace, goes with it, and all the others with that one.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_gateway_works_under_the_unit_on_both_databases() {
    works_under_the_unit(Backend::Sqlite);
    works_under_the_unit(Backend::Postgres);
}

fn works_under_the_unit(backend: Backend) {
    let mut pair = Pair::set_up_on(None, backend);
    pair.iq.with_operations();
    pair.jo.start();
    let booted = Booted::on(&pair.iq);
    let pid = booted.ready(&pair.iq);
    exchange(&pair);

    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_ne!(field("Uid:").split('\t').next(), Some("0"), "{status}");
    for none in ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(none), "0000000000000000", "{none}");
    }
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1", "2"));
    // As root, in what the gateway sees of the machine.
    let there = |args: &[&str]| {
        run(Command::new("nsenter").args(["--mount", "--target", &pid.to_string(), "--"]).args(args))
    };
    for place in ["/etc", "/usr/bin", "/run", "/run/lock", "/dev/shm"] {
        let (written, said) = there(&["touch", &format!("{place}/written-by-a-gateway")]);
        assert!(!written && said.contains("Read-only file system"), "{place}: {said}");
    }
    assert!(!there(&["ls", &pair.folder.path().to_string_lossy()]).0, "it sees the files of others in /tmp");
    assert!(there(&["ls", "/var/lib/silkgate/silkgate.toml"]).0, "its home is there");

    // No call of it was stopped by the filter, which here ends the process.
    assert_eq!(booted.says(), "ActiveState=active NRestarts=0 Result=success");

    // Killed, it comes back by itself; told to stop, it stays away.
    signal("-KILL", pid);
    wait_for("the gateway to be gone", || (booted.gateway() != Some(pid)).then_some(()));
    let next = booted.ready(&pair.iq);
    exchange(&pair);
    assert_eq!(booted.says(), "ActiveState=active NRestarts=1 Result=success");
    signal("-TERM", next);
    wait_for("systemd to take the stop for what it is", || {
        (booted.says() == "ActiveState=inactive NRestarts=1 Result=success").then_some(())
    });
    assert_eq!(booted.gateway(), None);
    drop(booted);
    assert!(pair.iq.audit().is_empty());
}

/// A message each way, taken by the back end.
fn exchange(pair: &Pair) {
    for (home, from, to, other) in [(&pair.iq, IQ, JO, &pair.jo), (&pair.jo, JO, IQ, &pair.iq)] {
        let (event, back_end) = (event(from, to), home.back_end(from));
        assert_eq!(back_end.submit(&event).status, 202);
        assert_eq!(back_end.outcome(event["id"].as_str().unwrap())["state"], "receipted");
        let taken = other.back_end(to);
        let delivery = wait_for("the delivery", || taken.deliveries("?wait=1").pop());
        assert_eq!(taken.acknowledge(&delivery).status, 200);
    }
}
