//! What is watched for: `[[alerts]]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::books::Book;
use crate::record::ConfigName;
use crate::secret::Secret;

/// One of `[[alerts]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its name, wherever it is told of.
    pub name: ConfigName,
    /// When it fires.
    pub when: When,
    /// The environments in which it is watched for; empty means all.
    pub environments: Vec<String>,
    /// Who is told.
    pub notify: Notify,
}

/// `alerts.notify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Our own log.
    pub log: bool,
    /// Sentry, where it is configured.
    pub sentry: bool,
    /// The URL that is posted to. It lets whoever knows it post, so it is a secret.
    pub webhook: Option<Secret>,
}

/// `alerts.when`.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// As it is written.
    pub shown: ConfigName,
    /// What it says.
    pub condition: Condition,
}

/// What must hold for an alert to fire.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// More than so many within a minute.
    Rate {
        /// Of what.
        of: Series,
        /// How many are not enough.
        above: u64,
    },
    /// A quantile of a histogram is above a duration.
    Quantile {
        /// Which: 1 to 99.
        percent: u8,
        /// Of what.
        of: Series,
        /// What it must exceed.
        above: Duration,
        /// How far back is looked.
        over: Duration,
    },
    /// One count is more than so many percent of another.
    Ratio {
        /// What is compared.
        of: Series,
        /// What it is compared to.
        to: Series,
        /// In percent.
        above: f64,
        /// How far back is looked.
        over: Duration,
    },
}

/// Series of one metric, added up.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric.
    pub book: &'static Book,
    /// Only those with a status in this range.
    pub statuses: Option<RangeInclusive<u16>>,
    /// Only those that have all these labels, by the names of Prometheus.
    pub labels: Vec<(&'static str, ConfigName)>,
}

impl Alert {
    /// Whether it is watched for in this environment.
    pub fn is_for(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|one| one == environment)
    }
}

impl Condition {
    /// How far back is looked.
    pub fn over(&self) -> Duration {
        match self {
            Self::Rate { .. } => Duration::from_mins(1),
            Self::Quantile { over, .. } | Self::Ratio { over, .. } => *over,
        }
    }

    /// What has to be counted.
    pub fn series(&self) -> Vec<Series> {
        match self {
            Self::Rate { of, .. } | Self::Quantile { of, .. } => vec![of.clone()],
            Self::Ratio { of, to, .. } => vec![of.clone(), to.clone()],
        }
    }

    /// What must be exceeded, in the unit of [`Self::unit`].
    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 within a minute")]
    pub fn threshold(&self) -> f64 {
        match self {
            Self::Rate { above, .. } => *above as f64,
            Self::Quantile { above, .. } => above.as_secs_f64(),
            Self::Ratio { above, .. } => *above,
        }
    }

    /// What its value and its threshold are counted in.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Rate { .. } => "/min",
            Self::Quantile { .. } => "s",
            Self::Ratio { .. } => "%",
        }
    }
}
