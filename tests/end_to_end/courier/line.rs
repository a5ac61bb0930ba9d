//! Two states whose line is down, and a line that comes up.

use std::io::copy;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::home::{free_ports, set};
use support::{Home, Pair, event};
use tempfile::TempDir;

pub const IQ: &str = "IQ/traffic-police";
pub const JO: &str = "JO/public-security";

/// Two states that dial each other where nobody listens.
pub struct Cut {
    pub pair: Pair,
    /// Where Iraq dials, and where Jordan does.
    dialled: [String; 2],
    files: usize,
}

impl Cut {
    /// Both set up and started.
    pub fn start() -> Self {
        let mut cut = Self::set_up();
        cut.pair.iq.start();
        cut.pair.jo.start();
        cut
    }

    /// Both set up.
    pub fn set_up() -> Self {
        Self::set_up_with(Home::init)
    }

    /// The same on files, for tests that look into them.
    pub fn set_up_files() -> Self {
        Self::set_up_with(Home::init_file)
    }

    fn set_up_with(init: fn(&Path, &str) -> Home) -> Self {
        let folder = TempDir::new().unwrap();
        let [iq, jo] = [IQ, JO].map(|party| init(folder.path(), party));
        let dialled = free_ports().map(|port| format!("127.0.0.1:{port}"));
        iq.add_partner(&jo, Some(&dialled[0]));
        jo.add_partner(&iq, Some(&dialled[1]));
        for home in [&iq, &jo] {
            set(home, "backoff_longest_ms", "500");
            set(home, "show_seconds", "0");
        }
        Self { pair: Pair { iq, jo, folder }, dialled, files: 0 }
    }

    /// From here on the line is up.
    pub fn mend(&self) {
        let targets = [&self.pair.jo.partner_plane, &self.pair.iq.partner_plane];
        for (address, target) in self.dialled.iter().zip(targets) {
            let (listener, target) = (TcpListener::bind(address).unwrap(), target.clone());
            std::thread::spawn(move || {
                while let Ok((here, _)) = listener.accept() {
                    let Ok(there) = TcpStream::connect(&target) else { continue };
                    for (mut from, mut to) in
                        [(here.try_clone(), there.try_clone()), (Ok(there), Ok(here))].map(both)
                    {
                        std::thread::spawn(move || {
                            let _ = copy(&mut from, &mut to);
                            let _ = to.shutdown(std::net::Shutdown::Write);
                        });
                    }
                }
            });
        }
    }

    /// A name for a file that is not there yet.
    pub fn file(&mut self) -> PathBuf {
        self.files += 1;
        self.pair.folder.path().join(format!("{}.courier", self.files))
    }

    /// `courier export` from one side; the file and what the command said.
    pub fn export(&mut self, from: fn(&Pair) -> &Home) -> (PathBuf, Value) {
        let file = self.file();
        let home = from(&self.pair);
        let partner = if home.country == "IQ" { "JO" } else { "IQ" };
        let said = home.json(&["courier", "export", partner, file.to_str().unwrap()]);
        (file, said)
    }
}

fn both((from, to): (std::io::Result<TcpStream>, std::io::Result<TcpStream>)) -> (TcpStream, TcpStream) {
    (from.unwrap(), to.unwrap())
}

pub fn iq(pair: &Pair) -> &Home {
    &pair.iq
}

pub fn jo(pair: &Pair) -> &Home {
    &pair.jo
}

/// `courier import`; its exit code and its report.
pub fn import(home: &Home, file: &Path) -> (i32, Value) {
    let output: Output = home.run(&["courier", "import", file.to_str().unwrap(), "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{:?}: {said}", output.status));
    (output.status.code().unwrap(), report)
}

/// The numbers of a report, in the order of these names.
pub fn numbers<const N: usize>(report: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}")))
}

/// Codes of the items of a report.
pub fn codes(report: &Value) -> Vec<String> {
    let items = report["items"].as_array().unwrap();
    items.iter().map(|item| item["code"].as_str().unwrap().to_owned()).collect()
}

/// Submits, and is answered `queued`; the message's id.
pub fn submit(home: &Home, event: &Value) -> String {
    let answer = home.back_end(event["source"].as_str().unwrap()).submit(event);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    event["id"].as_str().unwrap().to_owned()
}

/// How a submission stands at present.
pub fn state(home: &Home, id: &str) -> Value {
    let party = if home.country == "IQ" { IQ } else { JO };
    home.back_end(party).get(&format!("/v1/submissions/{id}")).json()
}

/// The next version of a record of `from`'s.
pub fn next(home: &Home, first: &Value, last: &str, number: u64, action: &str) -> Value {
    let (from, to) = (first["source"].as_str().unwrap(), first["recipient"].as_str().unwrap());
    let mut next = event(from, to);
    next["subject"] = first["subject"].clone();
    next["data"]["recordId"] = first["subject"].clone();
    let digest = &state(home, last)["digest"];
    let supersedes = serde_json::json!({ "messageId": last, "digest": digest });
    if action == "cancel" {
        next["data"] = serde_json::json!({ "recordId": first["subject"], "reason": "found" });
    }
    next["data"]["action"] = action.into();
    next["data"]["recordVersion"] = number.into();
    next["data"]["supersedes"] = supersedes;
    next
}
