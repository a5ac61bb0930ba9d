//! Revoked certificates: out at once, on open connections too; lists that are wrong, old or at their end.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use silkgate_certs::{Authority, Issued, Profile};
use silkgate_message::revocation::serial;
use support::{Client, Home, Pair, event, now_ms, sign, wait_for};
use time::OffsetDateTime;

use crate::evidence::fixture::verdicts;

fn instant(hours: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now_ms() / 1000 + hours * 3600).unwrap()
}

/// The TLS authority of a home.
fn authority(home: &Home) -> Authority {
    let read = |path: &str| std::fs::read_to_string(home.path.join(path)).unwrap();
    Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap()
}

fn crl(pair: &Pair, file: &Path) -> std::process::Output {
    pair.jo.run(&["partner", "crl", "IQ", &file.to_string_lossy()])
}

/// A list of Iraq's authority: its number, what it revokes, and its hours.
fn list(pair: &Pair, number: u64, revoked: &[&[u8]], hours: (i64, i64)) -> PathBuf {
    let revoked: Vec<_> = revoked.iter().map(|der| (serial(der).unwrap(), instant(-1))).collect();
    let der =
        authority(&pair.iq).revocation_list(number, &revoked, instant(hours.0), instant(hours.1)).unwrap();
    let file = pair.folder.path().join(format!("list-{number}.crl"));
    std::fs::write(&file, der).unwrap();
    file
}

