//! The next key: made in a file or in a token, and what partners judge it by.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result, anyhow, bail};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use silkgate_certs::{Authority, Holder, Profile, message_signing_of, request};
use silkgate_message::jws::{Algorithm, PrivateKey};
use time::UtcOffset;

use super::super::admin;
use super::super::init::{ed25519, write_private};
use super::super::{Cx, Found};
use super::{Name, act, public_digest, say};
use crate::clock;
use crate::config::{Config, Home};
use crate::directory::address_of;
use crate::keys::{self, Key, TokenKey, der_signature, staged};

/// Makes the next key. `token`: in hardware, in the token of that label, or in the configuration's.
pub(super) async fn run(cx: &Cx, name: Name, token: Option<Option<&str>>) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let next = staged(name.as_str(), "next");
    if cx.home.key(&next).exists() {
        bail!("{} exists: the next {} key is made already", cx.home.key(&next).display(), name.as_str());
    }
    let waits = |stage| cx.home.key(&staged(name.as_str(), stage)).exists();
    if waits("previous") || waits("retired") {
        bail!(
            "the {0} key before the present one is not retired yet: `silkgate key retire {0}`",
            name.as_str()
        );
    }
    let mut tx = store.write().await?;
    admin::writable(&mut tx).await?;
    // Where an earlier attempt broke off: what stands there is of another key.
    for file in [cx.home.certificate(&next), request_file(&cx.home)] {
        if name.has_certificate() && file.exists() {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
        }
    }
    let made = make(&cx.home, &config, name, token);
    if let Err(error) = made {
        // A key that nothing names would stay in the token for ever.
        undo(&cx.home, &next);
        return Err(error);
    }
    let digest = public_digest(cx, &config, name, "next")?;
    admin::commit(cx, tx, &[act("key_new", digest)]).await?;
    let what = match name {
        // The card names the witness key in use only: partners with either card know one of the two.
        Name::Witness => "Then `silkgate key use witness`.".to_owned(),
        Name::Message | Name::Log => {
            "Print the next card (`silkgate card`), hand it to every partner, then `silkgate key use`."
                .to_owned()
        }
        Name::Tls if cx.home.certificate(&next).exists() => "Then `silkgate key use tls`.".to_owned(),
        Name::Tls => format!(
            "keys/tls-ca.key is not here: have {} signed under certs/tls-ca.pem (serverAuth and clientAuth), put the chain at {}, then \
             `silkgate key use tls`.",
            request_file(&cx.home).display(),
            cx.home.certificate(&next).display()
        ),
    };
    say(cx, name, "new", digest, &what)
}

/// The request for the next TLS certificate, where its authority is elsewhere.
pub(super) fn request_file(home: &Home) -> std::path::PathBuf {
    home.certificate(&staged("tls", "next")).with_extension("csr")
}

fn make(home: &Home, config: &Config, name: Name, token: Option<Option<&str>>) -> Result<()> {
    let next = staged(name.as_str(), "next");
    let (file, algorithm) = (home.key(&next), name.algorithm());
    match token {
        Some(label) => {
            let key = TokenKey::make(home, label, name.as_str(), algorithm)?;
            write_private(&file, format!("{}\n", key.uri()).as_bytes(), 0o600)?;
        }
        None if algorithm == Algorithm::EdDsa => ed25519(&file)?,
        None => {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
            let pkcs8 = pkcs8.map_err(|_| anyhow!("no random bytes"))?;
            let text = pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.as_ref()));
            write_private(&file, text.as_bytes(), 0o600)?;
        }
    }
    if !name.has_certificate() {
        return Ok(());
    }
    let now = clock::now().to_offset(UtcOffset::UTC);
    let key = Held(Key::read(home, &next, algorithm)?.private());
    let certificate = if name == Name::Message {
        message_signing_of(&key, config.country().as_str(), now)?
    } else {
        let address = address_of(&config.partner_plane.endpoint).map_err(|what| anyhow!("{what}"))?;
        let dialled = address.rsplit_once(':').and_then(|(host, _)| host.parse::<IpAddr>().ok());
        let profile =
            Profile::Gateway { host: config.host.clone(), addresses: dialled.into_iter().collect() };
        let authority = home.key("tls-ca");
        if !authority.exists() {
            let file = request_file(home);
            return write_private(&file, request(&key, &profile, now)?.as_bytes(), 0o644);
        }
        keys::private_key(&authority)?;
        let read =
            |path: std::path::PathBuf| fs::read_to_string(&path).with_context(|| path.display().to_string());
        let authority = Authority::load(&read(home.certificate("tls-ca"))?, &read(authority)?)?;
        authority.issue_of(&key, &profile, now)?
    };
    write_private(&home.certificate(&next), certificate.as_bytes(), 0o644)
}

/// As far as it goes: the error that led here is told.
fn undo(home: &Home, next: &str) {
    if let Ok(Some(uri)) = keys::in_token(home, next) {
        let _ = TokenKey::destroy(home, &uri);
    }
    for file in [home.key(next), home.certificate(next), request_file(home)] {
        let _ = fs::remove_file(file);
    }
}

/// A key, as certificates are made for it.
struct Held(std::sync::Arc<dyn PrivateKey>);

impl Holder for Held {
    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        der_signature(&*self.0, message).ok()
    }
}
