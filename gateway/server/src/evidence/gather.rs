//! Reads from the store what a bundle holds.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_evidence::bundle::{self, Bundle, BundleError, MESSAGES_MAX, Part};
use silkgate_evidence::{Listing, witness_key};
use silkgate_ledger::{Entry, Hash, Kind, Note, TlogProof, WitnessKey};
use silkgate_message::card::Card;
use silkgate_message::catalogue::{Catalogue, edition};
use silkgate_message::jws::{Digest, Jws, SigningCertificate};
use silkgate_message::party::Country;

use super::found::{Found, Wanted, read};
use super::lists::Listed;
use super::{EarlierEdition, Exporter, Step, Tell};
use crate::store::ledger::{self, Head, hash};
use crate::store::message::{self, Message, State, Way};
use crate::store::{Connection, Store, partner, proof, witness};

/// What was gathered.
pub struct Gathered {
    pub(super) bundle: Bundle,
    /// How many messages.
    pub(super) messages: usize,
}

/// One message of the bundle: its entry, and its row unless it is a conflict.
struct Item<'r> {
    log: i64,
    index: u64,
    row: Option<&'r Message>,
}

/// Gathers everything about these messages for that exporter. `schemas`: the folder of an earlier release, for messages that were
/// judged by its edition; `tell` hears how far it has come. An error that is a [`BundleError`] says that they are too many or too
/// large; one that is an [`EarlierEdition`], that `schemas` does not hold what judged one.
pub async fn gather(
    store: &Store,
    conn: &mut Connection,
    exporter: &Exporter,
    rows: &[Message],
    schemas: Option<&Path>,
    tell: Tell<'_>,
) -> Result<Gathered> {
    let own = exporter.country;
    let heads = ledger::heads(conn).await?;
    let states: HashSet<&str> = rows.iter().map(|row| row.partner.as_str()).chain([own.as_str()]).collect();
    let mut cards = Vec::new();
    for (country, bytes) in partner::cards(conn).await? {
        if states.contains(country.as_str()) {
            let card = Card::parse(&bytes).map_err(|error| anyhow!("a stored card of {country}: {error}"))?;
            cards.push((card, bytes));
        }
    }
    let mut ours = cards.iter().map(|(card, _)| card.content()).filter(|card| card.country == own);
    if !ours.any(|card| card.signing_certificates.contains(&exporter.certificate.der)) {
        bail!(
            "our signing certificate is on no card of ours yet: print the card with `silkgate card`, and hand it to partners"
        );
    }
    let wanted = Wanted::of(rows);
    let mut found = HashMap::new();
    let given_up = rows.iter().any(|row| matches!(row.state, State::Dead | State::Dropped));
    for head in &heads {
        if rows.iter().any(|row| row.log == head.id) || (head.partner.is_none() && given_up) {
            let mut read = read(conn, head, &wanted, tell).await?;
            read.lists.take(conn, head.id).await?;
            found.insert(head.id, read);
        }
    }
    let gathering = Gathering { store, own, found: &found, cards: &cards, schemas };
    let items = items(rows, &found);
    if items.len() > MESSAGES_MAX {
        return Err(BundleError::TooMany.into());
    }
    let mut plans = Vec::new();
    for item in items {
        plans.push(gathering.plan(conn, item).await?);
    }
    let sizes = checkpoints(conn, &heads, &plans).await?;
    let mut bundle = Bundle::default();
    let mut listed = Listed::default();
    cards.iter().for_each(|(_, bytes)| bundle.card(bytes.clone()));
    for (at, plan) in plans.iter().enumerate() {
        if at > 0 && at % 100 == 0 {
            tell(Step::Messages { done: at, of: plans.len() });
        }
        let lists = gathering.lists(conn, plan, &sizes, &mut listed).await?;
        let parts = gathering.parts(conn, plan, &sizes, lists.as_deref()).await?;
        bundle.message(parts)?;
        gathering.edition(&mut bundle, plan)?;
    }
    listed.put(&mut bundle);
    Ok(Gathered { messages: plans.len(), bundle })
}

/// The messages in order, each followed by the first that were refused for having its id.
fn items<'r>(rows: &'r [Message], found: &HashMap<i64, Found>) -> Vec<Item<'r>> {
    let mut items = Vec::new();
    for row in rows {
        items.push(Item { log: row.log, index: row.entry, row: Some(row) });
        if let (Way::Received, Some(found)) = (row.way, found.get(&row.log)) {
            let conflicts = found.conflicts(&row.id.to_string(), &row.source).iter();
            items.extend(conflicts.map(|index| Item { log: row.log, index: *index, row: None }));
        }
    }
    items
}

