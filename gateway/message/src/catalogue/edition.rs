//! Which files make an edition, and in what order (docs/protocol.md, "Editions").

use crate::digest::Digest;

/// Behind the type's own schema and rules.
const SHARED: [&str; 7] = [
    "common/1/rules.json",
    "common/1/schema.json",
    "codes/iso3166-1.json",
    "codes/iso4217.json",
    "codes/rec21.json",
    "codes/hs6-2022.txt",
    "codes/unlocode.txt",
];

/// Behind these, where the type's schema refers to `common/2`.
const FURTHER: [&str; 5] = [
    "common/2/schema.json",
    "common/2/rules.json",
    "codes/crossings-1.json",
    "codes/icao9303-3-arabic.csv",
    "codes/icao9303-3-latin.csv",
];

/// The paths under `schemas/` of a type version's edition, in the order of its digest.
pub fn paths(name: &str, version: u32, uses_common_2: bool) -> Vec<String> {
    let own = ["schema.json", "rules.json"].map(|file| format!("{name}/{version}/{file}"));
    let further = FURTHER.iter().filter(|_| uses_common_2);
    own.into_iter().chain(SHARED.iter().chain(further).map(|path| (*path).to_owned())).collect()
}

/// The digest of an edition, from those of its files.
pub fn digest(files: &[Digest]) -> Digest {
    Digest::of(&files.iter().flat_map(|file| file.0).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;
    use super::*;

    #[test]
    fn the_files_give_the_digest_that_entries_hold() {
        for t in Catalogue::embedded().types() {
            let files: Vec<_> = t.edition_files().iter().map(|(_, bytes)| Digest::of(bytes)).collect();
            assert_eq!(digest(&files).0, t.digest(), "{}/{}", t.name(), t.version());
        }
    }
}
