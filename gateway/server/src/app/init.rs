//! `silkgate init`: a gateway's home.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use silkgate_certs::{Authority, Issued, Profile, message_signing};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Party;
use time::UtcOffset;

use super::admin::{self, Act, Where};
use super::{Cx, Found};
use crate::clock;
use crate::config::{Config, Home, Place};
use crate::directory::address_of;
use crate::keys::{Keys, Part};
use crate::store::partner::{self, ClientRow};
use crate::store::{Open, Store, ledger};

/// What the manual shows where no pages are served in plain HTTP.
const NO_PAGES: &str = "# listen = \"127.0.0.1:9465\"";
/// And where nothing is told to monitoring.
const NO_OPERATIONS: &str = "# listen = \"127.0.0.1:9464\"";

/// Who the gateway is.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq init IQ/traffic-police --host gateway.iq.example\n\nMakes keys (mode 0600), certificates, \
                        silkgate.toml (the commented manual), the database, and one client certificate each for an \
                        operator and for the back end of PARTY. Move keys/card.key to a safe offline place after \
                        the first card; it is needed for the next card only."
)]
pub(crate) struct Args {
    /// The authority that runs the gateway: <ISO 3166-1 alpha-2>/<slug>.
    party: Party,
    /// The gateway's name in certificates and logs, lower case. It never changes.
    #[arg(long)]
    host: String,
    /// Where partners connect.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: String,
    /// What the card tells partners; https://HOST:8443 unless given.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Where back ends connect.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    national_listen: String,
    /// Where the pages are served to browsers on this machine that hold no certificate; nowhere unless given.
    #[arg(long, value_name = "ADDRESS")]
    pages_listen: Option<std::net::SocketAddr>,
    /// Where monitoring asks, in plain HTTP (docs/operations/monitoring.md); nowhere unless given.
    #[arg(long, value_name = "ADDRESS")]
    operations_listen: Option<std::net::SocketAddr>,
    /// A file in the home, or an empty database of a PostgreSQL server: postgres://HOST/NAME.
    #[arg(
        long,
        value_name = "FILE|URL",
        default_value = "silkgate.db",
        env = "SILKGATE_DATABASE",
        hide_env_values = true
    )]
    database: String,
    /// Where the payloads' keys are kept: a file in the home, or for several gateways on one database a second one.
    #[arg(
        long,
        value_name = "FILE|URL",
        default_value = "keys/payload-keys.db",
        env = "SILKGATE_KEY_STORE",
        hide_env_values = true
    )]
    key_store: String,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let home = &cx.home;
    if home.config_file().exists() {
        bail!(
            "{} exists: this is a gateway's home already; nothing was changed",
            home.config_file().display()
        );
    }
    let endpoint = args.endpoint.clone().unwrap_or_else(|| format!("https://{}:8443", args.host));
    let address = address_of(&endpoint).map_err(|what| anyhow!("--endpoint: {what}"))?;
    let listen = |address: Option<std::net::SocketAddr>, none: &str| {
        address.map_or_else(|| none.to_owned(), |address| format!("listen = \"{address}\""))
    };
    let pages = listen(args.pages_listen, NO_PAGES);
    let operations = listen(args.operations_listen, NO_OPERATIONS);
    let text = Config::text(&[
        ("party", args.party.as_str()),
        ("host", &args.host),
        ("partner_listen", &args.listen),
        ("endpoint", &endpoint),
        ("national_listen", &args.national_listen),
        ("pages_listen", &pages),
        ("operations_listen", &operations),
        ("database", &args.database),
        ("key_store", &args.key_store),
    ]);
    let config = Config::parse(&text).map_err(|what| anyhow!("{what}"))?;
    for folder in ["", "keys", "certs", "clients"] {
        private_folder(&home.path().join(folder))?;
    }
    certificates(home, &config, &address)?;
    for name in ["log", "witness", "card"] {
        ed25519(&home.key(name))?;
    }
    let operator = issue_client(home, "operator", "operator", "operator")?;
    let back_end =
        issue_client(home, "backend", args.party.as_str(), &format!("backend-{}", args.party.slug()))?;
    let (place, keys) = (home.database(&config), home.key_store(&config));
    let store = Store::open(&place, &keys, Open::Create, Arc::new(|| {})).await?;
    let mut tx = store.write().await?;
    ledger::create(&mut tx, &config.house_origin(), None).await?;
    for issued in [&operator, &back_end] {
        partner::add_client(&mut tx, &issued.row, clock::now()).await?;
    }
    let entry = |what, digest| Act { log: Where::House, what, digest: Some(digest), about: None };
    let mut acts = vec![
        entry("init", Digest::of(text.as_bytes())),
        entry("client", operator.row.certificate),
        entry("client", back_end.row.certificate),
    ];
    // What a start finds other than this was changed since.
    let own = Keys::read(home, &config)?;
    for part in Part::ALL {
        acts.extend(own.digest(part, &config).map(|digest| entry(part.loaded(), digest)));
    }
    admin::commit(cx, tx, &acts).await?;
    store.close().await;
    // Last: a home without configuration is none, and `init` can be repeated on a new folder.
    // Private where it names a server, whose password may stand there.
    let mode = if matches!(place, Place::Server(_)) { 0o600 } else { 0o644 };
    write_private(&home.config_file(), text.as_bytes(), mode)?;
    let report = serde_json::json!({
        "home": home.path(), "party": args.party, "config": home.config_file(), "endpoint": endpoint,
        "national_listen": args.national_listen, "back_end": back_end.certificate, "operator": operator.certificate,
    });
    cx.print(&report, || {
        format!(
            "{} is the home of {}'s gateway.\n  configuration  {}\n  back end       {}\n  operator       {}\nNext: silkgate -d {} card",
            home.path().display(),
            args.party,
            home.config_file().display(),
            back_end.certificate.display(),
            operator.certificate.display(),
            home.path().display()
        )
    })?;
    Ok(Found::Good)
}

