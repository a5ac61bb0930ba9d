//! Our own keys and certificates, read from the home. A private key is in its file or in a token that the file names.

mod private;
mod reach;
mod token;
mod uri;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use silkgate_ledger::{Cosigner, Ed25519Key, NoteSigner};
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Algorithm, Digest, SigningCertificate, SigningKey};

use crate::config::{Config, Home};
pub use private::Key;
pub(crate) use private::der_signature;
pub use reach::Reach;
pub use token::{TokenKey, revive};
pub use uri::Uri;

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
    /// Sign checkpoints: the present key, and beside it the previous one as long as that is not retired.
    pub log: Vec<Arc<dyn Ed25519Key>>,
    /// Cosign partners' checkpoints: the same.
    pub witness: Arc<Vec<Cosigner>>,
    /// Those of these keys that are in a token, by the names of their files.
    pub in_token: Vec<(Part, String, Arc<TokenKey>)>,
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

    /// What the house log calls that it came into force.
    pub fn loaded(self) -> &'static str {
        match self {
            Part::Tls => "tls_loaded",
            Part::National => "national_loaded",
            Part::Message => "message_loaded",
            Part::Log => "log_loaded",
            Part::Witness => "witness_loaded",
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
#[derive(Clone)]
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: Arc<dyn rustls::sign::SigningKey>,
}

impl Identity {
    /// Reads a chain and a key from PEM files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        Ok(Self { chain: chain(certificate)?, key: private::tls_file(key)? })
    }

    /// Ours of the partner plane.
    pub fn partner_plane(home: &Home) -> Result<Self> {
        Ok(Self::of(home, Part::Tls)?.0)
    }

    /// A chain with the key of keys/NAME.key.
    pub fn with_key_of(home: &Home, certificate: &Path, name: &str) -> Result<Self> {
        Ok(Self { chain: chain(certificate)?, key: private::tls(home, name)?.0 })
    }

    fn of(home: &Home, part: Part) -> Result<(Self, Option<Arc<TokenKey>>)> {
        let (key, token) = private::tls(home, part.name())?;
        Ok((Self { chain: chain(&home.certificate(part.name()))?, key }, token))
    }
}

impl Keys {
    /// Reads everything a running gateway needs.
    pub fn read(home: &Home, config: &Config) -> Result<Self> {
        let (tls, tls_token) = Identity::of(home, Part::Tls)?;
        let (national, national_token) = Identity::of(home, Part::National)?;
        let (message, message_certificate, message_token) = message_and_token(home)?;
        let logs = in_use(home, "log")?;
        let witnesses = in_use(home, "witness")?;
        let mut in_token = held(Part::Log, &logs);
        in_token.extend(held(Part::Witness, &witnesses));
        let tokens =
            [(Part::Tls, tls_token), (Part::National, national_token), (Part::Message, message_token)];
        in_token
            .extend(tokens.into_iter().filter_map(|(part, key)| Some((part, part.name().to_owned(), key?))));
        Ok(Self {
            tls,
            tls_anchor: one(&home.certificate("tls-ca")).ok(),
            national,
            national_anchor: one(&home.certificate("national-ca"))?,
            message: Arc::new(message),
            message_certificate,
            log: notes(&logs)?,
            witness: Arc::new(cosigners(config, &witnesses)?),
            in_token,
        })
    }

    /// The same with one part read again.
    pub fn with(&self, part: Part, home: &Home, config: &Config) -> Result<Self> {
        let mut next = self.clone();
        next.in_token.retain(|(of, ..)| *of != part);
        let single = |key: Option<Arc<TokenKey>>| key.map(|key| (part, part.name().to_owned(), key));
        match part {
            Part::Tls => {
                let (identity, key) = Identity::of(home, part)?;
                next.tls = identity;
                next.tls_anchor = one(&home.certificate("tls-ca")).ok();
                next.in_token.extend(single(key));
            }
            Part::National => {
                let (identity, key) = Identity::of(home, part)?;
                next.national = identity;
                next.national_anchor = one(&home.certificate("national-ca"))?;
                next.in_token.extend(single(key));
            }
            Part::Message => {
                let (key, certificate, token) = message_and_token(home)?;
                (next.message, next.message_certificate) = (Arc::new(key), certificate);
                next.in_token.extend(single(token));
            }
            Part::Log => {
                let keys = in_use(home, "log")?;
                next.log = notes(&keys)?;
                next.in_token.extend(held(part, &keys));
            }
            Part::Witness => {
                let keys = in_use(home, "witness")?;
                next.witness = Arc::new(cosigners(config, &keys)?);
                next.in_token.extend(held(part, &keys));
            }
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
                let signer = NoteSigner::new(&config.house_origin(), self.log.first()?.clone()).ok()?;
                Digest::of(signer.verifier_key().to_string().as_bytes())
            }
            Part::Witness => Digest::of(self.witness.first()?.witness_key().to_string().as_bytes()),
        })
    }
}

