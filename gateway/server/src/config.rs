//! The gateway's home folder and its configuration file.

// By its path: the fuzz targets take this file in from elsewhere.
#[path = "config/change.rs"]
mod change;
#[path = "config/sections.rs"]
mod sections;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use silkgate_message::party::{Country, Party};

pub use change::own_like;
pub use sections::{
    Approval, Deliveries, Dispatch, Limits, NationalPlane, Operations, Pages, PartnerPlane, Reconcile,
    Retention, Syslog, Timestamp, Token, Witness,
};

/// The commented configuration that `init` writes; it is the manual.
const TEMPLATE: &str = include_str!("silkgate.toml");

/// `silkgate.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The authority that runs the gateway.
    pub party: Party,
    /// The gateway's name in certificates and logs.
    pub host: String,
    /// The database: a file, relative to the home, or `postgres://…`.
    #[serde(default = "database")]
    pub database: String,
    /// The key store of the payloads: a file, relative to the home, or `postgres://…`.
    #[serde(default = "key_store")]
    pub key_store: String,
    /// International.
    pub partner_plane: PartnerPlane,
    /// National.
    pub national_plane: NationalPlane,
    /// Monitoring.
    #[serde(default)]
    pub operations: Operations,
    /// Pages in browsers without a certificate.
    #[serde(default)]
    pub pages: Pages,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Sending.
    #[serde(default)]
    pub dispatch: Dispatch,
    /// Showing our logs to partners.
    #[serde(default)]
    pub witness: Witness,
    /// Reading partners' logs.
    #[serde(default)]
    pub reconcile: Reconcile,
    /// Handing over.
    #[serde(default)]
    pub deliveries: Deliveries,
    /// Erasing.
    #[serde(default)]
    pub retention: Retention,
    /// Who decides.
    #[serde(default)]
    pub approval: Approval,
    /// Where the logs are sent; None: nowhere.
    pub syslog: Option<Syslog>,
    /// A time-stamping authority; None: none is asked.
    pub timestamp: Option<Timestamp>,
    /// Where keys in hardware are; None: every key is a file.
    pub token: Option<Token>,
}

fn database() -> String {
    "silkgate.db".to_owned()
}

fn key_store() -> String {
    "keys/payload-keys.db".to_owned()
}

