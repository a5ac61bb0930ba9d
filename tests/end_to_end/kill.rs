//! SIGKILL at any moment, under load, on both sides: nothing acknowledged is missing, nothing is
//! delivered as two messages, both logs verify.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Client, Pair, event, sign, wait_for};

/// In the tests; `tests/endurance/run kills` asks for more.
const KILLS: usize = 50;
/// Acknowledged messages between two kills, on average.
const BETWEEN: usize = 40;

/// What the load's clients remember.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// Requests under way to each gateway.
    to_iq: AtomicUsize,
    to_jo: AtomicUsize,
    /// Ids that Iraq's gateway took over from its back end.
    submitted: Mutex<BTreeSet<String>>,
    /// Ids that Jordan's gateway accepted straight from a peer with Iraq's keys.
    accepted: Mutex<BTreeSet<String>>,
}

impl Load {
    fn acknowledged(&self) -> usize {
        self.submitted.lock().unwrap().len() + self.accepted.lock().unwrap().len()
    }
}

/// Repeats one request until it is answered as expected: a client that lost its answer tries again.
fn insist(
    load: &Load,
    under_way: &AtomicUsize,
    request: impl Fn() -> std::io::Result<support::Answer>,
    expected: u16,
) -> bool {
    loop {
        under_way.fetch_add(1, Ordering::SeqCst);
        let answer = request();
        under_way.fetch_sub(1, Ordering::SeqCst);
        match answer {
            Ok(answer) if answer.status == expected => return true,
            Ok(answer) => assert!(matches!(answer.status, 503), "{}: {}", answer.status, answer.code()),
            Err(_) => {}
        }
        if load.stop.load(Ordering::SeqCst) {
            return false;
        }
        std::thread::yield_now();
    }
}

fn submit_all_the_time(load: &Load, police: &Client) {
    while !load.stop.load(Ordering::SeqCst) {
        let event = event("IQ/traffic-police", "JO/public-security");
        let body = event.to_string();
        let request =
            || police.request("POST", "/v1/submissions", "application/cloudevents+json", body.as_bytes());
        if insist(load, &load.to_iq, request, 202) {
            load.submitted.lock().unwrap().insert(event["id"].as_str().unwrap().to_owned());
        }
    }
}

fn send_all_the_time(load: &Load, client: &Client, key: &silkgate_message::jws::SigningKey) {
    while !load.stop.load(Ordering::SeqCst) {
        let message = sign(key, &event("IQ/traffic-police", "JO/public-security"));
        let request = || client.request("POST", "/v1/messages", "application/jose+json", &message.bytes);
        if insist(load, &load.to_jo, request, 200) {
            load.accepted.lock().unwrap().insert(message.id);
        }
    }
}

