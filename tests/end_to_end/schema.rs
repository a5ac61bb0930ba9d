//! The two databases have one schema: tables, columns, kinds, keys and indexes.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use support::Home;
use support::home::Backend;

/// Kind and whether it may be empty, by table and column.
type Columns = BTreeMap<(String, String), (String, bool)>;
/// Table, columns in order, whether unique, and whether only of some rows.
type Indexes = BTreeSet<(String, Vec<String>, bool, bool)>;

fn of_sqlite(home: &Home) -> (Columns, Indexes) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(home.path.join("silkgate.db"));
        let mut conn = options.connect().await.unwrap();
        let tables =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'";
        let tables = sqlx::query(tables).fetch_all(&mut conn).await.unwrap();
        let (mut columns, mut indexes) = (Columns::new(), Indexes::new());
        for table in tables {
            let table: String = table.get(0);
            let sql = AssertSqlSafe(format!(
                "SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}') ORDER BY pk"
            ));
            let mut key = Vec::new();
            for row in sqlx::query(sql).fetch_all(&mut conn).await.unwrap() {
                let (name, kind, filled, pk): (String, String, i64, i64) =
                    (row.get(0), row.get(1), row.get(2), row.get(3));
                if pk > 0 {
                    key.push(name.clone());
                }
                columns.insert((table.clone(), name), (kind.to_lowercase(), filled == 0 && pk == 0));
            }
            indexes.insert((table.clone(), key, true, false));
            let sql = AssertSqlSafe(format!(
                "SELECT name, \"unique\", partial FROM pragma_index_list('{table}') WHERE origin <> 'pk'"
            ));
            for index in sqlx::query(sql).fetch_all(&mut conn).await.unwrap() {
                let (name, unique, partial): (String, i64, i64) = (index.get(0), index.get(1), index.get(2));
                let sql =
                    AssertSqlSafe(format!("SELECT name FROM pragma_index_info('{name}') ORDER BY seqno"));
                let of = sqlx::query(sql).fetch_all(&mut conn).await.unwrap();
                let of = of.iter().map(|row| row.get(0)).collect();
                indexes.insert((table.clone(), of, unique == 1, partial == 1));
            }
        }
        (columns, indexes)
    })
}

fn of_postgres(home: &Home) -> (Columns, Indexes) {
    let database = home.database.as_ref().unwrap();
    let kind = |kind: String| match kind.as_str() {
        "bigint" => "integer".to_owned(),
        "bytea" => "blob".to_owned(),
        _ => kind,
    };
    let rows = database.rows(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES'
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    );
    let columns = rows.iter().map(|row| ((row.get(0), row.get(1)), (kind(row.get(2)), row.get(3)))).collect();
    let rows = database.rows(
        "SELECT c.relname::text, array_agg(a.attname::text ORDER BY k.n), i.indisunique, i.indpred IS NOT NULL
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace s ON s.oid = c.relnamespace
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(column_number, n)
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.column_number
         WHERE s.nspname = 'public' AND c.relname NOT LIKE '\\_sqlx%'
         GROUP BY i.indexrelid, c.relname, i.indisunique, i.indpred",
    );
    let indexes = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    (columns, indexes)
}

#[test]
fn sqlite_and_postgresql_have_one_schema() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = Home::init_file(folder.path(), "IQ/traffic-police");
    let server = Home::init_on(folder.path(), "JO/public-security", Backend::Postgres);
    let (sqlite, postgres) = (of_sqlite(&file), of_postgres(&server));
    assert!(sqlite.0.len() > 100, "the schema was read");
    assert_eq!(sqlite.0, postgres.0, "columns");
    assert_eq!(sqlite.1, postgres.1, "keys and indexes");
}
