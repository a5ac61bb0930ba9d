//! What is proposed, as it is kept and signed.

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::super::{Cx, Found, clients, crl, erase, partner};
use crate::roles::Role;

/// What one operator proposes. It holds all that the command needs: files are not read again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Plan {
    /// `partner add`
    PartnerAdd {
        /// The card, base64.
        card: String,
        /// As the partner read it out.
        fingerprint: String,
        /// Where to dial.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        connect: Option<String>,
    },
    /// `partner allow` and `partner agree`
    Agreement {
        /// With whom.
        partner: Country,
        /// The digest of the agreement that was in force when this was proposed.
        before: String,
        /// The state of the partner afterwards.
        state: String,
        /// The whole agreement, TOML.
        agreement: String,
    },
    /// `partner crl --none`
    CrlNone {
        /// Whose lists.
        partner: Country,
        /// The digests of those in force when this was proposed, sorted.
        lists: Vec<String>,
    },
    /// `client add operator`
    OperatorAdd {
        /// Who.
        name: String,
    },
    /// `erase`
    Erase {
        /// The message.
        id: String,
        /// Why.
        reason: String,
    },
}

impl Plan {
    /// `partner add`
    pub(crate) fn partner_add(card: &[u8], fingerprint: &str, connect: Option<&str>) -> Self {
        Plan::PartnerAdd {
            card: STANDARD.encode(card),
            fingerprint: fingerprint.to_owned(),
            connect: connect.map(str::to_owned),
        }
    }

    /// A change of an agreement.
    pub(crate) fn agreement(partner: Country, before: Digest, state: &str, agreement: &str) -> Self {
        Plan::Agreement {
            partner,
            before: before.to_string(),
            state: state.to_owned(),
            agreement: agreement.to_owned(),
        }
    }

    /// What it does, for the one who is to approve it.
    pub(super) fn sentence(&self) -> String {
        match self {
            Plan::PartnerAdd { fingerprint, card, .. } => {
                format!("add a partner by a card of {} bytes, fingerprint {fingerprint}", card.len() / 4 * 3)
            }
            Plan::Agreement { partner, state, .. } => {
                format!("change the agreement with {partner}, which is then {state}")
            }
            Plan::CrlNone { partner, lists } => format!(
                "take {} revocation lists of {partner} out of force: certificates that they revoked come in again",
                lists.len()
            ),
            Plan::OperatorAdd { name } => format!("issue a certificate to {name}, as an operator"),
            Plan::Erase { id, reason } => format!("erase the payload of {id} now: {reason}"),
        }
    }

    /// Does it, by the path of the command itself: everything is checked again.
    pub(super) async fn carry_out(self, cx: &Cx) -> Result<Found> {
        match self {
            Plan::PartnerAdd { card, fingerprint, connect } => {
                let card = STANDARD.decode(card).map_err(|_| anyhow!("the proposed card is no base64"))?;
                partner::add(cx, "the proposed card", card, &fingerprint, connect).await
            }
            Plan::Agreement { partner, before, state, agreement } => partner::change(cx, partner, |row| {
                if Digest::of(row.agreement.as_bytes()).to_string() != before {
                    return Err(anyhow!(
                        "the agreement with {partner} has changed since this was proposed: propose it anew"
                    ));
                }
                row.agreement = agreement;
                row.state = state;
                Ok("agreement")
            })
            .await,
            Plan::CrlNone { partner, lists } => crl::none(cx, partner, Some(&lists)).await,
            Plan::OperatorAdd { name } => clients::add(cx, Role::Operator, &name).await,
            Plan::Erase { id, reason } => erase::run(cx, erase::Args { id, reason }).await,
        }
    }
}
