//! Handshakes in memory, at an instant of the test's own.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::ClientConnection;
use rustls::pki_types::UnixTime;
use rustls::server::ServerConnection;
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig, SupportedProtocolVersion, version,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use silkgate_certs::{Authority, Issued, Profile, message_signing};
use silkgate_message::agreement::KeyExchange;
use time::OffsetDateTime;

use super::{
    PartnerServer, PartnerTrust, Revocation, TlsError, client, national_server, partner_client, provider,
    roots,
};

pub(super) const NOW_S: u64 = 1_795_000_000;
const DAY_S: i64 = 86_400;
const IQ: &str = "gw.iq.example";
const JO: &str = "gw.jo.example";
const TR: &str = "gw.tr.example";

pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

#[derive(Debug)]
pub(super) struct Clock(pub(super) u64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

pub(super) fn at(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW_S as i64 + days * DAY_S).unwrap()
}

/// A state's authority, and its anchor.
pub(super) struct State {
    authority: Authority,
    root: Issued,
}

impl State {
    pub(super) fn new() -> Self {
        // All of one name: what is trusted is the key.
        let (authority, root) = Authority::create("Silkgate TLS", at(0)).unwrap();
        Self { authority, root }
    }

    pub(super) fn anchor(&self) -> CertificateDer<'static> {
        self.root.certificate_der.clone().into()
    }

    pub(super) fn trust(&self, partner: &str, host: &str) -> PartnerTrust {
        PartnerTrust {
            partner: partner.into(),
            host: host.into(),
            anchors: vec![self.anchor()],
            revocation: Revocation::default(),
            key_exchange: KeyExchange::default(),
        }
    }

    pub(super) fn gateway(&self, host: &str) -> Identity {
        self.gateway_with(host, &[], 0)
    }

    fn gateway_with(&self, host: &str, names: &[&str], days: i64) -> Identity {
        let profile = Profile::Gateway { host: host.into(), addresses: Vec::new() };
        identity(&self.authority.issue_with_names(&profile, names, at(days)).unwrap())
    }
}

fn identity(issued: &Issued) -> Identity {
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    (vec![issued.certificate_der.clone().into()], key)
}

/// As our own settings take a key.
pub(super) fn loaded(key: PrivateKeyDer<'static>) -> Arc<dyn rustls::sign::SigningKey> {
    provider().key_provider.load_private_key(key).unwrap()
}

fn partner_server(own: &State, trust: Vec<PartnerTrust>) -> PartnerServer {
    let (chain, key) = own.gateway(TR);
    PartnerServer::new(chain, loaded(key), trust).unwrap().with_clock(Arc::new(Clock(NOW_S)))
}

/// A client as far from ours as a case needs.
fn any_client(
    server: &State,
    identity: Option<Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots(&[server.anchor()]).unwrap());
    let mut config = match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.time_provider = Arc::new(Clock(NOW_S));
    Arc::new(config)
}

/// Our client, at the tests' instant.
fn our_client(anchors: &[CertificateDer<'static>], (chain, key): Identity) -> Arc<ClientConfig> {
    let mut config = client(anchors, chain, loaded(key)).unwrap();
    Arc::make_mut(&mut config).time_provider = Arc::new(Clock(NOW_S));
    config
}

/// A whole handshake with what follows it: both ends, or who refused and why.
pub(super) fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    host: &'static str,
) -> Result<(ClientConnection, ServerConnection), (&'static str, Error)> {
    let mut client = ClientConnection::new(client, host.try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..6 {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(|error| ("server", error))?;
        }
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|error| ("client", error))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn peer(server: &ServerConnection) -> CertificateDer<'static> {
    server.peer_certificates().unwrap()[0].clone().into_owned()
}

fn connect(server: &PartnerServer, own: &State, identity: Identity) -> CertificateDer<'static> {
    let (_, session) = shake(our_client(&[own.anchor()], identity), server.config(), TR).unwrap();
    peer(&session)
}

#[test]
fn a_partner_comes_in_under_its_own_name_and_anchor() {
    let (own, iq, jo) = (State::new(), State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ), jo.trust("JO", JO)]);
    for (state, host, partner) in [(&iq, IQ, "IQ"), (&jo, JO, "JO"), (&jo, "GW.JO.example", "JO")] {
        let client = our_client(&[own.anchor()], state.gateway(host));
        let (client, session) = shake(client, server.config(), TR).unwrap();
        assert_eq!(server.identify(&peer(&session)).as_deref(), Some(partner));
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(client.alpn_protocol(), Some(b"h2".as_slice()));
    }
}

