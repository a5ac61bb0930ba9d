//! The sheet of figures that one reading of `/metrics` gets.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Names of labels and their values.
pub type Labels = Vec<(&'static str, String)>;

/// Figures by name. What the store holds is read anew for each sheet and not counted a second time in memory.
pub struct Sheet(Registry);

impl Sheet {
    /// An empty one.
    #[allow(clippy::new_without_default)] // a sheet is never a part of something made by default
    pub fn new() -> Self {
        Self(Registry::with_prefix("silkgate"))
    }

    /// Values of this moment.
    pub fn gauge(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, i64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).set(value);
        }
        self.add(name, help, family);
    }

    /// The one value of this moment.
    pub fn value(&mut self, name: &str, help: &str, value: i64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        self.add(name, help, gauge);
    }

    /// What is counted in memory.
    pub fn add(
        &mut self,
        name: &str,
        help: &str,
        metric: impl EncodeMetric + fmt::Debug + Send + Sync + 'static,
    ) {
        self.0.register(name, help, Named(metric));
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// A metric that shows its name and help also while it has no value: whoever writes an alert finds it from the first start on.
#[derive(Debug)]
struct Named<M>(M);

impl<M: EncodeMetric> EncodeMetric for Named<M> {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}
