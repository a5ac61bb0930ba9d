//! The certificate matrix: ways for a partner's certificate to be wrong, each shown to our server and by the partner's, and the right ones.
//!
//! What a library calls the reason stands in the last column; the gateway's log has the same words.

use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose as Eku,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, SanType,
};
use rustls::version;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use silkgate_certs::{Authority, read_identity};
use silkgate_message::agreement::KeyExchange;
use silkgate_message::revocation::serial;

use super::tests::{Clock, Identity, NOW_S, at, loaded, shake};
use super::{PartnerServer, PartnerTrust, Revocation, partner_client, provider, roots};

const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];
const OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];
const HOST: &str = "gw.iq.example";
const OURS: &str = "gw.jo.example";

/// An authority with its key.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
    key_pem: String,
}

fn ca_params(name: &str, below: u8, days: (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (at(days.0), at(days.1));
    params
}

impl Ca {
    fn root(name: &str, below: u8) -> Self {
        let (params, key) = (ca_params(name, below, (-30, 3000)), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem, key_pem) = (certificate.der().clone(), certificate.pem(), key.serialize_pem());
        Self { issuer: Issuer::new(params, key), der, pem, key_pem }
    }

    fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (der, pem, key_pem) = (certificate.der().clone(), certificate.pem(), key.serialize_pem());
        Self { issuer: Issuer::new(params, key), der, pem, key_pem }
    }

    /// A leaf with this chain behind it.
    fn leaf(&self, params: CertificateParams, above: &[&Ca]) -> Identity {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let chain = std::iter::once(leaf).chain(above.iter().map(|ca| ca.der.clone())).collect();
        (chain, PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
    }

    /// What it has revoked, made and running out so many days from now.
    fn list(
        &self,
        revoked: &[&CertificateDer<'_>],
        days: (i64, i64),
    ) -> CertificateRevocationListDer<'static> {
        let authority = Authority::load(&self.pem, &self.key_pem).unwrap();
        let revoked: Vec<_> = revoked.iter().map(|der| (serial(der).unwrap(), at(-1))).collect();
        authority.revocation_list(1, &revoked, at(days.0), at(days.1)).unwrap().into()
    }
}

/// As ours are.
fn sound() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, HOST);
    params.subject_alt_names = vec![SanType::DnsName(HOST.try_into().unwrap())];
    params.extended_key_usages = vec![Eku::ServerAuth, Eku::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (at(-1), at(90));
    params
}

fn with(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = sound();
    change(&mut params);
    params
}

fn named(names: &[&str]) -> CertificateParams {
    let dns = |name: &&str| SanType::DnsName((*name).try_into().unwrap());
    with(|params| params.subject_alt_names = names.iter().map(dns).collect())
}

fn purposes(purposes: &[Eku]) -> CertificateParams {
    with(|params| params.extended_key_usages = purposes.to_vec())
}

/// A way to be wrong, or right.
struct Way {
    name: &'static str,
    identity: Option<Identity>,
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first list runs out, and its grace, in days.
    end: (i64, i64),
    now_s: u64,
    versions: &'static [&'static SupportedProtocolVersion],
    /// Part of the reason; empty: it is right.
    why: &'static str,
}

fn way(name: &'static str, identity: Identity, why: &'static str) -> Way {
    Way { name, identity: Some(identity), lists: Vec::new(), end: (0, 0), now_s: NOW_S, versions: NEW, why }
}

fn judged(way: Way, lists: Vec<CertificateRevocationListDer<'static>>, end: (i64, i64)) -> Way {
    Way { lists, end, ..way }
}

/// A leaf that only another tool makes, by its options for `openssl req` and `openssl x509`.
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
            "subjectAltName=DNS:{HOST}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n"
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

