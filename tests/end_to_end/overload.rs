//! Too much at once is put off, each partner's by itself.

use std::io::{Read as _, Write as _};

use support::home::set;
use support::{Home, Pair, event, sign, wait_for};

/// A request whose body stops half-way: it is under way until the rest comes.
fn half_sent(
    client: &support::Client,
    body: &[u8],
) -> (rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>, Vec<u8>) {
    let mut line = client.connect().unwrap();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n",
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
    let mut open: Vec<_> = (0..2).map(|_| half_sent(&flooding, &message(&pair.iq).bytes)).collect();
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
