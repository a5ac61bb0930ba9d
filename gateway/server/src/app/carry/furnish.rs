//! A home on a new machine, out of a backup.

use anyhow::{Context as _, Result, bail};

use super::super::Cx;
use super::super::init::write_private;
use crate::store::archive::About;

/// A new machine: configuration and certificates come out of the backup. No file is overwritten.
pub(super) fn furnish(cx: &Cx, about: &About) -> Result<Vec<String>> {
    let missing: Vec<_> = ["log", "witness", "message", "tls", "national"]
        .iter()
        .map(|name| cx.home.key(name))
        .filter(|key| !key.exists())
        .map(|key| key.display().to_string())
        .collect();
    if !missing.is_empty() {
        bail!(
            "private keys are not in a backup: put them in place first, with mode 0600. Missing: {}. Nothing was changed",
            missing.join(", ")
        );
    }
    let mut written = Vec::new();
    // The configuration last: a home without it is none, and this can be repeated.
    let settings_last = |name: &str| name == "silkgate.toml";
    let mut files: Vec<_> = about.files.iter().filter(|(name, _)| may_be_written(name)).collect();
    files.sort_by_key(|(name, _)| settings_last(name));
    for (name, bytes) in files {
        let path = cx.home.path().join(name);
        if path.exists() {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mode = if settings_last(name) { 0o600 } else { 0o644 };
        write_private(&path, bytes, mode)?;
        written.push(name.clone());
    }
    Ok(written)
}

/// Whether a file of a backup may be written into the home: no name leads anywhere else.
fn may_be_written(name: &str) -> bool {
    let plain = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        name.ends_with(".pem") && !name.starts_with('.') && name.chars().all(fits)
    };
    name == "silkgate.toml"
        || name
            .split_once('/')
            .is_some_and(|(folder, file)| matches!(folder, "certs" | "clients") && plain(file))
}
