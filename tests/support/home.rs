//! Homes made by the shipped binary, and the gateways that serve them.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use silkgate_message::jws::{SigningCertificate, SigningKey};
use tempfile::TempDir;

use crate::balancer::Behind;
use crate::netns::Network;
use crate::postgres::{Cluster, Database};
use crate::wire::{self, Client, Identity};
use crate::{wait_for, wait_within};

/// The shipped binary, built beside the tests.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SILKGATE_BINARY") {
        return path.into();
    }
    let tests = std::env::current_exe().expect("a test knows its own path");
    let folder = tests.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let binary = folder.join("silkgate");
    assert!(binary.exists(), "{}: build first, with `cargo build --workspace`", binary.display());
    binary
}

/// A state's home and, while it runs, its gateway.
pub struct Home {
    /// The folder.
    pub path: PathBuf,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// The party that `init` named.
    pub party: String,
    /// The gateway's name.
    pub host: String,
    /// `127.0.0.1:PORT` of the partner plane.
    pub partner_plane: String,
    /// `127.0.0.1:PORT` of the national plane.
    pub national_plane: String,
    /// Its database on the tests' server; None: a file in the home.
    pub database: Option<Database>,
    /// `127.0.0.1:PORT` of the operations plane, where it has one.
    pub operations: Option<String>,
    /// What its programs are started with: to run in a namespace of its own.
    prefix: Vec<String>,
    gateway: Option<Child>,
}

/// Where a home keeps its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A database of the tests' server.
    Postgres,
    /// The same, and the keys in a second one: several gateways may use both.
    Shared,
}

impl Backend {
    /// What this run of the tests is about: `SILKGATE_TEST_DATABASE=postgres`, or files.
    pub fn of_this_run() -> Self {
        match std::env::var("SILKGATE_TEST_DATABASE").as_deref() {
            Ok("postgres") => Backend::Postgres,
            _ => Backend::Sqlite,
        }
    }
}

impl Home {
    /// `silkgate init` in `folder`, on the database that this run of the tests is about.
    pub fn init(folder: &Path, party: &str) -> Self {
        Self::init_on(folder, party, Backend::of_this_run())
    }

    /// The same on a file, for tests that look into it.
    pub fn init_file(folder: &Path, party: &str) -> Self {
        Self::init_on(folder, party, Backend::Sqlite)
    }

    /// The same on either.
    pub fn init_on(folder: &Path, party: &str, backend: Backend) -> Self {
        let database = (backend != Backend::Sqlite).then(|| Cluster::shared().database("home"));
        let keys = (backend == Backend::Shared).then(|| Cluster::shared().database("keys"));
        Self::init_with(folder, party, database, keys.as_ref(), None)
    }

    /// The same on a file, in a network of its own.
    pub fn init_in(folder: &Path, party: &str, network: &Network) -> Self {
        Self::init_with(folder, party, None, None, Some(network))
    }

    /// The same on a database of a server of the test's own.
    pub fn init_at(folder: &Path, party: &str, database: Database) -> Self {
        Self::init_with(folder, party, Some(database), None, None)
    }

    fn init_with(
        folder: &Path,
        party: &str,
        database: Option<Database>,
        keys: Option<&Database>,
        network: Option<&Network>,
    ) -> Self {
        let ip = network.map_or("127.0.0.1", |network| network.inside.as_str());
        let country = party[..2].to_owned();
        let host = format!("gateway.{}.example", country.to_lowercase());
        let [partner, national] = free_ports();
        let home = Self {
            path: folder.join(country.to_lowercase()),
            country,
            party: party.to_owned(),
            partner_plane: format!("{ip}:{partner}"),
            national_plane: format!("{ip}:{national}"),
            host,
            operations: None,
            database,
            prefix: network.map(Network::prefix).unwrap_or_default(),
            gateway: None,
        };
        let url = home.database.as_ref().map(Database::url);
        let keys = keys.map(Database::url);
        let endpoint = format!("https://{}", home.partner_plane);
        let mut args = vec![
            "init",
            party,
            "--host",
            &home.host,
            "--listen",
            &home.partner_plane,
            "--endpoint",
            &endpoint,
            "--national-listen",
            &home.national_plane,
        ];
        args.extend(url.iter().flat_map(|url| ["--database", url]));
        args.extend(keys.iter().flat_map(|url| ["--key-store", url]));
        home.ok(&args);
        home
    }