/// One request on a line that stays open.
fn ask(line: &mut (impl std::io::Read + std::io::Write)) -> std::io::Result<String> {
    line.write_all(b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut answer = vec![0; 65536];
    let read = line.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_revoked_gateway_is_out_within_seconds_on_open_connections_and_by_new_ones() {
    let pair = Pair::start();
    let stolen = std::fs::read_to_string(pair.iq.path.join("certs/tls.pem")).unwrap();
    let client = pair.iq.as_partner_of(&pair.jo);
    let mut open = client.connect().unwrap();
    assert!(ask(&mut open).unwrap().starts_with("HTTP/1.1 200"));
    // Iraq makes its list, and a certificate to go on with.
    let made =
        pair.iq.json(&["key", "crl", "--revoke", &pair.iq.path.join("certs/tls.pem").to_string_lossy()]);
    assert_eq!((&made["revoked"], &made["number"]), (&1.into(), &1.into()));
    let profile = Profile::Gateway { host: pair.iq.host.clone(), addresses: Vec::new() };
    let Issued { certificate_pem, key_pem, .. } = authority(&pair.iq).issue(&profile, instant(0)).unwrap();
    // Under load: another client of the stolen key sends all the time.
    let stop = Arc::new(Mutex::new(false));
    let refused_at = Arc::new(Mutex::new(None));
    let (until, told) = (stop.clone(), refused_at.clone());
    let (key, load) = (pair.iq.message_key(), pair.iq.as_partner_of(&pair.jo));
    let sending = std::thread::spawn(move || {
        while !*until.lock().unwrap() {
            let message = sign(&key, &event("IQ/traffic-police", "JO/public-security"));
            let answer = load.request("POST", "/v1/messages", "application/jose+json", &message.bytes);
            if !answer.is_ok_and(|answer| answer.status == 200) {
                told.lock().unwrap().get_or_insert_with(Instant::now);
            }
        }
    });
    let began = Instant::now();
    let shown = pair.jo.json(&["partner", "crl", "IQ", made["file"].as_str().unwrap()]);
    assert_eq!(shown["lists"][0]["revoked"], 1);
    wait_for("the load to be refused", || *refused_at.lock().unwrap());
    *stop.lock().unwrap() = true;
    sending.join().unwrap();
    let answer = ask(&mut open);
    assert!(!answer.as_ref().is_ok_and(|line| line.starts_with("HTTP/1.1 200")), "{answer:?}");
    println!(
        "refused {} ms after the command",
        refused_at.lock().unwrap().unwrap().duration_since(began).as_millis()
    );
    let error = client.request("GET", "/v1/channel", "application/json", b"").unwrap_err().to_string();
    assert!(error.contains("alert"), "{error}");
    wait_for("the reason in the log", || pair.jo.gateway_log().contains("Revoked").then_some(()));
    // Nor is it spoken to as a server.
    wait_for("Jordan to refuse Iraq's server", || {
        let log = pair.jo.gateway_log();
        log.contains("invalid peer certificate: Revoked").then_some(())
    });
    // The new one is let in.
    std::fs::write(pair.iq.path.join("certs/tls.pem"), &certificate_pem).unwrap();
    std::fs::write(pair.iq.path.join("keys/tls.key"), &key_pem).unwrap();
    assert_ne!(stolen, certificate_pem);
    assert_eq!(pair.iq.as_partner_of(&pair.jo).get("/v1/channel").status, 200);
    let (channel, house) = (pair.jo.log(&["--partner", "IQ"]), pair.jo.log(&["--partner", "house"]));
    for log in [channel, house] {
        assert_eq!(log.iter().filter(|entry| entry["what"] == "crl").count(), 1, "the list is in the logs");
    }
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_wrong_list_is_refused_with_its_reason_and_the_old_one_stays() {
    let pair = Pair::start();
    let good = list(&pair, 5, &[], (-2, 100));
    assert_eq!(crl(&pair, &good).status.code(), Some(0));
    let client = pair.iq.as_partner_of(&pair.jo);
    let comes_in = || wait_for("Iraq to come in", || (client.get("/v1/channel").status == 200).then_some(()));
    comes_in();
    let foreign = pair.folder.path().join("foreign.crl");
    let (other, _) = Authority::create("Silkgate TLS IQ", instant(0)).unwrap();
    std::fs::write(&foreign, other.revocation_list(9, &[], instant(-1), instant(9)).unwrap()).unwrap();
    let jordans = pair.folder.path().join("jordan.crl");
    std::fs::write(&jordans, authority(&pair.jo).revocation_list(9, &[], instant(-1), instant(9)).unwrap())
        .unwrap();
    let garbage = pair.folder.path().join("garbage.crl");
    std::fs::write(&garbage, b"no list").unwrap();
    let mut altered = std::fs::read(list(&pair, 8, &[], (-1, 9))).unwrap();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let bent = pair.folder.path().join("bent.crl");
    std::fs::write(&bent, altered).unwrap();
    for (file, why) in [
        (list(&pair, 4, &[], (-1, 100)), "older than the one in force"),
        (list(&pair, 6, &[], (-9, -1)), "ran out"),
        (list(&pair, 7, &[], (5, 9)), "still to come"),
        (foreign, "no authority of IQ's card signed it"),
        (jordans, "no authority of IQ's card signed it"),
        (garbage, "cannot be read"),
        (bent, ""),
        (pair.iq.path.join("certs/tls.pem"), "no revocation list"),
    ] {
        let refused = crl(&pair, &file);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{}: {said}", file.display());
        assert!(said.contains(why) && said.contains("Nothing was changed"), "{why}: {said}");
    }
    comes_in();
    let shown = pair.jo.json(&["partner", "crl", "IQ"]);
    assert_eq!(shown["lists"].as_array().unwrap().len(), 1);
    // Taken away again, nothing is looked up.
    pair.jo.ok(&["partner", "crl", "IQ", "--none"]);
    assert_eq!(pair.jo.json(&["partner", "crl", "IQ"])["lists"].as_array().unwrap().len(), 0);
    comes_in();
    assert!(pair.jo.audit().is_empty());
    // The same list once more: it is kept twice, and its first entry proves it.
    assert_eq!(crl(&pair, &good).status.code(), Some(0));
    comes_in();
    let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(client.message(&message.bytes).status, 200);
    let out = pair.folder.path().join("again.zip");
    pair.jo.ok(&["evidence", "export", &message.id, "--out", &out.to_string_lossy()]);
    assert_eq!(verdicts(&[("again".to_owned(), std::fs::read(&out).unwrap())]), [(true, true)]);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_list_is_fetched_and_a_newer_one_takes_its_place() {
    let pair = Pair::start();
    let served = Arc::new(Mutex::new(std::fs::read(list(&pair, 1, &[], (-2, 1))).unwrap()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tls.crl", listener.local_addr().unwrap());
    let bytes = served.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 4096]);
            let body = bytes.lock().unwrap().clone();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    pair.jo.ok(&["partner", "crl", "IQ", "--url", &url]);
    wait_for("the list to be fetched", || {
        let shown = pair.jo.json(&["partner", "crl", "IQ"]);
        (shown["lists"][0]["revoked"] == 0).then_some(())
    });
    let client: Client = pair.iq.as_partner_of(&pair.jo);
    assert_eq!(client.get("/v1/channel").status, 200);
    // With a list in the same command the source has its entry all the same.
    let newer = list(&pair, 9, &[], (-1, 1)).to_string_lossy().into_owned();
    pair.jo.ok(&["partner", "crl", "IQ", &newer, "--url", &url]);
    let house = pair.jo.log(&["--partner", "house"]);
    assert_eq!(house.iter().filter(|entry| entry["what"] == "crl_source").count(), 2);
    let gateway = support::wire::certificates(&pair.iq.path.join("certs/tls.pem")).remove(0);
    *served.lock().unwrap() = std::fs::read(list(&pair, 10, &[&gateway], (-1, 1))).unwrap();
    // Asked again by an operator, at once.
    pair.jo.ok(&["partner", "crl", "IQ", "--url", &url]);
    wait_for("Iraq to be refused", || {
        client.request("GET", "/v1/channel", "application/json", b"").is_err().then_some(())
    });
    // A source that brings rubbish changes nothing, and says so.
    *served.lock().unwrap() = b"rubbish".to_vec();
    pair.jo.ok(&["partner", "crl", "IQ", "--url", &url]);
    wait_for("the failure to be told", || {
        let shown = pair.jo.json(&["partner", "crl", "IQ"]);
        shown["sources"][0]["failure"].as_str().map(|why| assert!(why.contains("cannot be read"), "{why}"))
    });
    assert_eq!(pair.jo.json(&["partner", "crl", "IQ"])["lists"][0]["revoked"], 1);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_list_near_its_end_is_an_alarm() {
    let pair = Pair::start();
    assert_eq!(crl(&pair, &list(&pair, 1, &[], (-2, 10))).status.code(), Some(0));
    let mut jo = pair.jo;
    assert_eq!(jo.stop(), Some(0));
    jo.start();
    wait_for("the alarm", || jo.gateway_log().contains("ALARM: a revocation list runs out").then_some(()));
}

#[test]
fn a_message_under_a_revoked_certificate_is_refused() {
    // Iraq's signing certificate is of its TLS authority, as a state with one authority may do it.
    let folder = tempfile::TempDir::new().unwrap();
    let iq = Home::init(folder.path(), "IQ/traffic-police");
    let jo = Home::init(folder.path(), "JO/public-security");
    let read = |path: &str| std::fs::read_to_string(iq.path.join(path)).unwrap();
    let own = read("certs/message.pem");
    let key = rcgen::KeyPair::from_pem(&read("keys/tls-ca.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("certs/tls-ca.pem"), key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Silkgate messages IQ");
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    (params.not_before, params.not_after) = (instant(-1), instant(1000));
    let key = rcgen::KeyPair::from_pem(&read("keys/message.key")).unwrap();
    let issued = params.signed_by(&key, &issuer).unwrap();
    assert_ne!(own, issued.pem());
    std::fs::write(iq.path.join("certs/message.pem"), issued.pem()).unwrap();
    iq.add_partner(&jo, None);
    jo.add_partner(&iq, None);
    let mut pair = Pair { iq, jo, folder };
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let sent = std::cell::RefCell::new(Vec::new());
    let send = || {
        let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
        sent.borrow_mut().push(message.id.clone());
        client.message(&message.bytes)
    };
    assert_eq!(send().status, 200);
    let other = support::wire::certificates(&pair.jo.path.join("certs/tls.pem")).remove(0);
    assert_eq!(crl(&pair, &list(&pair, 1, &[&other], (-2, 100))).status.code(), Some(0));
    assert_eq!(send().status, 200, "another number");
    // Under load: what is judged while the list comes into force must not stand behind it in the log.
    let stop = Arc::new(Mutex::new(false));
    let (until, key, load) = (stop.clone(), pair.iq.message_key(), pair.iq.as_partner_of(&pair.jo));
    let sending = std::thread::spawn(move || {
        while !*until.lock().unwrap() {
            load.message(&sign(&key, &event("IQ/traffic-police", "JO/public-security")).bytes);
        }
    });
    assert_eq!(crl(&pair, &list(&pair, 2, &[issued.der()], (-1, 100))).status.code(), Some(0));
    let refused = wait_for("the certificate to be refused", || {
        let answer = send();
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.code().as_str()), (403, "certificate_revoked"));
    assert!(refused.json()["receipt"].is_string(), "the refusal is a verdict");
    let refused = sent.borrow().last().unwrap().clone();
    // Nor may a refusal stand behind the word that there is no list any more.
    pair.jo.ok(&["partner", "crl", "IQ", "--none"]);
    wait_for("the certificate to be taken again", || (send().status == 200).then_some(()));
    *stop.lock().unwrap() = true;
    sending.join().unwrap();
    let log = pair.jo.log(&["--partner", "IQ"]);
    let changes: Vec<usize> =
        (0..log.len()).filter(|at| matches!(log[*at]["what"].as_str(), Some("crl" | "crl_none"))).collect();
    let [_, listed, none] = changes[..] else { panic!("{changes:?}") };
    let under = &log[listed..none];
    assert!(under.iter().all(|entry| entry["kind"] != "received"), "taken under a revoked certificate");
    let behind = &log[none..];
    assert!(behind.iter().all(|entry| entry["code"] != "certificate_revoked"), "refused without a list");
    assert!(pair.jo.audit().is_empty());
    // What was in force when each was taken: no list, one that does not name the certificate, and one that does.
    let sent = sent.into_inner();
    let out = pair.folder.path().join("out.zip");
    let mut files = Vec::new();
    for (id, says) in [
        (&sent[0], "no revocation list of IQ was in force, by the exporter's word"),
        (&sent[1], "none of 1 revocation list(s) in force names it"),
        (&refused, "and names the certificate"),
        (sent.last().unwrap(), "no revocation list of IQ was in force, by the exporter's word"),
    ] {
        let path = out.to_string_lossy().into_owned();
        pair.jo.ok(&["evidence", "export", id, "--out", &path]);
        let said = pair.iq.ok(&["verify", &path]);
        assert!(said.contains(says), "{said}");
        files.push((says.to_owned(), std::fs::read(&out).unwrap()));
        std::fs::remove_file(&out).unwrap();
    }
    assert_eq!(verdicts(&files), [(true, true); 4]);
}
