//! Our own keys and certificates, read from the home.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use silkgate_ledger::{Cosigner, NoteSigner};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningCertificate, SigningKey};

use crate::config::{Config, Home};

/// What a running gateway holds. The card key and the key of the national CA are not among it: they
/// can be kept offline.
#[derive(Clone)]
pub struct Keys {
    /// Our chain on the partner plane, both as server and as client.
    pub tls: Identity,
    /// The authority of that chain, where its certificate lies beside it: monitoring tells until when it is valid.
    pub tls_anchor: Option<CertificateDer<'static>>,
    /// Our chain on the national plane.
    pub national: Identity,
    /// The anchor of the national plane's clients.
    pub national_anchor: CertificateDer<'static>,
    /// Signs messages.
    pub message: Arc<SigningKey>,
    /// The certificate of `message`.
    pub message_certificate: SigningCertificate,
    /// Sign checkpoints, PKCS#8: the present key, and beside it the previous one as long as that is not retired.
    pub log: Vec<Vec<u8>>,
    /// Cosign partners' checkpoints: the same.
    pub witness: Arc<Vec<Cosigner>>,
}

/// What is read together, and changes together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The chain of the partner plane.
    Tls,
    /// The chain and the clients' anchor of the national plane.
    National,
    /// What signs messages.
    Message,
    /// What signs checkpoints.
    Log,
    /// What cosigns.
    Witness,
}

impl Part {
    /// All.
    pub const ALL: [Part; 5] = [Part::Tls, Part::National, Part::Message, Part::Log, Part::Witness];

    /// Its name in files and figures.
    pub fn name(self) -> &'static str {
        match self {
            Part::Tls => "tls",
            Part::National => "national",
            Part::Message => "message",
            Part::Log => "log",
            Part::Witness => "witness",
        }
    }

    /// Its files.
    pub fn files(self, home: &Home) -> Vec<PathBuf> {
        let name = self.name();
        match self {
            Part::Tls | Part::National => {
                let anchor = home.certificate(&format!("{name}-ca"));
                vec![home.certificate(name), anchor, home.key(name)]
            }
            Part::Message => vec![home.certificate(name), home.key(name)],
            Part::Log | Part::Witness => vec![home.key(name), home.key(&staged(name, "previous"))],
        }
    }
}

/// A certificate chain and its key.
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a chain and a key from PEM files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        Ok(Self { chain: chain(certificate)?, key: private_key(key)? })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Keys {
    /// Reads everything a running gateway needs.
    pub fn read(home: &Home, config: &Config) -> Result<Self> {
        let (message, message_certificate) = message(home)?;
        Ok(Self {
            tls: Identity::read(&home.certificate("tls"), &home.key("tls"))?,
            tls_anchor: one(&home.certificate("tls-ca")).ok(),
            national: Identity::read(&home.certificate("national"), &home.key("national"))?,
            national_anchor: one(&home.certificate("national-ca"))?,
            message: Arc::new(message),
            message_certificate,
            log: log(home)?,
            witness: Arc::new(witness(home, config)?),
        })
    }

    /// The same with one part read again.
    pub fn with(&self, part: Part, home: &Home, config: &Config) -> Result<Self> {
        let mut next = self.clone();
        match part {
            Part::Tls => {
                next.tls = Identity::read(&home.certificate("tls"), &home.key("tls"))?;
                next.tls_anchor = one(&home.certificate("tls-ca")).ok();
            }
            Part::National => {
                next.national = Identity::read(&home.certificate("national"), &home.key("national"))?;
                next.national_anchor = one(&home.certificate("national-ca"))?;
            }
            Part::Message => {
                let (key, certificate) = message(home)?;
                (next.message, next.message_certificate) = (Arc::new(key), certificate);
            }
            Part::Log => next.log = log(home)?,
            Part::Witness => next.witness = Arc::new(witness(home, config)?),
        }
        Ok(next)
    }

    /// The digest by which the house log names one: of the certificate, or of the present verifier key.
    pub fn digest(&self, part: Part, config: &Config) -> Option<Digest> {
        Some(match part {
            Part::Tls => Digest::of(self.tls.chain.first()?),
            Part::National => Digest::of(self.national.chain.first()?),
            Part::Message => self.message_certificate.thumbprint,
            Part::Log => {
                let signer = NoteSigner::from_pkcs8(&config.house_origin(), self.log.first()?).ok()?;
                Digest::of(signer.verifier_key().to_string().as_bytes())
            }
            Part::Witness => Digest::of(self.witness.first()?.witness_key().to_string().as_bytes()),
        })
    }
}