/// The key that signs messages, and its certificate.
pub fn message(home: &Home) -> Result<(SigningKey, SigningCertificate)> {
    message_and_token(home).map(|(key, certificate, _)| (key, certificate))
}

fn message_and_token(home: &Home) -> Result<(SigningKey, SigningCertificate, Option<Arc<TokenKey>>)> {
    let file = home.certificate("message");
    let certificate = SigningCertificate::parse(&one(&file)?)
        .ok_or_else(|| anyhow!("{}: not a signing certificate", file.display()))?;
    let key = Key::read(home, "message", certificate.algorithm)?;
    let signs = SigningKey::with(key.private(), &certificate);
    let signs = signs.ok_or_else(|| {
        anyhow!("{}: not the key of the signing certificate", home.key("message").display())
    })?;
    Ok((signs, certificate, key.token().cloned()))
}

/// The keys of our logs, the present one first.
pub fn log(home: &Home) -> Result<Vec<Arc<dyn Ed25519Key>>> {
    notes(&in_use(home, "log")?)
}

/// The keys of our witness under the name that our card gives it, the present one first.
pub fn witness(home: &Home, config: &Config) -> Result<Vec<Cosigner>> {
    cosigners(config, &in_use(home, "witness")?)
}

fn notes(keys: &[(String, Key)]) -> Result<Vec<Arc<dyn Ed25519Key>>> {
    keys.iter().map(|(_, key)| key.ed25519()).collect()
}

fn cosigners(config: &Config, keys: &[(String, Key)]) -> Result<Vec<Cosigner>> {
    let read = |(_, key): &(String, Key)| {
        Cosigner::new(&config.witness_name(), key.ed25519()?).context("the witness key cannot be used")
    };
    keys.iter().map(read).collect()
}

fn held(part: Part, keys: &[(String, Key)]) -> Vec<(Part, String, Arc<TokenKey>)> {
    let held = keys.iter().filter_map(|(name, key)| Some((part, name.clone(), key.token()?.clone())));
    held.collect()
}

/// Where a running gateway says which keys in tokens it holds: none of them is destroyed meanwhile.
pub fn held_file(home: &Home) -> PathBuf {
    home.path().join("keys").join("held")
}

/// Says it, at once and as a whole.
pub fn tell_held(home: &Home, keys: &Keys) -> std::io::Result<()> {
    let text: String = keys.in_token.iter().map(|(_, _, key)| format!("{}\n", key.uri())).collect();
    let next = held_file(home).with_extension("next");
    std::fs::write(&next, text)?;
    std::fs::rename(next, held_file(home))
}

/// Has the token's key that a file names, if it names one, prove that it signs.
pub fn reached(home: &Home, name: &str) -> Result<()> {
    private::in_token(home, &home.key(name)).map(drop)
}

/// Where a key is that a file names in a token; None where the file holds it, or is not there.
pub fn in_token(home: &Home, name: &str) -> Result<Option<Uri>> {
    let file = home.key(name);
    if file.exists() { token::named_by(&file) } else { Ok(None) }
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
pub fn begin_overlap(home: &Home, parts: &[Part], until: Instant) -> Result<()> {
    for part in parts {
        let file = overlap_file(home, part.name());
        if std::fs::read_to_string(&file).is_ok_and(|text| text == AWAITS_START) {
            std::fs::write(&file, until.to_string()).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// A key, and the one before it while both are in use.
fn in_use(home: &Home, name: &str) -> Result<Vec<(String, Key)>> {
    let previous = staged(name, "previous");
    let previous = Some(previous).filter(|previous| home.key(previous).exists());
    let names = std::iter::once(name.to_owned()).chain(previous);
    names.map(|name| Ok((name.clone(), Key::read(home, &name, Algorithm::EdDsa)?))).collect()
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

/// A private key in a file, refused where others could read it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    if let Some(uri) = token::named_by(path)? {
        return Err(anyhow!(
            "{}: names a key in a token, {uri}; here the key itself is needed",
            path.display()
        ));
    }
    PrivateKeyDer::from_pem_file(path).with_context(|| path.display().to_string())
}

/// Refuses a file that others may read.
fn is_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(anyhow!("{}: others may read this key; make it private with chmod 600", path.display()));
    }
    Ok(())
}