fn ways(root: &Ca, other: &Ca, ours: &Ca) -> Vec<Way> {
    let between = root.below(ca_params("Iraq, below", 0, (-20, 2000)));
    let deep = between.below(ca_params("Iraq, too deep", 0, (-20, 2000)));
    let inert =
        root.below(with(|params| params.distinguished_name.push(DnType::CommonName, "Iraq, no authority")));
    let mut unsigning = ca_params("Iraq, may not sign", 0, (-20, 2000));
    unsigning.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    let unsigning = root.below(unsigning);
    let ended = root.below(ca_params("Iraq, ended", 0, (-20, -2)));
    let to_come = root.below(ca_params("Iraq, to come", 0, (2, 2000)));
    let foreign = other.below(ca_params("Iraq, below", 0, (-20, 2000)));
    let constrained = |permitted: &[&str], excluded: &[&str]| {
        let mut params = ca_params("Iraq, constrained", 0, (-20, 2000));
        let trees =
            |names: &[&str]| names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned())).collect();
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: trees(permitted),
            excluded_subtrees: trees(excluded),
        });
        root.below(params)
    };
    let (only_others, not_ours) = (constrained(&["other.example"], &[]), constrained(&[], &["iq.example"]));
    let (fits, mut long) = (constrained(&["iq.example"], &[]), Vec::new());
    let mut unlimited = ca_params("Iraq, without a limit", 0, (-20, 2000));
    unlimited.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for n in 0..8 {
        let mut params = unlimited.clone();
        params.distinguished_name.push(DnType::OrganizationName, n.to_string());
        let next = long.last().unwrap_or(root).below(params);
        long.push(next);
    }
    let critical = || {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        with(|params| params.custom_extensions = vec![extension])
    };
    let self_signed = {
        let (params, key) = (sound(), KeyPair::generate().unwrap());
        let leaf = params.self_signed(&key).unwrap().der().clone();
        (vec![leaf], PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
    };
    let behind = |tail: &[u8]| {
        let (mut chain, key) = root.leaf(sound(), &[]);
        chain[0] = CertificateDer::from([chain[0].as_ref(), tail].concat());
        (chain, key)
    };
    let cut = || {
        let (mut chain, key) = root.leaf(sound(), &[]);
        chain[0] = CertificateDer::from(chain[0][..chain[0].len() - 1].to_vec());
        (chain, key)
    };
    let flipped = || {
        let (mut chain, key) = root.leaf(sound(), &[]);
        let mut bytes = chain[0].to_vec();
        // In the signature, the last bytes.
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        chain[0] = bytes.into();
        (chain, key)
    };
    let of_another_key = || {
        let (_, key) = root.leaf(sound(), &[]);
        (root.leaf(sound(), &[]).0, key)
    };
    let plain = || root.leaf(sound(), &[]);
    let below = || between.leaf(sound(), &[&between]);
    let (revoked, sunk) = (plain(), below());
    let (root_list, below_list) = (|| root.list(&[], (-1, 6)), || between.list(&[], (-1, 6)));
    let lost = root.list(&[&revoked.0[0]], (-1, 6));
    let stale = || root.list(&[], (-20, -3));
    let forged = other.list(&[], (-1, 6));
    let mut all = vec![
        // Right.
        way("under the anchor", plain(), ""),
        way("under an authority below it", below(), ""),
        way("its name in other letters", root.leaf(named(&["GW.IQ.Example"]), &[]), ""),
        way("one more name, nobody's", root.leaf(named(&[HOST, "spare.iq.example"]), &[]), ""),
        way("within constraints of names", fits.leaf(sound(), &[&fits]), ""),
        judged(way("under a list that does not name it", plain(), ""), vec![root_list()], (6, 0)),
        judged(way("each link under its list", below(), ""), vec![root_list(), below_list()], (6, 0)),
        judged(way("under a list within its grace", plain(), ""), vec![stale()], (-3, 4)),
        // Validity.
        way("expired", root.leaf(with(|p| (p.not_before, p.not_after) = (at(-90), at(-1))), &[]), "Expired"),
        way(
            "not yet valid",
            root.leaf(with(|p| (p.not_before, p.not_after) = (at(1), at(90))), &[]),
            "NotValidYet",
        ),
        way("an authority that has expired", ended.leaf(sound(), &[&ended]), "Expired"),
        way("an authority still to come", to_come.leaf(sound(), &[&to_come]), "NotValidYet"),
        // Authorities.
        way("another authority", other.leaf(sound(), &[]), "UnknownIssuer"),
        way("our own authority", ours.leaf(sound(), &[]), "UnknownIssuer"),
        way("another authority of the same name", Ca::root("Iraq", 2).leaf(sound(), &[]), "BadSignature"),
        way("self-signed", self_signed, "UnknownIssuer"),
        way("the authority itself", (vec![root.der.clone()], plain().1), "NotValidForName"),
        way(
            "a leaf that may sign others",
            root.leaf(with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))), &[]),
            "CaUsedAsEndEntity",
        ),
        way("without the authority between", between.leaf(sound(), &[]), "UnknownIssuer"),
        way("another authority between", between.leaf(sound(), &[&foreign]), "Unknown"),
        way("under what is no authority", inert.leaf(sound(), &[&inert]), "EndEntityUsedAsCa"),
        way("a chain longer than one authority allows", deep.leaf(sound(), &[&deep, &between]), "PathLen"),
        way("another leaf's signature", flipped(), "Bad"),
        way(
            "a known leaf behind another's",
            {
                let mut alien = other.leaf(sound(), &[]);
                alien.0.extend(plain().0);
                alien
            },
            "Unknown",
        ),
        // Purpose.
        way("for clients only", root.leaf(purposes(&[Eku::ClientAuth]), &[]), "Purpose"),
        way("for servers only", root.leaf(purposes(&[Eku::ServerAuth]), &[]), "Purpose"),
        way("for nothing it says", root.leaf(purposes(&[]), &[]), "Purpose"),
        way("for anything", root.leaf(purposes(&[Eku::Any]), &[]), "Purpose"),
        way("for signing code", root.leaf(purposes(&[Eku::CodeSigning]), &[]), "Purpose"),
        way("for mail", root.leaf(purposes(&[Eku::EmailProtection, Eku::ClientAuth]), &[]), "Purpose"),
        way("for time-stamps", root.leaf(purposes(&[Eku::TimeStamping]), &[]), "Purpose"),
        way("for answers on revocation", root.leaf(purposes(&[Eku::OcspSigning]), &[]), "Purpose"),
        // Names.
        way("the name in its subject only", root.leaf(named(&[]), &[]), "NotValidForName"),
        way("another name", root.leaf(named(&["gw2.iq.example"]), &[]), "NotValidForName"),
        way("a name below", root.leaf(named(&["a.gw.iq.example"]), &[]), "NotValidForName"),
        way("the name above", root.leaf(named(&["iq.example"]), &[]), "NotValidForName"),
        way("a wildcard", root.leaf(named(&["*.iq.example"]), &[]), "NotValidForName"),
        way("part of a wildcard", root.leaf(named(&["gw*.iq.example"]), &[]), "NotValidForName"),
        way("a wildcard for all", root.leaf(named(&["*"]), &[]), "NotValidForName"),
        way("the name with a dot behind it", root.leaf(named(&["gw.iq.example."]), &[]), "NotValidForName"),
        way(
            "the name as an address of mail",
            root.leaf(
                with(|p| p.subject_alt_names = vec![SanType::Rfc822Name(HOST.try_into().unwrap())]),
                &[],
            ),
            "NotValidForName",
        ),
        way(
            "the name as a URI",
            root.leaf(with(|p| p.subject_alt_names = vec![SanType::URI(HOST.try_into().unwrap())]), &[]),
            "NotValidForName",
        ),
        way(
            "an address only",
            root.leaf(with(|p| p.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())]), &[]),
            "NotValidForName",
        ),
        way(
            "constraints that permit others only",
            only_others.leaf(sound(), &[&only_others]),
            "NameConstraint",
        ),
        way("constraints that exclude it", not_ours.leaf(sound(), &[&not_ours]), "NameConstraint"),
        // Form.
        way("bytes behind it", behind(b"\0"), "BadEncoding"),
        way("a byte too few", cut(), "BadEncoding"),
        way("a critical extension nobody knows", root.leaf(critical(), &[]), "UnsupportedCriticalExtension"),
        // Revocation.
        judged(way("revoked", revoked, "Revoked"), vec![lost], (6, 0)),
        judged(
            way("an authority between that is revoked", sunk, "Revoked"),
            vec![root.list(&[&between.der], (-1, 6)), below_list()],
            (6, 0),
        ),
        judged(way("a list that ran out", plain(), "ExpiredRevocationList"), vec![stale()], (-3, 0)),
        judged(way("a list beyond its grace", plain(), "ExpiredRevocationList"), vec![stale()], (-3, 2)),
        judged(way("no list of one link", below(), "UnknownRevocationStatus"), vec![root_list()], (6, 0)),
        judged(
            way("no list of the other link", below(), "UnknownRevocationStatus"),
            vec![below_list()],
            (6, 0),
        ),
        judged(way("a list of another authority", plain(), "UnknownRevocationStatus"), vec![forged], (6, 0)),
    ];
    all.push(way(
        "a chain longer than any",
        long[7].leaf(sound(), &long.iter().rev().collect::<Vec<_>>()),
        "Path",
    ));
    all.push(way("under an authority that may not sign", unsigning.leaf(sound(), &[&unsigning]), "Signer"));
    for (name, key, digest, why) in [
        ("RSA, 1024 bits", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..], "-sha256", "Key"),
        ("RSA, 2048 bits", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "-sha256", "Key"),
        ("P-521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "-sha256", "Key"),
        ("secp256k1", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "-sha256", "Key"),
        ("Ed448", &["-algorithm", "ED448"], "-sha256", "Key"),
        (
            "signed with SHA-1",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "-sha1",
            "UnsupportedSignatureAlgorithm",
        ),
        (
            "signed with SHA-224",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "-sha224",
            "UnsupportedSignatureAlgorithm",
        ),
        ("made by another tool", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha384", ""),
    ] {
        let (identity, now_s) = by_openssl(root, key, digest);
        all.push(Way { now_s, ..way(name, identity, why) });
    }
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let leaf = sound().signed_by(&ed, &root.issuer).unwrap().der().clone();
    let ed = PrivateKeyDer::from_pem_slice(ed.serialize_pem().as_bytes()).unwrap();
    all.push(way("Ed25519", (vec![leaf], ed), ""));
    all.push(way("another one's key", of_another_key(), "?"));
    all.push(Way { identity: None, ..way("no certificate", plain(), "NoCertificatesPresented") });
    all.push(Way { versions: OLD, ..way("TLS 1.2", plain(), "PeerIncompatible") });
    all
}

