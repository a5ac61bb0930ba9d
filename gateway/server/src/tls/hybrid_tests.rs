//! X25519MLKEM768: public vectors, shares that are malformed, and whole handshakes in memory.

use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{B32, DecapsulationKey768, Seed};
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::kx_group::{SECP256R1, X25519};
use rustls::{Error, HandshakeKind, NamedGroup};
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use shake::{Shake128, digest};

use super::*;
use crate::tls::group::Group;
use crate::tls::hybrid::{X25519MLKEM768, encapsulate};
use crate::tls::tests::{Clock, NOW_S, State, loaded, shake};

const IQ: &str = "gw.iq.example";
const JO: &str = "gw.jo.example";

/// The accumulated vectors of <https://c2sp.org/CCTV/ML-KEM>, as Go's crypto/mlkem (`TestAccumulated`) has them for FIPS 203: inputs
/// from SHAKE-128 over nothing; encapsulation keys, ciphertexts and secrets, of wrong ciphertexts too, into a SHAKE-128.
#[test]
fn ml_kem_gives_the_accumulated_vectors() {
    let (mut inputs, mut outputs) = (Shake128::default().finalize_xof(), Shake128::default());
    for _ in 0..100 {
        let (mut seed, mut message) = (Seed::default(), B32::default());
        inputs.read(&mut seed);
        let key = DecapsulationKey768::from_seed(seed);
        let encapsulation_key = key.encapsulation_key().to_bytes();
        outputs.update(&encapsulation_key);
        inputs.read(&mut message);
        let (ciphertext, secret) = encapsulate(&encapsulation_key, &message).unwrap();
        outputs.update(&ciphertext);
        outputs.update(secret.as_slice());
        assert_eq!(key.decapsulate(&ciphertext), *secret);
        let mut wrong = [0; 1088];
        inputs.read(&mut wrong);
        outputs.update(&key.decapsulate_slice(&wrong).unwrap());
    }
    let mut digest = [0; 32];
    digest::XofReader::read(&mut outputs.finalize_xof(), &mut digest);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415");
}

#[test]
fn both_sides_get_one_secret_and_shares_have_the_lengths_of_the_draft() {
    let client = X25519MLKEM768.start().unwrap();
    let server = X25519MLKEM768.start_and_complete(client.pub_key()).unwrap();
    assert_eq!((client.pub_key().len(), server.pub_key.len()), (1184 + 32, 1088 + 32));
    assert_eq!((client.group(), server.group), (NamedGroup::X25519MLKEM768, NamedGroup::X25519MLKEM768));
    assert_eq!(u16::from(server.group), 0x11ec);
    let secret = client.complete(&server.pub_key).unwrap();
    assert_eq!(secret.secret_bytes().len(), 64);
    assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
    // The second half is X25519's alone, and its share the same as in the whole.
    let client = X25519MLKEM768.start().unwrap();
    let (group, share) = client.hybrid_component().unwrap();
    assert_eq!((group, share), (NamedGroup::X25519, &client.pub_key()[1184..]));
    let server = X25519.start_and_complete(share).unwrap();
    let secret = client.complete_hybrid_component(&server.pub_key).unwrap();
    assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
}

#[test]
fn no_two_handshakes_share_anything() {
    let shares: Vec<_> = (0..3).map(|_| X25519MLKEM768.start().unwrap()).collect();
    for (share, other) in [(0, 1), (1, 2), (0, 2)] {
        assert_ne!(shares[share].pub_key()[..1184], shares[other].pub_key()[..1184]);
        assert_ne!(shares[share].pub_key()[1184..], shares[other].pub_key()[1184..]);
    }
    let answers: Vec<_> =
        (0..2).map(|_| X25519MLKEM768.start_and_complete(shares[0].pub_key()).unwrap()).collect();
    assert_ne!(answers[0].pub_key[..1088], answers[1].pub_key[..1088]);
    assert_ne!(answers[0].secret.secret_bytes()[..32], answers[1].secret.secret_bytes()[..32]);
}

fn refused<T>(result: Result<T, Error>) -> bool {
    matches!(result.err(), Some(Error::PeerMisbehaved(rustls::PeerMisbehaved::InvalidKeyShare)))
}

