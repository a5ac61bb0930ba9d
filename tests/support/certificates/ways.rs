//! The table.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose as Eku,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ED25519, SanType,
};
use rustls::{SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::{Ca, World, by_openssl};
use crate::wire::Identity;

const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];
const OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];

/// Who is to judge it so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sides {
    /// Server and client.
    Both,
    /// The server: it has several partners.
    Inward,
}

/// A way to be wrong, or right.
pub struct Way {
    /// In words.
    pub name: &'static str,
    /// What is shown; None: nothing.
    pub identity: Option<Identity>,
    /// The lists in force.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first list runs out, and its grace, in days from now.
    pub end: (i64, i64),
    /// When it is shown, seconds since 1970.
    pub now_s: u64,
    /// In which TLS.
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// Who judges.
    pub sides: Sides,
    /// Part of what the library calls the reason; empty: it is right; `?`: the library has none of its own.
    pub why: &'static str,
}

impl Way {
    fn new(world: &World, name: &'static str, identity: Identity, why: &'static str) -> Self {
        let now_s = u64::try_from(world.now.unix_timestamp()).unwrap();
        let (lists, end, versions, sides) = (Vec::new(), (0, 0), NEW, Sides::Both);
        Self { name, identity: Some(identity), lists, end, now_s, versions, sides, why }
    }

    /// Whether it is in a TLS before 1.3.
    pub fn is_old(&self) -> bool {
        self.versions == OLD
    }

    /// The gateway's code for what is wrong with it.
    pub fn fault(&self) -> &'static str {
        match self.why {
            "Expired" => "certificate_expired",
            "NotValidYet" => "certificate_not_yet_valid",
            "UnknownIssuer" => "certificate_issuer",
            "BadSignature" | "UnsupportedSignatureAlgorithm" => "certificate_signature",
            "NotValidForName" => "certificate_name",
            "CaUsedAsEndEntity" => "certificate_is_authority",
            "EndEntityUsedAsCa" | "Signer" => "certificate_issuer_unfit",
            "Path" | "PathLen" => "certificate_chain",
            "Purpose" => "certificate_purpose",
            "Usage" => "certificate_usage",
            "Key" => "certificate_key",
            "NameConstraint" => "certificate_constraint",
            "BadEncoding" => "certificate_malformed",
            "UnsupportedCriticalExtension" => "certificate_extension",
            "NoCertificatesPresented" => "certificate_missing",
            "PeerIncompatible" => "tls_unlike",
            "?" => "certificate_possession",
            why => panic!("{}: no code is known for {why}", self.name),
        }
    }
}

fn judged(way: Way, lists: Vec<CertificateRevocationListDer<'static>>, end: (i64, i64)) -> Way {
    Way { lists, end, ..way }
}

fn inward(way: Way) -> Way {
    Way { sides: Sides::Inward, ..way }
}