#[test]
fn everyone_else_stays_out_of_the_partner_plane() {
    let (own, iq, jo, rogue) = (State::new(), State::new(), State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ), jo.trust("JO", JO)]);
    let server_only = Profile::NationalServer { host: IQ.into(), addresses: Vec::new() };
    let nameless = Profile::NationalClient { role: "backend".into(), subject: "IQ/customs".into() };
    let issue = |profile| identity(&iq.authority.issue(&profile, at(0)).unwrap());
    // A known certificate sent along lends nothing to the one before it.
    let mut below = rogue.gateway(IQ);
    below.0.extend(iq.gateway(IQ).0);
    for (case, identity, why) in [
        ("no certificate", None, "NoCertificatesPresented"),
        ("unknown authority, right name", Some(rogue.gateway(IQ)), "BadSignature"),
        ("unknown authority behind a known leaf", Some(below), "BadSignature"),
        ("Jordan's authority, Iraq's name", Some(jo.gateway(IQ)), "BadSignature"),
        ("right authority, unknown name", Some(iq.gateway("gw2.iq.example")), "NotValidForName"),
        ("right authority, a name below", Some(iq.gateway("a.gw.iq.example")), "NotValidForName"),
        ("right authority, wildcard", Some(iq.gateway("*.iq.example")), "NotValidForName"),
        ("right authority, Jordan's name too", Some(iq.gateway_with(IQ, &[JO], 0)), "NotValidForName"),
        ("right authority, no DNS name", Some(issue(nameless)), "NotValidForName"),
        ("expired", Some(iq.gateway_with(IQ, &[], -399)), "Expired"),
        ("not yet valid", Some(iq.gateway_with(IQ, &[], 1)), "NotValidYet"),
        ("for servers only", Some(issue(server_only)), "Purpose"),
        ("the authority itself", Some(identity(&iq.root)), "NotValidForName"),
        ("self-signed", Some(identity(&message_signing("IQ", at(0)).unwrap())), "NotValidForName"),
    ] {
        let client = any_client(&own, identity, &[&version::TLS13]);
        let (who, error) = shake(client, server.config(), TR).err().unwrap_or_else(|| panic!("{case}"));
        let text = format!("{error:?}");
        assert!(who == "server" && text.contains(why), "{case}: {who} says {text}");
    }
    let tls12 = any_client(&own, Some(iq.gateway(IQ)), &[&version::TLS12]);
    let (who, error) = shake(tls12, server.config(), TR).err().unwrap();
    assert!(who == "server" && matches!(error, Error::PeerIncompatible(_)), "{error}");
}

