//! Table `match_key`: by what messages can be found. A match key is the beginning of an HMAC under a key made from the day key of
//! the message's payload: who holds the database alone cannot guess what it stands for, and nobody can once the day key is
//! destroyed, in backups either.

use std::collections::HashMap;

use ring::hmac;
use sqlx::AssertSqlSafe;

use super::keys::{DayKey, Found};
use super::sql::{Value, either, sql};
use super::{Connection, Script, Store, StoreError};

/// Bytes of a match key: enough that none is met by chance.
const KEY_LEN: usize = 16;
/// Match keys that one statement looks for.
const AT_ONCE: usize = 400;

/// Makes the match keys of one day key.
struct MatchKeys(hmac::Key);

impl MatchKeys {
    /// A key for this alone: what is derived for one use says nothing of another (NIST SP 800-108).
    fn of(day_key: &DayKey) -> Self {
        let of_day = hmac::Key::new(hmac::HMAC_SHA256, day_key.key.as_slice());
        let of_terms = hmac::sign(&of_day, b"silkgate match key");
        Self(hmac::Key::new(hmac::HMAC_SHA256, of_terms.as_ref()))
    }

    fn of_term(&self, term: &str) -> Vec<u8> {
        hmac::sign(&self.0, term.as_bytes()).as_ref()[..KEY_LEN].to_vec()
    }
}

/// Keeps the match keys of messages: `seq`, the day key of its payload, its terms.
pub(super) fn insert<'a>(script: &mut Script, of: impl Iterator<Item = (i64, &'a DayKey, &'a [String])>) {
    let mut rows = Vec::new();
    // Most of a batch are of one day.
    let mut known: HashMap<i64, MatchKeys> = HashMap::new();
    for (seq, day_key, terms) in of {
        let keys = known.entry(day_key.id).or_insert_with(|| MatchKeys::of(day_key));
        rows.extend(terms.iter().map(|term| vec![day_key.id.into(), keys.of_term(term).into(), seq.into()]));
    }
    let head = "INSERT INTO match_key (key_id, key, seq)";
    script.insert_several(head, "ON CONFLICT (key_id, key, seq) DO NOTHING", rows);
}

/// Takes the match keys of a message away.
pub(super) async fn remove(conn: &mut Connection, seq: i64) -> Result<(), StoreError> {
    sql("DELETE FROM match_key WHERE seq = $1").bind(seq).execute(conn).await?;
    Ok(())
}

impl Store {
    /// The messages that hold one of these terms, the newest first, those before `before`, at most `limit`.
    pub async fn holding(
        &self,
        conn: &mut Connection,
        terms: &[String],
        before: i64,
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let mut wanted = Vec::new();
        for (id, _) in self.keys.live(i64::MAX).await? {
            if let Found::Key(day_key) = self.keys.find(id).await? {
                let keys = MatchKeys::of(&day_key);
                wanted.extend(terms.iter().map(|term| (id, keys.of_term(term))));
            }
        }
        let mut found = Vec::new();
        for chunk in wanted.chunks(AT_ONCE) {
            let places: Vec<String> =
                (0..chunk.len()).map(|n| format!("(${}, ${})", 2 * n + 2, 2 * n + 3)).collect();
            // Of each key no more than the newest `limit`, from its own place in the index: one vehicle may be in every message.
            let text = format!(
                "WITH wanted (key_id, key) AS (VALUES {})
                 SELECT DISTINCT m.seq FROM wanted JOIN match_key m ON m.key_id = wanted.key_id AND m.key = wanted.key
                 WHERE m.seq < $1 AND m.seq >= coalesce((SELECT n.seq FROM match_key n
                     WHERE n.key_id = wanted.key_id AND n.key = wanted.key AND n.seq < $1
                     ORDER BY n.seq DESC LIMIT 1 OFFSET {}), 0)
                 ORDER BY m.seq DESC LIMIT {limit}",
                places.join(", "),
                limit.saturating_sub(1)
            );
            // Numbers only.
            let mut query = sql(AssertSqlSafe(text)).bind(before);
            for (id, key) in chunk {
                query = query.bind(Value::from(*id)).bind(Value::from(key.as_slice()));
            }
            found.extend(query.column::<i64>(conn).await?);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found.truncate(limit);
        Ok(found)
    }

    /// The newest messages whose payloads were kept without match keys, at most `limit`; `None`: there are none left.
    pub async fn unmatched(
        &self,
        conn: &mut Connection,
        limit: i64,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let upto: i64 = sql("SELECT upto FROM unmatched WHERE id = 1").value(conn).await?;
        Ok((upto > 0).then_some(((upto - limit).max(0), upto)))
    }

    /// Gives the messages after `after` and up to `upto` their match keys and purposes; what is below is left for the next time.
    pub async fn match_older(
        &self,
        conn: &mut Connection,
        (after, upto): (i64, i64),
        terms_of: impl Fn(&[u8]) -> Option<(Vec<String>, String)>,
    ) -> Result<(), StoreError> {
        for (seq, payload) in self.payloads(conn, after, upto).await? {
            // One that cannot be read is the audit's finding, not this one's.
            let Some((terms, purpose)) = payload.ok().as_deref().and_then(&terms_of) else { continue };
            // On a server it may be erased at this moment: its row is held, or is gone.
            let text = either!(conn, "SELECT key_id FROM payload WHERE seq = $1", " FOR UPDATE", "");
            let Some(key_id) = sql(text).bind(seq).first::<i64>(conn).await? else { continue };
            if let Found::Key(day_key) = self.keys.find(key_id).await? {
                let mut script = Script::default();
                insert(&mut script, [(seq, &day_key, terms.as_slice())].into_iter());
                script.run(conn).await?;
            }
            let query = sql("UPDATE message SET purpose = $1 WHERE seq = $2 AND purpose IS NULL");
            query.bind(purpose).bind(seq).execute(conn).await?;
        }
        sql("UPDATE unmatched SET upto = $1 WHERE id = 1").bind(after).execute(conn).await?;
        Ok(())
    }
}
