//! The schema's history: its steps in each kind of database, and how a database is brought up to date.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Row as _, SqlSafeStr as _};

use super::carry::Part;
use super::database::Database;
use super::sql::sql;
use super::{Open, StoreError};
use crate::config::Place;

/// Migrations in force.
pub(super) type History = &'static [(i64, &'static str, &'static str)];

pub(super) const SQLITE: History = &[
    (1, "first", include_str!("migrations/sqlite/0001_first.sql")),
    (2, "questions", include_str!("migrations/sqlite/0002_questions.sql")),
    (3, "witness", include_str!("migrations/sqlite/0003_witness.sql")),
    (4, "erasure", include_str!("migrations/sqlite/0004_erasure.sql")),
    (5, "timestamp", include_str!("migrations/sqlite/0005_timestamp.sql")),
    (6, "delivery", include_str!("migrations/sqlite/0006_delivery.sql")),
    (7, "courier", include_str!("migrations/sqlite/0007_courier.sql")),
    (8, "duty", include_str!("migrations/sqlite/0008_duty.sql")),
    (9, "push", include_str!("migrations/sqlite/0009_push.sql")),
    (10, "revocation", include_str!("migrations/sqlite/0010_revocation.sql")),
    (11, "key_exchange", include_str!("migrations/sqlite/0011_key_exchange.sql")),
    (12, "proposal", include_str!("migrations/sqlite/0012_proposal.sql")),
    (13, "roles", include_str!("migrations/sqlite/0013_roles.sql")),
    (14, "reading", include_str!("migrations/sqlite/0014_reading.sql")),
    (15, "lists", include_str!("migrations/sqlite/0015_lists.sql")),
    (16, "search", include_str!("migrations/sqlite/0016_search.sql")),
    (17, "syslog", include_str!("migrations/sqlite/0017_syslog.sql")),
];
pub(super) const POSTGRES: History = &[
    (5, "first", include_str!("migrations/postgres/0005_first.sql")),
    (6, "delivery", include_str!("migrations/postgres/0006_delivery.sql")),
    (7, "courier", include_str!("migrations/postgres/0007_courier.sql")),
    (8, "duty", include_str!("migrations/postgres/0008_duty.sql")),
    (9, "push", include_str!("migrations/postgres/0009_push.sql")),
    (10, "revocation", include_str!("migrations/postgres/0010_revocation.sql")),
    (11, "key_exchange", include_str!("migrations/postgres/0011_key_exchange.sql")),
    (12, "proposal", include_str!("migrations/postgres/0012_proposal.sql")),
    (13, "roles", include_str!("migrations/postgres/0013_roles.sql")),
    (14, "reading", include_str!("migrations/postgres/0014_reading.sql")),
    (15, "lists", include_str!("migrations/postgres/0015_lists.sql")),
    (16, "search", include_str!("migrations/postgres/0016_search.sql")),
    (17, "syslog", include_str!("migrations/postgres/0017_syslog.sql")),
];
pub(super) const SQLITE_KEYS: History =
    &[(1, "day_keys", include_str!("migrations/sqlite_keys/0001_day_keys.sql"))];
pub(super) const POSTGRES_KEYS: History =
    &[(1, "day_keys", include_str!("migrations/postgres_keys/0001_day_keys.sql"))];

/// Brings the schema of a file up to date, or tells that it is not.
pub(super) async fn prepare_file(
    conn: &mut SqliteConnection,
    how: Open,
    history: History,
) -> Result<(), StoreError> {
    let begun = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    let begun = sqlx::query(begun).fetch_one(&mut *conn).await?.try_get::<i64, _>(0)? > 0;
    let found = if begun { sqlx::query(VERSION).fetch_one(&mut *conn).await?.try_get(0)? } else { 0 };
    current(found, history, how)?;
    if how == Open::Existing { Ok(()) } else { Ok(migrate(migrator(history), conn).await?) }
}

/// Migrates one connection. `run` takes whatever gives connections, of which the compiler does not see that the future may move between
/// threads; this is what it does with it.
pub(super) async fn migrate(steps: Migrator, conn: &mut SqliteConnection) -> Result<(), MigrateError> {
    steps.run_direct(None, conn, false).await
}

/// The same for a key store's file.
pub(super) async fn prepare_keys(pool: &SqlitePool, how: Open) -> Result<(), StoreError> {
    prepare_file(&mut *pool.acquire().await?, how, SQLITE_KEYS).await
}

