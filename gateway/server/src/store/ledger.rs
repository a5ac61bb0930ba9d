//! Tables `log`, `entry`, `tile`, `checkpoint`.

use silkgate_ledger::tree::{Hash, Tile, TileId, Tiles};
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::bulk::fetch_among;
use super::sql::{Row, sql};
use super::{Connection, Script, StoreError, ascending, bytes32};

/// A log and how far it has come.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its key in the store.
    pub id: i64,
    /// Its C2SP origin.
    pub origin: String,
    /// The partner of a channel log; None for the house log.
    pub partner: Option<Country>,
    /// Entries.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Checkpoints signed.
    pub signed: u64,
    /// Partners' cosignatures on them.
    pub cosigned: i64,
    /// How often we cosigned the partner's logs.
    pub witnessed: i64,
    /// Alarms about the partner's and our logs.
    pub alarms: i64,
    /// Behind the last entry of a revocation list that is not kept.
    pub lists_from: i64,
}

/// A row of `entry`.
pub struct EntryRow {
    /// The log.
    pub log: i64,
    /// Position, from 0.
    pub index: u64,
    /// The entry's bytes.
    pub body: Vec<u8>,
}

/// Creates an empty log.
pub async fn create(
    conn: &mut Connection,
    origin: &str,
    partner: Option<Country>,
) -> Result<i64, StoreError> {
    let row = sql("INSERT INTO log (origin, partner, size, root) VALUES ($1, $2, 0, $3) RETURNING id")
        .bind(origin)
        .bind(partner.map(|country| country.as_str().to_owned()))
        .bind(silkgate_ledger::tree::EMPTY_ROOT.as_bytes().to_vec())
        .fetch_one(conn)
        .await?;
    row.get(0)
}

pub(super) const HEADS: &str = "SELECT id, origin, partner, size, root, signed, cosigned, witnessed, alarms, lists_from FROM log ORDER BY id";

/// Every log, in ascending id: the order in which they are written.
pub async fn heads(conn: &mut Connection) -> Result<Vec<Head>, StoreError> {
    heads_of(sql(HEADS).fetch_all(conn).await?)
}

/// The answer to [`HEADS`].
pub(super) fn heads_of(rows: Vec<Row>) -> Result<Vec<Head>, StoreError> {
    rows.into_iter()
        .map(|row| {
            let partner: Option<String> = row.get(2)?;
            Ok(Head {
                id: row.get(0)?,
                origin: row.get(1)?,
                partner: match partner {
                    Some(text) => Some(text.parse().map_err(|_| corrupt("log.partner is no country"))?),
                    None => None,
                },
                size: unsigned(row.get(3)?)?,
                root: Hash::from_bytes(bytes32(row.get(4)?, "log.root")?),
                signed: unsigned(row.get(5)?)?,
                cosigned: row.get(6)?,
                witnessed: row.get(7)?,
                alarms: row.get(8)?,
                lists_from: row.get(9)?,
            })
        })
        .collect()
}

/// Moves the head from `old_size` to a size whose checkpoint is signed: compare and swap, so that two writers can never fork a log.
pub fn move_head(script: &mut Script, log: i64, old_size: u64, size: u64, root: &Hash) {
    let text =
        "UPDATE log SET size = $1, root = $2, signed = signed + 1 WHERE id = $3 AND size = $4 RETURNING id";
    let root = root.as_bytes().as_slice();
    script.one(text, vec![signed(size).into(), root.into(), log.into(), signed(old_size).into()]);
}

/// Appends entries.
pub fn insert_entries(script: &mut Script, rows: Vec<EntryRow>) {
    let values = |row: EntryRow| vec![row.log.into(), signed(row.index).into(), row.body.into()];
    script.insert("INSERT INTO entry (log, idx, body)", "", rows.into_iter().map(values).collect());
}

