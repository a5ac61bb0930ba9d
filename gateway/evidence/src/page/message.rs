//! One message on the page.

use serde_json::Value;
use silkgate_ledger::{Entry, Kind, TlogProof, Verdict};
use silkgate_message::json;
use silkgate_message::jws::Jws;
use silkgate_message::problem::Code;

use super::Both;
use super::html::{Html, escaped, isolated};
use crate::bundle::{Part, Parts};

/// What the page tells of a message, unverified.
pub(super) struct Facts {
    pub(super) entry: Entry,
    outcome: Option<Entry>,
    origin: String,
    index: u64,
    cosigned: usize,
    jws: Option<Jws>,
    problem: Option<Value>,
    erased: Option<Entry>,
    revocation: Option<Value>,
}

/// The verdict in words, and how it looks.
pub(super) struct Said {
    pub(super) says: Both,
    class: &'static str,
}

impl Facts {
    pub(super) fn read(parts: &Parts<'_>) -> Option<Self> {
        let proof = |part: Part| TlogProof::parse(parts.get(&part)?).ok();
        let entry = |proof: &TlogProof| Entry::parse(proof.extra.as_deref()?).ok();
        let own = proof(Part::Entry)?;
        Some(Self {
            entry: entry(&own)?,
            outcome: proof(Part::Outcome).and_then(|proof| entry(&proof)),
            origin: own.checkpoint.text().lines().next()?.to_owned(),
            index: own.index,
            cosigned: own.checkpoint.signatures().len().saturating_sub(1),
            jws: parts.get(&Part::Message).and_then(|bytes| Jws::parse(bytes).ok()),
            problem: parts.get(&Part::Problem).and_then(|bytes| json::parse_wrapper(bytes).ok()),
            erased: proof(Part::Erased).and_then(|proof| entry(&proof)),
            revocation: parts.get(&Part::Revocation).and_then(|bytes| json::parse_wrapper(bytes).ok()),
        })
    }

    /// The revocation lists in force when it was logged, and whether one names the certificate.
    fn revocation(&self) -> Both {
        let lists = self.revocation.as_ref().filter(|state| state["v"] == 2);
        let Some(lists) = lists.and_then(|state| state["lists"].as_object()) else {
            return Both::new(
                "Which revocation lists were in force when it was logged, this bundle does not say.",
                "لا تُبيّن هذه الحزمة قوائم إلغاء الشهادات التي كانت سارية وقت القيد.",
            );
        };
        if self.entry.kind == Kind::Sent {
            return Both::new(
                "The exporter holds no revocation list about its own certificates.",
                "لا تحتفظ الجهة المُصدِّرة بقائمة إلغاء تخصّ شهاداتها هي.",
            );
        }
        let count = isolated(&lists.len().to_string());
        if lists.is_empty() {
            Both::new(
                "No revocation list of the sender's state was in force when it was logged.",
                "لم تكن أيّ قائمة إلغاء لدولة المُرسِل سارية وقت القيد.",
            )
        } else if lists.values().any(|names| names == true) {
            Both::new(
                format!(
                    "Revoked: the certificate is on a revocation list of the sender's state that was in force when it was logged ({count} in force)."
                ),
                format!(
                    "مُلغاة: تَرِد الشهادة في إحدى قوائم الإلغاء لدولة المُرسِل السارية وقت القيد (عددها {count})."
                ),
            )
        } else {
            Both::new(
                format!(
                    "Not revoked: the certificate is on none of the revocation lists of the sender's state that were in force when it was logged ({count} in force)."
                ),
                format!(
                    "غير مُلغاة: لا تَرِد الشهادة في أيّ من قوائم الإلغاء لدولة المُرسِل السارية وقت القيد (عددها {count})."
                ),
            )
        }
    }

