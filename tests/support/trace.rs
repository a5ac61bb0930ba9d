//! Looks for what should not be there: pieces of payloads and keys in the files of a home.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::Home;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the home") {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Each byte as a character, so that the standard library's fast search for texts can be used.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Which of `pieces` stand in a file of the home, and where.
pub fn found(home: &Home, pieces: &[Vec<u8>]) -> Vec<(PathBuf, usize)> {
    let pieces: Vec<String> = pieces.iter().map(|piece| latin(piece)).collect();
    let mut hits = Vec::new();
    for path in files(&home.path) {
        let text = latin(&std::fs::read(&path).unwrap_or_default());
        let there = pieces.iter().enumerate().filter(|(_, piece)| text.contains(piece.as_str()));
        hits.extend(there.map(|(number, _)| (path.clone(), number)));
    }
    hits
}

/// A text as it can stand in a file: raw, and in both alphabets of base64 at each of the three alignments.
pub fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec()];
    for before in 0..3 {
        let bytes = [vec![0; before], text.as_bytes().to_vec()].concat();
        // Characters that hold bits of the text alone.
        let (from, to) = ([0, 2, 3][before], bytes.len() * 8 / 6);
        for engine in [&URL_SAFE_NO_PAD, &STANDARD_NO_PAD] {
            forms.push(engine.encode(&bytes).as_bytes()[from..to].to_vec());
        }
    }
    forms
}
