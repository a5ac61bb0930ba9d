//! The certificate matrix: ways for a partner's certificate to be wrong, each shown to our server and by the partner's, and the right ones.
//!
//! Handshakes in memory, at an instant of the test's own; the same over sockets is tests/end_to_end/certificates.

use std::sync::Arc;

use rcgen::SanType;
use rustls_pki_types::CertificateRevocationListDer;
use silkgate_message::agreement::KeyExchange;
use support::certificates::{self, Ca, Sides, World, ways};

use super::tests::{Clock, at, loaded, shake};
use super::{PartnerServer, PartnerTrust, Revocation, partner_client};

const HOST: &str = "gw.iq.example";
const OURS: &str = "gw.jo.example";
const ANOTHER: &str = "gw.sa.example";

#[test]
fn every_way_to_be_wrong_is_refused_both_ways() {
    let world = World { now: at(0), host: HOST.to_owned(), another: ANOTHER.to_owned() };
    let (root, other, ours) = (world.root("Iraq", 2), world.root("Jordan", 2), world.root("Ours", 0));
    let mut our_leaf = world.sound();
    our_leaf.subject_alt_names = vec![SanType::DnsName(OURS.try_into().unwrap())];
    let our_identity = ours.leaf(our_leaf, &[]);
    let (mut wrong, mut right, mut failed) = (0, 0, Vec::new());
    for way in ways(&world, &root, &other, &ours) {
        let until_s = u64::try_from(at(way.end.0).unix_timestamp()).unwrap();
        let trust = |partner: &str,
                     host: &str,
                     anchor: &Ca,
                     lists: &[CertificateRevocationListDer<'static>]| PartnerTrust {
            partner: partner.into(),
            host: host.into(),
            anchors: vec![anchor.der.clone()],
            revocation: Revocation { lists: lists.to_vec(), until_s, grace_s: way.end.1 as u64 * 86_400 },
            key_exchange: KeyExchange::default(),
        };
        let iq = trust("IQ", HOST, &root, &way.lists);
        let clock = Arc::new(Clock(way.now_s));
        // The partner calls us.
        let (chain, key) = (our_identity.0.clone(), loaded(our_identity.1.clone_key()));
        let server =
            PartnerServer::new(chain, key, vec![iq.clone(), trust("JO", ANOTHER, &other, &[])]).unwrap();
        let server = server.with_clock(clock.clone());
        let mut client = certificates::client(&ours.der, way.identity.as_ref(), way.versions);
        client.time_provider = clock.clone();
        let inward = shake(Arc::new(client), server.config(), OURS);
        // We call the partner.
        let both = way.identity.as_ref().filter(|_| way.sides == Sides::Both);
        let outward = both.map(|identity| {
            let mut server = certificates::server(identity, way.versions);
            server.time_provider = clock.clone();
            let (chain, key) = (our_identity.0.clone(), loaded(our_identity.1.clone_key()));
            let mut client = partner_client(&iq, chain, key).unwrap();
            Arc::make_mut(&mut client).time_provider = clock.clone();
            shake(client, Arc::new(server), HOST)
        });
        for (side, judge, result) in [("inward", "server", Some(inward)), ("outward", "client", outward)] {
            let Some(result) = result else { continue };
            let says = match result {
                Ok(_) => "accepted".to_owned(),
                Err((who, error)) => format!("{who}: {error:?}"),
            };
            let fits = match way.why {
                "" => says == "accepted",
                "?" => says != "accepted",
                // In TLS 1.2 it is always the server that says no.
                why => says.contains(why) && (says.starts_with(judge) || way.is_old()),
            };
            if way.why.is_empty() {
                right += 1
            } else {
                wrong += 1
            }
            println!("{side:<8} {:<45} {says}", way.name);
            if !fits {
                failed.push(format!("{side} {}: {says}", way.name));
            }
        }
    }
    println!("{wrong} wrong and {right} right");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(wrong >= 60, "{wrong}");
}
