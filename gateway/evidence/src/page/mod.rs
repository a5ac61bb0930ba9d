//! The summary page: what a bundle holds, for a reader, in English and Arabic.
//!
//! It is made from the members, judges nothing and is not judged: the manifest binds it to the exporter. One
//! file without scripts and without anything to fetch; every value is escaped and isolated, as what it
//! shows was written by others.

mod html;
mod message;

use std::collections::BTreeMap;

use silkgate_ledger::Hash;
use silkgate_message::card::Card;
use silkgate_message::instant::Instant;
use silkgate_message::party::Party;

use crate::bundle::{Part, Parts, message_folder};
use crate::container::Members;
use html::{Html, escaped, isolated};

const STYLE: &str = include_str!("style.css");

/// A text in English and Arabic, HTML.
pub(crate) struct Both {
    en: String,
    ar: String,
}

impl Both {
    fn new(en: impl Into<String>, ar: impl Into<String>) -> Self {
        Self { en: en.into(), ar: ar.into() }
    }
}

/// The page of a bundle with these members, exported by `by` at `at`.
pub fn render(members: &Members, by: &Party, at: Instant) -> String {
    let mut html = Html::default();
    head(&mut html);
    html.pair("h1", &Both::new("Evidence of messages between states", "أدلّة على رسائل متبادلة بين الدول"));
    warning(&mut html);
    let messages = messages(members);
    html.open("table", "class=\"facts\"");
    html.fact("Exported by", &isolated(by.as_str()), "الجهة المُصدِّرة");
    html.fact("Exported at (UTC)", &isolated(&at.to_string()), "وقت التصدير (UTC)");
    html.fact("Messages", &isolated(&messages.len().to_string()), "عدد الرسائل");
    html.close("table");
    cards(&mut html, members);
    if messages.len() > 1 {
        contents(&mut html, &messages);
    }
    for (number, parts) in &messages {
        message::section(&mut html, number, parts);
    }
    verify(&mut html);
    html.raw("</main>\n</body>\n</html>\n");
    html.finish()
}

fn head(html: &mut Html) {
    let hash = Hash::of(STYLE.as_bytes()).to_base64();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw(&format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n"
    ));
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n");
    html.raw("<title>Evidence · أدلّة</title>\n");
    html.raw(&format!("<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"));
}

fn warning(html: &mut Html) {
    html.open("div", "class=\"note\"");
    html.pair(
        "p",
        &Both::new(
            "This page is the exporter's summary and proves nothing by itself. The proofs are the other files of this bundle. \
             Verify the bundle before you rely on this page; how is said at its end.",
            "هذه الصفحة ملخّص من الجهة المُصدِّرة ولا تُثبت شيئًا بذاتها. البراهين هي الملفات الأخرى في هذه الحزمة. \
             تحقَّق من الحزمة قبل الاعتماد على هذه الصفحة، وطريقة التحقّق مذكورة في آخرها.",
        ),
    );
    html.close("div");
}

