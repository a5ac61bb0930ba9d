//! Roles on the national plane, and whose a certificate is.
//!
//! Two must agree: what is registered, and what the certificate says of itself. The first makes it possible to cut off anybody at
//! once; the second, signed by the national authority, keeps whoever can write the database from giving a role away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Serialize, Serializer};
use silkgate_certs::{CLIENT_URIS, client_uri};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

/// What somebody on the national plane is there for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// An authority's own system: submits, and is handed over what is for it.
    BackEnd,
    /// Runs the gateway.
    Operator,
    /// Reads what was exchanged, and is recorded.
    Auditor,
    /// Sees to it that nobody reads without need: reads the house log and who has read what.
    DataProtection,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::BackEnd, Self::Operator, Self::Auditor, Self::DataProtection];

    /// As certificates and the database say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackEnd => "backend",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::DataProtection => "data-protection",
        }
    }

    /// As log entries say it, whose words have no hyphen.
    pub fn code(self) -> &'static str {
        match self {
            Self::DataProtection => "data_protection",
            other => other.as_str(),
        }
    }

    /// The role of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Who is on the other side of a connection of the national plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NationalPeer {
    /// What for.
    pub role: Role,
    /// The party of a back end, the name of anybody else.
    pub name: String,
    /// SHA-256 of the certificate.
    pub certificate: Digest,
}

impl NationalPeer {
    /// The holder of a certificate that is registered under `role` and `name` and has these URI names. None where the two do not
    /// agree: exactly one of our URI names, of this role and this name.
    pub fn identify(role: Role, name: &str, certificate: Digest, uris: &[String]) -> Option<Self> {
        let mut claims = uris.iter().filter(|uri| uri.starts_with(CLIENT_URIS));
        let agrees = claims.next().is_some_and(|claim| *claim == client_uri(role.as_str(), name));
        (agrees && claims.next().is_none()).then(|| Self { role, name: name.to_owned(), certificate })
    }
}

/// Reads a minute with one certificate: enough to look into a case, too few to carry the store away.
pub const READS_PER_MINUTE: u32 = 120;

/// How much each certificate has read in this minute.
#[derive(Default)]
pub struct ReadBudget(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    number: i64,
    reads: HashMap<Digest, u32>,
}

impl ReadBudget {
    /// Takes one read; false where the minute's are used up.
    pub fn spend(&self, certificate: Digest, at: Instant) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = at.0.div_euclid(60_000);
        if minute.number != number {
            *minute = Minute { number, reads: HashMap::new() };
        }
        let reads = minute.reads.entry(certificate).or_default();
        *reads = reads.saturating_add(1);
        *reads <= READS_PER_MINUTE
    }
}

/// Until when each stream of events is recorded: by certificate and log.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<(Digest, String), Instant>>);

impl Streams {
    /// From one record of a stream to the next.
    const RECORDED_MS: i64 = 3_600_000;

    /// Whether a stream has to be recorded.
    pub fn is_due(&self, certificate: Digest, log: &str, at: Instant) -> bool {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, until| *until > at);
        !streams.contains_key(&(certificate, log.to_owned()))
    }

    /// It was recorded.
    pub fn note(&self, certificate: Digest, log: &str, at: Instant) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.insert((certificate, log.to_owned()), at.plus_ms(Self::RECORDED_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_registration_agree() {
        let digest = Digest([7; 32]);
        let known = |role, name, uris: &[&str]| {
            let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
            NationalPeer::identify(role, name, digest, &uris).is_some()
        };
        let alice = "urn:silkgate:auditor:alice";
        assert!(known(Role::Auditor, "alice", &[alice]));
        assert!(known(Role::Auditor, "alice", &["spiffe://elsewhere/alice", alice]));
        assert!(!known(Role::Operator, "alice", &[alice]), "the registration was changed");
        assert!(!known(Role::Auditor, "bob", &[alice]));
        assert!(!known(Role::Auditor, "alice", &[]), "it says nothing");
        assert!(
            !known(Role::Auditor, "alice", &[alice, "urn:silkgate:operator:alice"]),
            "it says two things"
        );
        let budget = ReadBudget::default();
        let spent = |of, at| (0..200).filter(|_| budget.spend(of, Instant(at))).count();
        assert_eq!([spent(digest, 0), spent(Digest([8; 32]), 0), spent(digest, 59_999)], [120, 120, 0]);
        assert_eq!(spent(digest, 60_000), 120);
        let streams = Streams::default();
        let due = |log, at| streams.is_due(digest, log, Instant(at));
        assert!(due("JO", 0) && due("JO", 1), "until it is recorded");
        streams.note(digest, "JO", Instant(0));
        assert!(!due("JO", 3_599_999) && due("house", 0) && due("JO", 3_600_000));
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert!(role.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }
}