    /// What became of it.
    pub(super) fn verdict(&self) -> Said {
        let mut states = self.origin.rsplit('/');
        let (partner, own) = (states.next().unwrap_or_default(), states.next().unwrap_or_default());
        let accepted = |by: &str| {
            let by = isolated(by);
            Said {
                says: Both::new(format!("Accepted by {by}"), format!("قُبلت لدى {by}")), class: "good"
            }
        };
        let refused = |by: &str, code: &Option<String>| {
            let (by, code) = (isolated(by), code.as_deref().unwrap_or_default());
            let title =
                Code::parse(code).map_or(String::new(), |code| format!(": {}", escaped(code.title())));
            let code = isolated(code);
            let says =
                Both::new(format!("Refused by {by}, {code}{title}"), format!("رُفضت لدى {by}، الرمز {code}"));
            Said { says, class: "bad" }
        };
        let open = |en: &str, ar: &str| Said { says: Both::new(en, ar), class: "" };
        match (self.entry.kind, &self.outcome) {
            (Kind::Received, _) => accepted(own),
            (Kind::Rejected, _) => refused(own, &self.entry.code),
            (_, Some(outcome)) if outcome.kind == Kind::Receipted => match outcome.verdict {
                Some(Verdict::Accepted) => accepted(partner),
                _ => refused(partner, &outcome.code),
            },
            (_, Some(_)) => open("No verdict came back", "لم يرِد أيّ حكم"),
            (_, None) => open("Taken over to be sent; no outcome yet", "استُلمت للإرسال ولا نتيجة بعد"),
        }
    }
}

pub(super) fn section(html: &mut Html, number: &str, parts: &Parts<'_>) {
    let Some(facts) = Facts::read(parts) else { return };
    let text = |value: &Option<String>| isolated(value.as_deref().unwrap_or("—"));
    let entry = &facts.entry;
    html.raw(&format!("<h2 id=\"m{0}\">{0} · {1}</h2>\n", escaped(number), text(&entry.message_type)));
    let verdict = facts.verdict();
    for (language, says) in [("lang=\"en\"", &verdict.says.en), ("lang=\"ar\" dir=\"rtl\"", &verdict.says.ar)]
    {
        html.raw(&format!("<p class=\"verdict {}\" {language}>{says}</p>\n", verdict.class));
    }
    html.open("table", "class=\"facts\"");
    html.fact("Message", &text(&entry.id), "الرسالة");
    html.fact("From", &text(&entry.from), "من");
    html.fact("To", &text(&entry.to), "إلى");
    let event = facts.jws.as_ref().map(|jws| &jws.event);
    for (name, en, ar) in [
        ("subject", "Record", "السجلّ المعنيّ"),
        ("status", "Status", "الحالة"),
        ("purpose", "Purpose", "الغرض"),
        ("handling", "Handling", "قيود التعامل"),
        ("time", "Stated at (UTC)", "وقت الإفادة (UTC)"),
    ] {
        if let Some(value) = event.and_then(|event| event.get(name)?.as_str()) {
            html.fact(en, &isolated(value), ar);
        }
    }
    if let Some(jws) = &facts.jws {
        html.fact("Signed at (UTC)", &isolated(&jws.iat.to_string()), "وقت التوقيع (UTC)");
    }
    html.fact("Logged at (UTC)", &isolated(&entry.at.to_string()), "وقت القيد (UTC)");
    let place = format!("{} {}", isolated(&facts.origin), isolated(&format!("#{}", facts.index)));
    html.fact("Entry of the log", &place, "قيد السجلّ");
    let digest = entry.jws.map(|hash| hash.to_base64url());
    html.fact("Digest", &text(&digest), "الملخّص");
    html.fact("Cosignatures", &isolated(&facts.cosigned.to_string()), "التواقيع المشتركة");
    if let Some(outcome) = &facts.outcome {
        html.fact("Outcome logged at (UTC)", &isolated(&outcome.at.to_string()), "وقت قيد النتيجة (UTC)");
    }
    html.close("table");
    html.pair("p", &facts.revocation());
    if let Some(erased) = &facts.erased {
        let rule = text(&erased.rule);
        html.pair(
            "p",
            &Both::new(
                format!("The content was erased by the rule {rule}."),
                format!("حُذف المحتوى بموجب القاعدة {rule}."),
            ),
        );
    }
    if let Some(data) = event.and_then(|event| event.get("data")) {
        html.pair("h3", &Both::new("Content", "المحتوى"));
        html.data(data);
    }
    if let Some(violations) = facts.problem.as_ref().and_then(|problem| problem.get("violations")) {
        html.pair("h3", &Both::new("Violations, by who refused", "المخالفات وفق الجهة الرافضة"));
        html.data(violations);
    }
}
