//! The README's commands, run as they stand.

use std::path::Path;
use std::process::{Command, Stdio};

use support::binary;
use tempfile::TempDir;

#[test]
fn every_command_marked_to_be_run_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("<!-- run -->\n```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 6, "the marked blocks");
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(root.join("docs"), folder.path().join("docs")).unwrap();
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n{}", blocks.join("\n"));
    let path = std::env::var("PATH").unwrap();
    let binaries = binary().parent().unwrap().to_string_lossy().into_owned();
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .env("PATH", format!("{binaries}:{path}"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{erred}");
    for expected in [
        "JO is a partner",
        "JO/public-security: receipted",
        "docs/alert.json: conforms",
        "The receipt is good.",
        "The bundle is good.",
        "hint: did you mean `coach`?",
        "breaking  /transportDocument",
        "\"state\":\"queued\"",
        "\"delivered\":true",
        "Everything agrees",
        "Both sides agree",
    ] {
        assert!(said.contains(expected), "missing: {expected}\n{said}\n{erred}");
    }
}
