//! The certificate matrix over sockets: every wrong certificate is refused by a running gateway, called and calling, with a line of
//! its own that says what is wrong, and the right ones come in. In memory, with every row: gateway/server/src/tls/matrix.rs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use support::certificates::{self, Ca, Sides, Way, World, ways};
use support::home::{Home, free_ports, set};
use support::wire::Identity;
use support::{event, now_ms, sign, wait_for};
use time::{Duration as Span, OffsetDateTime};

/// Jordan, which judges; Iraq, whose certificates are shown; and Turkey, a partner beside it.
struct Scene {
    world: World,
    iq: Home,
    jo: Home,
    /// Iraq's authority, Turkey's and Jordan's.
    root: Ca,
    other: Ca,
    ours: Ca,
    folder: tempfile::TempDir,
}

/// Gives a state this authority, and a gateway's certificate of it.
fn furnish(home: &Home, world: &World, ca: &Ca) {
    let write = |path: &str, text: &str| std::fs::write(home.path.join(path), text).unwrap();
    let (chain, key) = ca.leaf(World { host: home.host.clone(), ..world.clone() }.sound(), &[]);
    write("certs/tls-ca.pem", &ca.pem);
    write("keys/tls-ca.key", &ca.key_pem);
    write("certs/tls.pem", &pem::encode(&pem::Pem::new("CERTIFICATE", chain[0].to_vec())));
    write("keys/tls.key", &pem::encode(&pem::Pem::new("PRIVATE KEY", key.secret_der())));
}

impl Scene {
    fn new(connect: Option<&str>) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let init = |party| Home::init(folder.path(), party);
        let (iq, jo, tr) = (init("IQ/traffic-police"), init("JO/public-security"), init("TR/police"));
        let now = OffsetDateTime::from_unix_timestamp(now_ms() / 1000).unwrap();
        let world = World { now, host: iq.host.clone(), another: tr.host.clone() };
        let (root, other, ours) = (world.root("Iraq", 2), world.root("Turkey", 2), world.root("Jordan", 0));
        for (home, ca) in [(&iq, &root), (&tr, &other), (&jo, &ours)] {
            furnish(home, &world, ca);
        }
        jo.add_partner(&iq, connect);
        jo.add_partner(&tr, None);
        set(&jo, "backoff_first_ms", "10");
        set(&jo, "probe_longest_ms", "20");
        let mut scene = Self { world, iq, jo, root, other, ours, folder };
        scene.jo.start();
        scene
    }

    fn ways(&self) -> Vec<Way> {
        let all = ways(&self.world, &self.root, &self.other, &self.ours);
        // Those of lists have a test of their own: which lists are in force is the gateway's matter.
        all.into_iter().filter(|way| way.lists.is_empty()).collect()
    }

    /// Puts a list of Iraq's authority into force.
    fn list(&self, number: u64, revoked: &[&Identity], until: OffsetDateTime) {
        let revoked: Vec<_> = revoked.iter().map(|(chain, _)| &chain[0]).collect();
        let file = self.folder.path().join("iraq.crl");
        std::fs::write(&file, self.root.list(number, &revoked, (self.world.at(-1), until))).unwrap();
        self.jo.ok(&["partner", "crl", "IQ", &file.to_string_lossy()]);
    }

    /// The line of the log that has all of these, once it is there.
    fn line(&self, parts: &[&str]) -> String {
        wait_for(&format!("the line {parts:?}"), || {
            let log = self.jo.gateway_log();
            log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    }

    /// The status of an answer to a message by someone who shows this from that address of the machine's own.
    fn calls(&self, config: ClientConfig, from: Ipv4Addr) -> std::io::Result<u16> {
        let name = self.jo.host.clone().try_into().unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut line = StreamOwned::new(session, dial(&self.jo.partner_plane, from)?);
        let event = event("IQ/traffic-police", "JO/public-security");
        let message = sign(&self.iq.message_key(), &event).bytes;
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            message.len()
        );
        line.write_all(&[head.as_bytes(), &message].concat())?;
        Ok(support::wire::read_answer(&mut line)?.status)
    }

    fn shows(&self, identity: &Identity, from: Ipv4Addr) -> std::io::Result<u16> {
        self.calls(certificates::client(&self.ours.der, Some(identity), &[&rustls::version::TLS13]), from)
    }
}