/// A resolver that shows what it is given, whether or not the key fits: what a library refuses to load a hostile peer sends.
#[derive(Debug)]
struct Shown(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Whatever the chain says, with a key of our library's kinds: a key that it cannot load is stood in for.
fn shown(identity: &Identity) -> Arc<Shown> {
    let key = provider().key_provider.load_private_key(identity.1.clone_key()).unwrap_or_else(|_| {
        let spare = KeyPair::generate().unwrap().serialize_pem();
        provider()
            .key_provider
            .load_private_key(PrivateKeyDer::from_pem_slice(spare.as_bytes()).unwrap())
            .unwrap()
    });
    Arc::new(Shown(Arc::new(rustls::sign::CertifiedKey::new(identity.0.clone(), key))))
}

#[test]
fn every_way_to_be_wrong_is_refused_both_ways() {
    let (root, other, ours) = (Ca::root("Iraq", 2), Ca::root("Jordan", 2), Ca::root("Ours", 0));
    let mut our_leaf = sound();
    our_leaf.subject_alt_names = vec![SanType::DnsName(OURS.try_into().unwrap())];
    let our_identity = ours.leaf(our_leaf, &[]);
    let (mut wrong, mut right, mut failed) = (0, 0, Vec::new());
    for way in ways(&root, &other, &ours) {
        let until_s = u64::try_from(at(way.end.0).unix_timestamp()).unwrap();
        let trust = |partner: &str,
                     host: &str,
                     anchor: &Ca,
                     lists: &[CertificateRevocationListDer<'static>]| PartnerTrust {
            partner: partner.into(),
            host: host.into(),
            anchors: vec![anchor.der.clone()],
            revocation: Revocation { lists: lists.to_vec(), until_s, grace_s: way.end.1 as u64 * 86_400 },
            key_exchange: KeyExchange::default(),
        };
        let iq = trust("IQ", HOST, &root, &way.lists);
        let clock = Arc::new(Clock(way.now_s));
        // The partner calls us.
        let (chain, key) = (our_identity.0.clone(), loaded(our_identity.1.clone_key()));
        let server =
            PartnerServer::new(chain, key, vec![iq.clone(), trust("JO", "gw.sa.example", &other, &[])])
                .unwrap();
        let server = server.with_clock(clock.clone());
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(way.versions)
            .unwrap()
            .with_root_certificates(roots(std::slice::from_ref(&ours.der)).unwrap());
        let mut client = match &way.identity {
            Some(identity) => client.with_client_cert_resolver(shown(identity)),
            None => client.with_no_client_auth(),
        };
        client.time_provider = clock.clone();
        let inward = shake(Arc::new(client), server.config(), OURS);
        // We call the partner.
        let outward = way.identity.as_ref().map(|identity| {
            let mut server = ServerConfig::builder_with_provider(provider())
                .with_protocol_versions(way.versions)
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(shown(identity));
            server.time_provider = clock.clone();
            let (chain, key) = (our_identity.0.clone(), loaded(our_identity.1.clone_key()));
            let mut client = partner_client(&iq, chain, key).unwrap();
            Arc::make_mut(&mut client).time_provider = clock.clone();
            shake(client, Arc::new(server), HOST)
        });
        for (side, judge, result) in [("inward", "server", Some(inward)), ("outward", "client", outward)] {
            let Some(result) = result else { continue };
            let says = match result {
                Ok(_) => "accepted".to_owned(),
                Err((who, error)) => format!("{who}: {error:?}"),
            };
            let fits = match way.why {
                "" => says == "accepted",
                "?" => says != "accepted",
                // In TLS 1.2 it is always the server that says no.
                why => says.contains(why) && (says.starts_with(judge) || way.versions == OLD),
            };
            if way.why.is_empty() {
                right += 1
            } else {
                wrong += 1
            }
            println!("{side:<8} {:<45} {says}", way.name);
            if !fits {
                failed.push(format!("{side} {}: {says}", way.name));
            }
        }
    }
    println!("{wrong} wrong and {right} right");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(wrong >= 60, "{wrong}");
}