#[test]
fn malformed_shares_are_refused() {
    let good = X25519MLKEM768.start().unwrap().pub_key().to_vec();
    let changed = |at: std::ops::Range<usize>, bytes: &[u8]| {
        let mut share = good.clone();
        share[at].copy_from_slice(bytes);
        share
    };
    // The first coefficient, 12 bits little-endian: q itself, and the greatest (FIPS 203 §7.2).
    let of_q = changed(0..2, &[0x01, good[1] & 0xf0 | 0x0d]);
    let greatest = changed(0..2, &[0xff, good[1] | 0x0f]);
    // The last one of the 768.
    let last = changed(1150..1152, &[good[1150] & 0x0f | 0x10, 0xd0]);
    for (case, share) in [
        ("nothing", Vec::new()),
        ("a byte too few", good[..1215].to_vec()),
        ("a byte too many", [good.as_slice(), &[0]].concat()),
        ("of X25519 alone", good[1184..].to_vec()),
        ("of ML-KEM alone", good[..1184].to_vec()),
        ("a coefficient of q", of_q),
        ("a coefficient of 4095", greatest),
        ("the last coefficient of q", last),
        ("a point of order 1", changed(1184..1216, &[0; 32])),
        ("all bits set", vec![0xff; 1216]),
    ] {
        assert!(refused(X25519MLKEM768.start_and_complete(&share)), "{case}");
    }
    // q - 1 is the greatest coefficient that there is.
    let just = changed(0..2, &[0x00, good[1] & 0xf0 | 0x0d]);
    assert!(X25519MLKEM768.start_and_complete(&just).is_ok());
    let answer = X25519MLKEM768.start_and_complete(&good).unwrap().pub_key;
    let mut small = answer.clone();
    small[1088..].fill(0);
    for (case, share) in [
        ("nothing", Vec::new()),
        ("a byte too few", answer[..1119].to_vec()),
        ("a byte too many", [answer.as_slice(), &[0]].concat()),
        ("of X25519 alone", answer[1088..].to_vec()),
        ("a client's", good.clone()),
        ("a point of order 1", small),
    ] {
        assert!(refused(X25519MLKEM768.start().unwrap().complete(&share)), "{case}");
    }
    let whole = X25519MLKEM768.start().unwrap();
    assert!(refused(whole.complete_hybrid_component(&answer)), "the component takes X25519's share only");
}

#[test]
fn an_altered_ciphertext_gives_another_secret() {
    for at in [0, 500, 1087] {
        let client = X25519MLKEM768.start().unwrap();
        let mut server = X25519MLKEM768.start_and_complete(client.pub_key()).unwrap();
        server.pub_key[at] ^= 1;
        let secret = client.complete(&server.pub_key).unwrap();
        assert_ne!(secret.secret_bytes()[..32], server.secret.secret_bytes()[..32]);
        assert_eq!(secret.secret_bytes()[32..], server.secret.secret_bytes()[32..], "of X25519");
    }
}

/// Jordan's server, Iraq as a client of it, and what each side's agreement says.
struct Two {
    jordan: State,
    iraq: State,
}

impl Two {
    fn new() -> Self {
        Self { jordan: State::new(), iraq: State::new() }
    }

    fn server(&self, policy: KeyExchange) -> PartnerServer {
        let (chain, key) = self.jordan.gateway(JO);
        let trust = PartnerTrust { key_exchange: policy, ..self.iraq.trust("IQ", IQ) };
        PartnerServer::new(chain, loaded(key), vec![trust]).unwrap().with_clock(Arc::new(Clock(NOW_S)))
    }

    fn client(&self, policy: KeyExchange) -> Arc<ClientConfig> {
        let (chain, key) = self.iraq.gateway(IQ);
        let trust = PartnerTrust { key_exchange: policy, ..self.jordan.trust("JO", JO) };
        let mut config = partner_client(&trust, chain, loaded(key)).unwrap();
        Arc::make_mut(&mut config).time_provider = Arc::new(Clock(NOW_S));
        config
    }

    /// A client that offers these groups, as a partner of another make may.
    fn other(&self, groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<ClientConfig> {
        let mut config = Arc::unwrap_or_clone(self.client(KeyExchange::Classical));
        let provider = CryptoProvider { kx_groups: groups, ..config.crypto_provider().as_ref().clone() };
        let versions = &[&rustls::version::TLS13];
        let (chain, key) = self.iraq.gateway(IQ);
        let trust = self.jordan.trust("JO", JO);
        let time_provider = config.time_provider.clone();
        config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(trust.of_server().unwrap())
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.time_provider = time_provider;
        Arc::new(config)
    }
}

#[test]
fn what_both_policies_allow_is_what_is_spoken() {
    use KeyExchange::{Classical, HybridFirst, HybridOnly};
    let two = Two::new();
    for (ours, theirs, agreed) in [
        (HybridFirst, HybridFirst, Some(Group::X25519Mlkem768)),
        (HybridFirst, HybridOnly, Some(Group::X25519Mlkem768)),
        (HybridFirst, Classical, Some(Group::X25519)),
        (HybridOnly, HybridFirst, Some(Group::X25519Mlkem768)),
        (HybridOnly, Classical, Some(Group::X25519)),
        (Classical, HybridFirst, Some(Group::X25519)),
        (Classical, Classical, Some(Group::X25519)),
        (Classical, HybridOnly, None),
    ] {
        let (server, client) = (two.server(ours), two.client(theirs));
        let Ok((client, server)) = shake(client, server.config(), JO) else {
            assert_eq!(agreed, None, "{ours:?}, {theirs:?}");
            continue;
        };
        assert_eq!(Group::negotiated(&server), agreed, "{ours:?}, {theirs:?}");
        assert_eq!(Group::negotiated(&client), agreed, "{ours:?}, {theirs:?}");
        // A server without the hybrid costs nothing either: both shares were in the first flight.
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full), "{ours:?}, {theirs:?}");
        let fits = agreed.is_some_and(|group| group.fits(ours));
        assert_eq!(fits, (ours, theirs) != (HybridOnly, Classical));
    }
}