    /// Another gateway of the same state: the same keys and databases, ports of its own.
    pub fn replica(&self, name: &str) -> Self {
        let path = self.path.with_file_name(name);
        let copied = Command::new("cp").arg("-a").arg(&self.path).arg(&path).status();
        assert!(copied.is_ok_and(|status| status.success()), "the home is copied");
        let _ = fs::remove_file(path.join("gateway.log"));
        let [partner, national] = free_ports();
        let replica = Self {
            path,
            country: self.country.clone(),
            party: self.party.clone(),
            host: self.host.clone(),
            partner_plane: format!("127.0.0.1:{partner}"),
            national_plane: format!("127.0.0.1:{national}"),
            database: self.database.clone(),
            prefix: self.prefix.clone(),
            operations: self.operations.as_ref().map(|_| format!("127.0.0.1:{}", free_ports()[0])),
            gateway: None,
        };
        let file = replica.path.join("silkgate.toml");
        let text = fs::read_to_string(&file).expect("the configuration");
        let listen = |address: &str| format!("listen = \"{address}\"");
        let text = text.replace(&listen(&self.partner_plane), &listen(&replica.partner_plane));
        let text = text.replace(&listen(&self.national_plane), &listen(&replica.national_plane));
        let text = match (&self.operations, &replica.operations) {
            (Some(old), Some(new)) => text.replace(&listen(old), &listen(new)),
            _ => text,
        };
        fs::write(&file, text).expect("the configuration is written");
        replica
    }

    /// Gives the gateway an operations plane at its next start.
    pub fn with_operations(&mut self) {
        let address = format!("127.0.0.1:{}", free_ports()[0]);
        set(self, "# listen", &format!("\"{address}\""));
        self.operations = Some(address);
    }

    /// Starts this home's programs with a variable of the environment.
    pub fn with_environment(&mut self, name: &str, value: &str) {
        let variable = ["env".to_owned(), format!("{name}={value}")];
        self.prefix.splice(0..0, variable);
    }

    /// What `/readyz` says is missing.
    pub fn missing(&self) -> Vec<Value> {
        let address = self.operations.as_ref().expect("an operations plane");
        let mut stream = std::net::TcpStream::connect(address).expect("it answers");
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let body = wire::read_answer(&mut stream).expect("an answer").body;
        let ready: Value = serde_json::from_slice(&body).expect("JSON");
        ready["missing"].as_array().cloned().unwrap_or_default()
    }