/// The messages by number.
fn messages(members: &Members) -> Vec<(String, Parts<'_>)> {
    (1..)
        .map(|number| {
            let folder = message_folder(number);
            let parts = Part::ALL.into_iter().filter_map(|part| {
                Some((part, members.get(&format!("{folder}{}", part.as_str()))?.as_slice()))
            });
            (format!("{number:04}"), parts.collect::<Parts<'_>>())
        })
        .take_while(|(_, parts)| !parts.is_empty())
        .collect()
}

/// The fingerprints that a reader must compare.
fn cards(html: &mut Html, members: &Members) {
    let cards = members.iter().filter(|(name, _)| name.starts_with("cards/"));
    let mut states = BTreeMap::new();
    for card in cards.filter_map(|(_, bytes)| Card::parse(bytes).ok()) {
        let content = card.content();
        states.insert(
            content.country,
            (card.fingerprint().to_string(), content.name.clone(), content.host.clone()),
        );
    }
    html.pair("h3", &Both::new("Fingerprints to compare", "البصمات الواجب مطابقتها"));
    html.pair(
        "p",
        &Both::new(
            "Everything rests on the card keys of the states. Compare each fingerprint with the one that the state published.",
            "يستند كلّ شيء إلى مفاتيح بطاقات الدول. طابِق كلّ بصمة مع البصمة التي نشرتها الدولة.",
        ),
    );
    html.open("table", "");
    html.raw("<tr><th>State · الدولة</th><th>Fingerprint · البصمة</th><th>Gateway · البوّابة</th></tr>\n");
    for (country, (fingerprint, name, host)) in states {
        html.row(&[
            &isolated(country.as_str()),
            &isolated(&fingerprint),
            &format!("{} {}", isolated(&name), isolated(&host)),
        ]);
    }
    html.close("table");
}

fn contents(html: &mut Html, messages: &[(String, Parts<'_>)]) {
    html.pair("h3", &Both::new("Contents", "المحتويات"));
    html.open("table", "");
    html.raw("<tr><th>No.</th><th>Type · النوع</th><th>From · من</th><th>To · إلى</th><th>Verdict · الحكم</th></tr>\n");
    for (number, parts) in messages {
        let Some(facts) = message::Facts::read(parts) else { continue };
        let link = format!("<a href=\"#m{0}\">{0}</a>", escaped(number));
        let verdict = facts.verdict();
        let text = |value: &Option<String>| isolated(value.as_deref().unwrap_or("?"));
        html.row(&[
            &link,
            &text(&facts.entry.message_type),
            &text(&facts.entry.from),
            &text(&facts.entry.to),
            &format!("{}<br><span lang=\"ar\" dir=\"rtl\">{}</span>", verdict.says.en, verdict.says.ar),
        ]);
    }
    html.close("table");
}

fn verify(html: &mut Html) {
    html.raw("<h2>Verify again · إعادة التحقّق</h2>\n");
    html.pair(
        "p",
        &Both::new(
            "Two programs judge this bundle offline, from the file alone: <code>silkgate verify FILE.zip</code>, and, written \
             independently and short enough to be read in court, <code>python3 verify.py FILE.zip</code>. They check:",
            "يفحص برنامجان هذه الحزمة دون اتصال ومن الملف وحده: <code dir=\"ltr\">silkgate verify FILE.zip</code>، \
             وبرنامج ثانٍ مستقلّ وقصير بما يكفي ليُقرأ أمام المحكمة: <code dir=\"ltr\">python3 verify.py FILE.zip</code>. وهما يتحقّقان من الآتي:",
        ),
    );
    let checks = [
        (
            "no byte of the file was changed since its export, and who exported it signed every part",
            "لم يتغيّر أيّ بايت من الملف منذ تصديره، وأنّ المُصدِّر وقّع كلّ جزء منه",
        ),
        (
            "each message was signed by its sender with a certificate on its state's card, valid then",
            "كلّ رسالة وقّعها مُرسِلها بشهادة مدرجة في بطاقة دولته وكانت صالحة حينها",
        ),
        (
            "the log of the exporting state holds the entry of each message, under a signed checkpoint",
            "سجلّ الدولة المُصدِّرة يتضمّن قيد كلّ رسالة تحت نقطة تحقّق موقّعة",
        ),
        (
            "cosignatures of the other state's witness on that checkpoint, where there are any",
            "التواقيع المشتركة من شاهد الدولة الأخرى على تلك النقطة إن وُجدت",
        ),
        (
            "the receipt of the other state proves its verdict in its own log",
            "إيصال الدولة الأخرى يُثبت حكمها في سجلّها هي",
        ),
        (
            "which card, agreement, revocation lists, schema and rules were in force",
            "البطاقة والاتفاق وقوائم الإلغاء والمخطّط والقواعد السارية وقتئذ",
        ),
    ];
    html.raw("<div class=\"pair\">\n<ol lang=\"en\">\n");
    checks.iter().for_each(|(en, _)| html.raw(&format!("<li>{en}</li>\n")));
    html.raw("</ol>\n<ol lang=\"ar\" dir=\"rtl\">\n");
    checks.iter().for_each(|(_, ar)| html.raw(&format!("<li>{ar}</li>\n")));
    html.raw("</ol>\n</div>\n");
}
