//! A home's database as an insider handles it: put aside, put back, altered.

use std::path::PathBuf;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::home::Home;
use crate::postgres::{Cluster, Database};
use crate::wait_for;

/// What a database held at some moment.
pub enum Snapshot {
    /// The file's bytes.
    File(Vec<u8>),
    /// A copy on the tests' server.
    Database(Database),
}

impl Home {
    /// The file of a home that has one.
    pub fn database_file(&self) -> PathBuf {
        assert!(self.database.is_none(), "this home's database is on a server");
        self.path.join("silkgate.db")
    }

    /// What the database holds. The gateway must be stopped.
    pub fn snapshot(&self) -> Snapshot {
        match &self.database {
            Some(database) => Snapshot::Database(database.copy(Cluster::shared(), "snapshot")),
            None => {
                self.wait_until_folded();
                Snapshot::File(std::fs::read(self.database_file()).expect("the database"))
            }
        }
    }

    /// Puts it back. The gateway must be stopped.
    pub fn put_back(&self, snapshot: &Snapshot) {
        match snapshot {
            Snapshot::Database(older) => {
                let database = self.database.as_ref().expect("of this home");
                // The snapshot may be put back again.
                older.copy(Cluster::shared(), "put_back").replace(Cluster::shared(), database);
            }
            Snapshot::File(older) => {
                for ending in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(self.path.join(format!("silkgate.db{ending}")));
                }
                std::fs::write(self.database_file(), older).expect("the database is written");
            }
        }
    }

    /// Runs a statement past the gateway, and past foreign keys; the rows that it changed.
    pub fn execute(&self, statement: &str) -> u64 {
        if let Some(database) = &self.database {
            return database.force(statement);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.database_file()).foreign_keys(false);
            let mut conn = options.connect().await.expect("the database opens");
            let statement = AssertSqlSafe(statement.to_owned());
            let done = sqlx::query(statement).execute(&mut conn).await.expect("the statement runs");
            conn.close().await.expect("the database closes");
            done.rows_affected()
        })
    }

    /// What a query of whole numbers gives.
    pub fn query(&self, statement: &str) -> Vec<Vec<i64>> {
        if let Some(database) = &self.database {
            let numbers = |row: &sqlx::postgres::PgRow| (0..row.len()).map(|at| row.get(at)).collect();
            return database.rows(statement).iter().map(numbers).collect();
        }
        let read = async {
            let options = SqliteConnectOptions::new().filename(self.database_file()).read_only(true);
            let mut conn = options.connect().await?;
            let rows = sqlx::query(AssertSqlSafe(statement.to_owned())).fetch_all(&mut conn).await?;
            let numbers = |row: &sqlx::sqlite::SqliteRow| (0..row.len()).map(|at| row.get(at)).collect();
            Ok::<_, sqlx::Error>(rows.iter().map(numbers).collect())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(read).expect("the database answers")
    }

    /// Bytes as this home's database writes them in a statement.
    pub fn bytes(&self, hex: &str) -> String {
        if self.database.is_some() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
    }

    /// Waits until SQLite has folded its write-ahead log into the file, after the gateway has stopped.
    pub fn wait_until_folded(&self) {
        let log = self.path.join("silkgate.db-wal");
        wait_for("the write-ahead log to be folded in", || {
            std::fs::metadata(&log).map_or(true, |found| found.len() == 0).then_some(())
        });
    }
}
