//! What an entry records, and how a message was judged.

/// What an entry records. The first seven stand in channel logs, [`Kind::Admin`] in both, the rest in
/// the house log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A message of ours, about to be sent to the partner.
    Sent,
    /// A message of the partner, accepted.
    Received,
    /// A message of the partner, refused; with `n`, so many refusals in one minute.
    Rejected,
    /// The partner's verified receipt for a message of ours.
    Receipted,
    /// A message of ours that reached its expiry unanswered.
    Expired,
    /// A payload erased: `of` names it, `rule` says why.
    Erased,
    /// Administration: `what` came into force or was done, by `digest`.
    Admin,
    /// A message handed over to its back end.
    Delivered,
    /// A message its back end did not take until the last attempt.
    Dead,
    /// A message an operator took out of delivery.
    Dropped,
    /// A submission of a back end, or a stranger's request, refused; with `n`, so many in one minute.
    Refused,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Sent,
        Self::Received,
        Self::Rejected,
        Self::Receipted,
        Self::Expired,
        Self::Erased,
        Self::Admin,
        Self::Delivered,
        Self::Dead,
        Self::Dropped,
        Self::Refused,
    ];

    /// The value of member `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Rejected => "rejected",
            Self::Receipted => "receipted",
            Self::Expired => "expired",
            Self::Erased => "erased",
            Self::Admin => "admin",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Members that an entry of this kind cannot lack.
    pub(super) fn required(self) -> &'static [&'static str] {
        match self {
            Self::Sent => &["from", "to", "id", "type", "jws"],
            Self::Received => &["from", "to", "id", "type", "jws", "verdict"],
            Self::Receipted => &["id", "verdict"],
            Self::Rejected | Self::Refused => &["code"],
            Self::Expired | Self::Delivered | Self::Dead | Self::Dropped => &["id"],
            Self::Erased => &["of", "rule"],
            Self::Admin => &["what"],
        }
    }
}

/// How a message was judged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It passed every check.
    Accepted,
    /// It failed one, named by `code`.
    Rejected,
}

impl Verdict {
    /// The value of member `verdict`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Rejected].into_iter().find(|verdict| verdict.as_str() == text)
    }
}