fn certificates(home: &Home, config: &Config, address: &str) -> Result<()> {
    let now = clock::now().to_offset(UtcOffset::UTC);
    let country = config.country();
    let dialled = address.rsplit_once(':').and_then(|(host, _)| host.parse::<IpAddr>().ok());
    let (tls_ca, issued) = Authority::create(&format!("Silkgate TLS {country}"), now)?;
    save(home, "tls-ca", &issued)?;
    let profile = Profile::Gateway { host: config.host.clone(), addresses: dialled.into_iter().collect() };
    save(home, "tls", &tls_ca.issue(&profile, now)?)?;
    save(home, "message", &message_signing(country.as_str(), now)?)?;
    let (national_ca, issued) = Authority::create(&format!("Silkgate national {country}"), now)?;
    save(home, "national-ca", &issued)?;
    let listen = config.national_plane.listen.ip();
    let profile = Profile::NationalServer {
        host: config.host.clone(),
        addresses: if listen.is_unspecified() { Vec::new() } else { vec![listen] },
    };
    save(home, "national", &national_ca.issue(&profile, now)?)
}

/// A client certificate of the national plane, written and ready to be registered.
pub(super) struct IssuedClient {
    pub(super) row: ClientRow,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Issues a client certificate under clients/.
pub(super) fn issue_client(home: &Home, role: &str, subject: &str, name: &str) -> Result<IssuedClient> {
    let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| path.display().to_string());
    let authority =
        Authority::load(&read(home.certificate("national-ca"))?, &read(home.key("national-ca"))?)?;
    let profile = Profile::NationalClient { role: role.to_owned(), subject: subject.to_owned() };
    let issued = authority.issue(&profile, clock::now().to_offset(UtcOffset::UTC))?;
    let free = |n: &u32| !home.client(&numbered(name, *n)).exists();
    let number = (1..1000).find(free).ok_or_else(|| anyhow!("too many certificates of {subject}"))?;
    let certificate = home.client(&numbered(name, number));
    let key = certificate.with_extension("key");
    write_private(&key, issued.key_pem.as_bytes(), 0o600)?;
    write_private(&certificate, issued.certificate_pem.as_bytes(), 0o644)?;
    let row = ClientRow {
        certificate: Digest::of(&issued.certificate_der),
        role: role.to_owned(),
        subject: subject.to_owned(),
        until: Instant::from_seconds(issued.until_s),
    };
    Ok(IssuedClient { row, certificate, key })
}

fn numbered(name: &str, n: u32) -> String {
    if n == 1 { name.to_owned() } else { format!("{name}-{n}") }
}

pub(super) fn save(home: &Home, name: &str, issued: &Issued) -> Result<()> {
    write_private(&home.key(name), issued.key_pem.as_bytes(), 0o600)?;
    write_private(&home.certificate(name), issued.certificate_pem.as_bytes(), 0o644)
}

/// An Ed25519 key, PKCS#8 PEM (RFC 7468 §10).
pub(super) fn ed25519(path: &Path) -> Result<()> {
    let pkcs8 =
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no random bytes"))?;
    let text = pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.as_ref()));
    write_private(path, text.as_bytes(), 0o600)
}

fn private_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| path.display().to_string())
}

/// Writes a new file, with its mode from the first byte on; an existing one is never overwritten.
/// Writes a file in the place of the one before, at one stroke.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let next = PathBuf::from(next);
    if next.exists() {
        fs::remove_file(&next).with_context(|| next.display().to_string())?;
    }
    write_private(&next, bytes, mode)?;
    fs::rename(&next, path).with_context(|| path.display().to_string())
}

pub(super) fn write_private(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}
