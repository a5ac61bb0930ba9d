//! An operator by certificate: who signs a proposal, and who a signature is of.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use silkgate_certs::read_identity;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::Home;
use crate::keys;
use crate::roles::{NationalPeer, Role};
use crate::store::{Connection, partner};

/// Someone who holds an operator's key.
pub(super) struct Operator {
    /// DER.
    pub(super) certificate: Vec<u8>,
    key: EcdsaKeyPair,
}

impl Operator {
    /// By a name under `clients/`, or by the file of a certificate, whose key lies beside it.
    pub(super) fn read(home: &Home, who: &str) -> Result<Self> {
        let file = if who.ends_with(".pem") { PathBuf::from(who) } else { home.client(who) };
        let certificate = keys::one(&file)?.to_vec();
        let key_file = file.with_extension("key");
        let pkcs8 = keys::private_key(&key_file)?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.secret_der(), &random)
            .map_err(|_| anyhow!("{}: no P-256 key", key_file.display()))?;
        Ok(Self { certificate, key })
    }

    /// Signs (ECDSA with P-256 and SHA-256, ASN.1), and holds the signature against the certificate.
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let signature = self.key.sign(&SystemRandom::new(), text).map_err(|_| anyhow!("no random bytes"))?;
        if !is_signed(&self.certificate, text, signature.as_ref()) {
            bail!("the key is not that of the operator's certificate");
        }
        Ok(signature.as_ref().to_vec())
    }
}

/// Whether the holder of the certificate's key signed this.
pub(super) fn is_signed(certificate: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let key = &parsed.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(text, signature).is_ok()
}

/// An operator's name; an error where the certificate is no registered operator's at present. What is registered and what the certificate says
/// must be the same: whoever can write the database alone makes nobody an operator.
pub(super) async fn name(conn: &mut Connection, certificate: &[u8], now: Instant) -> Result<String> {
    let digest = Digest::of(certificate);
    let known = partner::clients(conn).await?;
    let row = known.iter().find(|row| row.certificate == digest);
    let row = row.with_context(|| format!("the certificate {digest} is not registered"))?;
    let identity = read_identity(certificate).map_err(|error| anyhow!("{error}"))?;
    let role = Role::parse(&row.role).filter(|role| *role == Role::Operator);
    let peer = role.and_then(|role| NationalPeer::identify(role, &row.subject, digest, &identity.uris));
    if peer.is_none() {
        bail!("the certificate {digest} is not an operator's");
    }
    if row.until < now {
        bail!("the certificate of {} ran out at {}", row.subject, row.until);
    }
    Ok(row.subject.clone())
}

/// The public key of a certificate: two certificates with one key are one pair of eyes.
pub(super) fn public_key(certificate: &[u8]) -> Result<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| anyhow!("no certificate"))?;
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}
