//! Who is told of an alert's turns: our own log, Sentry, webhooks.
//!
//! Each has a bounded lane and an account in the ledger, opened when the first alert names it. Telling
//! never waits; what finds no room is dropped and counted.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::turn::Turn;
use crate::config::Config;
use crate::config::model::{Alert, Notify, Sentry, Service};
use crate::telemetry::deadline::Deadline;
use crate::telemetry::export_client::ExportClient;
use crate::telemetry::lane::Lane;
use crate::telemetry::ledger::{Book, Ledger};
use crate::telemetry::post::Mail;
use crate::telemetry::resource;
use crate::telemetry::sink::Sink;
use crate::telemetry::sinks::sentry::{AlertSink, BadDsn};
use crate::telemetry::sinks::webhook::Webhook;
use crate::telemetry::start::StartError;
use crate::telemetry::worker::{self, Worker};

/// The signal of the accounts.
const SIGNAL: &str = "alerts";
/// Turns that wait for an outlet at most, and that are told at a time.
const TURNS: (usize, usize) = (256, 1);

type Turns = Arc<Lane<Arc<Turn>>>;

/// The outlets that are open.
#[derive(Debug)]
pub(super) struct Outlets {
    service: Service,
    ledger: Arc<Ledger>,
    client: ExportClient,
    project: Option<Sentry>,
    sentry: Option<Turns>,
    webhook: Option<Turns>,
    workers: Vec<Worker>,
}

impl Outlets {
    /// Outlets of this configuration, none of them open.
    pub(super) fn new(config: &Config, ledger: Arc<Ledger>) -> Result<Self, StartError> {
        Ok(Self {
            service: config.service.clone(),
            ledger,
            client: ExportClient::new(None)?,
            project: config.sentry.clone(),
            sentry: None,
            webhook: None,
            workers: Vec::new(),
        })
    }

    /// Opens what these alerts name and is not open. Needs a runtime.
    pub(super) fn open_for<'a>(
        &mut self,
        alerts: impl IntoIterator<Item = &'a Alert>,
    ) -> Result<(), BadDsn> {
        for Alert { notify, .. } in alerts {
            if let (true, None, Some(project)) = (notify.sentry, &self.sentry, &self.project) {
                let sink = AlertSink::new(project, Mail::new(self.client.clone()))?;
                self.sentry = Some(self.open(sink));
            }
            if notify.webhook.is_some() && self.webhook.is_none() {
                let sink = Webhook::new(&self.service, Mail::new(self.client.clone()));
                self.webhook = Some(self.open(sink));
            }
        }
        Ok(())
    }

    fn open<S: Sink<Item = Arc<Turn>>>(&mut self, sink: S) -> Turns {
        let (lane, worker) = worker::start(sink, SIGNAL, TURNS.0, TURNS.1);
        let book: Arc<dyn Book> = Arc::<Lane<_>>::clone(&lane);
        self.ledger.add(book);
        self.workers.push(worker);
        lane
    }

    /// Tells those who are to be told.
    pub(super) fn tell(&self, notify: &Notify, turn: Turn) {
        if notify.log {
            log(&turn);
        }
        let turn = Arc::new(turn);
        let sentry = self.sentry.as_ref().filter(|_| notify.sentry);
        let webhook = self.webhook.as_ref().filter(|_| notify.webhook.is_some());
        for lane in [sentry, webhook].into_iter().flatten() {
            lane.offer(Arc::clone(&turn)); // A full lane drops it and counts it.
        }
    }

    /// The workers, to be stopped.
    pub(super) fn take_workers(&mut self) -> Vec<Worker> {
        std::mem::take(&mut self.workers)
    }
}

/// Stops these workers, all by one deadline.
pub(super) async fn stop(workers: Vec<Worker>, deadline: Deadline) {
    let mut stopping = JoinSet::new();
    for worker in workers {
        stopping.spawn(worker.stop(deadline.clone()));
    }
    while stopping.join_next().await.is_some() {}
}

fn log(turn: &Turn) {
    let (alert, when, value) = (&*turn.name, &*turn.when, turn.shown_value());
    let (threshold, instance) = (turn.threshold, resource::instance());
    if turn.is_firing {
        tracing::warn!(alert, when, %value, threshold, instance, "An alert fires.");
    } else {
        tracing::info!(alert, when, %value, threshold, instance, "An alert is over.");
    }
}
