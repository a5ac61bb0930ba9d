//! How keys were exchanged with partners: a line and a count for each connection, and an entry in the house log where it changed.
//!
//! A fall from X25519MLKEM768 to a classical group is noted at once, the way back an hour later at the earliest
//! (`accept`): a partner that goes to and fro makes two entries an hour and side, and each fall stays visible.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

use crate::accept::{Accept, Answer, Handshake, Work};
use crate::clock;
use crate::figures::Figures;
use crate::tls::{Fault, Group, Refused, Shown, Side};

/// Lines a minute for each partner and side; all are counted.
const LINES: u32 = 60;
/// After which an entry that could not be written is tried again.
const AGAIN_MS: i64 = 5_000;
/// After which one is that has to wait for its hour.
const LATER_MS: i64 = 60_000;

/// What was seen since the start.
#[derive(Default)]
pub struct Handshakes {
    figures: Arc<Figures>,
    seen: Mutex<BTreeMap<(Country, Side), Seen>>,
}

#[derive(Default)]
struct Seen {
    /// What the house log says, as far as this process knows.
    noted: Option<Group>,
    /// What it is still to say: the weakest group since.
    pending: Option<Group>,
    /// Before which that is not tried.
    due: Option<Instant>,
    minute: i64,
    lines: u32,
}

impl Seen {
    fn see(&mut self, group: Group) {
        let stays = match self.pending {
            Some(pending) => !group.is_weaker_than(pending),
            None => self.noted == Some(group),
        };
        if !stays {
            // A fall does not wait for the hour of what was to be said before.
            (self.pending, self.due) = (Some(group), None);
        }
    }

    fn may_tell(&mut self, now: Instant) -> bool {
        let minute = now.0.div_euclid(60_000);
        if self.minute != minute {
            (self.minute, self.lines) = (minute, 0);
        }
        self.lines += 1;
        self.lines <= LINES
    }
}

impl Handshakes {
    /// Counted in these figures.
    pub fn new(figures: Arc<Figures>) -> Self {
        Self { figures, seen: Mutex::default() }
    }

    /// A handshake with a partner is done.
    pub fn done(&self, partner: Country, side: Side, group: Group) {
        self.figures.handshake(partner.as_str(), side.as_str(), group.as_str());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry((partner, side)).or_default();
        seen.see(group);
        if seen.may_tell(clock::now()) {
            let (direction, group) = (side.as_str(), group.as_str());
            tracing::info!(%partner, %direction, %group, "connected");
        }
    }

    /// One with a partner's server failed, and nothing was said to it. How often that is told, our own attempts bound.
    pub fn failed(&self, partner: Country, refused: &Refused) {
        let Refused { fault, reason, shown } = refused;
        if *fault == Fault::Broken {
            // The line went, and nothing was judged: the attempt tells.
            return;
        }
        let (certificate, remedy) = (shown.as_ref().map(Shown::as_str), fault.remedy());
        tracing::warn!(
            %partner,
            fault = %fault.code(),
            reason,
            certificate,
            remedy,
            "the partner's server is refused"
        );
    }

    /// Brings what changed into the house log.
    pub async fn note(&self, accept: &Accept) {
        for handshake in self.due(clock::now()) {
            let answer = accept.commit(Work::Handshake(Box::new(handshake))).await;
            let pause = match answer {
                Answer::Done => None,
                Answer::Refused(_) => Some(LATER_MS),
                _ => Some(AGAIN_MS),
            };
            self.settle(handshake, pause.map(|pause| clock::now().plus_ms(pause)));
        }
    }

    fn due(&self, now: Instant) -> Vec<Handshake> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let due = seen.iter().filter(|(_, seen)| seen.due.is_none_or(|due| due <= now));
        let changed = |(&(partner, side), seen): (&(Country, Side), &Seen)| {
            Some(Handshake { partner, side, group: seen.pending? })
        };
        due.filter_map(changed).collect()
    }

    /// It is noted, or tried again at `due`. What was seen meanwhile stays to be said.
    fn settle(&self, Handshake { partner, side, group }: Handshake, due: Option<Instant>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = seen.get_mut(&(partner, side)) else { return };
        if seen.pending != Some(group) {
            // A fall came between: it is said next.
            seen.noted = if due.is_none() { Some(group) } else { seen.noted };
        } else if due.is_none() {
            (seen.noted, seen.pending, seen.due) = (Some(group), None, None);
        } else {
            seen.due = due;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: Group = Group::X25519Mlkem768;

    fn pending(handshakes: &Handshakes, now: i64) -> Option<Group> {
        handshakes.due(Instant(now)).first().map(|handshake| handshake.group)
    }

    #[test]
    fn what_changed_is_said_once_and_a_fall_is_never_lost() {
        let handshakes = Handshakes::default();
        let jo: Country = "JO".parse().unwrap();
        let see = |group| handshakes.done(jo, Side::In, group);
        let settle = |group, due: Option<i64>| {
            handshakes.settle(Handshake { partner: jo, side: Side::In, group }, due.map(Instant))
        };
        assert_eq!(pending(&handshakes, 0), None);
        see(HYBRID);
        assert_eq!(pending(&handshakes, 0), Some(HYBRID), "the first is said");
        settle(HYBRID, None);
        see(HYBRID);
        assert_eq!(pending(&handshakes, 0), None);
        see(Group::X25519);
        see(HYBRID);
        assert_eq!(pending(&handshakes, 0), Some(Group::X25519), "also where it went by");
        settle(Group::X25519, None);
        see(HYBRID);
        assert_eq!(pending(&handshakes, 0), Some(HYBRID));
        // The way back waits for its hour; a fall meanwhile takes its place, and needs not be said twice.
        settle(HYBRID, Some(100));
        assert_eq!((pending(&handshakes, 99), pending(&handshakes, 100)), (None, Some(HYBRID)));
        see(Group::Secp256r1);
        assert_eq!(pending(&handshakes, 0), Some(Group::Secp256r1));
        // One that comes while another is under way.
        settle(HYBRID, None);
        assert_eq!(pending(&handshakes, 0), Some(Group::Secp256r1));
        settle(Group::Secp256r1, None);
        assert_eq!(pending(&handshakes, 0), None);
    }

    #[test]
    fn each_partner_and_side_stands_alone() {
        let handshakes = Handshakes::default();
        for partner in ["JO", "TR"] {
            for side in [Side::In, Side::Out] {
                handshakes.done(partner.parse().unwrap(), side, HYBRID);
            }
        }
        assert_eq!(handshakes.due(Instant(0)).len(), 4);
    }

    #[test]
    fn lines_have_a_budget_a_minute() {
        let mut seen = Seen::default();
        assert_eq!((0..100).filter(|_| seen.may_tell(Instant(60_000))).count(), 60);
        assert!(seen.may_tell(Instant(120_000)));
    }
}
