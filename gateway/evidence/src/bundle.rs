//! What a bundle holds, and putting one together.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use silkgate_ledger::UtcMillis;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningCertificate, SigningKey};
use silkgate_message::party::{Country, Party};

use crate::container::{self, ContainerError, Members};
use crate::listing::Listing;
use crate::{edition, manifest, page};

/// Most messages of a bundle.
pub const MESSAGES_MAX: usize = 2_000;
/// The summary page.
pub const PAGE: &str = "index.html";

/// What stands in a message's folder. A time-stamp of its checkpoint (RFC 3161) would be another part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// The signed message.
    Message,
    /// Proof of its entry, `sent`, `received` or `rejected`, in the exporter's log.
    Entry,
    /// Of a message sent: the partner's receipt.
    Partner,
    /// Of a message sent: proof of the entry that says what became of it.
    Outcome,
    /// The problem document of a refusal.
    Problem,
    /// Proof of the entry that put the partner's card into force.
    Card,
    /// Proof of the entry that put the agreement into force.
    Agreement,
    /// The agreement, where its text is still the one in force then.
    AgreementText,
    /// Proof of the entry that says why the payload was erased.
    Erased,
    /// The state of the signing certificate when the message was taken.
    Revocation,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 10] = [
        Self::Message,
        Self::Entry,
        Self::Partner,
        Self::Outcome,
        Self::Problem,
        Self::Card,
        Self::Agreement,
        Self::AgreementText,
        Self::Erased,
        Self::Revocation,
    ];

    /// Its name in the message's folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message.jws",
            Self::Entry => "entry.receipt",
            Self::Partner => "partner.receipt",
            Self::Outcome => "outcome.receipt",
            Self::Problem => "problem.json",
            Self::Card => "card.receipt",
            Self::Agreement => "agreement.receipt",
            Self::AgreementText => "agreement.toml",
            Self::Erased => "erased.receipt",
            Self::Revocation => "revocation.json",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == name)
    }
}

/// The parts of one message.
pub type Parts<'b> = BTreeMap<Part, &'b [u8]>;

/// A bundle that is being put together.
#[derive(Default)]
pub struct Bundle {
    members: Members,
    messages: usize,
    /// Of the messages' parts: what will not fit is not gathered.
    bytes: usize,
}

/// Why a bundle cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// More than [`MESSAGES_MAX`].
    #[error("a bundle holds at most {MESSAGES_MAX} messages; narrow the query")]
    TooMany,
    /// Too large, or too many members.
    #[error("{0}; narrow the query")]
    Container(#[from] ContainerError),
    /// The system gave no randomness.
    #[error("the manifest could not be signed")]
    Unsigned,
}

impl Bundle {
    /// Adds a card.
    pub fn card(&mut self, bytes: Vec<u8>) {
        self.members.insert(card_name(&Digest::of(&bytes)), bytes);
    }

    /// Adds an edition, from its files in order; gives its digest.
    pub fn edition<B: AsRef<[u8]>>(&mut self, files: &[(String, B)]) -> Digest {
        let (digest, members) = edition::members(files);
        self.members.extend(members);
        digest
    }

    /// Adds a revocation list of a partner's authorities, DER: with the certificate of its authority where that is no anchor on a card, and
    /// the proof of the entry that put it into force.
    pub fn list(&mut self, partner: Country, list: Vec<u8>, above: Option<Vec<u8>>, receipt: Vec<u8>) {
        let name = list_name(partner, &Digest::of(&list));
        self.members.insert(format!("{name}.crl"), list);
        self.members.extend(above.map(|above| (format!("{name}.cer"), above)));
        self.members.insert(format!("{name}.receipt"), receipt);
    }

    /// Adds a message.
    pub fn message(&mut self, parts: impl IntoIterator<Item = (Part, Vec<u8>)>) -> Result<(), BundleError> {
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Err(BundleError::TooMany);
        }
        let folder = message_folder(self.messages);
        for (part, bytes) in parts {
            self.bytes += bytes.len();
            if self.bytes > container::BUNDLE_MAX_BYTES {
                return Err(ContainerError::TooLarge.into());
            }
            self.members.insert(format!("{folder}{}", part.as_str()), bytes);
        }
        Ok(())
    }

    /// Writes the page, signs the manifest and gives the file.
    pub fn finish(mut self, by: &Party, at: Instant, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
        let page = page::render(&self.members, by, at);
        self.members.insert(PAGE.to_owned(), page.into_bytes());
        let manifest = manifest::sign(&self.members, by, at, key).ok_or(BundleError::Unsigned)?;
        self.members.insert(manifest::NAME.to_owned(), manifest);
        Ok(container::encode(&self.members)?)
    }
}

/// The member that holds a card.
pub fn card_name(digest: &Digest) -> String {
    format!("cards/{digest}.card")
}

/// The members of a revocation list, but for what each ends with: `.crl`, `.cer`, `.receipt`.
pub fn list_name(partner: Country, digest: &Digest) -> String {
    format!("lists/{partner}/{digest}")
}

/// The folder of message `number`, from 1.
pub fn message_folder(number: usize) -> String {
    format!("messages/{number:04}/")
}

