//! The national plane: its resources, and who may use each.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use silkgate_message::problem::{Code, Problem};
use tokio::sync::mpsc;

use super::planes::crowded;
use crate::gateway::Gateway;
use crate::http::{self, BackEndPeer, Plane, Session};
use crate::roles::{NationalPeer, Role};
use crate::tls::Refused;
use crate::{deliver, operations, pages, reading, submit};

/// A resource, and the roles that may use it.
struct Resource {
    method: &'static str,
    path: &'static str,
    roles: &'static [Role],
    /// Whether it is for a browser.
    is_page: bool,
    service: MethodRouter<Arc<Gateway>>,
}

fn read<H, T>(path: &'static str, roles: &'static [Role], handler: H) -> Resource
where
    H: Handler<T, Arc<Gateway>>,
    T: 'static,
{
    Resource { method: "GET", path, roles, is_page: false, service: get(handler) }
}

fn write<H, T>(path: &'static str, roles: &'static [Role], handler: H) -> Resource
where
    H: Handler<T, Arc<Gateway>>,
    T: 'static,
{
    Resource { method: "POST", path, roles, is_page: false, service: post(handler) }
}

/// Who may do what; docs/operations/roles.md holds the same table for its readers. A data-protection officer's logs are the house
/// log alone, which [`reading`] sees to.
fn resources() -> Vec<Resource> {
    use Role::{Auditor, BackEnd, DataProtection, Operator};
    vec![
        write("/v1/submissions", &[BackEnd], submit::post),
        read("/v1/submissions/{id}", &[BackEnd], submit::status),
        read("/v1/submissions/{id}/message", &[BackEnd], submit::signed_message),
        write("/v1/check", &[BackEnd], submit::dry_run),
        read("/v1/deliveries", &[BackEnd], deliver::fetch),
        write("/v1/deliveries/{id}/ack", &[BackEnd], deliver::acknowledge),
        read("/v1/status", &[Operator], operations::status),
        read("/v1/audit/entries", &[Auditor, DataProtection], reading::entries),
        read("/v1/audit/checkpoint", &[Auditor, DataProtection], reading::checkpoint),
        read("/v1/audit/messages/{id}", &[Auditor], reading::message),
        read("/v1/audit/messages/{id}/content", &[Auditor], reading::content),
        read("/v1/audit/reads", &[Auditor, DataProtection], reading::reads),
        read("/v1/audit/events", &[Auditor, DataProtection], reading::events),
        write("/v1/pages/link", &[Operator, Auditor, DataProtection], pages::link),
        page(read("/", &[Operator, Auditor, DataProtection], pages::overview)),
        page(read("/messages", &[Auditor], pages::messages)),
        page(read("/messages/export", &[Auditor], pages::export)),
        page(write("/messages/evidence", &[Auditor], pages::evidence_of_search)),
        page(read("/making", &[Auditor], pages::making)),
        page(read("/messages/{id}", &[Auditor], pages::message)),
        page(write("/messages/{id}", &[Auditor], pages::opened)),
        page(write("/messages/{id}/evidence", &[Auditor], pages::evidence_of_message)),
        page(read("/messages/{id}/proof", &[Auditor], pages::proof)),
        page(read("/ledger", &[Operator, Auditor, DataProtection], pages::ledger)),
        page(read("/ledger/{log}", &[Auditor, DataProtection], pages::log)),
        page(read("/partners", &[Operator, Auditor, DataProtection], pages::partners)),
        page(read("/partners/{country}", &[Operator, Auditor, DataProtection], pages::partner)),
        page(read("/schemas", &[Operator, Auditor, DataProtection], pages::schemas)),
        page(read("/schemas/{type}/{version}", &[Operator, Auditor, DataProtection], pages::schema)),
        page(read("/check", &[Operator, Auditor, DataProtection], pages::form)),
        page(write("/check", &[Operator, Auditor, DataProtection], pages::check)),
        page(read("/purposes", &[Auditor, DataProtection], pages::purposes)),
        page(write("/purposes", &[Auditor, DataProtection], pages::legal_bases)),
        page(read("/reads", &[Auditor, DataProtection], pages::reads)),
        page(read("/language/{code}", &[Operator, Auditor, DataProtection], pages::switch)),
        page(read("/assets/{name}", &[Operator, Auditor, DataProtection], pages::asset)),
    ]
}

fn page(resource: Resource) -> Resource {
    Resource { is_page: true, ..resource }
}

/// What the national plane serves.
pub(crate) fn national_routes(gateway: &Arc<Gateway>) -> Router {
    let (for_people, others): (Vec<_>, Vec<_>) =
        resources().into_iter().partition(|resource| resource.is_page);
    let humane = middleware::from_fn_with_state(gateway.clone(), pages::humane);
    let ours = middleware::from_fn(pages::ours);
    routes(gateway, others)
        .layer(ours.clone())
        .merge(routes(gateway, for_people).layer(ours).layer(humane))
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .with_state(gateway.clone())
}