/// Brings the schema up to date, or tells that it is not.
pub(super) async fn prepare(
    pool: &PgPool,
    place: &Place,
    how: Open,
    history: History,
) -> Result<(), StoreError> {
    let begun: bool = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(pool)
        .await?
        .try_get(0)?;
    match how {
        Open::Create if begun => Err(StoreError::Taken),
        Open::Migrate | Open::Existing if !begun => Err(StoreError::Missing(place.to_string())),
        Open::Create => Ok(migrator(history).run(pool).await?),
        Open::Migrate | Open::Existing => {
            current(sqlx::query(VERSION).fetch_one(pool).await?.try_get(0)?, history, how)?;
            if how == Open::Existing { Ok(()) } else { Ok(migrator(history).run(pool).await?) }
        }
    }
}

/// The newest migration applied.
const VERSION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";

/// The newest migration applied; 0: none.
pub(super) async fn version(database: &Database) -> Result<i64, StoreError> {
    let mut conn = database.read().await?;
    let begun = if conn.is_shared() {
        "SELECT 1::bigint WHERE to_regclass('_sqlx_migrations') IS NOT NULL"
    } else {
        "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'"
    };
    match sql(begun).fetch_optional(&mut conn).await? {
        Some(_) => sql(VERSION).value(&mut conn).await,
        None => Ok(0),
    }
}

/// The newest version of a part's schema.
pub(super) fn newest(part: Part) -> i64 {
    let history = if part == Part::Data { SQLITE } else { SQLITE_KEYS };
    history.last().map_or(0, |(version, _, _)| *version)
}

/// The steps of a part's schema in one kind of database, oldest first.
pub(super) fn history(part: Part, place: &Place) -> History {
    match (part, place) {
        (Part::Data, Place::File(_)) => SQLITE,
        (Part::Data, Place::Server(_)) => POSTGRES,
        (Part::Keys, Place::File(_)) => SQLITE_KEYS,
        (Part::Keys, Place::Server(_)) => POSTGRES_KEYS,
    }
}

/// Gives an empty database the schema of that version.
pub(super) async fn migrate_to(database: &Database, part: Part, version: i64) -> Result<(), StoreError> {
    let steps = |history: History| -> Result<Migrator, StoreError> {
        let end = history.iter().position(|(step, _, _)| *step == version).map(|at| at + 1);
        // PostgreSQL came later: its history does not begin where that of SQLite does.
        let end = end.ok_or(StoreError::TooOld(version))?;
        Ok(migrator(&history[..end]))
    };
    match (database, part) {
        (Database::Sqlite { writer, .. }, Part::Data) => {
            migrate(steps(SQLITE)?, &mut *writer.hold().await?).await?
        }
        (Database::Sqlite { writer, .. }, Part::Keys) => {
            migrate(steps(SQLITE_KEYS)?, &mut *writer.hold().await?).await?
        }
        (Database::Postgres { writers, .. }, Part::Data) => steps(POSTGRES)?.run(writers).await?,
        (Database::Postgres { writers, .. }, Part::Keys) => steps(POSTGRES_KEYS)?.run(writers).await?,
        // Made with the newest schema, for one simulation.
        #[cfg(test)]
        (Database::Memory(_), _) => {}
    }
    Ok(())
}

/// Whether this program can use a database of that version, or may bring it up to date.
fn current(found: i64, history: History, how: Open) -> Result<(), StoreError> {
    let needed = history.iter().map(|(version, _, _)| *version).max().unwrap_or(0);
    if found > needed {
        // An older program would not know what it must not break.
        return Err(StoreError::Newer { found, needed });
    }
    if found == needed || how != Open::Existing { Ok(()) } else { Err(StoreError::Schema { found, needed }) }
}

/// A schema's history. A migration that was released is never edited: its checksum is stored.
pub(super) fn migrator(history: History) -> Migrator {
    let step = |(version, name, text): &(i64, &'static str, &'static str)| {
        let (kind, text) = (MigrationType::Simple, (*text).into_sql_str());
        Migration::new(*version, (*name).into(), kind, text, false)
    };
    Migrator::with_migrations(history.iter().map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemas_have_one_version() {
        let newest = |history: History| history.last().map(|(version, _, _)| *version);
        assert_eq!(newest(SQLITE), newest(POSTGRES));
        assert_eq!(newest(SQLITE_KEYS), newest(POSTGRES_KEYS));
    }
}