/// Stores tiles, replacing narrower ones.
pub fn put_tiles(script: &mut Script, log: i64, tiles: impl Iterator<Item = (TileId, Vec<u8>)>) {
    let values = |(id, hashes): (TileId, Vec<u8>)| {
        vec![log.into(), i64::from(id.level).into(), signed(id.index).into(), hashes.into()]
    };
    let tail = "ON CONFLICT (log, level, idx) DO UPDATE SET hashes = excluded.hashes";
    script.insert("INSERT INTO tile (log, level, idx, hashes)", tail, tiles.map(values).collect());
}

/// Loads tiles.
pub async fn tiles(conn: &mut Connection, log: i64, ids: &[TileId]) -> Result<Tiles, StoreError> {
    let mut tiles = Tiles::default();
    for id in ids {
        let row = sql("SELECT hashes FROM tile WHERE log = $1 AND level = $2 AND idx = $3")
            .bind(log)
            .bind(i64::from(id.level))
            .bind(signed(id.index))
            .fetch_optional(&mut *conn)
            .await?;
        let row = row.ok_or_else(|| corrupt("a tile of the tree is missing"))?;
        let bytes: Vec<u8> = row.get(0)?;
        tiles
            .insert(*id, Tile::from_bytes(&bytes).map_err(|_| corrupt("a tile does not hold whole hashes"))?);
    }
    Ok(tiles)
}

/// A stored tile's bytes, verbatim.
pub async fn tile_bytes(conn: &mut Connection, log: i64, id: TileId) -> Result<Option<Vec<u8>>, StoreError> {
    let query = sql("SELECT hashes FROM tile WHERE log = $1 AND level = $2 AND idx = $3");
    let query = query.bind(log).bind(i64::from(id.level)).bind(signed(id.index));
    query.first(conn).await
}

/// How many tiles of a log are stored.
pub async fn count_tiles(conn: &mut Connection, log: i64) -> Result<u64, StoreError> {
    let row = sql("SELECT count(*) FROM tile WHERE log = $1").bind(log).fetch_one(conn).await?;
    unsigned(row.get(0)?)
}

/// Level and index of stored tiles from above a pair on, at most `limit`; whatever numbers stand there.
pub async fn tile_keys(
    conn: &mut Connection,
    log: i64,
    (level, index): (i64, i64),
    limit: u32,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let rows = sql(
        "SELECT level, idx FROM tile WHERE log = $1 AND (level, idx) > ($2, $3) ORDER BY level, idx LIMIT $4",
    );
    let rows = rows.bind(log).bind(level).bind(index).bind(i64::from(limit)).fetch_all(conn).await?;
    let keys = rows.into_iter().map(|row| Ok((row.get(0)?, row.get(1)?)));
    ascending((level, index), keys.collect::<Result<_, StoreError>>()?, |key| *key, "tile")
}

/// The lowest index of an entry and the lowest sizes of a checkpoint and of a cosignature, whatever numbers stand there.
pub async fn lowest(conn: &mut Connection, log: i64) -> Result<[Option<i64>; 3], StoreError> {
    let row = sql(
        "SELECT (SELECT min(idx) FROM entry WHERE log = $1), (SELECT min(size) FROM checkpoint WHERE log = $1),
                (SELECT min(size) FROM cosignature WHERE log = $1)",
    );
    let row = row.bind(log).fetch_one(conn).await?;
    Ok([row.get(0)?, row.get(1)?, row.get(2)?])
}