#[test]
fn a_client_that_writes_the_hybrid_without_its_share_is_asked_for_it() {
    let two = Two::new();
    let server = two.server(KeyExchange::HybridFirst);
    // Its first is unknown to our server; the hybrid is next.
    let later = two.other(vec![&Unknown, X25519MLKEM768, X25519]);
    let (_, session) = shake(later, server.config(), JO).unwrap();
    assert_eq!(Group::negotiated(&session), Some(Group::X25519Mlkem768));
    assert_eq!(session.handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
    for (groups, agreed) in [
        (vec![SECP256R1], Group::Secp256r1),
        (vec![X25519], Group::X25519),
        // The client's order decides: one that prefers the classical one gets it, and `hybrid_only` refuses it afterwards.
        (vec![X25519, X25519MLKEM768], Group::X25519),
    ] {
        let (_, session) = shake(two.other(groups), server.config(), JO).unwrap();
        assert_eq!(Group::negotiated(&session), Some(agreed));
    }
}

/// A group that nobody else knows, with a share of some bytes.
#[derive(Debug)]
struct Unknown;

impl SupportedKxGroup for Unknown {
    fn start(&self) -> Result<Box<dyn rustls::crypto::ActiveKeyExchange>, Error> {
        Ok(Box::new(Started(X25519.start()?)))
    }
    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }
    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(0xfe00)
    }
}

struct Started(Box<dyn rustls::crypto::ActiveKeyExchange>);

impl rustls::crypto::ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<rustls::crypto::SharedSecret, Error> {
        self.0.complete(peer)
    }
    fn pub_key(&self) -> &[u8] {
        self.0.pub_key()
    }
    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }
    fn group(&self) -> NamedGroup {
        NamedGroup::Unknown(0xfe00)
    }
}

/// Handshakes in which a byte of a flight is altered on the way.
#[test]
fn a_byte_altered_in_either_share_ends_the_handshake() {
    let two = Two::new();
    for (from_client, offset) in [(true, 300), (true, 1000), (false, 200), (false, 700), (false, 1000)] {
        let server = two.server(KeyExchange::HybridFirst);
        let mut client =
            rustls::ClientConnection::new(two.client(KeyExchange::HybridFirst), JO.try_into().unwrap())
                .unwrap();
        let mut session = rustls::ServerConnection::new(server.config()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        if from_client {
            hello[offset] ^= 1;
        }
        session.read_tls(&mut hello.as_slice()).unwrap();
        let read = session.process_new_packets();
        if from_client && read.is_err() {
            continue;
        }
        let mut answer = Vec::new();
        session.write_tls(&mut answer).unwrap();
        if !from_client {
            answer[offset] ^= 1;
        }
        client.read_tls(&mut answer.as_slice()).unwrap();
        let error = client.process_new_packets().unwrap_err();
        assert!(matches!(error, Error::DecryptError), "{from_client} {offset}: {error:?}");
        assert!(client.is_handshaking());
    }
}

#[test]
fn where_every_agreement_is_classical_the_server_does_not_speak_it() {
    let two = Two::new();
    let (chain, key) = two.jordan.gateway(JO);
    let trust = |policy| PartnerTrust { key_exchange: policy, ..two.iraq.trust("IQ", IQ) };
    let other = State::new();
    let second = |policy| PartnerTrust { key_exchange: policy, ..other.trust("TR", "gw.tr.example") };
    let server = PartnerServer::new(chain, loaded(key), vec![trust(KeyExchange::Classical)]).unwrap();
    let speaks = || {
        let config = server.config();
        config.crypto_provider().kx_groups.iter().any(|group| group.name() == NamedGroup::X25519MLKEM768)
    };
    assert!(!speaks());
    server.replace(vec![trust(KeyExchange::Classical), second(KeyExchange::HybridFirst)]).unwrap();
    assert!(speaks());
    server.replace(vec![trust(KeyExchange::Classical), second(KeyExchange::Classical)]).unwrap();
    assert!(!speaks());
    server.replace(Vec::new()).unwrap();
    assert!(speaks(), "nobody has said otherwise");
}