/// Jordan's back end: fetches and acknowledges, whatever happens to its gateway.
fn fetch_all_the_time(load: &Load, back_end: &Client, taken: &Mutex<Vec<String>>) {
    while !load.stop.load(Ordering::SeqCst) {
        let Ok(answer) = back_end.request("GET", "/v1/deliveries?max=50&wait=1", "application/json", b"")
        else {
            continue;
        };
        if answer.status != 200 {
            continue;
        }
        for delivery in answer.json()["deliveries"].as_array().unwrap() {
            let id = delivery["id"].as_str().unwrap();
            let lease = serde_json::json!({ "lease": delivery["lease"] }).to_string();
            let path = format!("/v1/deliveries/{id}/ack");
            let acknowledged = back_end.request("POST", &path, "application/json", lease.as_bytes());
            if acknowledged.is_ok_and(|answer| answer.status == 200) {
                taken.lock().unwrap().push(id.to_owned());
            }
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_is_doubled() {
    let kills = std::env::var("SILKGATE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut slowest = Duration::ZERO;
    let mut pair = Pair::set_up(None);
    // What a killed gateway had handed out is handed out again once its lease ends: on a shared database no start frees it.
    support::home::set(&pair.jo, "lease_seconds", "10");
    pair.iq.start();
    pair.jo.start();
    let load = Load::default();
    let taken = Mutex::new(Vec::new());
    let keys: Vec<_> = (0..4).map(|_| pair.iq.message_key()).collect();
    let police = pair.iq.back_end("IQ/traffic-police");
    let peer = pair.iq.as_partner_of(&pair.jo);
    let back_end = pair.jo.back_end("JO/public-security");
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(|| submit_all_the_time(&load, &police));
            scope.spawn(|| send_all_the_time(&load, &peer, key));
        }
        for _ in 0..2 {
            scope.spawn(|| fetch_all_the_time(&load, &back_end, &taken));
        }
        // A failing assertion here must not leave the load running for ever.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for kill in 0..kills {
                let (home, under_way) =
                    if kill % 2 == 0 { (&mut pair.iq, &load.to_iq) } else { (&mut pair.jo, &load.to_jo) };
                let share = BETWEEN * (kill + 1);
                wait_for("acknowledgements between two kills", || {
                    (load.acknowledged() >= share).then_some(())
                });
                wait_for("requests in flight", || (under_way.load(Ordering::SeqCst) > 0).then_some(()));
                home.kill();
                let killed = Instant::now();
                home.start();
                slowest = slowest.max(killed.elapsed());
            }
        }));
        load.stop.store(true, Ordering::SeqCst);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    let (submitted, accepted) = (load.submitted.into_inner().unwrap(), load.accepted.into_inner().unwrap());
    assert!(submitted.len() + accepted.len() >= BETWEEN * kills);
    for id in &submitted {
        assert_eq!(police.outcome(id)["state"], "receipted", "{id} was taken over");
    }
    // What was not fetched during the load, or whose acknowledgement was lost.
    let mut all = submitted.clone();
    all.extend(accepted.iter().cloned());
    // The log is read once there is nothing to fetch: it is long by then.
    wait_for_long("everything to be handed over", || {
        let fetched = back_end.deliveries("?max=100");
        std::thread::scope(|scope| {
            for part in fetched.chunks(13) {
                let back_end = &back_end;
                scope.spawn(move || {
                    part.iter().for_each(|one| assert_eq!(back_end.acknowledge(one).status, 200));
                });
            }
        });
        if !fetched.is_empty() {
            return Progress::Made;
        }
        let done: BTreeSet<String> = ids(&pair, "house", "delivered").into_iter().collect();
        if all.is_subset(&done) { Progress::Done } else { Progress::None }
    });
    for (log, kind) in [("house", "delivered"), ("IQ", "received")] {
        let logged = ids(&pair, log, kind);
        let distinct: BTreeSet<&String> = logged.iter().collect();
        assert_eq!(distinct.len(), logged.len(), "{kind}: a message stands there twice");
        assert!(all.iter().all(|id| distinct.contains(id)), "{kind}: an acknowledged message is missing");
    }
    let taken = taken.into_inner().unwrap();
    let once: BTreeSet<&String> = taken.iter().collect();
    assert_eq!(once.len(), taken.len(), "a back end acknowledged a message twice");
    assert_eq!(pair.iq.audit(), Vec::<serde_json::Value>::new());
    assert_eq!(pair.jo.audit(), Vec::<serde_json::Value>::new());
    println!(
        "{kills} kills, {} submitted and {} accepted messages acknowledged, none lost and none doubled; up again after at most {slowest:?}",
        submitted.len(),
        accepted.len()
    );
}

/// What a look brought.
enum Progress {
    Made,
    None,
    Done,
}

/// Waits as long as there is progress.
fn wait_for_long(what: &str, mut look: impl FnMut() -> Progress) {
    let mut ended = false;
    while !ended {
        ended = wait_for(what, || match look() {
            Progress::Made => Some(false),
            Progress::None => None,
            Progress::Done => Some(true),
        });
    }
}

fn ids(pair: &Pair, log: &str, kind: &str) -> Vec<String> {
    let entries = pair.jo.log(&["--partner", log]);
    let of_kind = entries.into_iter().filter(|entry| entry["kind"] == kind);
    of_kind.map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}