/// What the plane of the pages serves: the pages alone, to browsers that a link has let in.
pub(super) fn page_routes(gateway: &Arc<Gateway>) -> Router {
    let all = resources().into_iter().filter(|resource| resource.is_page).collect();
    routes(gateway, all)
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .layer(middleware::from_fn_with_state(gateway.clone(), pages::of_session))
        .route("/open/{link}", get(pages::enter))
        .layer(middleware::from_fn(pages::ours))
        .layer(middleware::from_fn_with_state(gateway.clone(), pages::humane))
        .with_state(gateway.clone())
}

fn routes(gateway: &Arc<Gateway>, resources: Vec<Resource>) -> Router<Arc<Gateway>> {
    let mut routes = Router::new();
    for Resource { method, path, roles, service, .. } in resources {
        let door = Door { gateway: gateway.clone(), method, path, roles };
        routes = routes.route(path, service.route_layer(middleware::from_fn_with_state(door, only)));
    }
    routes
}

/// What stands before a resource.
#[derive(Clone)]
struct Door {
    gateway: Arc<Gateway>,
    method: &'static str,
    path: &'static str,
    roles: &'static [Role],
}

/// Lets the roles of a resource in.
async fn only(
    State(door): State<Door>,
    Extension(peer): Extension<NationalPeer>,
    mut request: Request,
    next: Next,
) -> Response {
    if !door.roles.contains(&peer.role) {
        let (gateway, resource) = (&door.gateway, format!("{} {}", door.method, door.path));
        gateway.refusals.of_role(&gateway.accept, &peer, &resource).await;
        return http::problem(&Problem::new(Code::RoleForbidden));
    }
    if peer.role == Role::BackEnd {
        let Ok(party) = peer.name.parse() else {
            return http::problem(&Problem::new(Code::PeerUnknown));
        };
        request.extensions_mut().insert(BackEndPeer(party));
    }
    next.run(request).await
}

/// The national plane.
pub(super) struct National {
    gateway: Arc<Gateway>,
    strangers: mpsc::Sender<()>,
}

impl National {
    pub(super) fn new(gateway: &Arc<Gateway>, strangers: mpsc::Sender<()>) -> Self {
        Self { gateway: gateway.clone(), strangers }
    }
}

impl Plane for National {
    type Peer = NationalPeer;

    fn tls(&self) -> Arc<rustls::ServerConfig> {
        self.gateway.national_tls()
    }

    /// What is registered decides, and the certificate must say the same of itself: one that was taken off the list is out,
    /// whatever it says, and one that the list says something else of is nobody's.
    fn peer(&self, session: &Session) -> Result<NationalPeer, Code> {
        let directory = self.gateway.directory();
        let (digest, client) = directory.client(&session.certificate).ok_or(Code::PeerUnknown)?;
        let peer = NationalPeer::identify(client.role, &client.subject, *digest, session.uris());
        peer.ok_or(Code::PeerUnknown)
    }

    fn name(&self, peer: &NationalPeer) -> String {
        format!("{} {}", peer.role.as_str(), peer.name)
    }

    fn stranger(&self, from: IpAddr, refused: &Refused) {
        self.gateway.figures.connection_refused("national", "tls_stranger");
        self.gateway.refusals.tell_stranger(from, refused);
        let _ = self.strangers.try_send(());
    }

    fn refused(&self, _: &Session, code: Code) {
        self.gateway.figures.connection_refused("national", code.as_str());
        self.gateway.refusals.of_peer(code, None);
    }

    fn crowded(&self, bound: &'static str, from: IpAddr, is_told: bool) {
        crowded(&self.gateway, "national", bound, from, is_told);
    }

    fn cut(&self, why: &'static str) {
        self.gateway.figures.connection_refused("national", why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end-to-end test of every route and every role reads the manual's table.
    #[test]
    fn the_manual_holds_every_resource_with_its_roles() {
        let manual = include_str!("../../../../../docs/operations/roles.md");
        let rows: Vec<&str> = manual
            .lines()
            .filter(|line| line.starts_with("| `GET /") || line.starts_with("| `POST /"))
            .collect();
        let row = |resource: Resource| {
            let mark = |role| if resource.roles.contains(&role) { "yes" } else { "" };
            let marks: String = Role::ALL.into_iter().map(|role| format!(" {} |", mark(role))).collect();
            format!("| `{} {}` |{}", resource.method, resource.path, marks.replace("  ", " "))
        };
        assert_eq!(rows, resources().into_iter().map(row).collect::<Vec<_>>());
    }
}
