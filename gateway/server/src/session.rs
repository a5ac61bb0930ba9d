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
/// Links and sessions of one certificate at once; a new link takes the place of its oldest one.
const EACH_MAX: usize = 8;
/// Of all together; beyond it there are no new ones. More than a gateway has people.
const OPEN_MAX: usize = 256;

/// Links and the sessions that they opened. Secrets are kept as digests.
#[derive(Default)]
pub struct Sessions(Mutex<Links>);

#[derive(Default)]
struct Links {
    by_secret: HashMap<Digest, Link>,
    made: u64,
}

struct Link {
    peer: NationalPeer,
    /// In the order in which links were made.
    number: u64,
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
    /// A secret for a link that opens one session of `peer`; None where there are too many. Whoever asks again and again loses links
    /// that were not opened, then sessions, of its own certificate alone.
    pub fn link(&self, peer: NationalPeer, now: Instant) -> Option<String> {
        let mut links = self.live(now);
        let own = links.by_secret.iter().filter(|(_, link)| link.peer.certificate == peer.certificate);
        let own: Vec<_> = own.map(|(digest, link)| (link.session.is_some(), link.number, *digest)).collect();
        if own.len() >= EACH_MAX {
            let oldest = own.into_iter().min_by_key(|(is_open, number, _)| (*is_open, *number));
            oldest.map(|(_, _, digest)| links.by_secret.remove(&digest));
        }
        if links.by_secret.len() >= OPEN_MAX {
            return None;
        }
        links.made += 1;
        let (secret, digest) = secret();
        let link = Link { peer, number: links.made, until: now.plus_ms(LINK_MS), session: None };
        links.by_secret.insert(digest, link);
        Some(secret)
    }

    /// Opens a link; `held` is the session that the browser has already.
    pub fn open(&self, link: &str, held: Option<&str>, now: Instant) -> Opened {
        let mut links = self.live(now);
        let Some(link) = links.by_secret.get_mut(&Digest::of(link.as_bytes())) else {
            return Opened::Refused;
        };
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
        links.by_secret.values().find(|link| link.session == Some(digest)).map(|link| link.peer.clone())
    }

    fn live(&self, now: Instant) -> std::sync::MutexGuard<'_, Links> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.by_secret.retain(|_, link| link.until > now);
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
    }

    #[test]
    fn who_asks_for_ever_more_links_takes_no_place_of_another() {
        let sessions = Sessions::default();
        let peer = |number: u8, name: &str| NationalPeer {
            role: Role::Auditor,
            name: name.to_owned(),
            certificate: Digest([number; 32]),
        };
        let at = Instant(1_000_000);
        let link = sessions.link(peer(1, "alice"), at).unwrap();
        let Opened::New(of_alice) = sessions.open(&link, None, at) else { panic!("it opens") };
        let first = sessions.link(peer(2, "bob"), at).unwrap();
        let Opened::New(of_bob) = sessions.open(&first, None, at) else { panic!("it opens") };
        let links: Vec<String> = (0..2000).filter_map(|_| sessions.link(peer(2, "bob"), at)).collect();
        assert_eq!(links.len(), 2000, "each asks in vain of nobody but itself");
        assert_eq!(sessions.live(at).by_secret.len(), 1 + EACH_MAX, "bounded");
        assert!(sessions.peer(&of_alice, at).is_some(), "another one's session stays");
        assert!(sessions.peer(&of_bob, at).is_some(), "links that were not opened go first");
        assert_eq!(sessions.open(&links[0], None, at), Opened::Refused);
        assert!(matches!(sessions.open(&links[1999], None, at), Opened::New(_)));
        assert!(sessions.link(peer(3, "carol"), at).is_some());
    }
}
