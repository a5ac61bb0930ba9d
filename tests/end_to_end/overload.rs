//! Too much at once is put off, each partner's by itself.

use std::io::{Read as _, Write as _};

use support::home::set;
use support::{Home, Pair, event, sign, wait_for};

const MESSAGES: (&str, &str) = ("/v1/messages", "application/jose+json");

/// A request whose body stops half-way: it is under way until the rest comes.
fn half_sent(
    client: &support::Client,
    (path, kind): (&str, &str),
    body: &[u8],
) -> (rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>, Vec<u8>) {
    let mut line = client.connect().unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (now, later) = body.split_at(body.len() / 2);
    line.write_all(head.as_bytes()).unwrap();
    line.write_all(now).unwrap();
    line.flush().unwrap();
    (line, later.to_vec())
}

#[test]
fn a_partner_beyond_its_places_is_put_off_and_another_is_not() {
    let mut pair = Pair::set_up(None);
    let sa = Home::init(pair.folder.path(), "SA/border-guards");
    pair.jo.add_partner(&sa, None);
    sa.add_partner(&pair.jo, None);
    set(&pair.jo, "requests_per_peer", "2");
    pair.jo.start();
    let (flooding, quiet) = (pair.iq.as_partner_of(&pair.jo), sa.as_partner_of(&pair.jo));
    let message = |home: &Home| sign(&home.message_key(), &event(&home.party, "JO/public-security"));
    let mut open: Vec<_> = (0..2).map(|_| half_sent(&flooding, MESSAGES, &message(&pair.iq).bytes)).collect();
    let third = message(&pair.iq);
    let refused = wait_for("the places to be taken", || {
        let answer = flooding.message(&third.bytes);
        (answer.status == 503).then_some(answer)
    });
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("overloaded", Some("1")));
    let logged = |partner: &str| pair.jo.log(&["--partner", partner, "--verdict", "rejected"]).len();
    assert_eq!(logged("IQ"), 0, "it is no verdict: nothing is logged");
    assert_eq!(quiet.message(&message(&sa).bytes).status, 200, "another partner has places of its own");
    // What was under way is finished, and then there is room again.
    for (line, rest) in &mut open {
        line.write_all(rest).unwrap();
        line.flush().unwrap();
        let mut answer = [0; 12];
        line.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    wait_for("room", || (flooding.message(&third.bytes).status == 200).then_some(()));
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn what_a_partner_asks_takes_places_of_its_own() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "requests_per_peer", "2");
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let show = ("/v1/witness/add-checkpoint", "text/plain; charset=utf-8");
    let open: Vec<_> = (0..2).map(|_| half_sent(&client, show, b"old 0\n\n")).collect();
    let refused = wait_for("the places to be taken", || {
        let answer = client.get("/v1/log/checkpoint");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("overloaded", Some("1")));
    let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(client.message(&message.bytes).status, 200, "messages have places of their own");
    drop(open);
    wait_for("room", || (client.get("/v1/log/checkpoint").status == 200).then_some(()));
}
