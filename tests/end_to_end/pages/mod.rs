//! The pages for people, in a real browser: every page in both languages for every role, from the overview to a proven message,
//! and what must not be shown, believed or run.

mod doors;
mod evidence;
mod hostile;
mod proof;
mod reading;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use silkgate_message::values::plate;
use support::browser::Browser;
use support::home::{Home, free_ports, set};
use support::{Pair, event, sign};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// Iraq and Jordan, Jordan with pages; of Jordan one person in each role.
pub(super) struct Office {
    pub(super) pair: Pair,
    /// Where Jordan's pages are.
    pub(super) address: String,
}

impl Office {
    pub(super) fn open() -> Self {
        let mut pair = Pair::set_up(None);
        let address = format!("127.0.0.1:{}", free_ports()[0]);
        with_pages(&pair.jo, &address);
        for (role, name) in [("operator", "omar"), ("auditor", "amal"), ("data-protection", "dora")] {
            pair.jo.ok(&["client", "add", role, name]);
        }
        [&pair.iq, &pair.jo].into_iter().for_each(|home| set(home, "show_seconds", "0"));
        pair.iq.start();
        pair.jo.start();
        Self { pair, address }
    }

    /// A link for one of Jordan's people.
    pub(super) fn link(&self, person: &str) -> String {
        self.pair.jo.ok(&["open", person]).trim().to_owned()
    }

    /// A browser that has opened such a link.
    pub(super) fn browser(&self, person: &str, language: &str) -> Browser {
        let browser = Browser::start(language);
        browser.go(&self.link(person));
        assert_eq!(browser.address(), self.page("/"));
        browser
    }

    /// The address of a page.
    pub(super) fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Iraq sends an event to Jordan, which judges it; the message's id.
    pub(super) fn send(&self, event: &Value) -> String {
        let message = sign(&self.pair.iq.message_key(), event);
        self.pair.iq.as_partner_of(&self.pair.jo).message(&message.bytes);
        message.id
    }
}

impl Office {
    /// Jordan's back end takes over all that waits for it: what it has is no reason any more to keep a message.
    pub(super) fn hand_over(&self) {
        let back_end = self.pair.jo.back_end(JO);
        for delivery in back_end.deliveries("") {
            assert!(back_end.acknowledge(&delivery).status < 300);
        }
    }
}

/// Gives a gateway a plane of pages at its next start.
pub(super) fn with_pages(home: &Home, address: &str) {
    let file = home.path.join("silkgate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("# listen = \"127.0.0.1:9465\"", &format!("listen = \"{address}\""));
    std::fs::write(&file, text).unwrap();
}

/// An alert with names in two scripts, of Iraq for Jordan.
pub(super) fn alert() -> Value {
    let mut alert = event(IQ, JO);
    let display = "٢٢ ا ١٢٣٤٥";
    alert["data"]["plate"] = json!({
        "display": display, "script": "Arab", "registrationCountry": "IQ", "matchKey": plate::match_key(display),
    });
    alert
}

/// Where pictures of the pages are kept.
pub(super) fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pictures")
}

/// Every rule of WCAG 2.2 A and AA, and of axe-core's best practices, that the page breaks, with where.
pub(super) fn inaccessible(browser: &Browser) -> Vec<String> {
    axe(browser, "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']")
}

/// The same for these rules of axe-core.
fn axe(browser: &Browser, rules: &str) -> Vec<String> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop/node/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(file).expect("axe-core is installed: tests/run does it");
    let script = format!(
        "{axe}; return axe.run(document, {{ resultTypes: ['violations'], runOnly: {rules} }})
           .then(found => found.violations.map(v => v.id + ': ' + v.help + ' at ' + v.nodes.map(n => n.target).join(' ')))"
    );
    let found = browser.run(&script, &[]);
    found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Looks at a page as three kinds of readers do, and writes down what is wrong with it.
pub(super) fn look(browser: &Browser, name: &str, language: &str, wrong: &mut String) {
    let direction = if language == "ar" { "rtl" } else { "ltr" };
    let html = browser.run("return [document.documentElement.lang, document.documentElement.dir]", &[]);
    if html != json!([language, direction]) {
        let _ = writeln!(wrong, "{name} {language}: <html> says {html}");
    }
    for found in inaccessible(browser) {
        let _ = writeln!(wrong, "{name} {language}: {found}");
    }
    for width in [1280, 768, 360] {
        browser.size(width, 900);
        // Nothing but what scrolls by itself may be wider than the window.
        let over = browser.run("return document.documentElement.scrollWidth - window.innerWidth", &[]);
        if over.as_i64().unwrap() > 0 {
            let _ = writeln!(wrong, "{name} {language}: {over} pixels too wide at {width}");
        }
        browser.picture(&pictures().join(format!("{name}-{language}-{width}.png")));
    }
    browser.size(1280, 900);
    browser.scheme("dark");
    for found in axe(browser, "{ type: 'rule', values: ['color-contrast'] }") {
        let _ = writeln!(wrong, "{name} {language} dark: {found}");
    }
    browser.picture(&pictures().join(format!("{name}-{language}-dark.png")));
    browser.scheme("light");
    for complaint in browser.complaints() {
        let _ = writeln!(wrong, "{name} {language}: the browser says: {complaint}");
    }
}
