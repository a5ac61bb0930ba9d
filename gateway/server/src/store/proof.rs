//! A receipt made again from what is stored: the same bytes as the first time, years later.

use silkgate_ledger::note::Note;
use silkgate_ledger::proof::TlogProof;
use silkgate_ledger::tree::{inclusion_proof, inclusion_tiles};

use super::{Connection, StoreError, ledger, witness};

/// The C2SP tlog-proof of entry `index` of `log` under its checkpoint of `size` entries.
pub async fn receipt(conn: &mut Connection, log: i64, index: u64, size: u64) -> Result<Vec<u8>, StoreError> {
    let missing = |what: &str| StoreError::Corrupt(format!("{what} of log {log} is missing"));
    let entry = ledger::entry(conn, log, index).await?.ok_or_else(|| missing("an entry"))?;
    let note = ledger::checkpoint(conn, log, size).await?.ok_or_else(|| missing("a checkpoint"))?;
    let checkpoint =
        Note::parse(&note).map_err(|error| StoreError::Corrupt(format!("checkpoint: {error}")))?;
    let tiles = ledger::tiles(conn, log, &inclusion_tiles(index, size)).await?;
    let hashes = inclusion_proof(index, size, &tiles)
        .map_err(|error| StoreError::Corrupt(format!("proof: {error}")))?;
    Ok(TlogProof { extra: Some(entry), index, hashes, checkpoint }.encode())
}

/// The proof of the same entry with what partners witnessed: under the first checkpoint over it that one of them
/// cosigned, and with the cosignatures; where none was yet, the receipt as it was given first, under `size` entries.
pub async fn witnessed(
    conn: &mut Connection,
    log: i64,
    index: u64,
    size: u64,
) -> Result<Vec<u8>, StoreError> {
    let Some(size) = witness::first_cosigned(conn, log, size).await? else {
        return receipt(conn, log, index, size).await;
    };
    let unsound =
        |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("cosigned checkpoint: {error}"));
    let mut proof =
        TlogProof::parse(&receipt(conn, log, index, size).await?).map_err(|error| unsound(&error))?;
    if let Some(note) = witness::cosigned_note(conn, log, size).await? {
        proof.checkpoint = Note::parse(&note).map_err(|error| unsound(&error))?;
    }
    Ok(proof.encode())
}
