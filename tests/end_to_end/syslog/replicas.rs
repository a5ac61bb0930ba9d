//! Several gateways of one state on one database: one of them sends.

use support::collector::Collector;
use support::home::Backend;
use support::{Home, Pair, wait_for};

use super::{send, wait_for_all};

#[test]
fn one_of_two_gateways_sends_and_the_other_one_takes_over() {
    let folder = tempfile::TempDir::new().unwrap();
    let iq = Home::init_file(folder.path(), "IQ/traffic-police");
    let jo = Home::init_on(folder.path(), "JO/public-security", Backend::Shared);
    iq.add_partner(&jo, None);
    jo.add_partner(&iq, None);
    let collector = Collector::start(folder.path());
    collector.configure(&jo, "confirm_seconds = 1");
    let mut second = jo.replica("jo-2");
    let mut pair = Pair { iq, jo, folder };
    pair.jo.start();
    send(&pair);
    wait_for_all(&collector, &pair.jo);
    second.start();
    // What the other one takes is sent by the first.
    let client = pair.iq.as_partner_of(&second);
    let message =
        support::sign(&pair.iq.message_key(), &support::event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(client.message(&message.bytes).status, 200);
    wait_for_all(&collector, &pair.jo);
    assert_eq!(collector.connections(), 1);
    pair.jo.kill();
    assert_eq!(
        client
            .message(
                &support::sign(
                    &pair.iq.message_key(),
                    &support::event("IQ/traffic-police", "JO/public-security")
                )
                .bytes
            )
            .status,
        200
    );
    wait_for("the other one to take over", || (collector.connections() == 2).then_some(()));
    wait_for_all(&collector, &second);
    pair.jo.start();
    // One that stops hands over at once, and has parted from the collector before.
    assert_eq!(second.stop(), Some(0));
    wait_for("the first one to take over", || (collector.connections() == 3).then_some(()));
    send(&pair);
    wait_for_all(&collector, &pair.jo);
    assert_eq!(collector.connections(), 3);
    assert!(pair.jo.audit().is_empty());
}
