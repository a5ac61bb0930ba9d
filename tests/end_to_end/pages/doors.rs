//! Who gets in: links, sessions, certificates, other sites.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;
use support::home::Home;
use support::wait_for;
use support::wire::{Answer, read_answer};

use super::{Office, alert, with_pages};

/// One request in plain HTTP, with these headers.
fn plain(address: &str, method: &str, path: &str, headers: &str) -> Answer {
    let mut line = TcpStream::connect(address).unwrap();
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    write!(line, "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    read_answer(&mut line).unwrap()
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

#[test]
fn a_link_opens_one_session_in_one_browser() {
    let office = Office::open();
    let link = office.link("auditor-amal");
    let path = link.strip_prefix(&format!("http://{}", office.address)).unwrap().to_owned();
    let browser = support::browser::Browser::start("en");
    browser.go(&office.page("/messages"));
    assert!(browser.text("h1").contains("no session here"), "{}", browser.text("body"));
    browser.go(&link);
    assert_eq!(browser.text("h1"), "Overview");
    // Again in the same browser it works, elsewhere it does not.
    browser.go(&link);
    assert_eq!(browser.text("h1"), "Overview");
    let elsewhere = plain(&office.address, "GET", &path, "");
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (403, "link_used"));
    assert!(elsewhere.header("set-cookie").is_none());
    let other = support::browser::Browser::start("ar");
    other.go(&link);
    assert!(other.text("h1").contains("فُتح هذا الرابط من قبل"), "{}", other.text("body"));
    assert_eq!(plain(&office.address, "GET", "/open/guess", "").code(), "link_used");
    assert_eq!(
        plain(&office.address, "GET", "/", "Cookie: silkgate_session=guess\r\n").code(),
        "session_missing"
    );
    // Whoever is taken off the list is out at once.
    office.pair.jo.ok(&["client", "remove", "amal"]);
    wait_for("the session to end", || {
        browser.go(&office.page("/"));
        browser.text("h1").contains("no session here").then_some(())
    });
}

#[test]
fn a_session_is_worth_what_its_role_is() {
    let office = Office::open();
    let id = office.send(&alert());
    let message = format!("/messages/{id}");
    let all = [
        "/",
        "/messages",
        &message,
        "/ledger",
        "/ledger/house",
        "/ledger/IQ",
        "/partners",
        "/purposes",
        "/reads",
    ];
    for (person, hidden) in [
        ("auditor-amal", &[][..]),
        ("data-protection-dora", &["/messages", &message, "/ledger/IQ"][..]),
        ("operator-omar", &["/messages", &message, "/ledger/house", "/ledger/IQ", "/purposes", "/reads"][..]),
    ] {
        let link = office.link(person);
        let path = link.strip_prefix(&format!("http://{}", office.address)).unwrap();
        let session = cookie(&plain(&office.address, "GET", path, ""));
        // Browsers show a cookie to every port of a host: another gateway's session beside it stays.
        let port = office.address.rsplit(':').next().unwrap();
        assert!(session.starts_with(&format!("Cookie: silkgate_session_{port}=")), "{session}");
        for page in all {
            let answer = plain(&office.address, "GET", page, &format!("{session}Accept: text/html\r\n"));
            let expected = if hidden.contains(&page) { 403 } else { 200 };
            assert_eq!(answer.status, expected, "{person} {page}");
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{person} {page}");
            let html = String::from_utf8(answer.body).unwrap();
            assert!(
                expected == 200 || html.contains("role_forbidden") && !html.contains("class=\"sheet\""),
                "{person} {page}"
            );
            // No way is shown to where nobody is let in.
            assert!(
                hidden.iter().all(|hidden| !html.contains(&format!("href=\"{hidden}\""))),
                "{person} {page}"
            );
        }
        // What the national plane serves to programs is not served here.
        for api in ["/v1/status", "/v1/audit/reads", "/v1/audit/entries?log=house", "/metrics"] {
            assert_eq!(plain(&office.address, "GET", api, &session).status, 404, "{api}");
        }
    }
    assert_eq!(office.pair.jo.run(&["open", "backend-public-security"]).status.code(), Some(1));
}

#[test]
fn other_sites_and_other_names_get_nothing() {
    let office = Office::open();
    let link = office.link("auditor-amal");
    let path = link.strip_prefix(&format!("http://{}", office.address)).unwrap();
    let session = cookie(&plain(&office.address, "GET", path, ""));
    let ask = |method: &str, page: &str, more: &str| {
        plain(&office.address, method, page, &format!("{session}{more}"))
    };
    assert_eq!(ask("GET", "/", "").status, 200);
    assert_eq!(ask("GET", "/", "Host: evil.example\r\n").code(), "request_malformed");
    let (foreign, followed) = ("Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Mode: navigate\r\n");
    assert_eq!(ask("GET", "/messages", foreign).code(), "request_foreign");
    assert_eq!(
        ask("GET", "/messages", &format!("{foreign}{followed}")).status,
        200,
        "a link that is followed"
    );
    assert_eq!(ask("POST", "/check", &format!("{foreign}{followed}")).code(), "request_foreign");
    assert_eq!(
        ask("POST", "/check", "Sec-Fetch-Site: same-site\r\n").code(),
        "request_foreign",
        "another port"
    );
    for back in [
        "//evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "https://evil.example",
        "",
        "%0d%0aSet-Cookie:x",
    ] {
        let answer = ask("GET", &format!("/language/ar?back={back}"), "");
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{back}");
    }
    for name in ["../silkgate.toml", "..%2fsilkgate.toml", "x.js"] {
        assert_eq!(ask("GET", &format!("/assets/{name}"), "").status, 404, "{name}");
    }
}

/// On the national plane a browser shows the reader's certificate to whatever resource another site names.
#[test]
fn other_sites_reach_no_resource_of_the_national_plane() {
    let office = Office::open();
    let ask = |method: &str, path: &str, more: &str| {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        office.pair.jo.national("auditor-amal").raw(text.as_bytes()).unwrap()
    };
    for (method, path) in
        [("POST", "/v1/pages/link"), ("GET", "/v1/audit/reads"), ("POST", "/check"), ("GET", "/")]
    {
        for site in ["cross-site", "same-site"] {
            let answer = ask(method, path, &format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: no-cors\r\n"));
            assert_eq!((answer.status, answer.code().as_str()), (403, "request_foreign"), "{method} {path}");
        }
        assert_ne!(ask(method, path, "").code(), "request_foreign", "{path}: a program");
        assert_ne!(ask(method, path, "Sec-Fetch-Site: none\r\n").code(), "request_foreign", "{path}");
    }
}

/// Whoever asks for ever more links neither ends a session of another one nor keeps another one from having a link.
#[test]
fn one_certificate_takes_no_links_of_another() {
    let office = Office::open();
    let link = office.link("auditor-amal");
    let path = link.strip_prefix(&format!("http://{}", office.address)).unwrap();
    let session = cookie(&plain(&office.address, "GET", path, ""));
    let officer = office.pair.jo.national("data-protection-dora");
    for number in 0..260 {
        let answer = officer.request("POST", "/v1/pages/link", "application/json", b"").unwrap();
        assert_eq!(answer.status, 200, "{number}");
    }
    assert_eq!(plain(&office.address, "GET", "/messages", &session).status, 200);
    office.link("operator-omar");
}

#[test]
fn plain_pages_stand_on_the_loopback_or_nowhere() {
    let folder = tempfile::TempDir::new().unwrap();
    let home = Home::init(folder.path(), super::JO);
    home.ok(&["client", "add", "auditor", "amal"]);
    with_pages(&home, "0.0.0.0:9465");
    let refused = home.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("on the loopback only"), "{said}");
    let mut closed = Home::init(&folder.path().join("other"), super::IQ);
    closed.ok(&["client", "add", "auditor", "amal"]);
    closed.start();
    let refused = closed.run(&["open", "auditor-amal"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("[pages] listen"), "{said}");
    // The national plane has them all the same, for certificates.
    let answer = closed.national("auditor-amal").get("/");
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8(answer.body).unwrap().contains("<h1>Overview</h1>"));
    assert_eq!(closed.national("auditor-amal").get("/messages/x").code(), "not_found");
    assert_eq!(json!(closed.audit()), json!([]));
}

/// Who checks messages holds their bytes and a processor: no more of them at once than of others.
#[test]
fn many_who_check_at_once_are_turned_away() {
    let office = Office::open();
    let path =
        office.link("operator-omar").strip_prefix(&format!("http://{}", office.address)).unwrap().to_owned();
    let session = cookie(&plain(&office.address, "GET", &path, ""));
    let head = format!(
        "POST /check HTTP/1.1\r\nHost: {}\r\n{session}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        office.address,
        3 << 20
    );
    let ask = || {
        let mut line = TcpStream::connect(&office.address).unwrap();
        line.write_all(head.as_bytes()).unwrap();
        line
    };
    // Each with a form of 3 MiB that does not come: 64 MiB are held for all of them. Whichever is heard last is turned away.
    let mut waiting = Vec::new();
    let turned_away = wait_for("one to be turned away", || {
        while waiting.len() < 21 {
            waiting.push(ask());
        }
        let mut line = ask();
        line.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        let answer = read_answer(&mut line).ok();
        waiting.push(line);
        answer
    });
    assert_eq!(turned_away.status, 503);
    assert_eq!(turned_away.code(), "overloaded");
    waiting.clear();
    wait_for("room again", || {
        let form = format!("{session}Content-Type: application/x-www-form-urlencoded\r\n");
        (plain(&office.address, "POST", "/check", &form).status == 200).then_some(())
    });
}
