//! A PostgreSQL server of the tests' own: one cluster for a whole run, one database for each home.
//!
//! The first test that needs it starts it; it ends by itself some seconds after the last one. It listens on the loopback and
//! in a folder of its own, and its settings are those of a server that keeps what it confirms.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::wait_for;

/// The cluster that every test of a run shares.
pub struct Cluster {
    folder: PathBuf,
    /// TCP port on the loopback.
    pub port: u16,
    /// Held as long as this process lives: the watchdog ends a cluster that nobody holds.
    _user: File,
}

/// Ends the server once nobody has used it for a while: for nothing else may it outlive the tests. A folder that is gone took the
/// server with it.
const WATCHDOG: &str = r#"
while sleep 15 && [ -d "$1" ]; do
  flock -n -x "$1/users" "$2/pg_ctl" -D "$1/data" -m immediate stop >/dev/null 2>&1 && exit 0
done
"#;

impl Cluster {
    /// The cluster, started where it does not run.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = std::env::temp_dir().join("silkgate-test-postgres");
            fs::create_dir_all(&folder).expect("a folder for the cluster");
            own(&folder);
            let user = File::create(folder.join("users")).expect("a lock");
            user.lock_shared().expect("a share of the lock");
            let turn = File::create(folder.join("turn")).expect("a lock");
            turn.lock().expect("the turn");
            let port = start(&folder, true);
            Cluster { folder, port, _user: user }
        })
    }

    /// A cluster of one test's own in `folder`, to be paused, killed and restarted.
    pub fn own(folder: &Path) -> Cluster {
        fs::create_dir_all(folder).expect("a folder for the cluster");
        own(folder);
        let user = File::create(folder.join("users")).expect("a lock");
        user.lock_shared().expect("a share of the lock");
        let port = start(folder, true);
        Cluster { folder: folder.to_owned(), port, _user: user }
    }

    /// A new empty database; its URL.
    pub fn database(&self, name: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("{name}_{}_{number}", std::process::id());
        self.admin(&format!("DROP DATABASE IF EXISTS {name}"));
        self.admin(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        Database { port: self.port, name }
    }

    /// Runs a statement outside any test's database.
    pub fn admin(&self, sql: &str) {
        Database { port: self.port, name: "postgres".to_owned() }.execute(sql);
    }

    /// Whether a commit waits for a synchronous standby.
    pub fn waits_for_a_standby(&self) -> bool {
        let database = Database { port: self.port, name: "postgres".to_owned() };
        !database.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").is_empty()
    }

    /// Takes back what `ALTER SYSTEM` set, while it is stopped.
    pub fn forget_settings(&self) {
        fs::write(self.folder.join("data/postgresql.auto.conf"), "")
            .expect("the settings are the tests' own");
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        pid(&self.folder).expect("the server runs")
    }

    /// Sends a signal to every process of the server.
    pub fn signal(&self, name: &str) {
        let postmaster = self.pid();
        let told = Command::new("pkill").args([&format!("-{name}"), "-P", &postmaster.to_string()]).status();
        assert!(told.is_ok(), "the server's processes are told");
        let told = Command::new("kill").args([&format!("-{name}"), &postmaster.to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()), "the server is told");
    }

    /// Stops it as a power cut would, and waits for the end.
    pub fn stop(&self) {
        run_as_postgres(
            &tool("pg_ctl"),
            &["-D", &text(&self.folder.join("data")), "-m", "immediate", "-w", "stop"],
        );
    }

    /// Starts it again.
    pub fn start(&self) {
        start(&self.folder, false);
    }
}

/// A database of a cluster.
#[derive(Clone, Debug)]
pub struct Database {
    port: u16,
    name: String,
}

