//! The network between the two gateways: what it does to a question and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use silkgate_ledger::AddCheckpoint;
use silkgate_message::party::Country;
use silkgate_message::problem::Problem;

use super::lock;
use super::state::Plane;
use super::world::World;
use crate::http::PartnerPeer;
use crate::line::{Answer, Question};

/// How often a fault comes: once in so many questions; 0: never.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Rates {
    pub(super) request_lost: u64,
    pub(super) answer_lost: u64,
    pub(super) reset: u64,
    pub(super) doubled: u64,
    pub(super) late: u64,
}

/// The lines between the two.
pub(super) struct Network {
    rates: Rates,
    is_cut: AtomicBool,
}

impl Network {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, is_cut: AtomicBool::new(false) }
    }

    /// Nothing passes, and nobody is told.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// Everything passes again.
    pub(super) fn heal(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

impl World {
    /// Carries a question to the other state. It goes on its way whatever becomes of who asked.
    pub(super) async fn carry(
        self: Arc<Self>,
        from: usize,
        to: Country,
        question: Question,
    ) -> Result<Answer, String> {
        let way = tokio::spawn(self.way(from, to, question));
        way.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn way(self: Arc<Self>, from: usize, to: Country, question: Question) -> Result<Answer, String> {
        let rates = self.network.rates;
        let Some(other) = self.states.iter().find(|state| state.country == to) else {
            return Err("no such host".to_owned());
        };
        let name = format!("{from}→{} {}", other.number, question.path);
        self.pause(20).await;
        if self.network.is_cut.load(Ordering::SeqCst) || self.fails(rates.request_lost) {
            self.note(|| format!("{name} lost"));
            return std::future::pending().await;
        }
        if self.fails(rates.reset) {
            self.note(|| format!("{name} refused"));
            return Err("connection refused".to_owned());
        }
        if self.fails(rates.late) {
            let late_ms = self.below(25_000);
            self.note(|| format!("{name} late by {late_ms}"));
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
        }
        self.look(from, &question);
        if self.fails(rates.doubled) {
            self.note(|| format!("{name} doubled"));
            let (other, again) = (other.clone(), self.request(from, &question));
            let (world, pause_ms) = (self.clone(), self.below(3000));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                if let Some(answer) = other.serve(Plane::Partner, again).await {
                    world.keep(other.number, answer.status, &answer.body);
                }
            });
        }
        let answer = other.serve(Plane::Partner, self.request(from, &question)).await;
        let Some(answer) = answer else {
            self.note(|| format!("{name} broke off"));
            return Err("connection reset".to_owned());
        };
        // It has left the gateway, whether it arrives or not.
        self.keep(other.number, answer.status, &answer.body);
        let mut status = answer.status.to_string();
        if let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) {
            status = format!("{status} {}", problem.code);
        }
        let lost = self.network.is_cut.load(Ordering::SeqCst) || self.fails(rates.answer_lost);
        self.note(|| format!("{name} {status}{}", if lost { ", answer lost" } else { "" }));
        if lost {
            return std::future::pending().await;
        }
        self.pause(20).await;
        Ok(Answer { status: answer.status, retry_after: answer.retry_after, body: answer.body })
    }

    fn request(&self, from: usize, question: &Question) -> Request<Body> {
        let request = Request::builder().method(question.method.clone()).uri(&question.path);
        let request = request.header(header::CONTENT_TYPE, question.content_type);
        let mut request = request.body(Body::from(question.body.clone())).expect("a request");
        // As the partner plane finds it out by the certificate.
        request.extensions_mut().insert(PartnerPeer(self.states[from].country));
        request
    }

    /// A checkpoint that is shown commits whose log it is of.
    fn look(&self, from: usize, question: &Question) {
        if let Some(shown) = AddCheckpoint::parse(&question.body) {
            lock(&self.witnessed).checkpoints.push((from, shown.note.text().to_owned()));
        }
    }

    /// A receipt that left a gateway commits it.
    pub(super) fn keep(&self, of: usize, status: u16, body: &[u8]) {
        let receipt = match status {
            200 if body.starts_with(b"c2sp.org/tlog-proof") => Some(body.to_vec()),
            200 => None,
            _ => serde_json::from_slice::<Problem>(body).ok().and_then(|p| p.receipt).map(String::into_bytes),
        };
        if let Some(receipt) = receipt {
            lock(&self.witnessed).receipts.push((of, receipt));
        }
    }
}