    /// A figure of the operations plane, its labels as they are written; None: it is not there yet.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let address = self.operations.as_ref().expect("an operations plane");
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let text = String::from_utf8(wire::read_answer(&mut stream).ok()?.body).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.parse().ok()
    }

    /// As a balancer sees this gateway's partner plane.
    pub fn behind(&self) -> Behind {
        let operations = self.operations.clone().expect("an operations plane");
        Behind { address: self.partner_plane.clone(), operations }
    }

    /// The shipped binary, where this home's programs run.
    fn program(&self) -> Command {
        let Some((first, rest)) = self.prefix.split_first() else { return Command::new(binary()) };
        let mut command = Command::new(first);
        command.args(rest).arg(binary());
        command
    }

    /// Runs a command on this home.
    pub fn run(&self, args: &[&str]) -> Output {
        self.program()
            .arg("-d")
            .arg(&self.path)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("silkgate starts")
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "silkgate {}: {} {said}", args.join(" "), output.status);
        String::from_utf8(output.stdout).expect("silkgate prints UTF-8")
    }

    /// Runs a command with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        serde_json::from_str(&self.ok(&all)).expect("--json prints JSON")
    }

    /// The entries of a log, as `silkgate log --json` prints them.
    pub fn log(&self, args: &[&str]) -> Vec<Value> {
        let mut all = vec!["log", "--json", "-n", "1000000"];
        all.extend_from_slice(args);
        self.ok(&all).lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
    }

    /// Writes the card beside the home; its path and its fingerprint.
    pub fn card(&self) -> (PathBuf, String) {
        let card = self.json(&["card"]);
        let path = self.path.with_extension("card");
        fs::write(&path, card["card"].as_str().expect("a card")).expect("the card is written");
        (path, card["fingerprint"].as_str().expect("a fingerprint").to_owned())
    }

    /// `silkgate partner add`.
    pub fn add_partner(&self, other: &Home, connect: Option<&str>) {
        let (card, fingerprint) = other.card();
        let card = card.to_string_lossy().into_owned();
        let mut args = vec!["partner", "add", &card, "--fingerprint", &fingerprint];
        args.extend(connect.map(|address| ["--connect", address]).into_iter().flatten());
        self.ok(&args);
        self.ok(&["partner", "allow", &other.country, "--status", "actual"]);
    }

    /// Starts the gateway and waits until both planes answer.
    pub fn start(&mut self) {
        self.start_within(Duration::from_secs(30));
    }

    /// The same where a start takes longer: the first one over a long log reads all of it.
    pub fn start_within(&mut self, limit: Duration) {
        assert!(self.gateway.is_none(), "the gateway runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path.join("gateway.log"))
            .expect("log");
        let child = self
            .program()
            .arg("-d")
            .arg(&self.path)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("silkgate starts");
        self.gateway = Some(child);
        wait_within(limit, "the gateway to listen", || {
            let ended = self.gateway.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the gateway ended: {}", self.gateway_log());
            let up = |address: &str| std::net::TcpStream::connect(address).is_ok();
            (up(&self.partner_plane) && up(&self.national_plane)).then_some(())
        });
    }

    /// Changes the agreement with a partner, and waits until the running gateway follows.
    pub fn allow(&self, partner: &str, args: &[&str]) {
        let line = format!("partner changed partner={partner} what=agreement");
        let before = self.gateway_log().matches(&line).count();
        self.ok(&[&["partner", "allow", partner], args].concat());
        wait_for("the gateway to follow", || {
            (self.gateway_log().matches(&line).count() > before).then_some(())
        });
    }

    /// What the gateway wrote to its log.
    pub fn gateway_log(&self) -> String {
        fs::read_to_string(self.path.join("gateway.log")).unwrap_or_default()
    }

    /// The gateway's process id.
    pub fn pid(&self) -> u32 {
        self.gateway.as_ref().expect("the gateway runs").id()
    }

    /// SIGKILL, and waits for the process to be gone.
    pub fn kill(&mut self) {
        let mut child = self.gateway.take().expect("the gateway runs");
        child.kill().expect("the process can be killed");
        child.wait().expect("the process can be waited for");
    }

    /// SIGTERM, and waits; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.tell_to_stop();
        let mut child = self.gateway.take().expect("the gateway runs");
        wait_for("the gateway to stop", || child.try_wait().ok().flatten()).code()
    }

    /// SIGTERM, and does not wait.
    pub fn tell_to_stop(&self) {
        let told = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        assert!(told.is_ok_and(|status| status.success()));
    }

    /// Waits for the gateway to end by itself; the exit code.
    pub fn wait_for_end(&mut self) -> Option<i32> {
        let mut child = self.gateway.take().expect("the gateway runs");
        wait_for("the gateway to end", || child.try_wait().ok().flatten()).code()
    }

    /// Whether the gateway's process has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.gateway.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// Whether the gateway runs.
    pub fn is_running(&self) -> bool {
        self.gateway.is_some()
    }

    /// The gateway's own TLS identity on the partner plane.
    pub fn tls_identity(&self) -> Identity {
        wire::identity(&self.path.join("certs/tls.pem"), &self.path.join("keys/tls.key"))
    }

    /// A client of `other`'s partner plane, as this state's gateway.
    pub fn as_partner_of(&self, other: &Home) -> Client {
        let anchor = other.path.join("certs/tls-ca.pem");
        Client::new(&anchor, Some(self.tls_identity()), &other.host, &other.partner_plane)
    }

    /// The same at another address, which leads there.
    pub fn as_partner_at(&self, other: &Home, address: &str) -> Client {
        let anchor = other.path.join("certs/tls-ca.pem");
        Client::new(&anchor, Some(self.tls_identity()), &other.host, address)
    }

    /// A client of this state's national plane, as the back end of `party`.
    pub fn back_end(&self, party: &str) -> Client {
        self.national(&format!("backend-{}", &party[3..]))
    }

    /// The same, with the certificate of that name under clients/.
    pub fn national(&self, name: &str) -> Client {
        let certificate = self.path.join(format!("clients/{name}.pem"));
        let identity = wire::identity(&certificate, &certificate.with_extension("key"));
        let anchor = self.path.join("certs/national-ca.pem");
        Client::new(&anchor, Some(identity), &self.host, &self.national_plane)
    }

    /// The key that signs this state's messages.
    pub fn message_key(&self) -> SigningKey {
        let certificate = wire::certificates(&self.path.join("certs/message.pem")).remove(0);
        let certificate = SigningCertificate::parse(&certificate).expect("a signing certificate");
        let key = wire::private_key(&self.path.join("keys/message.key"));
        SigningKey::new(key.secret_der(), &certificate).expect("the key fits the certificate")
    }

    /// `silkgate audit verify`; its findings.
    pub fn audit(&self) -> Vec<Value> {
        let output = self.run(&["audit", "verify", "--json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"));
        let findings = report["findings"].as_array().expect("findings").clone();
        let code = output.status.code();
        assert_eq!(
            code,
            Some(i32::from(!findings.is_empty())),
            "the exit code tells whether something was found"
        );
        findings
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(mut child) = self.gateway.take() {
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                eprintln!("--- log of {}'s gateway\n{}", self.country, self.gateway_log());
            }
        }
    }
}

