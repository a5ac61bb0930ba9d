//! Table `duty`: who of several gateways on one database does what only one has to, for a while. Nothing rests on it but
//! trouble saved: what is done under a duty is right, too, where two do it.

use silkgate_message::instant::Instant;

use super::sql::sql;
use super::{Connection, StoreError};

/// Takes a duty until `until`, or keeps it. False where another holder has it still.
pub async fn take(
    conn: &mut Connection,
    name: &str,
    holder: &[u8],
    now: Instant,
    until: Instant,
) -> Result<bool, StoreError> {
    let query = sql("INSERT INTO duty (name, holder, until_ms) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
         WHERE duty.holder = excluded.holder OR duty.until_ms <= $4");
    Ok(query.bind(name).bind(holder).bind(until.0).bind(now.0).execute(conn).await? == 1)
}

/// Gives up what `holder` has, so that another need not wait for its end.
pub async fn drop_all(conn: &mut Connection, holder: &[u8]) -> Result<(), StoreError> {
    sql("DELETE FROM duty WHERE holder = $1").bind(holder).execute(conn).await?;
    Ok(())
}
