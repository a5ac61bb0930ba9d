//! The examples of every type, inside the binary; and the files of its edition, which lie beside them.

use include_dir::{Dir, include_dir};

static SCHEMAS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../schemas");

/// Which examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExampleKind {
    /// Those that pass: the event itself.
    Accept,
    /// Those that do not: `{"expect": [{"rule", "pointer"}], "event"}`.
    Reject,
}

/// Names and texts, in order.
pub(super) fn of(name: &str, version: u32, kind: ExampleKind) -> Vec<(&'static str, &'static str)> {
    let folder = match kind {
        ExampleKind::Accept => "accept",
        ExampleKind::Reject => "reject",
    };
    let files = SCHEMAS.get_dir(format!("{name}/{version}/{folder}")).map(Dir::files);
    let mut found: Vec<(&str, &str)> = files
        .into_iter()
        .flatten()
        .filter_map(|file| Some((file.path().file_stem()?.to_str()?, file.contents_utf8()?)))
        .collect();
    found.sort_unstable();
    found
}

/// A file under `schemas/`; empty where there is none.
pub(super) fn file(path: &str) -> &'static [u8] {
    SCHEMAS.get_file(path).map_or(&[], include_dir::File::contents)
}