/// Iraq and Jordan as partners of each other, their gateways running.
pub struct Pair {
    /// Iraq.
    pub iq: Home,
    /// Jordan.
    pub jo: Home,
    /// Holds both homes; removed at the end.
    pub folder: TempDir,
}

impl Pair {
    /// Both set up and started.
    pub fn start() -> Self {
        Self::start_on(Backend::of_this_run())
    }

    /// The same on either.
    pub fn start_on(backend: Backend) -> Self {
        let mut pair = Self::set_up_on(None, backend);
        pair.iq.start();
        pair.jo.start();
        pair
    }

    /// Both set up. `connect`: where Iraq dials Jordan instead of its endpoint.
    pub fn set_up(connect: Option<&str>) -> Self {
        Self::set_up_on(connect, Backend::of_this_run())
    }

    /// The same on files, for tests that look into them.
    pub fn set_up_files(connect: Option<&str>) -> Self {
        Self::set_up_on(connect, Backend::Sqlite)
    }

    /// The same on either.
    pub fn set_up_on(connect: Option<&str>, backend: Backend) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let iq = Home::init_on(folder.path(), "IQ/traffic-police", backend);
        let jo = Home::init_on(folder.path(), "JO/public-security", backend);
        iq.add_partner(&jo, connect);
        jo.add_partner(&iq, None);
        Self { iq, jo, folder }
    }
}

/// Ports of this process, locked against the tests that run beside it.
static PORTS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Two free ports that no other test gets while this process lives. They lie below those that the
/// system gives to outgoing connections: such a one could be taken before the gateway listens on it.
pub fn free_ports() -> [u16; 2] {
    let folder = std::env::temp_dir().join("silkgate-test-ports");
    fs::create_dir_all(&folder).expect("a folder for locks");
    [(); 2].map(|()| {
        wait_for("a free port", || {
            let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
            let port = 20_000 + (random % 12_000) as u16;
            let lock = File::create(folder.join(port.to_string())).ok()?;
            lock.try_lock().ok()?;
            TcpListener::bind(("127.0.0.1", port)).ok()?;
            PORTS.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            Some(port)
        })
    })
}

/// Changes a setting of a home's configuration; `# name` takes one up that the manual only shows.
pub fn set(home: &Home, name: &str, value: &str) {
    let file = home.path.join("silkgate.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    let line = text.lines().find(|line| line.starts_with(name)).expect("the setting stands in the manual");
    let setting = format!("{} = {value}", name.trim_start_matches("# "));
    fs::write(&file, text.replace(line, &setting)).expect("the configuration is written");
}