/// A message, and which entries prove what about it.
pub(super) struct Plan<'r> {
    entry: Entry,
    row: Option<&'r Message>,
    proofs: Vec<(Part, i64, u64)>,
    pub(super) log: i64,
    /// The entries of the revocation lists that were in force for it; None: they are not known.
    pub(super) lists: Option<Vec<u64>>,
}

/// One checkpoint for each log, so that all proofs show one history: the first over all of them that a partner
/// cosigned, else the newest.
async fn checkpoints(conn: &mut Connection, heads: &[Head], plans: &[Plan<'_>]) -> Result<HashMap<i64, u64>> {
    let mut sizes = HashMap::new();
    for head in heads {
        let proofs = plans.iter().flat_map(|plan| &plan.proofs).filter(|(_, log, _)| *log == head.id);
        if let Some(last) = proofs.map(|(_, _, index)| *index).max() {
            let cosigned = witness::first_cosigned(conn, head.id, last + 1).await?;
            sizes.insert(head.id, cosigned.unwrap_or(head.size));
        }
    }
    Ok(sizes)
}

pub(super) struct Gathering<'g> {
    store: &'g Store,
    own: Country,
    pub(super) found: &'g HashMap<i64, Found>,
    cards: &'g [(Card, Vec<u8>)],
    schemas: Option<&'g Path>,
}

