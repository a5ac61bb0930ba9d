//! Whether a database is built as the migrations build it: what is under the rows, before any of them is read.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteConnectOptions;

use super::history::{SQLITE, migrate, migrator};
#[cfg(test)]
use super::memory::Memory;
use super::sql::{Row, sql};
use super::turn::Writer;
use super::{Connection, StoreError, shape};

/// What is wrong with a database itself, each a sentence.
///
/// SQLite: pages, constraints, and values of another kind than the column of a STRICT table, whose bytes would be read as if nothing
/// were. Both: a schema that no migration made. A trigger would change what is written from now on; a column under another name, or
/// a foreign key that is gone, what it means.
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
    let memory = Writer::connect(SqliteConnectOptions::new().in_memory(true)).await?;
    migrate(migrator(SQLITE), &mut *memory.hold().await?).await?;
    Ok(Connection::Writer(memory.begin("BEGIN").await?))
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

/// What acts on rows beside the gateway, keeps the server from guarding them, shows others among them, or lets them go with a crash. What
/// a function of somebody else's is called by stands in the server's list of what depends on what; its own functions do not.
const ACTING: &str = "WITH ours AS (SELECT c.oid, c.relname, c.relkind, c.relpersistence FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema()),
          parts AS (SELECT 'pg_attrdef'::regclass AS class, d.oid, 'default of ' || ours.relname AS said
                    FROM pg_attrdef d JOIN ours ON ours.oid = d.adrelid
                    UNION ALL
                    SELECT 'pg_constraint'::regclass, k.oid, 'constraint ' || k.conname || ' on ' || ours.relname
                    FROM pg_constraint k JOIN ours ON ours.oid = k.conrelid
                    UNION ALL
                    SELECT 'pg_class'::regclass, ours.oid, 'index ' || ours.relname FROM ours WHERE relkind = 'i')
     SELECT 'trigger ' || t.tgname || ' on ' || ours.relname FROM pg_trigger t JOIN ours ON ours.oid = t.tgrelid
     WHERE NOT t.tgisinternal OR t.tgconstraint = 0 OR t.tgenabled <> 'O'
     UNION ALL
     SELECT 'rule ' || r.rulename || ' on ' || ours.relname FROM pg_rewrite r JOIN ours ON ours.oid = r.ev_class
     WHERE ours.relkind IN ('r', 'p')
     UNION ALL
     SELECT 'policy ' || p.polname || ' on ' || ours.relname FROM pg_policy p JOIN ours ON ours.oid = p.polrelid
     UNION ALL
     SELECT 'constraint ' || k.conname || ' on ' || ours.relname FROM pg_constraint k JOIN ours ON ours.oid = k.conrelid
     WHERE NOT k.convalidated
     UNION ALL
     SELECT parts.said FROM parts JOIN pg_depend d ON d.classid = parts.class AND d.objid = parts.oid
     WHERE d.refclassid = 'pg_proc'::regclass
     UNION ALL
     SELECT 'view ' || relname FROM ours WHERE relkind IN ('v', 'm')
     UNION ALL
     SELECT 'foreign table ' || relname FROM ours WHERE relkind = 'f'
     UNION ALL
     SELECT 'a table that inherits from ' || ours.relname FROM pg_inherits i JOIN ours ON ours.oid = i.inhparent
     WHERE ours.relkind IN ('r', 'p')
     UNION ALL
     SELECT 'table ' || relname || ' is not logged' FROM ours WHERE relkind = 'r' AND relpersistence <> 'p'
     ORDER BY 1";

/// A server writes a schema back in words of its own, which differ from version to version: compared are tables, columns, their kinds
/// and keys, and which tables rest on which.
async fn of_server(conn: &mut Connection) -> Result<Vec<String>, StoreError> {
    let made = shape::tables(&mut as_migrated(conn).await?).await?;
    let mut names: BTreeSet<String> = shape::names(conn).await?.into_iter().collect();
    let mut unsound = Vec::new();
    for table in &made {
        // One with columns of a kind that none of ours has cannot be read: then it is not as it was made.
        let is_made = names.remove(&table.name)
            && match shape::table(conn, &table.name).await {
                Ok(found) => found.is_like(table) && found.rests_on_the_same(table),
                Err(StoreError::Corrupt(_)) => false,
                Err(error) => return Err(error),
            };
        if !is_made {
            unsound.push(not_made(&format!("table {}", table.name)));
        }
    }
    unsound.extend(names.iter().map(|name| not_made(&format!("table {name}"))));
    let acting: Vec<String> = sql(ACTING).column(conn).await?;
    unsound.extend(acting.iter().map(|what| not_made(what)));
    Ok(unsound)
}
