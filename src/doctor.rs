//! `wxgate doctor`: what would go wrong for the first visitor, told before.
//!
//! Holds always: every check is bounded in time and independent of the others, and
//! ends in a finding: what was seen, and where it is not good, what would be right;
//! what could not be looked at is told too. Nothing is changed anywhere: apps are
//! only connected to, and WeChat is asked about a code that cannot be one. No
//! finding holds a secret.

mod account;
mod facade;
mod machine;
mod origin;
mod via;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::Plan;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client for what is looked at: it goes straight there, and nowhere else.
fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
}

/// How a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Only a person can look.
    Look,
    /// Possibly not as it should be.
    Doubt,
    /// Visitors will meet it.
    Bad,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Look => "look",
            Self::Doubt => "warn",
            Self::Bad => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// The setting that it is about.
    pub place: String,
    /// What was seen, and what would be right.
    pub text: String,
}

/// All that was looked at.
#[derive(Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Whether visitors will meet something.
    pub fn is_bad(&self) -> bool {
        self.0.iter().any(|finding| finding.verdict == Verdict::Bad)
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    fn note(&mut self, verdict: Verdict, place: impl Into<String>, text: impl Into<String>) {
        self.0.push(Finding {
            verdict,
            place: place.into(),
            text: text.into(),
        });
    }

    fn good(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.note(Verdict::Good, place, text);
    }

    fn doubt(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.note(Verdict::Doubt, place, text);
    }

    fn bad(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.note(Verdict::Bad, place, text);
    }

    fn look(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.note(Verdict::Look, place, text);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let word = finding.verdict.word();
            writeln!(f, "{word:<5} {}: {}", finding.place, finding.text)?;
        }
        let count = |verdict| {
            let same = self.0.iter().filter(|finding| finding.verdict == verdict);
            same.count()
        };
        writeln!(
            f,
            "{} ok, {} to look at in WeChat's console, {} warnings, {} failures",
            count(Verdict::Good),
            count(Verdict::Look),
            count(Verdict::Doubt),
            count(Verdict::Bad)
        )
    }
}

/// Looks at everything in `plan`.
pub async fn examine(plan: Plan) -> Report {
    let mut report = Report::default();
    machine::examine(&plan, &mut report);
    let mut looks = JoinSet::new();
    for (at, planned) in plan.accounts.iter().enumerate() {
        if planned.account.via().is_some() {
            let look = via::Look::new(planned, &plan);
            looks.spawn(async move { (at, 0, look.examine().await) });
            continue;
        }
        let clients = via::clients(Arc::clone(&planned.account));
        looks.spawn(async move { (at, usize::MAX, clients.await) });
        let look = account::Look::new(planned, &plan);
        looks.spawn(async move { (at, 0, look.examine().await) });
        for (number, look) in origin::looks(planned, &plan).into_iter().enumerate() {
            looks.spawn(async move { (at, 1 + number, look.examine().await) });
        }
    }
    let accounts = plan.accounts.len();
    let facade = accounts + plan.listed.len() + 1;
    for (number, look) in facade::looks(&plan).into_iter().enumerate() {
        looks.spawn(async move { (facade, number, look.examine().await) });
    }
    for (number, route) in plan.listed.iter().enumerate() {
        for at in 0..route.upstream.peers().len() {
            let look = machine::app(number, route.upstream.clone(), at);
            looks.spawn(async move { (accounts + number, at, look.await) });
        }
    }
    let store = machine::store(plan.store);
    looks.spawn(async move { (accounts + plan.listed.len(), 0, store.await) });
    let mut parts = Vec::new();
    while let Some(part) = looks.join_next().await {
        // A look that panicked has seen nothing, and is no reason to be silent.
        match part {
            Ok(part) => parts.push(part),
            Err(error) => report.bad("wxgate doctor", format!("a look broke off: {error}")),
        }
    }
    parts.sort_by_key(|(group, number, _)| (*group, *number));
    for (_, _, part) in parts {
        report.0.extend(part.0);
    }
    report
}
