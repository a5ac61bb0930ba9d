//! Signed notes: our checkpoints, and partners' cosignatures on them.

use silkgate_ledger::{Checkpoint, Hash, Note, NoteSignature, VerifierKey};
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::facts::Facts;
use super::pool::Done;
use super::resume::Link;
use crate::store::ledger::signed;

/// A checkpoint of ours, what it must say, and who cosigned it.
pub(super) struct Signed {
    pub(super) log: i64,
    pub(super) partner: Option<Country>,
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) note: Vec<u8>,
    /// Partner and line.
    pub(super) lines: Vec<(String, String)>,
    /// An earlier run verified the signatures.
    pub(super) skip: bool,
}

/// Verifies checkpoints of one log.
pub(super) fn verify(facts: &Facts, origin: &str, keys: &[VerifierKey], signed_notes: Vec<Signed>) -> Done {
    let mut done = Done::default();
    for signed_note in signed_notes {
        let before = done.findings.len();
        verify_one(facts, origin, keys, &signed_note, &mut done);
        let mut bytes = signed_note.note;
        for (witness, line) in &signed_note.lines {
            bytes.extend([b"\n", witness.as_bytes(), b" ", line.as_bytes()].concat());
        }
        let sound = done.findings.len() == before;
        let (chain, at) = (Some(signed_note.log), signed(signed_note.size));
        done.links.push(Link { chain, at, digest: Digest::of(&bytes), sound });
    }
    done
}

fn verify_one(facts: &Facts, origin: &str, keys: &[VerifierKey], signed: &Signed, done: &mut Done) {
    let place = format!("checkpoint {}/{}", signed.log, signed.size);
    let note = match check_note(&signed.note, origin, signed, keys) {
        Ok(note) => note,
        Err(what) => return done.find(&place, what),
    };
    done.resumed += u64::from(signed.skip);
    for (witness, line) in &signed.lines {
        let place = format!("cosignature {}/{}/{witness}", signed.log, signed.size);
        if signed.partner.is_some_and(|partner| partner.as_str() != witness) {
            done.find(&place, "only the channel's partner cosigns this log");
            continue;
        }
        match check_line(facts, &note, witness, line, signed.skip) {
            Ok(time_s) => {
                done.resumed += u64::from(signed.skip);
                done.cosigned.push((signed.log, witness.clone(), signed.size, time_s));
            }
            Err(what) => done.find(&place, what),
        }
    }
}

fn check_note(bytes: &[u8], origin: &str, expected: &Signed, keys: &[VerifierKey]) -> Result<Note, String> {
    let note = Note::parse(bytes).map_err(|error| error.to_string())?;
    // Only the log's keys sign what stands in this table.
    let of_log = |line: &NoteSignature| {
        keys.iter().any(|key| key.name() == line.name() && key.key_id() == line.key_id())
    };
    if !note.signatures().iter().all(of_log) {
        return Err("the checkpoint carries a line that is not of the log's keys".to_owned());
    }
    if !expected.skip {
        note.verify(keys).map_err(|error| error.to_string())?;
    }
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin.as_str() != origin || checkpoint.size != expected.size {
        return Err("the checkpoint is of another log or size".to_owned());
    }
    if checkpoint.root != expected.root {
        return Err("the entries do not give the checkpoint's root".to_owned());
    }
    Ok(note)
}

/// When the partner cosigned, in seconds since 1970.
fn check_line(facts: &Facts, note: &Note, witness: &str, line: &str, skip: bool) -> Result<u64, String> {
    let parsed = NoteSignature::parse(line).map_err(|error| error.to_string())?;
    if parsed.to_string() != line {
        return Err("the line is not as it was written".to_owned());
    }
    let time = parsed.bytes().first_chunk::<8>().map(|time| u64::from_be_bytes(*time));
    if skip {
        return time.ok_or_else(|| "the line is no cosignature".to_owned());
    }
    let keys = facts.partner(witness).map(|signers| signers.witness.as_slice()).unwrap_or_default();
    let key = keys.iter().find(|key| key.is_of(&parsed));
    let key = key.ok_or("the line is of no witness key on a card of that partner")?;
    let mut note = note.clone();
    note.add_signature(parsed.clone()).map_err(|error| error.to_string())?;
    let verified = key.cosigned(&note).map_err(|error| error.to_string())?;
    verified.ok_or_else(|| "the line is no cosignature".to_owned())
}