impl Gathering<'_> {
    async fn plan<'r>(&self, conn: &mut Connection, item: Item<'r>) -> Result<Plan<'r>> {
        let Item { log, index, row } = item;
        let body = ledger::entry(conn, log, index).await?;
        let body = body
            .ok_or_else(|| anyhow!("entry {index} of a message is missing; run `silkgate audit verify`"))?;
        let entry = Entry::parse(&body).map_err(|error| anyhow!("entry {index}: {error}"))?;
        let found = self.found.get(&log).ok_or_else(|| anyhow!("a message is of no log"))?;
        let mut proofs = vec![(Part::Entry, log, index)];
        let card = self.card_in_force(found, index, &entry);
        proofs.extend(card.map(|index| (Part::Card, log, index)));
        let agreement = found.before(index, "agreement").next();
        proofs.extend(agreement.map(|(index, _)| (Part::Agreement, log, index)));
        if let Some(digest) = entry.jws.filter(|_| entry.kind == Kind::Sent) {
            let outcome =
                self.found.iter().find_map(|(log, found)| Some((*log, *found.outcomes.get(&digest)?)));
            proofs.extend(outcome.map(|(log, index)| (Part::Outcome, log, index)));
        }
        proofs.extend(found.erased.get(&index).map(|index| (Part::Erased, log, *index)));
        // About our own certificates no list is held.
        let lists = if entry.kind == Kind::Sent { Some(Vec::new()) } else { found.lists.at(index) };
        Ok(Plan { entry, row, proofs, log, lists })
    }

    /// The card that the message was judged by: of a partner's message the last one before it that holds its
    /// certificate, since a card may come into force while a message is on its way through the checks.
    fn card_in_force(&self, found: &Found, index: u64, entry: &Entry) -> Option<u64> {
        let holds = |digest: &Hash| {
            let card = self.cards.iter().find(|(card, _)| card.digest() == *digest.as_bytes());
            let mut certificates =
                card.into_iter().flat_map(|(card, _)| &card.content().signing_certificates);
            certificates.any(|der| Some(hash(Digest::of(der))) == entry.cert)
        };
        let holding =
            found.before(index, "card").find(|(_, digest)| entry.kind == Kind::Sent || holds(digest));
        holding.or_else(|| found.before(index, "card").next()).map(|(index, _)| index)
    }

    async fn parts(
        &self,
        conn: &mut Connection,
        plan: &Plan<'_>,
        sizes: &HashMap<i64, u64>,
        lists: Option<&[Listing]>,
    ) -> Result<Vec<(Part, Vec<u8>)>> {
        let mut parts = Vec::new();
        for (part, log, index) in &plan.proofs {
            let size = sizes.get(log).copied().unwrap_or_default();
            let bytes = proof::witnessed(conn, *log, *index, size).await?;
            parts.push((*part, self.with_known_lines(&bytes)?));
        }
        let mut signed = None;
        if let Some(row) = plan.row {
            let payload = self.store.payload(conn, row.seq).await?;
            signed = payload.as_deref().and_then(|bytes| Jws::parse(bytes).ok()).map(|jws| jws.iat);
            let problem = message::refusal(conn, row.seq).await?;
            let receipt = message::receipt(conn, row.seq).await?;
            parts.extend(payload.map(|bytes| (Part::Message, bytes)));
            parts.extend(problem.map(|bytes| (Part::Problem, bytes)));
            parts.extend(receipt.map(|bytes| (Part::Partner, bytes)));
        }
        let agreement = plan.proofs.iter().find(|(part, _, _)| *part == Part::Agreement);
        if let Some((_, log, index)) = agreement {
            let text = self.agreement(conn, *log, *index).await?;
            parts.extend(text.map(|text| (Part::AgreementText, text.into_bytes())));
        }
        let signer = self.signer(plan)?;
        parts.push((Part::Revocation, bundle::revocation(&signer, signed, plan.entry.at, lists)));
        Ok(parts)
    }

    pub(super) fn signer(&self, plan: &Plan<'_>) -> Result<SigningCertificate> {
        let certificates = self.cards.iter().flat_map(|(card, _)| &card.content().signing_certificates);
        let mut certificates = certificates.filter_map(|der| SigningCertificate::parse(der));
        let signer = certificates.find(|found| Some(hash(found.thumbprint)) == plan.entry.cert);
        signer.ok_or_else(|| anyhow!("the certificate of a message is on no card that we hold"))
    }

    /// The agreement's text, if one in force now is the one of then: earlier texts are not kept.
    async fn agreement(&self, conn: &mut Connection, log: i64, index: u64) -> Result<Option<String>> {
        let in_force = self.found.get(&log).into_iter().flat_map(|found| &found.in_force);
        let digest = in_force.into_iter().find(|(at, _, _)| *at == index).map(|(_, _, digest)| *digest);
        let texts = partner::all(conn).await?.into_iter().map(|row| row.agreement);
        Ok(texts.into_iter().find(|text| Some(hash(Digest::of(text.as_bytes()))) == digest))
    }

    /// A proof whose checkpoint keeps the lines of the log and of witnesses whose cards are in the bundle.
    pub(super) fn with_known_lines(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut proof = TlogProof::parse(bytes).map_err(|error| anyhow!("a proof: {error}"))?;
        let others =
            self.cards.iter().map(|(card, _)| card).filter(|card| card.content().country != self.own);
        let witnesses: Vec<WitnessKey> = others.filter_map(witness_key).collect();
        let note = &proof.checkpoint;
        let origin = note.text().lines().next().unwrap_or_default();
        let known = note.signatures().iter().filter(|line| {
            line.name() == origin
                || witnesses.iter().any(|key| key.name() == line.name() && key.key_id() == line.key_id())
        });
        let lines: String = known.map(|line| format!("{line}\n")).collect();
        proof.checkpoint = Note::parse(format!("{}\n{lines}", note.text()).as_bytes())
            .map_err(|error| anyhow!("a checkpoint: {error}"))?;
        Ok(proof.encode())
    }

    /// Adds the edition that the message was judged by.
    fn edition(&self, bundle: &mut Bundle, plan: &Plan<'_>) -> Result<()> {
        let (Some(digest), Some(kind)) = (plan.entry.schema, &plan.entry.message_type) else { return Ok(()) };
        let types = Catalogue::embedded().types().iter();
        if let Some(t) = types.filter(|t| t.name() == kind).find(|t| t.digest() == *digest.as_bytes()) {
            bundle.edition(&t.edition_files());
            return Ok(());
        }
        let missing = || EarlierEdition { kind: kind.clone(), digest: digest.to_base64url() };
        let files = earlier_edition(self.schemas.ok_or_else(missing)?, kind, digest)?;
        bundle.edition(&files.ok_or_else(missing)?);
        Ok(())
    }
}

/// Paths and bytes, in the order of an edition.
type Files = Vec<(String, Vec<u8>)>;

/// The files of an edition of a type under a `schemas` folder, if they give that digest.
fn earlier_edition(folder: &Path, kind: &str, digest: Hash) -> Result<Option<Files>> {
    for version in 1.. {
        if !folder.join(kind).join(version.to_string()).is_dir() {
            return Ok(None);
        }
        for further in [false, true] {
            let paths = edition::paths(kind, version, further).into_iter();
            let read = |path: String| {
                let file = folder.join(&path);
                Ok((path, std::fs::read(&file).with_context(|| file.display().to_string())?))
            };
            let files = paths.map(read).collect::<Result<Vec<_>>>()?;
            let digests: Vec<Digest> = files.iter().map(|(_, bytes)| Digest::of(bytes)).collect();
            if hash(edition::digest(&digests)) == digest {
                return Ok(Some(files));
            }
        }
    }
    Ok(None)
}
