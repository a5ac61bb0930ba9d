//! What lies under deploy/: the unit, the images and what watches a gateway do what they say, as far as one machine can tell.

mod container;
mod rules;
mod unit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap().join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a program that `tests/run` installs; what it printed on both channels.
fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run tests/run once"));
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}
