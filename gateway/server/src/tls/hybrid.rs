//! X25519MLKEM768: the key exchange that stays secret while either X25519 or ML-KEM-768 holds (draft-ietf-tls-ecdhe-mlkem §4).
//!
//! ML-KEM (FIPS 203) is of the crate `ml-kem`, X25519 of ring, as everywhere. Client share: encapsulation key ‖ X25519; server share:
//! ciphertext ‖ X25519; secret: of ML-KEM ‖ of X25519. Keys serve one handshake (§3 there forbids using them again).

use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::{B32, EncapsulationKey768, Seed};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::Zeroizing;

/// An encapsulation key of ML-KEM-768 (FIPS 203 table 3).
const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// A ciphertext of ML-KEM-768 (the same).
const CIPHERTEXT_BYTES: usize = 1088;
/// A public key of X25519 (RFC 7748 §5).
const X25519_BYTES: usize = 32;

/// Ends the handshake with the alert `illegal_parameter`, as the draft asks of both sides (§4.1, §4.2).
const MALFORMED: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// The group, codepoint 0x11EC.
pub(super) static X25519MLKEM768: &dyn SupportedKxGroup = &Group;

#[derive(Debug)]
struct Group;

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let lattice = Box::new(ml_kem::DecapsulationKey768::from_seed(*random::<Seed>()?));
        let share = [lattice.encapsulation_key().to_bytes().as_slice(), classical.pub_key()].concat();
        Ok(Box::new(Exchange { classical, lattice, share }))
    }

    /// The server's side, which cannot have a share before it has the client's.
    fn start_and_complete(&self, peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (key, point) = split(peer, ENCAPSULATION_KEY_BYTES)?;
        let (ciphertext, of_lattice) = encapsulate(key, &*random::<B32>()?)?;
        let classical = X25519.start_and_complete(point)?;
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [ciphertext.as_slice(), &classical.pub_key].concat(),
            secret: joined(of_lattice.as_slice(), &classical.secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    /// TLS 1.3 only: an encapsulation has no place in earlier versions.
    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// The client's side, waiting for the server's share. The key wipes itself when it is dropped.
struct Exchange {
    classical: Box<dyn ActiveKeyExchange>,
    lattice: Box<ml_kem::DecapsulationKey768>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    /// A ciphertext that was not made for our key gives another secret (FIPS 203 §6.3), and the handshake fails at the first
    /// record under it.
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, point) = split(peer, CIPHERTEXT_BYTES)?;
        let secret = self.lattice.decapsulate_slice(ciphertext).map_err(|_| MALFORMED)?;
        let secret = Zeroizing::new(secret);
        Ok(joined(secret.as_slice(), &self.classical.complete(point)?))
    }

    /// Offered beside the whole, so that a server without ML-KEM answers at once.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// FIPS 203 §7.2, with the check of the modulus: a key that is not spelled as its own coefficients is refused.
pub(super) fn encapsulate(
    key: &[u8],
    message: &B32,
) -> Result<(ml_kem::ml_kem_768::Ciphertext, Zeroizing<ml_kem::SharedKey>), Error> {
    let key = key.try_into().map_err(|_| MALFORMED)?;
    let key = EncapsulationKey768::new(key).map_err(|_| MALFORMED)?;
    let (ciphertext, secret) = key.encapsulate_deterministic(message);
    Ok((ciphertext, Zeroizing::new(secret)))
}

/// The part of ML-KEM and that of X25519; of exactly these lengths.
fn split(share: &[u8], lattice_bytes: usize) -> Result<(&[u8], &[u8]), Error> {
    if share.len() != lattice_bytes + X25519_BYTES {
        return Err(MALFORMED);
    }
    share.split_at_checked(lattice_bytes).ok_or(MALFORMED)
}

/// rustls wipes what it is given.
fn joined(of_lattice: &[u8], classical: &SharedSecret) -> SharedSecret {
    SharedSecret::from([of_lattice, classical.secret_bytes()].concat())
}

/// Random bytes of ring's generator, which draws X25519's too.
fn random<A: Default + AsMut<[u8]> + zeroize::Zeroize>() -> Result<Zeroizing<A>, Error> {
    let mut bytes = Zeroizing::new(A::default());
    SystemRandom::new().fill(bytes.as_mut().as_mut()).map_err(|_| GetRandomFailed)?;
    Ok(bytes)
}
