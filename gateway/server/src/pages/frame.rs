//! What every page has: who looks, in which language, and where else to go.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use fluent_bundle::FluentValue;
use silkgate_message::instant::Instant;
use silkgate_message::problem::Code;

use super::language::Language;
use crate::gateway::Gateway;
use crate::roles::{NationalPeer, Role};

/// The language that a reader has chosen.
pub(super) const LANGUAGE: &str = "silkgate_language";

/// What stands around a page's own content.
#[derive(Clone)]
pub struct Frame {
    /// The language.
    pub language: &'static Language,
    /// Who looks; None: nobody who is known.
    pub peer: Option<NationalPeer>,
    /// The authority that runs the gateway.
    pub party: String,
    /// Path and query of the page.
    pub path: String,
}

/// A number that counts something.
pub trait Whole {
    /// It; one that is too large is the largest.
    fn whole(&self) -> i64;
}

impl Whole for i64 {
    fn whole(&self) -> i64 {
        *self
    }
}

impl Whole for u64 {
    fn whole(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Whole for usize {
    fn whole(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl<T: Whole> Whole for &T {
    fn whole(&self) -> i64 {
        (*self).whole()
    }
}

/// A page to go to.
pub struct Place {
    /// Its path.
    pub path: &'static str,
    /// The key of its name.
    pub key: &'static str,
    roles: &'static [Role],
}

/// The pages of the navigation, in its order.
const PLACES: [Place; 7] = {
    use Role::{Auditor, DataProtection, Operator};
    [
        Place { path: "/", key: "nav-overview", roles: &[Operator, Auditor, DataProtection] },
        Place { path: "/messages", key: "nav-messages", roles: &[Auditor] },
        Place { path: "/ledger", key: "nav-ledger", roles: &[Operator, Auditor, DataProtection] },
        Place { path: "/partners", key: "nav-partners", roles: &[Operator, Auditor, DataProtection] },
        Place { path: "/schemas", key: "nav-schemas", roles: &[Operator, Auditor, DataProtection] },
        Place { path: "/purposes", key: "nav-purposes", roles: &[Auditor, DataProtection] },
        Place { path: "/reads", key: "nav-reads", roles: &[Auditor, DataProtection] },
    ]
};

impl Frame {
    /// A text.
    pub fn say(&self, key: &str) -> String {
        self.language.say(key, &[])
    }

    /// A text about one value, whose direction does not touch what stands around it (FSI and PDI, UAX #9).
    pub fn say_of(&self, key: &str, value: impl AsRef<str>) -> String {
        let isolated = format!("\u{2068}{}\u{2069}", value.as_ref());
        self.language.say(key, &[("value", isolated.into())])
    }

    /// A text about a number of things, in the plural that it takes.
    pub fn count(&self, key: &str, number: impl Whole) -> String {
        let number = number.whole();
        let arguments = [("count", FluentValue::from(number)), ("number", self.number(number).into())];
        self.language.say(key, &arguments)
    }

    /// A text about a part of a number of things.
    pub fn part(&self, key: &str, done: impl Whole, of: impl Whole) -> String {
        let arguments = [("done", self.number(done).into()), ("of", self.number(of).into())];
        self.language.say(key, &arguments)
    }

    /// A number.
    pub fn number(&self, number: impl Whole) -> String {
        self.language.number(number.whole())
    }

    /// The day of an instant.
    pub fn day(&self, at: &Instant) -> String {
        self.language.day(&at.date())
    }

    /// The same in the Hijri calendar.
    pub fn hijri(&self, at: &Instant) -> Option<String> {
        self.language.hijri(&at.date())
    }

    /// What a code means: in English where the language has no words of its own.
    pub fn code_title(&self, code: &str) -> String {
        let own = self.language.text(&format!("code-{}", code.replace('_', "-")), &[]);
        own.or_else(|| Code::parse(code).map(|code| code.title().to_owned())).unwrap_or_default()
    }

    /// An instant.
    pub fn instant(&self, at: &Instant) -> String {
        self.language.instant(*at)
    }

    /// The name of something that stands for itself where the language has none: a type, a state, a code.
    pub fn name(&self, of: &str, value: impl AsRef<str>) -> String {
        let value = value.as_ref();
        let key = format!("{of}-{}", value.replace(['.', '_'], "-"));
        self.language.text(&key, &[]).unwrap_or_else(|| value.to_owned())
    }

    /// What a reconciliation found, as the house log states it; empty: it does not.
    pub fn say_reconciled(&self, verdict: &str) -> String {
        self.say(match verdict {
            "agree" => "reconciled-agree",
            "agree_span" => "reconciled-agree-span",
            "differ" => "reconciled-differ",
            _ => "reconciled-unstated",
        })
    }

    /// Where the reader may go.
    pub fn places(&self) -> Vec<&'static Place> {
        let Some(peer) = &self.peer else { return Vec::new() };
        PLACES.iter().filter(|place| place.roles.contains(&peer.role)).collect()
    }

    /// Whether the page lies there.
    pub fn is_at(&self, place: &Place) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let below = path.strip_prefix(place.path).is_some_and(|rest| rest.starts_with('/'));
        path == place.path || (place.path != "/" && below)
    }

    /// The other languages.
    pub fn others(&self) -> Vec<&'static Language> {
        Language::all().iter().filter(|language| language.code != self.language.code).collect()
    }

    /// The address that changes to a language and comes back.
    pub fn switch(&self, language: &Language) -> String {
        let back: String = form_urlencoded::byte_serialize(self.path.as_bytes()).collect();
        format!("/language/{}?back={back}", language.code)
    }

    /// Whether messages may be looked at.
    pub fn sees_messages(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.role == Role::Auditor)
    }

    /// Whether the entries of that log may be looked at.
    pub fn sees_log(&self, name: &str) -> bool {
        self.peer.as_ref().is_some_and(|peer| match peer.role {
            Role::Auditor => true,
            Role::DataProtection => name == "house",
            Role::Operator | Role::BackEnd => false,
        })
    }

    /// The frame of whoever asks.
    pub(super) fn of(gateway: &Gateway, parts: &Parts) -> Self {
        Self {
            language: chosen(&parts.headers),
            peer: parts.extensions.get::<NationalPeer>().cloned(),
            party: gateway.config.party.to_string(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        }
    }
}

impl FromRequestParts<Arc<Gateway>> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Infallible> {
        Ok(Self::of(gateway, parts))
    }
}

/// The language of the cookie, or the one that the browser asks for.
fn chosen(headers: &HeaderMap) -> &'static Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let chosen = cookie(headers, LANGUAGE).and_then(Language::of);
    chosen.unwrap_or_else(|| Language::accepted(accepted.unwrap_or_default()))
}

/// The value of a cookie (RFC 6265 §5.4).
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}