/// The state of the signing certificate when the message was taken: its validity beside both times, and of each
/// revocation list in force, by digest, whether it names the certificate. `lists` None: which were in force is not
/// known, and nothing is said of them, as in the first format. JSON in its one spelling: members ascending.
pub fn revocation(
    certificate: &SigningCertificate,
    signed: Option<Instant>,
    logged: UtcMillis,
    lists: Option<&[Listing]>,
) -> Vec<u8> {
    let listed = |lists: &[Listing]| -> Value {
        lists.iter().map(|list| (list.digest.to_string(), list.names.into())).collect::<Map<_, _>>().into()
    };
    let mut state = json!({
        "certificate": certificate.thumbprint.to_string(),
        "lists": lists.map_or_else(|| json!([]), listed),
        "loggedAt": logged.to_string(),
        "notAfter": certificate.not_after.to_string(),
        "notBefore": certificate.not_before.to_string(),
        "v": if lists.is_some() { 2 } else { 1 },
    });
    if let Some(signed) = signed {
        state["signedAt"] = signed.to_string().into();
    }
    state.to_string().into_bytes()
}

/// A revocation list of a bundle.
pub(crate) struct Listed<'b> {
    pub(crate) list: &'b [u8],
    /// The certificate of its authority.
    pub(crate) above: Option<&'b [u8]>,
    /// Proof of the entry that put it into force.
    pub(crate) receipt: &'b [u8],
}

/// A bundle's members by what they are for; the error names a member that has no place.
pub(crate) struct Layout<'b> {
    pub(crate) cards: BTreeMap<Digest, &'b [u8]>,
    pub(crate) editions: BTreeMap<Digest, BTreeMap<&'b str, &'b [u8]>>,
    /// By partner and digest.
    pub(crate) lists: BTreeMap<(Country, Digest), Listed<'b>>,
    pub(crate) messages: Vec<Parts<'b>>,
}

impl<'b> Layout<'b> {
    pub(crate) fn read(members: &'b Members) -> Result<Self, String> {
        let mut cards = BTreeMap::new();
        let mut editions: BTreeMap<Digest, BTreeMap<&str, &[u8]>> = BTreeMap::new();
        let mut lists: BTreeMap<(Country, Digest), [Option<&'b [u8]>; 3]> = BTreeMap::new();
        let mut messages: BTreeMap<usize, Parts<'b>> = BTreeMap::new();
        for (name, bytes) in
            members.iter().filter(|(name, _)| !matches!(name.as_str(), PAGE | manifest::NAME))
        {
            let unknown = || format!("{name} has no place in a bundle");
            let (room, rest) = name.split_once('/').ok_or_else(unknown)?;
            match room {
                "cards" => {
                    let digest = rest.strip_suffix(".card").and_then(Digest::parse).ok_or_else(unknown)?;
                    cards.insert(digest, bytes.as_slice());
                }
                "editions" => {
                    let (digest, path) = rest.split_once('/').ok_or_else(unknown)?;
                    let digest = Digest::parse(digest).ok_or_else(unknown)?;
                    editions.entry(digest).or_default().insert(path, bytes.as_slice());
                }
                "lists" => {
                    let (partner, file) = rest.split_once('/').ok_or_else(unknown)?;
                    let (digest, end) = file.split_once('.').ok_or_else(unknown)?;
                    let digest = Digest::parse(digest).ok_or_else(unknown)?;
                    let key = (partner.parse().map_err(|_| unknown())?, digest);
                    let place = ["crl", "cer", "receipt"].iter().position(|known| *known == end);
                    let members = lists.entry(key).or_default();
                    *members.get_mut(place.ok_or_else(unknown)?).ok_or_else(unknown)? = Some(bytes);
                }
                _ => {
                    let number = rest.split('/').next().and_then(|number| number.parse().ok());
                    let number: usize = number.ok_or_else(unknown)?;
                    let part = name.strip_prefix(&message_folder(number)).and_then(Part::parse);
                    messages.entry(number).or_default().insert(part.ok_or_else(unknown)?, bytes.as_slice());
                }
            }
        }
        let whole = |(key, members): ((Country, Digest), [Option<&'b [u8]>; 3])| match members {
            [Some(list), above, Some(receipt)] => Ok((key, Listed { list, above, receipt })),
            _ => Err(format!("of {} there must be both .crl and .receipt", list_name(key.0, &key.1))),
        };
        let lists = lists.into_iter().map(whole).collect::<Result<_, _>>()?;
        if !members.contains_key(PAGE) {
            return Err(format!("{PAGE} is missing"));
        }
        // From 1 on without a gap, and not too many.
        let numbered = messages.keys().copied().eq(1..=messages.len());
        if messages.is_empty() || messages.len() > MESSAGES_MAX || !numbered {
            return Err(format!("its messages are not numbered from 1 to at most {MESSAGES_MAX}"));
        }
        Ok(Self { cards, editions, lists, messages: messages.into_values().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_before_more_of_it_is_gathered() {
        let mut bundle = Bundle::default();
        let part = || [(Part::Message, vec![0; container::BUNDLE_MAX_BYTES / 2 + 1])];
        assert_eq!(bundle.message(part()), Ok(()));
        assert_eq!(bundle.message(part()), Err(ContainerError::TooLarge.into()));
        let mut bundle = Bundle::default();
        assert!((0..MESSAGES_MAX).all(|_| bundle.message([]).is_ok()));
        assert_eq!(bundle.message([]), Err(BundleError::TooMany));
    }
}
