//! Writes metrics in the format of OpenMetrics. A name without rows is left out.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

/// The labels of one row.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Receives the rows of each metric.
pub(super) struct Series<'a>(pub(super) DescriptorEncoder<'a>);

impl Series<'_> {
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let rows = rows.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.rows(name, help, MetricType::Counter, rows)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, i64)>,
    ) -> fmt::Result {
        let rows = rows.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.rows(name, help, MetricType::Gauge, rows)
    }

    pub(super) fn histogram<'m>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (&'m Labels, &'m Histogram)>,
    ) -> fmt::Result {
        let rows = rows.into_iter().map(|(labels, histogram)| (labels.clone(), histogram.clone()));
        self.rows(name, help, MetricType::Histogram, rows)
    }

    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        family: &Family<[(&'static str, &'static str); 1], Counter>,
    ) -> fmt::Result {
        if family.is_empty() {
            return Ok(());
        }
        family.encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn rows<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl Iterator<Item = (Labels, M)>,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in rows {
            if labels.is_empty() {
                // It is the only row.
                return metric.encode(encoder);
            }
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
