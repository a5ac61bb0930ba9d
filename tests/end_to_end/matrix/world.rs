//! What the matrix is played in: Iraq's certificates of every kind, Jordan's agreement, and the messages that
//! others rest on.

use std::collections::BTreeMap;

use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber};
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use silkgate_certs::Authority;
use silkgate_message::agreement::Agreement;
use silkgate_message::card::Card;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Jws, SigningCertificate, SigningKey};
use support::home::set;
use support::{Client, Home, Pair, answer, event, now_ms, question, wait_for};
use time::OffsetDateTime;

use super::draft::Base;
use super::sound::{envelope, movement};

pub const IQ: &str = "IQ/traffic-police";
pub const JO: &str = "JO/public-security";
/// Another authority that the agreement lets send.
pub const IQ_TOO: &str = "IQ/customs-directorate";
/// A back end of Jordan's that the agreement does not let receive.
pub const JO_TOO: &str = "JO/customs-department";

/// What is wrong with a signing certificate.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Certificate {
    pub is_early: bool,
    pub is_late: bool,
    pub is_revoked: bool,
}

pub struct World {
    pub pair: Pair,
    keys: BTreeMap<Certificate, (Vec<u8>, SigningKey)>,
    /// A movement to arrive from.
    pub departure: Value,
    /// An alert that is live, and one that was cancelled.
    pub alert: Value,
    pub ended: Value,
    /// A question that is open, and one that has its final answer.
    pub asked: Value,
    pub answered: Value,
}

impl World {
    pub fn begin() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let iq = Home::init_file(folder.path(), IQ);
        let jo = Home::init_file(folder.path(), JO);
        jo.ok(&["backend", "add", JO_TOO]);
        iq.add_partner(&jo, None);
        let keys = certificates(&iq);
        let (path, fingerprint) = iq.card();
        let mut content = Card::parse(&std::fs::read(&path).unwrap()).unwrap().content().clone();
        content.signing_certificates.extend(keys.values().map(|(der, _)| der.clone()));
        // What the agreement is not to hold.
        content.schemas.retain(|schema| schema.kind != "risk.notice");
        content.schemas.retain(|schema| schema.kind != "crossing.status" || schema.version == 1);
        let card_key = support::wire::private_key(&iq.path.join("keys/card.key"));
        std::fs::write(&path, Card::sign(&content, card_key.secret_der()).unwrap()).unwrap();
        jo.ok(&["partner", "add", &path.to_string_lossy(), "--fingerprint", &fingerprint]);
        agree(&jo);
        set(&jo, "body_seconds", "2");
        // One connection for each request: nobody but the test comes from this address.
        set(&jo, "handshakes_per_second", "100000");
        let mut pair = Pair { iq, jo, folder };
        pair.iq.start();
        pair.jo.start();
        let none = Value::Null;
        let (departure, alert, ended) = (none.clone(), none.clone(), none.clone());
        let mut world = Self { pair, keys, departure, alert, ended, asked: none.clone(), answered: none };
        world.revoke(1, false);
        world.exchange();
        world
    }

    pub fn client(&self) -> Client {
        self.pair.iq.as_partner_of(&self.pair.jo)
    }

    pub fn key(&self, certificate: Certificate) -> &SigningKey {
        &self.keys[&certificate].1
    }

    /// Signs a sound event as of `iat`: bytes and digest.
    pub fn sign(&self, event: &Value, iat: i64) -> (Vec<u8>, String) {
        let key = self.key(Certificate::default());
        let bytes = key.sign(event.to_string().as_bytes(), Instant(iat)).unwrap();
        let digest = Jws::parse(&bytes).unwrap().digest().to_string();
        (bytes, digest)
    }

    /// Puts the list of revoked certificates into force; `all`: also the sound one.
    pub fn revoke(&self, number: u64, all: bool) {
        let revoked: Vec<_> = self
            .keys
            .iter()
            .filter(|(certificate, _)| all || certificate.is_revoked)
            .map(|(_, (der, _))| (silkgate_message::revocation::serial(der).unwrap(), at(-1)))
            .collect();
        let read = |path: &str| std::fs::read_to_string(self.pair.iq.path.join(path)).unwrap();
        let authority = Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap();
        let list = authority.revocation_list(number, &revoked, at(-1), at(9)).unwrap();
        let file = self.pair.folder.path().join(format!("list-{number}.crl"));
        std::fs::write(&file, list).unwrap();
        self.pair.jo.ok(&["partner", "crl", "IQ", &file.to_string_lossy()]);
    }

    /// The messages that others rest on.
    fn exchange(&mut self) {
        let now = now_ms();
        let (iq, jo) = (self.client(), self.pair.jo.back_end(JO));
        let mut departed = envelope(Base::Movement, now, "D-1");
        departed["data"] = movement();
        for (name, value) in
            [("action", json!("new")), ("recordId", json!("D-1")), ("recordVersion", json!(1))]
        {
            departed["data"][name] = value;
        }
        let (bytes, digest) = self.sign(&departed, now);
        let taken = iq.message(&bytes);
        assert_eq!(taken.status, 200, "{}", String::from_utf8_lossy(&taken.body));
        self.departure = json!({ "messageId": departed["id"], "digest": digest });
        let submitted = |event: &Value| {
            let taken = jo.submit(event);
            assert_eq!(taken.status, 202, "{}", taken.json());
            let settled = jo.outcome(event["id"].as_str().unwrap());
            assert_eq!(settled["state"], "receipted", "{settled}");
            json!({ "messageId": event["id"], "digest": settled["digest"], "recordId": event["subject"],
                    "type": "alert.vehicle" })
        };
        self.alert = submitted(&event(JO, IQ));
        let alert = event(JO, IQ);
        self.ended = submitted(&alert);
        let mut cancel = event(JO, IQ);
        cancel["subject"] = alert["subject"].clone();
        cancel["data"] = json!({ "action": "cancel", "recordId": alert["subject"], "recordVersion": 2,
            "supersedes": { "messageId": self.ended["messageId"], "digest": self.ended["digest"] },
            "reason": "Found again" });
        submitted(&cancel);
        let (asked, answered) = (question(JO, IQ, 3_000_000), question(JO, IQ, 3_000_000));
        (self.asked, self.answered) =
            (submitted(&asked)["messageId"].clone(), submitted(&answered)["messageId"].clone());
        let last = answer(IQ, JO, self.answered.as_str().unwrap(), "none");
        assert_eq!(iq.message(&self.sign(&last, now_ms()).0).status, 200);
        // What was cancelled counts once its instant has passed.
        wait_for("a millisecond to pass", || (now_ms() > now + 1).then_some(()));
    }
}