/// Where a database is. Shown without what stands before the server's name: that may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A server of PostgreSQL, `postgres://…`.
    Server(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Server(url) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
                write!(f, "postgres://{}", rest.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl Config {
    /// The state of the gateway.
    pub fn country(&self) -> Country {
        self.party.country()
    }

    /// The origin of the channel log with `partner`.
    pub fn channel_origin(&self, partner: Country) -> String {
        format!("{}/{}/{}", self.host, self.country(), partner)
    }

    /// The origin of the house log.
    pub fn house_origin(&self) -> String {
        format!("{}/{}/house", self.host, self.country())
    }

    /// The name of our witness, as it stands in cosignatures.
    pub fn witness_name(&self) -> String {
        format!("{}/{}/witness", self.host, self.country())
    }

    /// The text of a new configuration file, with these values in the place of their names.
    pub fn text(values: &[(&str, &str)]) -> String {
        values
            .iter()
            .fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Reads the configuration; the error names file, line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config
            .house_origin()
            .parse::<silkgate_ledger::Origin>()
            .map_err(|_| format!("host `{}` is not a lower-case host name", config.host))?;
        Ok(config)
    }
}

/// The folder that holds everything of one gateway.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The home at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `silkgate.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.0.join("silkgate.toml")
    }

    /// A private key, PKCS#8 PEM, mode 0600.
    pub fn key(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(format!("{name}.key"))
    }

    /// A certificate, PEM.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.0.join("certs").join(format!("{name}.pem"))
    }

    /// The certificate of a client of the national plane; its key stands beside it with the ending `.key`.
    pub fn client(&self, name: &str) -> PathBuf {
        self.0.join("clients").join(format!("{name}.pem"))
    }

    /// The key store of the payloads; a file has mode 0600.
    pub fn key_store(&self, config: &Config) -> Place {
        self.place(&config.key_store)
    }

    /// What the logs say is in force, and how far they were read for it.
    pub fn stated(&self) -> PathBuf {
        self.0.join("stated.json")
    }

    /// How far an interrupted audit came.
    pub fn audit_progress(&self) -> PathBuf {
        self.0.join("audit.progress")
    }

    /// Reads the configuration.
    pub fn config(&self) -> anyhow::Result<Config> {
        let file = self.config_file();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            anyhow::anyhow!(
                "{}: {error}; is {} a gateway's home? `silkgate init` makes one, -d picks one",
                file.display(),
                self.0.display()
            )
        })?;
        Config::parse(&text).map_err(|what| anyhow::anyhow!("{}: {what}", file.display()))
    }

    /// The database.
    pub fn database(&self, config: &Config) -> Place {
        self.place(&config.database)
    }

    /// Where a setting points.
    pub fn place(&self, stated: &str) -> Place {
        if ["postgres://", "postgresql://"].iter().any(|scheme| stated.starts_with(scheme)) {
            Place::Server(stated.to_owned())
        } else {
            Place::File(self.0.join(stated))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let place = Home::new("iq")
            .place("postgres://silkgate:s3cret@db.example/iq?sslmode=verify-full&password=s3cret");
        assert_eq!(place.to_string(), "postgres://db.example/iq");
        assert_eq!(place.without_password(), "postgres://silkgate@db.example/iq?sslmode=verify-full");
        let place = Home::new("iq").place("postgresql://db.example/iq");
        assert_eq!(place.without_password(), "postgresql://db.example/iq");
        assert_eq!(
            Home::new("iq").place("postgres://a:p@s@db.example:5432/iq").without_password(),
            "postgres://a@db.example:5432/iq"
        );
        assert_eq!(Home::new("iq").place("silkgate.db").to_string(), "iq/silkgate.db");
    }

    #[test]
    fn the_manual_is_the_default() {
        let party: Party = "IQ/traffic-police".parse().unwrap();
        let text = Config::text(&[
            ("party", party.as_str()),
            ("host", "gw.iq.example"),
            ("partner_listen", "127.0.0.1:8443"),
            ("endpoint", "https://gw.iq.example:8443"),
            ("national_listen", "127.0.0.1:8444"),
            ("pages_listen", "# listen = \"127.0.0.1:9465\""),
            ("operations_listen", "# listen = \"127.0.0.1:9464\""),
            ("database", "silkgate.db"),
            ("key_store", "keys/payload-keys.db"),
        ]);
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.channel_origin("JO".parse().unwrap()), "gw.iq.example/IQ/JO");
        // What the file states as defaults is what holds without it.
        let short = text.split("[limits]").next().unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::parse(short).unwrap()));
        assert!(Config::parse(&text.replace("connections", "conections")).is_err());
        // What stands there commented out holds once it is not.
        assert!(config.syslog.is_none() && config.timestamp.is_none() && config.token.is_none());
        let with = |table: &str, names: &[&str]| {
            let (before, rest) = text.split_once(&format!("\n#[{table}]\n")).unwrap();
            let taken = |rest: String, name: &&str| {
                assert!(rest.contains(&format!("\n#{name} =")), "{name}");
                rest.replacen(&format!("\n#{name} ="), &format!("\n{name} ="), 1)
            };
            let rest = names.iter().fold(rest.to_owned(), taken);
            Config::parse(&format!("{before}\n[{table}]\n{rest}")).unwrap()
        };
        let minimal = with("syslog", &["address", "anchors"]).syslog.unwrap();
        let all = with("syslog", &["address", "anchors", "certificate", "confirm_seconds"]).syslog.unwrap();
        assert!(all.certificate.is_some());
        assert_eq!(format!("{minimal:?}"), format!("{:?}", Syslog { certificate: None, ..all }));
        let minimal = with("timestamp", &["url", "anchors"]).timestamp.unwrap();
        let all = ["url", "anchors", "roots", "every_seconds", "timeout_seconds"];
        let all = with("timestamp", &all).timestamp.unwrap();
        assert!(all.roots.is_some());
        assert_eq!(format!("{minimal:?}"), format!("{:?}", Timestamp { roots: None, ..all }));
        let minimal = with("token", &["module"]).token.unwrap();
        let all = with("token", &["module", "label", "pin_file"]).token.unwrap();
        assert_eq!(format!("{minimal:?}"), format!("{all:?}"));
    }
}