/// All of them. `root`: the partner's own authority; `other`: that of another partner; `ours`: that of who judges.
pub fn ways(world: &World, root: &Ca, other: &Ca, ours: &Ca) -> Vec<Way> {
    let (host, above) = (world.host.as_str(), world.host.split_once('.').unwrap().1);
    let sound = || world.sound();
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = world.sound();
        change(&mut params);
        params
    };
    let named = |names: &[&str]| {
        let dns = |name: &&str| SanType::DnsName((*name).try_into().unwrap());
        with(&|params| params.subject_alt_names = names.iter().map(dns).collect())
    };
    let purposes = |purposes: &[Eku]| with(&|params| params.extended_key_usages = purposes.to_vec());
    let usages = |usages: &[KeyUsagePurpose]| with(&|params| params.key_usages = usages.to_vec());
    let valid = |from: i64, until: i64| {
        let at = |minutes| world.now + time::Duration::minutes(minutes);
        with(&|params| (params.not_before, params.not_after) = (at(from), at(until)))
    };
    let way = |name, identity, why| Way::new(world, name, identity, why);
    let at = |days| world.at(days);
    let between = root.below(world.authority("Iraq, below", 0, (-20, 2000)));
    let deep = between.below(world.authority("Iraq, too deep", 0, (-20, 2000)));
    let inert =
        root.below(with(&|params| params.distinguished_name.push(DnType::CommonName, "Iraq, no authority")));
    let mut unsigning = world.authority("Iraq, may not sign", 0, (-20, 2000));
    unsigning.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    let unsigning = root.below(unsigning);
    let ended = root.below(world.authority("Iraq, ended", 0, (-20, -2)));
    let to_come = root.below(world.authority("Iraq, to come", 0, (2, 2000)));
    let foreign = other.below(world.authority("Iraq, below", 0, (-20, 2000)));
    let constrained = |permitted: &[&str], excluded: &[&str]| {
        let mut params = world.authority("Iraq, constrained", 0, (-20, 2000));
        let trees =
            |names: &[&str]| names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned())).collect();
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: trees(permitted),
            excluded_subtrees: trees(excluded),
        });
        root.below(params)
    };
    let (only_others, not_ours) = (constrained(&["other.example"], &[]), constrained(&[], &[above]));
    let (fits, mut long) = (constrained(&[above], &[]), Vec::new());
    let mut unlimited = world.authority("Iraq, without a limit", 0, (-20, 2000));
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
        with(&|params| params.custom_extensions = vec![extension.clone()])
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
    let (root_list, below_list) =
        (|| root.list(1, &[], (at(-1), at(6))), || between.list(1, &[], (at(-1), at(6))));
    let lost = root.list(1, &[&revoked.0[0]], (at(-1), at(6)));
    let stale = || root.list(1, &[], (at(-20), at(-3)));
    let forged = other.list(1, &[], (at(-1), at(6)));
    let mut all = vec![
        // Right.
        way("under the anchor", plain(), ""),
        way("under an authority below it", below(), ""),
        way("its name in other letters", root.leaf(named(&[&host.to_uppercase()]), &[]), ""),
        way("one more name, nobody's", root.leaf(named(&[host, &format!("spare.{above}")]), &[]), ""),
        way("within constraints of names", fits.leaf(sound(), &[&fits]), ""),
        judged(way("under a list that does not name it", plain(), ""), vec![root_list()], (6, 0)),
        judged(way("each link under its list", below(), ""), vec![root_list(), below_list()], (6, 0)),
        judged(way("under a list within its grace", plain(), ""), vec![stale()], (-3, 4)),
        // Validity.
        way("expired", root.leaf(valid(-90 * 1440, -1440), &[]), "Expired"),
        way("expired a minute ago", root.leaf(valid(-1440, -1), &[]), "Expired"),
        way("its end before its beginning", root.leaf(valid(10, -10), &[]), "Expired"),
        way("not yet valid", root.leaf(valid(1440, 90 * 1440), &[]), "NotValidYet"),
        way("valid in ten minutes", root.leaf(valid(10, 1440), &[]), "NotValidYet"),
        way("an authority that has expired", ended.leaf(sound(), &[&ended]), "Expired"),
        way("an authority still to come", to_come.leaf(sound(), &[&to_come]), "NotValidYet"),
        // Authorities.
        way("another authority", other.leaf(sound(), &[]), "UnknownIssuer"),
        way("our own authority", ours.leaf(sound(), &[]), "UnknownIssuer"),
        way("another authority of the same name", world.root("Iraq", 2).leaf(sound(), &[]), "BadSignature"),
        way("self-signed", self_signed, "UnknownIssuer"),
        way("the authority itself", (vec![root.der.clone()], plain().1), "NotValidForName"),
        way(
            "a leaf that may sign others",
            root.leaf(with(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))), &[]),
            "CaUsedAsEndEntity",
        ),
        way("without the authority between", between.leaf(sound(), &[]), "UnknownIssuer"),
        way("another authority between", between.leaf(sound(), &[&foreign]), "UnknownIssuer"),
        way("under what is no authority", inert.leaf(sound(), &[&inert]), "EndEntityUsedAsCa"),
        way("a chain longer than one authority allows", deep.leaf(sound(), &[&deep, &between]), "PathLen"),
        way("another leaf's signature", flipped(), "BadSignature"),
        way(
            "a known leaf behind another's",
            {
                let mut alien = other.leaf(sound(), &[]);
                alien.0.extend(plain().0);
                alien
            },
            "UnknownIssuer",
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
        way(
            "a key to encipher keys with",
            root.leaf(usages(&[KeyUsagePurpose::KeyEncipherment]), &[]),
            "Usage",
        ),
        way("a key to agree on keys with", root.leaf(usages(&[KeyUsagePurpose::KeyAgreement]), &[]), "Usage"),
        way("a key to sign lists with", root.leaf(usages(&[KeyUsagePurpose::CrlSign]), &[]), "Usage"),
        // Names.
        way("a wildcard below its name", root.leaf(named(&[&format!("*.{host}")]), &[]), "NotValidForName"),
        way(
            "its name with a space behind it",
            root.leaf(named(&[&format!("{host} ")]), &[]),
            "NotValidForName",
        ),
        way(
            "its name with a zero byte behind it",
            root.leaf(named(&[&format!("{host}\0.x.example")]), &[]),
            "NotValidForName",
        ),
        way("a name that looks alike", root.leaf(named(&[&host.replace('.', "-")]), &[]), "NotValidForName"),
        way("the name of its party", root.leaf(named(&["IQ"]), &[]), "NotValidForName"),
        inward(way("another partner's name", root.leaf(named(&[&world.another]), &[]), "UnknownIssuer")),
        inward(way(
            "the names of two partners",
            root.leaf(named(&[host, &world.another]), &[]),
            "NotValidForName",
        )),
        way("the name in its subject only", root.leaf(named(&[]), &[]), "NotValidForName"),
        way("another name", root.leaf(named(&[&format!("2{host}")]), &[]), "NotValidForName"),
        way("a name below", root.leaf(named(&[&format!("a.{host}")]), &[]), "NotValidForName"),
        way("the name above", root.leaf(named(&[above]), &[]), "NotValidForName"),
        way("a wildcard", root.leaf(named(&[&format!("*.{above}")]), &[]), "NotValidForName"),
        way("part of a wildcard", root.leaf(named(&[&format!("g*.{above}")]), &[]), "NotValidForName"),
        way("a wildcard for all", root.leaf(named(&["*"]), &[]), "NotValidForName"),
        way(
            "the name with a dot behind it",
            root.leaf(named(&[&format!("{host}.")]), &[]),
            "NotValidForName",
        ),
        way(
            "the name as an address of mail",
            root.leaf(
                with(&|p| p.subject_alt_names = vec![SanType::Rfc822Name(host.try_into().unwrap())]),
                &[],
            ),
            "NotValidForName",
        ),
        way(
            "the name as a URI",
            root.leaf(with(&|p| p.subject_alt_names = vec![SanType::URI(host.try_into().unwrap())]), &[]),
            "NotValidForName",
        ),
        way(
            "an address only",
            root.leaf(with(&|p| p.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())]), &[]),
            "NotValidForName",
        ),
        way(
            "constraints that permit others only",
            only_others.leaf(sound(), &[&only_others]),
            "NameConstraint",
        ),
        way("constraints that exclude it", not_ours.leaf(sound(), &[&not_ours]), "NameConstraint"),
        // Form.
        way("rubbish", (vec![CertificateDer::from(b"rubbish".to_vec())], plain().1), "BadEncoding"),
        way("as text", (vec![CertificateDer::from(root.pem.clone().into_bytes())], plain().1), "BadEncoding"),
        way(
            "a list in its place",
            (vec![CertificateDer::from(root_list().to_vec())], plain().1),
            "BadEncoding",
        ),
        way(
            "rubbish behind it",
            {
                let (mut chain, key) = plain();
                chain.push(CertificateDer::from(b"rubbish".to_vec()));
                (chain, key)
            },
            "Signer",
        ),
        way("bytes behind it", behind(b"\0"), "BadEncoding"),
        way("a byte too few", cut(), "BadEncoding"),
        way("a critical extension nobody knows", root.leaf(critical(), &[]), "UnsupportedCriticalExtension"),
        // Revocation.
        judged(way("revoked", revoked, "Revoked"), vec![lost], (6, 0)),
        judged(
            way("an authority between that is revoked", sunk, "Revoked"),
            vec![root.list(1, &[&between.der], (at(-1), at(6))), below_list()],
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
        ("RSA, 4096 bits", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"], "-sha256", "Key"),
        ("RSA-PSS", &["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], "-sha256", "Key"),
        ("P-224", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"], "-sha256", "Key"),
        (
            "brainpoolP256r1",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
            "-sha256",
            "Key",
        ),
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
        (
            "signed with SHA-512",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "-sha512",
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