fn at(hours: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now_ms() / 1000 + hours * 3600).unwrap()
}

/// Certificates of Iraq's authority for one key: sound, too early, too late, both, and revoked ones.
fn certificates(iq: &Home) -> BTreeMap<Certificate, (Vec<u8>, SigningKey)> {
    let read = |path: &str| std::fs::read_to_string(iq.path.join(path)).unwrap();
    let authority = KeyPair::from_pem(&read("keys/tls-ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("certs/tls-ca.pem"), authority).unwrap();
    let pair = KeyPair::generate().unwrap();
    let pkcs8 = rustls_pki_types::PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes()).unwrap();
    let mut made = BTreeMap::new();
    for (is_early, is_late, is_revoked) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (false, false, true),
        (true, false, true),
        (false, true, true),
    ] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Silkgate messages IQ");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.is_ca = IsCa::ExplicitNoCa;
        params.serial_number = Some(SerialNumber::from_slice(&[made.len() as u8 + 1]));
        let day = 24;
        params.not_before = at(day * if is_early { 10 } else { -800 });
        params.not_after = at(day * if is_late { -70 } else { 300 });
        let der = params.signed_by(&pair, &issuer).unwrap().der().to_vec();
        let certificate = SigningCertificate::parse(&der).unwrap();
        let key = SigningKey::new(pkcs8.secret_der(), &certificate).unwrap();
        made.insert(Certificate { is_early, is_late, is_revoked }, (der, key));
    }
    made
}

/// Jordan's agreement with Iraq.
fn agree(jo: &Home) {
    jo.ok(&["partner", "allow", "IQ", "--status", "actual", "--rate", "50000"]);
    let mut agreement = Agreement::parse(&jo.ok(&["partner", "show", "IQ", "--agreement"])).unwrap();
    for clause in &mut agreement.receive {
        clause.senders = vec![IQ.parse().unwrap(), IQ_TOO.parse().unwrap()];
        clause.recipients = vec![JO.parse().unwrap()];
        clause.handling.retain(|code| code != "H0");
    }
    let file = jo.path.join("iq.toml");
    std::fs::write(&file, agreement.to_toml()).unwrap();
    jo.ok(&["partner", "agree", "IQ", &file.to_string_lossy()]);
}