impl Database {
    /// As a gateway's configuration names it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port, self.name)
    }

    /// The same through another port.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{}", self.name)
    }

    /// Runs a statement.
    pub fn execute(&self, statement: &str) -> u64 {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        self.with(async |conn| sqlx::query(statement).execute(conn).await.map(|done| done.rows_affected()))
    }

    /// The same as one who may leave foreign keys unheld.
    pub fn force(&self, statement: &str) -> u64 {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        self.with(async |conn| {
            sqlx::query("SET session_replication_role = replica").execute(&mut *conn).await?;
            sqlx::query(statement).execute(conn).await.map(|done| done.rows_affected())
        })
    }

    /// The rows of a statement.
    pub fn rows(&self, statement: &str) -> Vec<PgRow> {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        self.with(async |conn| sqlx::query(statement).fetch_all(conn).await)
    }

    /// Writes what the database holds into another, new one, as `pg_dump` and `psql` do.
    pub fn copy(&self, cluster: &Cluster, name: &str) -> Database {
        let copy = cluster.database(name);
        let sql = format!("CREATE DATABASE {0} TEMPLATE {1}", copy.name, self.name);
        cluster.admin(&format!("DROP DATABASE {}", copy.name));
        cluster.admin(&sql);
        copy
    }

    /// Takes the place of another: that one's connections are ended.
    pub fn replace(&self, cluster: &Cluster, other: &Database) {
        cluster.admin(&format!("DROP DATABASE {} WITH (FORCE)", other.name));
        cluster.admin(&format!("ALTER DATABASE {} RENAME TO {}", self.name, other.name));
    }

    fn with<T>(&self, ask: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut conn = PgConnection::connect(&self.url()).await.expect("the server answers");
            let answer = ask(&mut conn).await.expect("the statement runs");
            let _ = conn.close().await;
            answer
        })
    }
}

/// Starts the server where it does not run; its port.
fn start(folder: &Path, watched: bool) -> u16 {
    let data = folder.join("data");
    let port_file = folder.join("port");
    let known = fs::read_to_string(&port_file).ok().and_then(|port| port.parse::<u16>().ok());
    if let (Some(port), Some(_)) = (known, pid(folder))
        && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    {
        return port;
    }
    if watched {
        // What an ended run left would be recovered first, and nobody asks for it.
        let _ = fs::remove_dir_all(&data);
    }
    if !data.join("PG_VERSION").exists() {
        let made = folder.join("making");
        let _ = fs::remove_dir_all(&made);
        run_as_postgres(
            &tool("initdb"),
            &["-D", &text(&made), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"],
        );
        fs::rename(&made, &data).expect("the new cluster takes its place");
    }
    let port = known.unwrap_or_else(|| crate::home::free_ports()[0]);
    let options = format!(
        "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=64MB -c log_min_messages=fatal -c recovery_init_sync_method=syncfs",
        text(folder)
    );
    let log = text(&folder.join("server.log"));
    run_as_postgres(
        &tool("pg_ctl"),
        &["-D", &text(&data), "-w", "-t", "60", "-l", &log, "-o", &options, "start"],
    );
    fs::write(&port_file, port.to_string()).expect("the port is written");
    if watched {
        // In the background of a shell that ends at once: it outlives this process, which need not wait for it.
        let mut watchdog = as_postgres("sh");
        watchdog.args(["-c", &format!("({WATCHDOG}) &"), "watchdog"]).arg(folder).arg(folder_of_tools());
        let started = watchdog.process_group(0).status().expect("the watchdog starts");
        assert!(started.success(), "the watchdog starts");
    }
    port
}

fn pid(folder: &Path) -> Option<u32> {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    let pid = file.lines().next()?.parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

/// Debian keeps the server's programs off the path, by version.
fn folder_of_tools() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").exists());
    folders.sort();
    folders.pop().expect("PostgreSQL is installed: tests/run does it")
}

fn tool(name: &str) -> String {
    text(&folder_of_tools().join(name))
}

/// The server refuses to run as root: then it runs as the user that its package made.
fn as_postgres(program: &str) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run_as_postgres(program: &str, args: &[&str]) {
    let status = as_postgres(program).args(args).status().expect("the program starts");
    assert!(status.success(), "{program} {}: {status}", args.join(" "));
}

fn own(folder: &Path) {
    if is_root() {
        let done = Command::new("chown").args(["postgres:postgres"]).arg(folder).status();
        assert!(done.is_ok_and(|status| status.success()), "the folder is the server's own");
    }
}

fn is_root() -> bool {
    let made = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").expect("/proc"));
    made == 0
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Waits until the server takes connections again.
pub fn wait_until_up(port: u16) {
    wait_for("the server to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
}
