//! Three states, messages of every outcome between them, and their bundles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use silkgate_evidence::container::{self, Members};
use support::{Home, Pair, answer, binary, event, question, sign, wait_for};
use tempfile::TempDir;

pub(super) const IQ: &str = "IQ/traffic-police";
pub(super) const JO: &str = "JO/public-security";
pub(super) const SA: &str = "SA/border-guard";

/// Iraq between two neighbours, all stopped; the newest checkpoint of Iraq's log with Jordan is cosigned.
pub(super) struct States {
    pub(super) pair: Pair,
    pub(super) sa: Home,
    /// Ids by what became of the message.
    pub(super) ids: BTreeMap<&'static str, String>,
}

pub(super) fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

fn submitted(home: &Home, from: &str, event: &Value, state: &str) -> String {
    let back_end = home.back_end(from);
    wait_for("the submission to be taken", || (back_end.submit(event).status == 202).then_some(()));
    assert_eq!(back_end.outcome(&id(event))["state"], state);
    id(event)
}

impl States {
    pub(super) fn exchanged() -> Self {
        let mut pair = Pair::set_up(None);
        let mut sa = Home::init(pair.folder.path(), SA);
        pair.iq.add_partner(&sa, None);
        sa.add_partner(&pair.iq, None);
        // Iraq may send for a purpose that Jordan does not take.
        pair.iq.ok(&["partner", "allow", "JO", "--purpose", "customs-control"]);
        // What Jordan's authority has revoked, told twice: the second list is in force with Iraq, and of Saudi Arabia none.
        let list = pair.jo.path.join("certs/tls.crl").to_string_lossy().into_owned();
        for _ in 0..2 {
            pair.jo.ok(&["key", "crl"]);
            pair.iq.ok(&["partner", "crl", "JO", &list]);
        }
        [&mut pair.iq, &mut pair.jo, &mut sa].into_iter().for_each(Home::start);
        let mut ids = BTreeMap::new();
        ids.insert("sent", submitted(&pair.iq, IQ, &event(IQ, JO), "receipted"));
        ids.insert("erased", submitted(&pair.iq, IQ, &event(IQ, JO), "receipted"));
        ids.insert("received", submitted(&pair.jo, JO, &event(JO, IQ), "receipted"));
        let mut other_purpose = event(IQ, JO);
        other_purpose["purpose"] = json!("customs-control");
        ids.insert("refused sent", submitted(&pair.iq, IQ, &other_purpose, "rejected"));
        // What Jordan's own gateway would not send.
        let (jordan, key) = (pair.jo.as_partner_of(&pair.iq), pair.jo.message_key());
        let mut plaid = event(JO, IQ);
        plaid["data"]["colour"] = json!("plaid");
        assert_eq!(jordan.message(&sign(&key, &plaid).bytes).status, 422);
        ids.insert("refused received", id(&plaid));
        let (first, mut second) = (event(JO, IQ), event(JO, IQ));
        second["id"] = first["id"].clone();
        assert_eq!(jordan.message(&sign(&key, &first).bytes).status, 200);
        assert_eq!(jordan.message(&sign(&key, &second).bytes).code(), "id_conflict");
        ids.insert("conflict", id(&first));
        let asked = question(JO, IQ, 1_800_000);
        ids.insert("question", submitted(&pair.jo, JO, &asked, "receipted"));
        ids.insert("answer", submitted(&pair.iq, IQ, &answer(IQ, JO, &id(&asked), "none"), "receipted"));
        ids.insert("third sent", submitted(&pair.iq, IQ, &event(IQ, SA), "receipted"));
        ids.insert("third received", submitted(&sa, SA, &event(SA, IQ), "receipted"));
        sa.stop();
        let queued = event(IQ, SA);
        assert_eq!(pair.iq.back_end(IQ).submit(&queued).status, 202);
        ids.insert("queued", id(&queued));
        let states = Self { pair, sa, ids };
        states.export_while_running();
        let mut states = states;
        states.pair.iq.ok(&["erase", &states.ids["erased"], "--reason", "a court's order"]);
        for (home, partner) in [(&states.pair.iq, "JO"), (&states.pair.jo, "IQ")] {
            wait_for("the neighbour's cosignature", || {
                let witness = home.json(&["status"])["witness"].clone();
                let mut of =
                    witness.as_array().unwrap().iter().filter(|cosigned| cosigned["partner"] == partner);
                of.all(|cosigned| cosigned["size"] == cosigned["of"]).then_some(())
            });
        }
        states.pair.iq.stop();
        states.pair.jo.stop();
        states
    }

