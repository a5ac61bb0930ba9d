//! Ways for a gateway's certificate to be wrong, and right: what the gateway's own tests and those over sockets show to either side.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says why and ends")]

mod shown;
mod ways;

use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use silkgate_certs::{Authority, read_identity};
use silkgate_message::revocation::serial;
use time::{Duration, OffsetDateTime};

use crate::wire::Identity;

pub use shown::{client, server};
pub use ways::{Sides, Way, ways};

/// When certificates are made, and for whom.
#[derive(Clone, Debug)]
pub struct World {
    /// Now.
    pub now: OffsetDateTime,
    /// The host of the gateway that shows them.
    pub host: String,
    /// The host of another partner of the gateway that judges.
    pub another: String,
}

/// An authority with its key.
pub struct Ca {
    world: World,
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub der: CertificateDer<'static>,
    /// The same, PEM.
    pub pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

impl World {
    /// So many days from now.
    pub fn at(&self, days: i64) -> OffsetDateTime {
        self.now + Duration::days(days)
    }

    /// An authority of its own right, with so many below it at most.
    pub fn root(&self, name: &str, below: u8) -> Ca {
        let (params, key) = (self.authority(name, below, (-30, 3000)), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Ca::new(self, (certificate.der().clone(), certificate.pem()), params, key)
    }

    /// What an authority's certificate holds that is valid for these days.
    pub fn authority(&self, name: &str, below: u8, days: (i64, i64)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (self.at(days.0), self.at(days.1));
        params
    }

    /// What a gateway's holds, as ours are.
    pub fn sound(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.host.as_str());
        params.subject_alt_names = vec![SanType::DnsName(self.host.as_str().try_into().unwrap())];
        params.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (self.at(-1), self.at(90));
        params
    }
}

impl Ca {
    fn new(
        world: &World,
        (der, pem): (CertificateDer<'static>, String),
        params: CertificateParams,
        key: KeyPair,
    ) -> Self {
        let key_pem = key.serialize_pem();
        Self { world: world.clone(), issuer: Issuer::new(params, key), der, pem, key_pem }
    }

    /// An authority below this one.
    pub fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self::new(&self.world, (certificate.der().clone(), certificate.pem()), params, key)
    }

    /// A leaf with this chain behind it.
    pub fn leaf(&self, params: CertificateParams, above: &[&Ca]) -> Identity {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let chain = std::iter::once(leaf).chain(above.iter().map(|ca| ca.der.clone())).collect();
        (chain, PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
    }

    /// What it has revoked: its number, and when it was made and runs out.
    pub fn list(
        &self,
        number: u64,
        revoked: &[&CertificateDer<'_>],
        (from, until): (OffsetDateTime, OffsetDateTime),
    ) -> CertificateRevocationListDer<'static> {
        let authority = Authority::load(&self.pem, &self.key_pem).unwrap();
        let revoked: Vec<_> = revoked.iter().map(|der| (serial(der).unwrap(), self.world.at(-1))).collect();
        authority.revocation_list(number, &revoked, from, until).unwrap().into()
    }
}

/// A leaf that only another tool makes, by its options for `openssl genpkey` and `openssl x509`, and an instant, seconds since
/// 1970, at which it is valid.
fn by_openssl(root: &Ca, key: &[&str], digest: &str) -> (Identity, u64) {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let done = Command::new("openssl").current_dir(&folder).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    std::fs::write(folder.path().join("root.pem"), &root.pem).unwrap();
    std::fs::write(folder.path().join("root.key"), &root.key_pem).unwrap();
    std::fs::write(
        folder.path().join("leaf.cnf"),
        format!(
            "subjectAltName=DNS:{}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n",
            root.world.host
        ),
    )
    .unwrap();
    run(&[&["genpkey", "-out", "leaf.key"], key].concat());
    run(&["req", "-new", "-key", "leaf.key", "-subj", "/CN=leaf", "-out", "leaf.csr"]);
    run(&[
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        "leaf.cnf",
        digest,
        "-out",
        "leaf.pem",
    ]);
    let leaf = CertificateDer::from_pem_file(folder.path().join("leaf.pem")).unwrap();
    let from = read_identity(&leaf).unwrap().not_before.unix_timestamp();
    // Our TLS cannot sign with every such key; who holds it is refused before that.
    let key = PrivateKeyDer::from_pem_file(folder.path().join("leaf.key")).unwrap();
    ((vec![leaf], key), u64::try_from(from).unwrap() + 3600)
}
