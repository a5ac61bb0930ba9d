//! The partner plane: who is on the other side, and what is served to whom.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use silkgate_message::party::Country;
use silkgate_message::problem::{Code, Problem};
use tokio::sync::mpsc;

use crate::gateway::Gateway;
use crate::http::{self, PartnerPeer, Plane, Session};
use crate::tls::{Refused, Side};
use crate::{channel, receive, tiles, witness};

/// What partners are served.
pub(crate) fn partner_routes(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/agreement", get(channel::agreement))
        .route("/v1/channel", get(channel::fetch))
        .route("/v1/log/checkpoint", get(tiles::checkpoint))
        .route("/v1/log/tile/{*path}", get(tiles::tile))
        .route("/v1/log/cosigned/{origin}", get(witness::cosigned))
        .route("/v1/witness/{origin}/checkpoint", get(witness::newest))
        .route_layer(middleware::from_fn_with_state(gateway.clone(), within_rate))
        // It has a rate of its own: questions must not postpone what makes a log evidence.
        .route("/v1/witness/add-checkpoint", post(witness::add_checkpoint))
        .route_layer(middleware::from_fn_with_state(gateway.clone(), in_place))
        .route("/v1/messages", post(receive::post))
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .with_state(gateway.clone())
}

/// What an answer about a log holds in memory, at most.
const ANSWER_BYTES: usize = 2 << 20;

/// What a partner asks beside sending messages takes a place too, in a lane of its own: it neither fills the memory nor keeps the
/// partner's own messages waiting.
async fn in_place(
    State(gateway): State<Arc<Gateway>>,
    peer: Extension<PartnerPeer>,
    request: Request,
    next: Next,
) -> Response {
    let lane = format!("{} asks", peer.0.0);
    let Some(_place) = gateway.admission.enter(&lane, ANSWER_BYTES) else {
        gateway.admission.turn_away(&lane).await;
        gateway.figures.asked(peer.0.0, Some(Code::Overloaded));
        return http::problem(&Problem::new(Code::Overloaded));
    };
    next.run(request).await
}

/// So many questions in a second.
async fn within_rate(
    State(gateway): State<Arc<Gateway>>,
    peer: Extension<PartnerPeer>,
    request: Request,
    next: Next,
) -> Response {
    let partner = peer.0.0;
    if gateway.asked.take(partner) {
        gateway.figures.asked(partner, None);
        return next.run(request).await;
    }
    gateway.figures.asked(partner, Some(Code::QuestionsExceeded));
    gateway.admission.turn_away(partner.as_str()).await;
    http::problem(&Problem::new(Code::QuestionsExceeded))
}

/// A flood makes one line a minute on each plane; the figures count all of it.
pub(super) fn crowded(
    gateway: &Gateway,
    plane: &'static str,
    bound: &'static str,
    from: IpAddr,
    is_told: bool,
) {
    gateway.figures.connection_refused(plane, bound);
    if is_told {
        tracing::warn!(plane, bound, %from, "connections beyond a bound are closed");
    }
}

/// The partner plane.
pub(super) struct Partners {
    pub(super) gateway: Arc<Gateway>,
    pub(super) strangers: mpsc::Sender<()>,
}

impl Partners {
    fn country(&self, session: &Session) -> Option<Country> {
        self.gateway.partner_tls().identify(&session.certificate)?.parse().ok()
    }
}

impl Plane for Partners {
    type Peer = PartnerPeer;

    fn tls(&self) -> Arc<rustls::ServerConfig> {
        self.gateway.partner_tls().config()
    }

    fn opened(&self, session: &Session) {
        if let (Some(partner), Some(group)) = (self.country(session), session.group) {
            self.gateway.handshakes.done(partner, Side::In, group);
        }
    }

    fn peer(&self, session: &Session) -> Result<PartnerPeer, Code> {
        let country = self.country(session).ok_or(Code::PeerUnknown)?;
        let directory = self.gateway.directory();
        let partner = directory.partner(country).filter(|partner| partner.state != "removed");
        let partner = partner.ok_or(Code::PeerUnknown)?;
        let policy = partner.agreement.key_exchange;
        let fits = session.group.is_some_and(|group| group.fits(policy));
        if fits { Ok(PartnerPeer(country)) } else { Err(Code::KeyExchangeWeak) }
    }

    fn name(&self, peer: &PartnerPeer) -> String {
        peer.0.to_string()
    }

    fn stranger(&self, from: IpAddr, refused: &Refused) {
        self.gateway.figures.connection_refused("partner", "tls_stranger");
        self.gateway.refusals.tell_stranger(from, refused);
        // A full channel drops the note, never the handshakes of others.
        let _ = self.strangers.try_send(());
    }

    fn refused(&self, session: &Session, code: Code) {
        self.gateway.figures.connection_refused("partner", code.as_str());
        self.gateway.refusals.of_peer(code, self.country(session));
    }

    fn crowded(&self, bound: &'static str, from: IpAddr, is_told: bool) {
        crowded(&self.gateway, "partner", bound, from, is_told);
    }

    fn cut(&self, why: &'static str) {
        self.gateway.figures.connection_refused("partner", why);
    }
}
