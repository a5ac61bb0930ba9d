//! News from the other gateways on one database: PostgreSQL's `NOTIFY`, sent within the transaction it tells of.

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::database::Database;
use super::sql::sql;
use super::{Connection, Store, StoreError};

/// The name of the channel.
const CHANNEL: &str = "silkgate";
/// What a gateway says when it has nothing to say: who hears nothing for long is on a line that is gone.
const ALIVE: &str = "alive";
/// PostgreSQL takes 8000 bytes at most.
const TEXT_MAX: usize = 7900;

/// Tells the others once this transaction is committed. None, or what is too long: that there is something.
pub async fn ring(conn: &mut Connection, text: Option<String>) -> Result<(), StoreError> {
    let text = text.filter(|text| text.len() <= TEXT_MAX).unwrap_or_default();
    sql("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text).execute(conn).await?;
    Ok(())
}

/// Says that somebody is there.
pub(super) async fn alive(conn: &mut Connection) -> Result<(), StoreError> {
    ring(conn, Some(ALIVE.to_owned())).await
}

/// Hears the others. A connection of its own.
pub struct Ear(PgListener);

/// What was heard.
pub enum Heard {
    /// What a gateway told, this one included.
    Text(String),
    /// Somebody is there.
    Nothing,
    /// Perhaps something: the line broke, and what was told meanwhile is lost.
    Perhaps,
}

impl Store {
    /// Begins to listen; None where nobody else can be there.
    pub async fn listen(&self) -> Result<Option<Ear>, StoreError> {
        let Database::Postgres { readers: pool, .. } = &self.database else { return Ok(None) };
        let options = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = options.connect_with(pool.connect_options().as_ref().clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Ear(listener)))
    }
}

impl Ear {
    /// Waits for the next news.
    pub async fn hear(&mut self) -> Result<Heard, StoreError> {
        Ok(match self.0.try_recv().await? {
            Some(news) if news.payload() == ALIVE => Heard::Nothing,
            Some(news) if news.payload().is_empty() => Heard::Perhaps,
            Some(news) => Heard::Text(news.payload().to_owned()),
            None => Heard::Perhaps,
        })
    }
}