/// The key that signs messages, and its certificate.
pub fn message(home: &Home) -> Result<(SigningKey, SigningCertificate)> {
    let file = home.certificate("message");
    let certificate = SigningCertificate::parse(&one(&file)?)
        .ok_or_else(|| anyhow!("{}: not a signing certificate", file.display()))?;
    let file = home.key("message");
    let key = SigningKey::new(private_key(&file)?.secret_der(), &certificate)
        .ok_or_else(|| anyhow!("{}: not the key of the signing certificate", file.display()))?;
    Ok((key, certificate))
}

/// The keys of our logs, PKCS#8, the present one first.
pub fn log(home: &Home) -> Result<Vec<Vec<u8>>> {
    in_use(home, "log")
}

/// The keys of our witness under the name that our card gives it, the present one first.
pub fn witness(home: &Home, config: &Config) -> Result<Vec<Cosigner>> {
    let read = |pkcs8: Vec<u8>| {
        Cosigner::from_pkcs8(&config.witness_name(), &pkcs8).context("the witness key cannot be used")
    };
    in_use(home, "witness")?.into_iter().map(read).collect()
}

/// The name of a key's file at a stage: `previous`, `next`, or empty for the one in use.
pub fn staged(name: &str, stage: &str) -> String {
    if stage.is_empty() { name.to_owned() } else { format!("{name}.{stage}") }
}

/// What stands in [`overlap_file`] between `key use` and the moment when the gateway takes the key up.
pub const AWAITS_START: &str = "after the next start\n";

/// Where it stands until when the key before must stay in use.
pub fn overlap_file(home: &Home, name: &str) -> std::path::PathBuf {
    home.key(&staged(name, "previous")).with_extension("until")
}

/// When a new key is first used: what the key before signed may be under way for so long.
pub fn begin_overlap(home: &Home, until: Instant) -> Result<()> {
    for name in ["message", "log", "witness"] {
        let file = overlap_file(home, name);
        if std::fs::read_to_string(&file).is_ok_and(|text| text == AWAITS_START) {
            std::fs::write(&file, until.to_string()).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// A key, and the one before it while both are in use.
fn in_use(home: &Home, name: &str) -> Result<Vec<Vec<u8>>> {
    let previous = home.key(&staged(name, "previous"));
    let files = std::iter::once(home.key(name)).chain(Some(previous).filter(|file| file.exists()));
    files.map(|file| Ok(private_key(&file)?.secret_der().to_vec())).collect()
}

/// The present log key, PKCS#8.
pub fn log_pkcs8(home: &Home) -> Result<Vec<u8>> {
    Ok(private_key(&home.key("log"))?.secret_der().to_vec())
}

/// Every certificate of a PEM file.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path).with_context(|| path.display().to_string())?;
    let chain = certificates.collect::<Result<Vec<_>, _>>().with_context(|| path.display().to_string())?;
    if chain.is_empty() { Err(anyhow!("{}: holds no certificate", path.display())) } else { Ok(chain) }
}

/// The only certificate of a PEM file.
pub fn one(path: &Path) -> Result<CertificateDer<'static>> {
    chain(path)?.into_iter().next().ok_or_else(|| anyhow!("{}: holds no certificate", path.display()))
}

/// A private key, refused where others could read it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(anyhow!("{}: others may read this key; make it private with chmod 600", path.display()));
    }
    PrivateKeyDer::from_pem_file(path).with_context(|| path.display().to_string())
}