#[test]
fn strangers_are_not_told_who_the_partners_are() {
    let (own, iq) = (State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    #[derive(Debug)]
    struct Hints(std::sync::Mutex<Option<usize>>);
    impl rustls::client::ResolvesClientCert for Hints {
        fn resolve(
            &self,
            hints: &[&[u8]],
            _: &[rustls::SignatureScheme],
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            *self.0.lock().unwrap() = Some(hints.len());
            None
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let hints = Arc::new(Hints(None.into()));
    let mut config = any_client(&own, None, &[&version::TLS13]);
    Arc::make_mut(&mut config).client_auth_cert_resolver = hints.clone();
    assert!(shake(config, server.config(), TR).is_err());
    assert_eq!(*hints.0.lock().unwrap(), Some(0));
}

#[test]
fn whoever_changed_is_out_on_open_connections_and_nobody_else() {
    let (own, iq, jo) = (State::new(), State::new(), State::new());
    let trust = || vec![iq.trust("IQ", IQ), jo.trust("JO", JO)];
    let server = partner_server(&own, trust());
    let (from_iq, from_jo) = (connect(&server, &own, iq.gateway(IQ)), connect(&server, &own, jo.gateway(JO)));
    server.replace(trust()).unwrap();
    assert_eq!(server.identify(&from_iq).as_deref(), Some("IQ"));
    // Iraq rolls its authority over, both being valid for a while.
    let renewed = State::new();
    let mut both = iq.trust("IQ", IQ);
    both.anchors.insert(0, renewed.anchor());
    server.replace(vec![both, jo.trust("JO", JO)]).unwrap();
    assert_eq!(server.identify(&from_iq).as_deref(), Some("IQ"));
    // The old one is stolen: whoever came in under it is out.
    server.replace(vec![renewed.trust("IQ", IQ), jo.trust("JO", JO)]).unwrap();
    assert_eq!(server.identify(&from_iq), None);
    assert_eq!(server.identify(&from_jo).as_deref(), Some("JO"));
    assert!(shake(our_client(&[own.anchor()], iq.gateway(IQ)), server.config(), TR).is_err());
    let again = connect(&server, &own, renewed.gateway(IQ));
    assert_eq!(server.identify(&again).as_deref(), Some("IQ"));
    server.replace(vec![]).unwrap();
    assert_eq!((server.identify(&again), server.identify(&from_jo)), (None, None));
}

#[test]
fn a_name_written_ahead_does_not_become_a_later_partner() {
    let (own, iq, sy) = (State::new(), State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    // Iraq's certificate holds the name of a state that is no partner yet.
    let ahead = connect(&server, &own, iq.gateway_with(IQ, &["gw.sy.example"], 0));
    assert_eq!(server.identify(&ahead).as_deref(), Some("IQ"));
    server.replace(vec![sy.trust("SY", "gw.sy.example"), iq.trust("IQ", IQ)]).unwrap();
    assert_eq!(server.identify(&ahead), None, "it names two partners now");
    server.replace(vec![iq.trust("IQ", IQ)]).unwrap();
    let ahead = connect(&server, &own, iq.gateway_with(IQ, &["gw.sy.example"], 0));
    server.replace(vec![sy.trust("SY", "gw.sy.example")]).unwrap();
    assert_eq!(server.identify(&ahead), None, "Iraq's authority does not speak for it");
}

#[test]
fn a_certificate_ends_on_an_open_connection_too() {
    let (own, iq) = (State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    let certificate = connect(&server, &own, iq.gateway(IQ));
    let end_s = NOW_S + 398 * DAY_S as u64;
    let server = server.with_clock(Arc::new(Clock(end_s)));
    assert_eq!(server.identify(&certificate).as_deref(), Some("IQ"));
    let server = server.with_clock(Arc::new(Clock(end_s + 1)));
    assert_eq!(server.identify(&certificate), None);
}

#[test]
fn only_so_many_certificates_are_remembered() {
    let (own, iq) = (State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    let first = connect(&server, &own, iq.gateway(IQ));
    let more: Vec<_> = (0..32).map(|_| connect(&server, &own, iq.gateway(IQ))).collect();
    assert_eq!(server.identify(&first), None);
    assert!(more.iter().all(|certificate| server.identify(certificate).is_some()));
}

#[test]
fn a_certificate_that_never_shook_hands_is_nobody_s() {
    let (own, iq) = (State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    assert_eq!(server.identify(&iq.gateway(IQ).0[0]), None);
    assert_eq!(server.identify(&b"no certificate".to_vec().into()), None);
}

#[test]
fn we_speak_to_the_partner_s_own_server_only() {
    let (own, iq, jo) = (State::new(), State::new(), State::new());
    let config = || {
        let (chain, key) = own.gateway(TR);
        let mut config = partner_client(&iq.trust("IQ", IQ), chain, loaded(key)).unwrap();
        Arc::make_mut(&mut config).time_provider = Arc::new(Clock(NOW_S));
        config
    };
    let server = |identity: Identity, versions: &[&'static SupportedProtocolVersion]| {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.0, identity.1)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    };
    let (client, _) = shake(config(), server(iq.gateway(IQ), &[&version::TLS13]), IQ).unwrap();
    assert_eq!(client.alpn_protocol(), Some(b"http/1.1".as_slice()));
    for (case, identity, why) in [
        ("another partner's authority", jo.gateway(IQ), "BadSignature"),
        ("our own authority", own.gateway(IQ), "BadSignature"),
        ("another name", iq.gateway("gw2.iq.example"), "NotValidForName"),
        ("expired", iq.gateway_with(IQ, &[], -399), "Expired"),
        ("not yet valid", iq.gateway_with(IQ, &[], 1), "NotValidYet"),
        ("the authority itself", self::identity(&iq.root), "NotValidForName"),
    ] {
        let (who, error) = shake(config(), server(identity, &[&version::TLS13]), IQ).err().unwrap();
        let text = format!("{error:?}");
        assert!(who == "client" && text.contains(why), "{case}: {who} says {text}");
    }
    let tls12 = server(iq.gateway(IQ), &[&version::TLS12]);
    assert!(shake(config(), tls12, IQ).is_err());
}

#[test]
fn no_session_is_offered_or_resumed() {
    let (own, iq) = (State::new(), State::new());
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    let (chain, key) = own.gateway(TR);
    let mut national = national_server(chain, loaded(key), iq.anchor()).unwrap();
    Arc::make_mut(&mut national).time_provider = Arc::new(Clock(NOW_S));
    for server in [server.config(), national] {
        assert_eq!(server.max_early_data_size, 0);
        // A client that would resume if it could.
        let client = any_client(&own, Some(iq.gateway(IQ)), &[&version::TLS13]);
        for _ in 0..3 {
            let (client, _) = shake(client.clone(), server.clone(), TR).unwrap();
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.tls13_tickets_received(), 0);
        }
    }
    // And a server that would: ours does not take up its offer.
    let (chain, key) = iq.gateway(IQ);
    let eager = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (eager, client) = (Arc::new(eager), our_client(&[iq.anchor()], own.gateway(TR)));
    for _ in 0..3 {
        let (client, _) = shake(client.clone(), eager.clone(), IQ).unwrap();
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn the_national_plane_takes_clients_of_its_own_authority() {
    let (nation, tls, other) = (State::new(), State::new(), State::new());
    let server_profile = Profile::NationalServer { host: TR.into(), addresses: Vec::new() };
    let (chain, key) = identity(&nation.authority.issue(&server_profile, at(0)).unwrap());
    let mut server = national_server(chain, loaded(key), nation.anchor()).unwrap();
    Arc::make_mut(&mut server).time_provider = Arc::new(Clock(NOW_S));
    let back_end = |state: &State, days| {
        let profile = Profile::NationalClient { role: "backend".into(), subject: "TR/customs".into() };
        identity(&state.authority.issue(&profile, at(days)).unwrap())
    };
    let attempt = |identity| {
        shake(any_client(&nation, identity, &[&version::TLS13]), server.clone(), TR).map_err(|(who, _)| who)
    };
    assert!(attempt(Some(back_end(&nation, 0))).is_ok());
    for (case, identity) in [
        ("no certificate", None),
        ("another state's back end", Some(back_end(&other, 0))),
        ("our own gateway on the partner plane", Some(tls.gateway(TR))),
        ("expired", Some(back_end(&nation, -399))),
        ("not yet valid", Some(back_end(&nation, 1))),
    ] {
        assert_eq!(attempt(identity).err(), Some("server"), "{case}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let (own, iq) = (State::new(), State::new());
    let (chain, _) = own.gateway(TR);
    let key = loaded(own.gateway(TR).1);
    assert!(matches!(
        PartnerServer::new(chain.clone(), key.clone(), vec![]).err(),
        Some(TlsError::Rustls(Error::InconsistentKeys(_)))
    ));
    assert!(matches!(
        national_server(chain.clone(), key.clone(), own.anchor()),
        Err(TlsError::Rustls(Error::InconsistentKeys(_)))
    ));
    assert!(matches!(client(&[iq.anchor()], chain, key), Err(TlsError::Rustls(Error::InconsistentKeys(_)))));
    let server = partner_server(&own, vec![iq.trust("IQ", IQ)]);
    let certificate = connect(&server, &own, iq.gateway(IQ));
    let none = PartnerTrust {
        partner: "JO".into(),
        host: JO.into(),
        anchors: vec![],
        revocation: Revocation::default(),
        key_exchange: KeyExchange::default(),
    };
    let broken = PartnerTrust { anchors: vec![b"DER?".to_vec().into()], ..none.clone() };
    for trust in [none, broken] {
        let refused = server.replace(vec![trust]);
        assert!(
            matches!(&refused, Err(TlsError::Partner { partner, .. }) if partner == "JO"),
            "the old ones stay: {refused:?}"
        );
        assert_eq!(server.identify(&certificate).as_deref(), Some("IQ"));
    }
}