    /// A bundle beside a running gateway.
    fn export_while_running(&self) {
        let out = self.pair.folder.path().join("running.zip").to_string_lossy().into_owned();
        self.pair.iq.ok(&["evidence", "export", &self.ids["sent"], "--out", &out]);
        let again = self.pair.iq.run(&["evidence", "export", &self.ids["sent"], "--out", &out]);
        assert_eq!(again.status.code(), Some(2), "evidence is never replaced");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    /// A state's bundle of what `arguments` name.
    pub(super) fn export(&self, home: &Home, arguments: &[&str]) -> Vec<u8> {
        let out = self.pair.folder.path().join("out.zip");
        let _ = std::fs::remove_file(&out);
        let path = out.to_string_lossy().into_owned();
        let held = || home.database.is_none().then(|| std::fs::read(home.database_file()).unwrap());
        let before = held();
        home.ok(&[&["evidence", "export", "--out", &path], arguments].concat());
        assert!(before == held(), "export only reads");
        std::fs::read(&out).unwrap()
    }

    /// Iraq's bundle of the message that became so.
    pub(super) fn of(&self, what: &str) -> Members {
        container::decode(&self.export(&self.pair.iq, &[&self.ids[what]])).unwrap()
    }
}

/// The verdicts of both judges on these files, run where there is no home: whether each is good.
pub(crate) fn verdicts(files: &[(String, Vec<u8>)]) -> Vec<(bool, bool)> {
    let folder = TempDir::new().unwrap();
    let paths: Vec<PathBuf> = (0..files.len()).map(|n| folder.path().join(format!("{n}.zip"))).collect();
    for (path, (_, bytes)) in paths.iter().zip(files) {
        std::fs::write(path, bytes).unwrap();
    }
    let mut ours = Command::new(binary());
    ours.args(["verify", "--json"]).current_dir(folder.path()).args(&paths);
    let ours = ours.output().unwrap();
    let report: Value = serde_json::from_slice(&ours.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ours.stderr)));
    let single = [report.clone()];
    let found = report["files"].as_array().map_or(&single[..], Vec::as_slice);
    let ours_good: Vec<bool> = found.iter().map(|file| file["valid"].as_bool().unwrap()).collect();
    assert_eq!(ours.status.code(), Some(i32::from(ours_good.contains(&false))));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let theirs = Command::new(root.join("target/interop/bin/python"))
        .arg(root.join("docs/verify.py"))
        .args(&paths)
        .current_dir(folder.path())
        .output()
        .expect("tests/interop/install was run");
    let said = String::from_utf8(theirs.stdout).unwrap();
    let theirs_good: Vec<bool> =
        paths.iter().map(|path| said.contains(&format!("{}: GOOD\n", path.display()))).collect();
    let refused = said.matches(": REFUSED, it proves nothing\n").count();
    assert_eq!(refused, theirs_good.iter().filter(|good| !**good).count(), "a verdict on each: {said}");
    assert_eq!(theirs.status.code(), Some(i32::from(refused > 0)));
    if files.len() < 30 {
        eprintln!("{said}");
        for (file, (name, _)) in found.iter().zip(files) {
            let failed = file["checks"].as_array().unwrap().iter().find(|check| check["passed"] == false);
            eprintln!("{name}: {}", failed.map_or("good", |check| check["says"].as_str().unwrap()));
        }
    }
    ours_good.into_iter().zip(theirs_good).collect()
}
