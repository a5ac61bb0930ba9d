//! Sessions of the pages in a browser that shows no certificate: a one-time link, made for whoever has shown one on the national
//! plane, opens one. Nothing is stored: a restart ends them all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

use crate::clock;
use crate::roles::NationalPeer;

/// For a link that nobody opens.
const LINK_MS: i64 = 5 * 60_000;
/// For a session, however much it is used.
const SESSION_MS: i64 = 8 * 3_600_000;
/// Links and sessions at once; beyond it there are no new ones.
const OPEN_MAX: usize = 64;

/// Links and the sessions that they opened. Secrets are kept as digests.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Digest, Link>>);

struct Link {
    peer: NationalPeer,
    until: Instant,
    session: Option<Digest>,
}

/// What opening a link gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// A new session, by this secret.
    New(String),
    /// The session that it opened before, which the browser holds.
    Again,
    /// Nothing: it was opened elsewhere, has run out, or never was.
    Refused,
}

impl Sessions {
    /// A secret for a link that opens one session of `peer`; None where there are too many.
    pub fn link(&self, peer: NationalPeer, now: Instant) -> Option<String> {
        let mut links = self.live(now);
        if links.len() >= OPEN_MAX {
            return None;
        }
        let (secret, digest) = secret();
        links.insert(digest, Link { peer, until: now.plus_ms(LINK_MS), session: None });
        Some(secret)
    }

    /// Opens a link; `held` is the session that the browser has already.
    pub fn open(&self, link: &str, held: Option<&str>, now: Instant) -> Opened {
        let mut links = self.live(now);
        let Some(link) = links.get_mut(&Digest::of(link.as_bytes())) else { return Opened::Refused };
        match link.session {
            None => {
                let (secret, digest) = secret();
                link.session = Some(digest);
                link.until = now.plus_ms(SESSION_MS);
                Opened::New(secret)
            }
            Some(session) if held.is_some_and(|held| Digest::of(held.as_bytes()) == session) => Opened::Again,
            Some(_) => Opened::Refused,
        }
    }

    /// Whose session that is.
    pub fn peer(&self, session: &str, now: Instant) -> Option<NationalPeer> {
        let digest = Digest::of(session.as_bytes());
        let links = self.live(now);
        links.values().find(|link| link.session == Some(digest)).map(|link| link.peer.clone())
    }

    fn live(&self, now: Instant) -> std::sync::MutexGuard<'_, HashMap<Digest, Link>> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, link| link.until > now);
        links
    }
}

/// 256 random bits, and what is kept of them.
fn secret() -> (String, Digest) {
    let secret = URL_SAFE_NO_PAD.encode(clock::random::<32>());
    let digest = Digest::of(secret.as_bytes());
    (secret, digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Role;

    #[test]
    fn a_link_opens_one_session_and_only_its_browser_may_use_it_again() {
        let sessions = Sessions::default();
        let peer =
            NationalPeer { role: Role::Auditor, name: "alice".to_owned(), certificate: Digest([7; 32]) };
        let at = Instant(1_000_000);
        let link = sessions.link(peer.clone(), at).unwrap();
        assert_eq!(sessions.peer(&link, at), None, "a link is no session");
        let Opened::New(session) = sessions.open(&link, None, at) else { panic!("it opens") };
        assert_eq!(sessions.peer(&session, at), Some(peer.clone()));
        assert_eq!(sessions.open(&link, Some(&session), at), Opened::Again);
        assert_eq!(sessions.open(&link, None, at), Opened::Refused, "another browser");
        assert_eq!(sessions.open(&link, Some("guess"), at), Opened::Refused);
        assert_eq!(sessions.peer(&session, at.plus_ms(SESSION_MS)), None, "it has run out");
        let late = sessions.link(peer.clone(), at).unwrap();
        assert_eq!(sessions.open(&late, None, at.plus_ms(LINK_MS)), Opened::Refused);
        let links = (0..100).filter_map(|_| sessions.link(peer.clone(), at)).count();
        assert_eq!(links, OPEN_MAX, "bounded");
    }
}
