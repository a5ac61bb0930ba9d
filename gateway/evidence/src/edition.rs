//! The edition that a message was judged by: the digests of all its files, and the texts of schemas and rules.
//!
//! Code lists stand by their digest only: they are long, public, and in every gateway.

use std::collections::BTreeMap;

use silkgate_message::catalogue::edition;
use silkgate_message::json;
use silkgate_message::jws::Digest;

/// The list of digests within an edition's folder: a line for each file, digest, space, path.
pub const DIGESTS: &str = "DIGESTS";

/// Where an edition's members stand.
pub fn folder(digest: &Digest) -> String {
    format!("editions/{digest}/")
}

/// An edition whose digest was recomputed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The message type.
    pub kind: String,
    /// Its version.
    pub version: u32,
    /// `$id` of its schema.
    pub schema_id: String,
}

/// Whether the text of this file is part of a bundle.
fn is_text(path: &str) -> bool {
    !path.starts_with("codes/")
}

/// The members of an edition, from its files in order: its digest, and name and bytes of each.
pub fn members<B: AsRef<[u8]>>(files: &[(String, B)]) -> (Digest, Vec<(String, Vec<u8>)>) {
    let digests: Vec<Digest> = files.iter().map(|(_, bytes)| Digest::of(bytes.as_ref())).collect();
    let digest = edition::digest(&digests);
    let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
    let folder = folder(&digest);
    let texts = files.iter().filter(|(path, _)| is_text(path));
    let mut members: Vec<_> =
        texts.map(|(path, bytes)| (format!("{folder}{path}"), bytes.as_ref().to_vec())).collect();
    members.push((format!("{folder}{DIGESTS}"), list(&digests, &paths).into_bytes()));
    (digest, members)
}

fn list(digests: &[Digest], paths: &[String]) -> String {
    digests.iter().zip(paths).map(|(digest, path)| format!("{digest} {path}\n")).collect()
}

/// Recomputes an edition from its folder's members, named without the folder. The error is a sentence's end.
pub fn check(named: &Digest, members: &BTreeMap<&str, &[u8]>) -> Result<Edition, String> {
    let text = members.get(DIGESTS).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or("its list of digests is missing")?;
    let first = text.lines().next().and_then(|line| line.split_once(' ')).map(|(_, path)| path);
    let unfit = || "its list of digests is not that of an edition".to_owned();
    let (kind, version) = first.and_then(type_version).ok_or_else(unfit)?;
    let digests: Option<Vec<Digest>> = text.lines().map(|line| Digest::parse(line.get(..43)?)).collect();
    let digests = digests.ok_or_else(unfit)?;
    let paths = [false, true].map(|further| edition::paths(kind, version, further));
    let paths = paths.into_iter().find(|paths| paths.len() == digests.len()).ok_or_else(unfit)?;
    if list(&digests, &paths) != text {
        return Err(unfit());
    }
    if edition::digest(&digests) != *named {
        return Err("its digest is not the one that names it".to_owned());
    }
    let texts: BTreeMap<&str, &Digest> =
        paths.iter().map(String::as_str).zip(&digests).filter(|(path, _)| is_text(path)).collect();
    for (path, digest) in &texts {
        let bytes = members.get(path).ok_or_else(|| format!("{path} is missing"))?;
        if Digest::of(bytes) != **digest {
            return Err(format!("{path} is not the one of this edition"));
        }
    }
    if let Some(name) = members.keys().find(|name| **name != DIGESTS && !texts.contains_key(*name)) {
        return Err(format!("{name} does not belong to it"));
    }
    let schema = members.get(paths.first().map_or("", String::as_str)).copied().unwrap_or_default();
    let schema = json::parse_wrapper(schema).map_err(|error| format!("its schema: {error}"))?;
    let schema_id = schema.get("$id").and_then(|id| id.as_str()).ok_or("its schema has no $id")?;
    Ok(Edition { kind: kind.to_owned(), version, schema_id: schema_id.to_owned() })
}

/// Type and version of `<type>/<version>/schema.json`.
fn type_version(path: &str) -> Option<(&str, u32)> {
    let (kind, version) = path.strip_suffix("/schema.json")?.split_once('/')?;
    let digits = !version.starts_with('0') && version.bytes().all(|b| b.is_ascii_digit());
    let words = kind.split('.').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    (digits && words).then(|| Some((kind, version.parse().ok()?)))?
}