/// From an address of its own each: lines have a budget for each address.
fn dial(to: &str, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        socket.connect(to).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// As the lines write it.
fn sha256(identity: &Identity) -> String {
    digest(&SHA256, &identity.0[0]).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What every line of a refusal says.
fn told(way: &Way, line: &str) {
    assert!(line.contains(&format!("fault={} ", way.fault())), "{}: {line}", way.name);
    let reason = line.split("reason=\"").nth(1).unwrap_or_default();
    let says = match way.why {
        "Expired" => "xpired",
        "NotValidYet" => "not valid yet",
        "Purpose" => "serverAuth and clientAuth",
        "Usage" => "digitalSignature",
        "Key" => "key is of no kind that is taken",
        "Signer" => "is not for signing certificates",
        "NoCertificatesPresented" => "peer sent no certificates",
        "?" => "BadSignature",
        // Our client offers TLS 1.3 alone, and hears from the other that it will not do.
        "PeerIncompatible" => "",
        why => why,
    };
    assert!(reason.contains(says), "{}: {line}", way.name);
    let remedy = line.split("remedy=\"").nth(1).unwrap_or_default();
    assert!(remedy.len() > 20, "{}: {line}", way.name);
}

#[test]
fn every_wrong_certificate_that_calls_is_refused_with_a_line_that_says_why() {
    let scene = Scene::new(None);
    let (mut wrong, mut right) = (0, 0);
    for (way, n) in scene.ways().iter().zip(1..) {
        let from = Ipv4Addr::new(127, 0, 1, n);
        let config = certificates::client(&scene.ours.der, way.identity.as_ref(), way.versions);
        let answer = scene.calls(config, from);
        if way.why.is_empty() {
            assert_eq!(answer.unwrap_or_else(|error| panic!("{}: {error}", way.name)), 200, "{}", way.name);
            right += 1;
            continue;
        }
        let error = answer.expect_err(way.name).to_string();
        assert!(error.contains("alert"), "{}: {error}", way.name);
        let line = scene.line(&["connection refused code=tls_stranger", &format!("from={from} ")]);
        told(way, &line);
        let shown = way.identity.as_ref().filter(|_| !way.is_old()).map(sha256);
        assert!(shown.is_none_or(|sha256| line.contains(&sha256)), "{}: {line}", way.name);
        wrong += 1;
    }
    println!("{wrong} wrong and {right} right");
    assert!(wrong >= 60 && right >= 6, "{wrong} wrong and {right} right");
    // What came in is what the right ones sent, and no more.
    assert_eq!(scene.jo.log(&["--type", "alert.vehicle"]).len(), right);
    assert!(scene.jo.audit().is_empty());
}

#[test]
fn every_wrong_certificate_that_is_called_is_refused_with_a_line_that_says_why() {
    let [port, _] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let scene = Scene::new(Some(&address));
    let police = scene.jo.back_end("JO/public-security");
    let event = event("JO/public-security", "IQ/traffic-police");
    assert_eq!(police.submit(&event).status, 202);
    let stand_in = StandIn::at(&address);
    let (mut wrong, mut right) = (0, 0);
    for way in scene.ways().iter().filter(|way| way.sides == Sides::Both) {
        let Some(identity) = &way.identity else { continue };
        stand_in.shows(certificates::server(identity, way.versions));
        if way.why.is_empty() {
            let said = wait_for(way.name, || stand_in.heard());
            assert!(said.contains(" /v1/"), "{}: {said}", way.name);
            right += 1;
            continue;
        }
        let sha256 = sha256(identity);
        let which = if way.is_old() { "fault=tls_unlike " } else { &sha256 };
        told(way, &scene.line(&["the partner's server is refused partner=IQ", which]));
        assert_eq!(stand_in.heard(), None, "{}: the gateway spoke to a stranger", way.name);
        wrong += 1;
    }
    println!("{wrong} wrong and {right} right");
    assert!(wrong >= 60 && right >= 6, "{wrong} wrong and {right} right");
    let status = police.get(&format!("/v1/submissions/{}", event["id"].as_str().unwrap())).json();
    assert_eq!(status["state"], "queued", "no stand-in has taken it");
    assert!(scene.jo.audit().is_empty());
}

#[test]
fn revoked_certificates_and_lists_that_ran_out_are_named_in_the_line() {
    let scene = Scene::new(None);
    let between = scene.root.below(scene.world.authority("Iraq, below", 0, (-20, 2000)));
    let sound = || scene.root.leaf(scene.world.sound(), &[]);
    let (stolen, good, below) = (sound(), sound(), between.leaf(scene.world.sound(), &[&between]));
    let [a, b, c, d] = [1, 2, 3, 4].map(|n| Ipv4Addr::new(127, 0, 2, n));
    for identity in [&stolen, &good, &below] {
        assert_eq!(scene.shows(identity, a).unwrap(), 200, "before there is a list");
    }
    scene.list(1, &[&stolen], scene.world.at(6));
    let refused = |identity: &Identity, from: Ipv4Addr, fault: &str| {
        wait_for(fault, || scene.shows(identity, from).is_err().then_some(()));
        scene.line(&[
            "connection refused",
            &format!("fault={fault} "),
            &format!("from={from} "),
            &sha256(identity),
        ]);
    };
    refused(&stolen, b, "certificate_revoked");
    refused(&below, c, "revocation_list_missing");
    assert_eq!(scene.shows(&good, a).unwrap(), 200);
    let soon = OffsetDateTime::from_unix_timestamp(now_ms() / 1000).unwrap() + Span::seconds(4);
    scene.list(2, &[&stolen], soon);
    refused(&good, d, "revocation_list_expired");
}

/// A server in the place of Iraq's, which shows what it is told to.
struct StandIn {
    shown: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    heard: Arc<Mutex<Option<String>>>,
}

impl StandIn {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (shown, heard) = (Arc::<Mutex<Option<Arc<ServerConfig>>>>::default(), Arc::default());
        let stand_in = Self { shown: shown.clone(), heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(config) = shown.lock().unwrap().clone() else { continue };
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut line = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let mut bytes = [0; 1024];
                let read = line.read(&mut bytes).unwrap_or(0);
                let is_shown =
                    shown.lock().unwrap().as_ref().is_some_and(|shown| Arc::ptr_eq(shown, &config));
                if read > 0 && is_shown {
                    *heard.lock().unwrap() = Some(String::from_utf8_lossy(&bytes[..read]).into_owned());
                }
            }
        });
        stand_in
    }

    /// From the next connection on; what was heard before is forgotten.
    fn shows(&self, config: ServerConfig) {
        *self.shown.lock().unwrap() = Some(Arc::new(config));
        *self.heard.lock().unwrap() = None;
    }

    fn heard(&self) -> Option<String> {
        self.heard.lock().unwrap().clone()
    }
}

#[test]
fn the_manual_says_what_to_do_about_each_fault() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let manual = read("docs/operations/certificates.md");
    let source = read("gateway/server/src/tls/refused.rs");
    let faults = source.split("faults! {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let rows = faults.lines().filter_map(|line| {
        let mut texts = line.split('"').skip(1).step_by(2);
        Some((texts.next()?, texts.next()?))
    });
    let rows: Vec<_> = rows.map(|(code, remedy)| format!("| `{code}` | {remedy} |")).collect();
    assert!(rows.len() > 20 && rows.iter().all(|row| manual.contains(row)), "{rows:#?}");
}
