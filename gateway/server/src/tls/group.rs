//! The groups that keys are exchanged in, and which of them a policy offers.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CommonState, NamedGroup};
use silkgate_message::agreement::KeyExchange;

use super::hybrid::X25519MLKEM768;

/// Who called on a connection to a partner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// The partner.
    In,
    /// We.
    Out,
}

impl Side {
    /// `in` or `out`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::In => "in",
            Side::Out => "out",
        }
    }
}

/// A group of the registry "TLS Supported Groups".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// 0x11EC: X25519 and ML-KEM-768 together.
    X25519Mlkem768,
    /// 0x001D.
    X25519,
    /// 0x0017.
    Secp256r1,
    /// 0x0018.
    Secp384r1,
}

impl Group {
    /// Every group that we speak, the first first.
    pub const ALL: [Self; 4] = [Self::X25519Mlkem768, Self::X25519, Self::Secp256r1, Self::Secp384r1];

    /// The one that a handshake agreed on.
    pub fn negotiated(connection: &CommonState) -> Option<Self> {
        match connection.negotiated_key_exchange_group()?.name() {
            NamedGroup::X25519MLKEM768 => Some(Self::X25519Mlkem768),
            NamedGroup::X25519 => Some(Self::X25519),
            NamedGroup::secp256r1 => Some(Self::Secp256r1),
            NamedGroup::secp384r1 => Some(Self::Secp384r1),
            _ => None,
        }
    }

    /// Its name in the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X25519Mlkem768 => "X25519MLKEM768",
            Self::X25519 => "x25519",
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
        }
    }

    /// The name as an entry of a log holds it, in lower case.
    pub fn code(self) -> &'static str {
        match self {
            Self::X25519Mlkem768 => "x25519mlkem768",
            other => other.as_str(),
        }
    }

    /// The group of that [`Group::code`].
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.code() == code)
    }

    /// Whether what is exchanged stays secret from whoever records it and has a quantum computer one day.
    pub fn is_post_quantum(self) -> bool {
        self == Self::X25519Mlkem768
    }

    /// Whether a connection under it may carry anything, by the agreement.
    pub fn fits(self, policy: KeyExchange) -> bool {
        policy != KeyExchange::HybridOnly || self.is_post_quantum()
    }

    /// Whether going from `before` to this one loses what [`Group::is_post_quantum`] says.
    pub fn is_weaker_than(self, before: Self) -> bool {
        before.is_post_quantum() && !self.is_post_quantum()
    }
}

/// What a policy offers and takes, the first first.
pub(super) fn provider_of(policy: KeyExchange) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    match policy {
        KeyExchange::HybridFirst => provider.kx_groups.insert(0, X25519MLKEM768),
        KeyExchange::HybridOnly => provider.kx_groups = vec![X25519MLKEM768],
        KeyExchange::Classical => {}
    }
    Arc::new(provider)
}