/// The logs that rows of a table name: table and log, each once. One look into the key for each.
pub async fn named(conn: &mut Connection) -> Result<Vec<(&'static str, i64)>, StoreError> {
    const NEXT: [(&str, &str); 5] = [
        ("entry", "SELECT min(log) FROM entry WHERE log > $1"),
        ("tile", "SELECT min(log) FROM tile WHERE log > $1"),
        ("checkpoint", "SELECT min(log) FROM checkpoint WHERE log > $1"),
        ("cosignature", "SELECT min(log) FROM cosignature WHERE log > $1"),
        ("revocation_history", "SELECT min(log) FROM revocation_history WHERE log > $1"),
    ];
    let mut named = Vec::new();
    for (table, next) in NEXT {
        let mut last = i64::MIN;
        while let Some(log) = sql(next).bind(last).fetch_one(&mut *conn).await?.get::<Option<i64>>(0)? {
            if log <= last {
                return Err(StoreError::Corrupt(format!("{table}: the rows are not in their order")));
            }
            named.push((table, log));
            last = log;
        }
    }
    Ok(named)
}

/// Stores signed checkpoints: log, size, note.
pub fn put_checkpoints<'a>(script: &mut Script, notes: impl Iterator<Item = (i64, u64, &'a [u8])>) {
    let values = |(log, size, note): (i64, u64, &[u8])| vec![log.into(), signed(size).into(), note.into()];
    script.insert("INSERT INTO checkpoint (log, size, note)", "", notes.map(values).collect());
}

/// The checkpoint of that size.
pub async fn checkpoint(conn: &mut Connection, log: i64, size: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let query = sql("SELECT note FROM checkpoint WHERE log = $1 AND size = $2").bind(log).bind(signed(size));
    query.first(conn).await
}

/// Checkpoints by ascending size, from `after` on, at most `limit`.
pub async fn checkpoints(
    conn: &mut Connection,
    log: i64,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let rows = sql("SELECT size, note FROM checkpoint WHERE log = $1 AND size > $2 ORDER BY size LIMIT $3")
        .bind(log)
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    let page = rows.into_iter().map(|row| Ok((unsigned(row.get(0)?)?, row.get(1)?)));
    ascending(after, page.collect::<Result<_, StoreError>>()?, |row| row.0, "checkpoint")
}

/// The sizes of the newest checkpoints, descending, at most `limit`.
pub async fn newest_sizes(conn: &mut Connection, log: i64, limit: u32) -> Result<Vec<u64>, StoreError> {
    let query = sql("SELECT size FROM checkpoint WHERE log = $1 ORDER BY size DESC LIMIT $2");
    let sizes = query.bind(log).bind(i64::from(limit)).column::<i64>(conn).await?;
    sizes.into_iter().map(unsigned).collect()
}

/// One entry.
pub async fn entry(conn: &mut Connection, log: i64, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let query = sql("SELECT body FROM entry WHERE log = $1 AND idx = $2").bind(log).bind(signed(index));
    query.first(conn).await
}

/// The entries at these places, with their index, in no order; without those that are not there.
pub async fn entries_at(
    conn: &mut Connection,
    log: i64,
    indexes: impl Iterator<Item = u64>,
) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let keys = indexes.map(|index| vec![log.into(), signed(index).into()]).collect();
    let rows = fetch_among(conn, "SELECT idx, body FROM entry WHERE (log, idx) IN", keys, "").await?;
    rows.into_iter().map(|row| Ok((unsigned(row.get(0)?)?, row.get(1)?))).collect()
}

/// Entries from `from` on, at most `limit`, with their index.
pub async fn entries(
    conn: &mut Connection,
    log: i64,
    from: u64,
    limit: u32,
) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let rows = sql("SELECT idx, body FROM entry WHERE log = $1 AND idx >= $2 ORDER BY idx LIMIT $3")
        .bind(log)
        .bind(signed(from))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    let page = rows.into_iter().map(|row| Ok((unsigned(row.get(0)?)?, row.get(1)?)));
    let before = signed(from).saturating_sub(1);
    ascending(before, page.collect::<Result<_, StoreError>>()?, |row| signed(row.0), "entry")
}

/// A message's digest as the ledger holds it.
pub fn hash(digest: Digest) -> Hash {
    Hash::from_bytes(digest.0)
}

/// SQL integers are signed; sizes and indexes stay far below 2^63.
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way round.
pub fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| corrupt("a negative size or index"))
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}
