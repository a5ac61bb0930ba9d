//! Whether a database is built as the migrations build it: what is under the rows, before any of them is read.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::database::{SQLITE, migrator};
#[cfg(test)]
use super::memory::Memory;
use super::sql::{Row, sql};
use super::{Connection, StoreError, shape};

/// What is wrong with a database itself, each a sentence.
///
/// SQLite: pages, constraints, and values of another kind than the column of a STRICT table, whose bytes would be read as if nothing
/// were. Both: a schema that no migration made. A trigger would change what is written from now on; a column under another name, or
/// a constraint that is gone, what it means.
pub async fn unsound(conn: &mut Connection) -> Result<Vec<String>, StoreError> {
    if conn.is_shared() {
        return of_server(conn).await;
    }
    let said: Vec<String> = sql("PRAGMA quick_check(100)").column(conn).await?;
    let mut unsound: Vec<String> = said.into_iter().filter(|line| line != "ok").collect();
    let (made, found) = (objects(&mut as_migrated(conn).await?).await?, objects(conn).await?);
    let differ = |name: &&String| made.get(*name) != found.get(*name);
    let names: BTreeSet<&String> = made.keys().chain(found.keys()).collect();
    unsound.extend(names.into_iter().filter(differ).map(|name| not_made(name)));
    Ok(unsound)
}

fn not_made(name: &str) -> String {
    format!("the schema is not as the migrations make it: {name}")
}

/// An empty database in memory, with the newest schema.
async fn as_migrated(
    #[cfg_attr(not(test), expect(unused))] beside: &Connection,
) -> Result<Connection, StoreError> {
    #[cfg(test)]
    if matches!(beside, Connection::Memory(_)) {
        return Ok(Connection::Memory(Memory::data()?.begin().await?));
    }
    let options = SqliteConnectOptions::new().in_memory(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    migrator(SQLITE).run(&pool).await?;
    Ok(Connection::Sqlite(pool.begin().await?))
}

/// Tables, indices, views and triggers by kind and name, with the table and the text of each. Without SQLite's own statistics, the
/// tables that tell about a backup, and the migrations' own, which the library makes; but with what others put on these.
async fn objects(conn: &mut Connection) -> Result<BTreeMap<String, (String, String)>, StoreError> {
    let about = shape::ABOUT.map(|name| format!("'{name}'")).join(", ");
    let text = format!(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema
         WHERE type NOT IN ('table', 'index')
            OR tbl_name NOT IN ('_sqlx_migrations', {about}) AND tbl_name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"
    );
    let rows = sql(sqlx::AssertSqlSafe(text)).fetch_all(conn).await?;
    let read = |row: &Row| {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        Ok((format!("{kind} {name}"), (row.get(2)?, row.get(3)?)))
    };
    rows.iter().map(read).collect()
}

/// A server writes a schema back in words of its own, which differ from version to version: compared are tables, columns, their kinds
/// and keys; and nothing may act on a row beside the gateway, nor be kept from guarding one.
async fn of_server(conn: &mut Connection) -> Result<Vec<String>, StoreError> {
    let (made, found) = (shape::tables(&mut as_migrated(conn).await?).await?, shape::tables(conn).await?);
    let mut unsound = Vec::new();
    for table in &made {
        if !found.iter().any(|other| other.is_like(table)) {
            unsound.push(not_made(&format!("table {}", table.name)));
        }
    }
    for table in &found {
        if !made.iter().any(|other| other.name == table.name) {
            unsound.push(not_made(&format!("table {}", table.name)));
        }
    }
    let acting = sql(
        "WITH ours AS (SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p'))
         SELECT 'trigger ' || t.tgname || ' on ' || ours.relname FROM pg_trigger t JOIN ours ON ours.oid = t.tgrelid
         WHERE NOT t.tgisinternal OR t.tgenabled <> 'O'
         UNION ALL
         SELECT 'rule ' || r.rulename || ' on ' || ours.relname FROM pg_rewrite r JOIN ours ON ours.oid = r.ev_class
         UNION ALL
         SELECT 'policy ' || p.polname || ' on ' || ours.relname FROM pg_policy p JOIN ours ON ours.oid = p.polrelid
         UNION ALL
         SELECT 'constraint ' || k.conname || ' on ' || ours.relname FROM pg_constraint k JOIN ours ON ours.oid = k.conrelid
         WHERE NOT k.convalidated
         ORDER BY 1",
    );
    let acting: Vec<String> = acting.column(conn).await?;
    unsound.extend(acting.iter().map(|name| not_made(name)));
    Ok(unsound)
}
