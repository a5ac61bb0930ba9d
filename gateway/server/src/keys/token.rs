//! Private keys in hardware, by PKCS#11 (OASIS PKCS #11 v3.1): found, used, made and destroyed there.
//!
//! Nothing that a token answers is taken on trust. A signature is given only once it verifies under the public key that
//! the key had when it was read: another key in its place signs nothing in our name.

mod module;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::digest::{SHA256, SHA384, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use silkgate_message::jws::{Algorithm, PrivateKey, Unsigned};
use zeroize::Zeroizing;

use super::uri::Uri;
use crate::config::{Home, Token as Settings};
pub use module::revive;
use module::{Fault, Token};

/// What a key signs when it is read. No note ends like it, no JWS signing input holds a space, and neither a handshake nor
/// a certificate begins so: it can stand for nothing else.
const PROBE: &[u8] = b"silkgate looks whether this key signs\0";
/// The variable that holds the PIN where it stands in no file.
const PIN_VARIABLE: &str = "SILKGATE_TOKEN_PIN";
/// DER of the object identifiers of curves: P-256, P-384 (RFC 5480 §2.1.1.1), Ed25519 (RFC 8410 §3).
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The same as a `PrintableString`, `edwards25519`, as tokens of PKCS #11 v3.0 give it.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// Where the PIN of a token is.
#[derive(Clone)]
pub(super) struct Pin {
    file: PathBuf,
    /// The file is that of the configuration, which the environment goes before.
    is_default: bool,
}

impl Pin {
    fn read(&self) -> Result<Zeroizing<String>> {
        if self.is_default
            && let Ok(pin) = std::env::var(PIN_VARIABLE)
        {
            return Ok(Zeroizing::new(pin));
        }
        super::is_private(&self.file)?;
        let text = std::fs::read_to_string(&self.file).with_context(|| self.file.display().to_string())?;
        let text = Zeroizing::new(text);
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// A private key in a token. It is never seen here.
pub struct TokenKey {
    token: Arc<Token>,
    pin: Pin,
    uri: Uri,
    algorithm: Algorithm,
    public_key: Vec<u8>,
    /// Where the token said last that it is.
    handle: Mutex<Option<ObjectHandle>>,
}

impl TokenKey {
    /// Finds a key, and has it prove that it signs.
    pub(super) fn open(home: &Home, uri: Uri) -> Result<Self> {
        let (token, pin) = token_of(home, &uri)?;
        let named = uri.clone();
        let (algorithm, public_key, handle) = token
            .with(&pin, |session, _| found(session, &named))
            .with_context(|| format!("token `{}`", uri.token))?;
        let key = Self { token, pin, uri, algorithm, public_key, handle: Mutex::new(Some(handle)) };
        key.sign(PROBE)?;
        Ok(key)
    }

    /// Makes a key that cannot leave the token.
    pub(crate) fn make(home: &Home, label: Option<&str>, name: &str, algorithm: Algorithm) -> Result<Self> {
        let settings = settings(home)?;
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).map_err(|_| anyhow!("no random bytes"))?;
        let short: String = id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let uri = Uri {
            token: label.unwrap_or(&settings.label).to_owned(),
            object: Some(format!("{name}-{short}")),
            id: Some(id.to_vec()),
            pin_source: None,
        };
        let (token, pin) = token_of(home, &uri)?;
        let (mechanism, curve) = match algorithm {
            Algorithm::Es256 => (Mechanism::EccKeyPairGen, P256),
            Algorithm::Es384 => (Mechanism::EccKeyPairGen, P384),
            Algorithm::EdDsa => (Mechanism::EccEdwardsKeyPairGen, ED25519),
        };
        let mut public = sought(&uri, ObjectClass::PUBLIC_KEY);
        public.extend([Attribute::Token(true), Attribute::Private(false), Attribute::Verify(true)]);
        public.push(Attribute::EcParams(curve.to_vec()));
        let mut private = sought(&uri, ObjectClass::PRIVATE_KEY);
        private.extend([Attribute::Token(true), Attribute::Private(true), Attribute::Sensitive(true)]);
        private.extend([Attribute::Extractable(false), Attribute::Sign(true)]);
        private.extend([Attribute::Decrypt(false), Attribute::Unwrap(false), Attribute::Derive(false)]);
        token.anew(&pin, |session| {
            session.generate_key_pair(&mechanism, &public, &private).map(drop).map_err(Fault::from)
        })?;
        Self::open(home, uri)
    }

    /// Whether the token is reached, and the key is not in it.
    pub(crate) fn is_absent(home: &Home, uri: &Uri) -> Result<bool> {
        let (token, pin) = token_of(home, uri)?;
        let found = token
            .with(&pin, |session, _| Ok(session.find_objects(&sought(uri, ObjectClass::PRIVATE_KEY))?))?;
        Ok(found.is_empty())
    }

    /// Destroys the key in the token, for ever.
    pub(crate) fn destroy(home: &Home, uri: &Uri) -> Result<()> {
        let (token, pin) = token_of(home, uri)?;
        token.anew(&pin, |session| {
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                for object in session.find_objects(&sought(uri, class))? {
                    session.destroy_object(object)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Whether the key is there, without a signature; why not.
    pub(crate) fn reach(&self) -> Result<(), Fault> {
        let found = self.token.with(&self.pin, |session, _| found(session, &self.uri))?;
        if (found.0, &found.1) == (self.algorithm, &self.public_key) {
            Ok(())
        } else {
            Err(Fault::Other("another key stands in its place".to_owned()))
        }
    }

    /// Where it is.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl PrivateKey for TokenKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unsigned> {
        // A token signs a digest with ECDSA, and the message itself with Ed25519.
        let (mechanism, input) = match self.algorithm {
            Algorithm::Es256 => (Mechanism::Ecdsa, digest(&SHA256, message).as_ref().to_vec()),
            Algorithm::Es384 => (Mechanism::Ecdsa, digest(&SHA384, message).as_ref().to_vec()),
            Algorithm::EdDsa => {
                (Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), message.to_vec())
            }
        };
        let signed = self.token.with(&self.pin, |session, is_new| {
            let mut known = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
            let handle = match *known {
                Some(handle) if !is_new => handle,
                _ => one(session, &self.uri, ObjectClass::PRIVATE_KEY)?,
            };
            *known = Some(handle);
            // Others sign meanwhile.
            drop(known);
            let signature = session.sign(&mechanism, handle, &input)?;
            if self.algorithm.verify(&self.public_key, message, &signature) {
                Ok(signature)
            } else {
                Err(Fault::Other(
                    "what the token signed does not verify: another key stands there".to_owned(),
                ))
            }
        });
        signed.map_err(|fault| Unsigned(format!("token `{}`: {fault}", self.uri.token)))
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.uri)
    }
}

fn settings(home: &Home) -> Result<Settings> {
    let settings = home.config()?.token;
    settings
        .ok_or_else(|| anyhow!("silkgate.toml has no [token], which names the module that speaks with it"))
}

fn token_of(home: &Home, uri: &Uri) -> Result<(Arc<Token>, Pin)> {
    let settings = settings(home)?;
    let pin = match &uri.pin_source {
        Some(file) => Pin { file: home.path().join(file), is_default: false },
        None => Pin { file: home.path().join(&settings.pin_file), is_default: true },
    };
    Ok((Token::of(Path::new(&settings.module), &uri.token)?, pin))
}

fn sought(uri: &Uri, class: ObjectClass) -> Vec<Attribute> {
    let mut sought = vec![Attribute::Class(class)];
    sought.extend(uri.object.iter().map(|object| Attribute::Label(object.clone().into_bytes())));
    sought.extend(uri.id.iter().map(|id| Attribute::Id(id.clone())));
    sought
}

/// The only object of that class under these names.
fn one(session: &Session, uri: &Uri, class: ObjectClass) -> Result<ObjectHandle, Fault> {
    match session.find_objects(&sought(uri, class))?.as_slice() {
        [object] => Ok(*object),
        [] => Err(Fault::Absent(format!("the {class} is not in it"))),
        _ => Err(Fault::Other(format!("more than one {class} has that name"))),
    }
}

/// What the token says of a key: how it signs, its public half, and where it is.
fn found(session: &Session, uri: &Uri) -> Result<(Algorithm, Vec<u8>, ObjectHandle), Fault> {
    let handle = one(session, uri, ObjectClass::PRIVATE_KEY)?;
    let about = [AttributeType::KeyType, AttributeType::Extractable, AttributeType::Sensitive];
    let mut kind = None;
    for attribute in session.get_attributes(handle, &about)? {
        match attribute {
            Attribute::KeyType(found) => kind = Some(found),
            // A key that can be taken out of the hardware is a file.
            Attribute::Extractable(true) | Attribute::Sensitive(false) => {
                return Err(Fault::Other(
                    "the key can be read out of it; only a sensitive one that is not extractable is used"
                        .to_owned(),
                ));
            }
            _ => {}
        }
    }
    let public = one(session, uri, ObjectClass::PUBLIC_KEY)?;
    let (mut curve, mut point) = (Vec::new(), Vec::new());
    for attribute in session.get_attributes(public, &[AttributeType::EcParams, AttributeType::EcPoint])? {
        match attribute {
            Attribute::EcParams(der) => curve = der,
            Attribute::EcPoint(der) => point = der,
            _ => {}
        }
    }
    let (algorithm, length) = match (kind, curve.as_slice()) {
        (Some(KeyType::EC), P256) => (Algorithm::Es256, 65),
        (Some(KeyType::EC), P384) => (Algorithm::Es384, 97),
        (Some(KeyType::EC_EDWARDS), ED25519 | ED25519_NAME) => (Algorithm::EdDsa, 32),
        _ => {
            return Err(Fault::Other(
                "the key is neither on P-256 nor on P-384, and is no Ed25519 key".to_owned(),
            ));
        }
    };
    // An OCTET STRING by the standard; some tokens give what is in it.
    let point = match point.as_slice() {
        [0x04, at, inner @ ..] if inner.len() == length && usize::from(*at) == length => inner.to_vec(),
        bare if bare.len() == length => bare.to_vec(),
        _ => return Err(Fault::Other("the public key has another length".to_owned())),
    };
    Ok((algorithm, point, handle))
}

/// The token key that a file names; None where the file holds the key itself.
pub(super) fn named_by(path: &Path) -> Result<Option<Uri>> {
    super::is_private(path)?;
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    let text = Zeroizing::new(text);
    match std::str::from_utf8(&text) {
        Ok(text) if Uri::is_one(text) => {
            ensure!(
                text.trim().lines().count() == 1,
                "{}: one pkcs11: URI, and nothing else",
                path.display()
            );
            match Uri::parse(text) {
                Ok(uri) => Ok(Some(uri)),
                Err(what) => bail!("{} {what}", path.display()),
            }
        }
        _ => Ok(None),
    }
}
