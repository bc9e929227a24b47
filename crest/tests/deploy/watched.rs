//! What is watched: the expressions of the alert rules and of the dashboard, and whether what they name is there.

use std::collections::BTreeSet;

use crest_ledger::TransferStatus;
use serde_json::Value;
use yaml_rust2::Yaml;

use crate::exported::{Exported, Labels};
use crate::promql::{Matcher, Named, Selector, labels_in_text};
use crate::repository::{read, yaml};

/// Labels that a target has, whatever it exports.
const OF_TARGETS: [&str; 3] = ["cluster", "instance", "job"];
/// The jobs that the rules and the dashboard know. Whoever scrapes has to name them so.
const JOBS: [&str; 2] = ["crest-node", "crest-router"];
/// What others export: node_exporter, and Kubernetes's kubelet.
const OF_OTHERS: [&str; 2] = ["node_", "kubelet_"];

/// An alert rule.
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) watched: Watched,
    pub(crate) severity: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) runbook: String,
}

/// An expression, and what is said of its outcome.
pub(crate) struct Watched {
    /// For messages: the alert, or the panel.
    pub(crate) place: String,
    pub(crate) expression: String,
    /// A legend or annotations.
    text: String,
    /// Whether it needs the metrics of others.
    needs_others: bool,
}

/// The alert rules of `deploy/prometheus/alerts.yml`, in their order.
pub(crate) fn alerts() -> Vec<Alert> {
    let rules = yaml("deploy/prometheus/alerts.yml").remove(0);
    let groups = rules["groups"].as_vec().expect("groups of rules");
    groups.iter().flat_map(|group| group["rules"].as_vec().expect("rules")).map(alert).collect()
}

fn alert(rule: &Yaml) -> Alert {
    let name = rule["alert"].as_str().expect("every rule is an alert").to_owned();
    let text = |yaml: &Yaml, what: &str| {
        yaml.as_str().map(|text| text.trim().to_owned()).unwrap_or_else(|| panic!("{name} has no {what}"))
    };
    let annotation = |what: &str| text(&rule["annotations"][what], what);
    let (summary, description) = (annotation("summary"), annotation("description"));
    Alert {
        watched: Watched {
            place: name.clone(),
            expression: text(&rule["expr"], "expression"),
            text: format!("{summary} {description}"),
            needs_others: rule["labels"]["needs"].as_str() == Some("node_exporter"),
        },
        severity: text(&rule["labels"]["severity"], "severity"),
        runbook: annotation("runbook"),
        summary,
        description,
        name,
    }
}

/// The expressions of the dashboard, as they are when all clusters are chosen.
pub(crate) fn dashboard() -> Vec<Watched> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/crest.json")).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("the dashboard has panels");
    let targets = panels.iter().flat_map(|panel| {
        let of = |target: &Value| Watched {
            place: format!("panel '{}'", panel["title"].as_str().expect("a panel has a title")),
            expression: target["expr"].as_str().expect("a target has an expression").to_owned(),
            text: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
            needs_others: false,
        };
        panel["targets"].as_array().into_iter().flatten().map(of)
    });
    let variables = dashboard["templating"]["list"].as_array().expect("the dashboard has variables");
    let queried = variables.iter().filter_map(|variable| variable["definition"].as_str()).map(|definition| Watched {
        place: "a variable".to_owned(),
        expression: definition.trim_start_matches("label_values").to_owned(),
        text: String::new(),
        needs_others: false,
    });
    targets.chain(queried).collect()
}

impl Watched {
    /// What it names and nobody exports, in words.
    pub(crate) fn missing(&self, exported: &Exported) -> Vec<String> {
        let named = Named::by(&self.expression);
        let mut missing = Vec::new();
        let mut known: BTreeSet<String> = OF_TARGETS.map(str::to_owned).into();
        for selector in &named.selectors {
            if OF_OTHERS.iter().any(|prefix| selector.metric.starts_with(prefix)) && self.needs_others {
                known.extend(selector.matchers.iter().map(|matcher| matcher.label.clone()));
                continue;
            }
            match labels_of(&selector.metric, exported) {
                Some(labels) => {
                    missing.extend(unknown_matchers(selector, &labels));
                    known.extend(labels.into_keys());
                }
                // The variable's query names a label outside of any metric.
                None if OF_TARGETS.contains(&selector.metric.as_str()) => {}
                None => missing.push(format!("nobody exports {}", selector.metric)),
            }
        }
        let grouped = named.labels.iter().filter(|label| !known.contains(*label));
        missing.extend(grouped.map(|label| format!("none of the metrics has the label {label}, which it groups by")));
        // What is grouped has no other labels left. `absent` keeps those that were asked for.
        let left: BTreeSet<String> = if named.labels.is_empty() { known } else { named.labels.into_iter().collect() };
        let told = labels_in_text(&self.text).into_iter().filter(|label| !left.contains(label));
        missing.extend(told.map(|label| format!("its text has the label {label}, which the outcome has not")));
        missing.iter().map(|what| format!("{}: {what}", self.place)).collect()
    }
}

/// The labels of a metric and their values, when it is there.
fn labels_of(metric: &str, exported: &Exported) -> Option<Labels> {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match metric {
        "up" => Some(Labels::from([("job".to_owned(), values(&JOBS))])),
        _ => exported.0.get(metric).cloned(),
    }
}

/// What is asked of labels that are not there, or of values that they cannot have.
fn unknown_matchers(selector: &Selector, labels: &Labels) -> Vec<String> {
    let unknown = |Matcher { label, values }: &Matcher| {
        if matches!(label.as_str(), "cluster" | "instance") {
            return Vec::new();
        }
        let Some(seen) = labels.get(label) else {
            return vec![format!("{} has no label {label}", selector.metric)];
        };
        let known = |value: &&String| seen.contains(*value) || can_be(label, value);
        let unknown = values.iter().filter(|value| !known(value));
        unknown.map(|value| format!("{} never has {label}=\"{value}\"", selector.metric)).collect()
    };
    selector.matchers.iter().flat_map(unknown).collect()
}

/// Values that a healthy cluster need not show.
fn can_be(label: &str, value: &str) -> bool {
    match label {
        "code" => (0..=16).any(|code| format!("{:?}", tonic::Code::from_i32(code)) == value),
        "result" => {
            let refusals = (0..=u8::MAX).filter_map(TransferStatus::from_number).map(TransferStatus::name);
            value == "blocked" || refusals.into_iter().any(|name| name == value)
        }
        _ => false,
    }
}
