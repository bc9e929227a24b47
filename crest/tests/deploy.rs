//! What stands in `deploy/` fits the binary and the documentation: metrics, labels, commands, addresses, runbooks. What other
//! programs have to say of it (promtool, kubectl, systemd-analyze) is asked where they are installed.

#[path = "deploy/commands.rs"]
mod commands;
#[path = "deploy/exported.rs"]
mod exported;
#[path = "deploy/kubernetes.rs"]
mod kubernetes;
mod processes;
#[path = "deploy/promql.rs"]
mod promql;
#[path = "deploy/repository.rs"]
mod repository;
mod requests;
#[path = "deploy/watched.rs"]
mod watched;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use exported::Running;
use repository::{files, path, read, tool, yaml};
use watched::Watched;

/// Within this time everything has been exported once: RocksDB's own figures come every 2 s.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_watched_is_exported_and_whatever_is_exported_is_documented() {
    let watched: Vec<Watched> =
        watched::alerts().into_iter().map(|alert| alert.watched).chain(watched::dashboard()).collect();
    let running = Running::start().await;
    let until = Instant::now() + PATIENCE;
    let exported = loop {
        let exported = running.exported();
        let missing: Vec<String> = watched.iter().flat_map(|watched| watched.missing(&exported)).collect();
        if missing.is_empty() {
            break exported;
        }
        assert!(Instant::now() < until, "{}", missing.join("\n"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let manual = read("docs/OPERATIONS.md");
    for metric in exported.0.keys() {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|ending| metric.strip_suffix(ending));
        let name = of_histogram.unwrap_or(metric);
        let listed = ["`", "{"].iter().any(|end| manual.contains(&format!("`{name}{end}")));
        assert!(listed, "docs/OPERATIONS.md does not list {name}");
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = watched::alerts();
    let manual = read("docs/OPERATIONS.md");
    let sections: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|title| title.starts_with("Crest"))
        .collect();
    let tested = read("deploy/prometheus/alerts_test.yml");
    for alert in &alerts {
        let name = alert.name.as_str();
        assert!(sections.contains(name), "docs/OPERATIONS.md has no section '### {name}'");
        assert_eq!(alert.runbook, format!("docs/OPERATIONS.md#{}", name.to_lowercase()), "{name}");
        assert!(["page", "ticket"].contains(&alert.severity.as_str()), "{name} has the severity {}", alert.severity);
        assert!(alert.summary.len() < 110, "the summary of {name} does not fit a telephone: {}", alert.summary);
        assert!(alert.description.ends_with('.'), "the description of {name} is no sentence: {}", alert.description);
        assert!(
            tested.contains(&format!("alertname=\"{name}\"")) || tested.contains(&format!("alertname: {name}")),
            "{name}"
        );
    }
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names.len(), alerts.len(), "no two alerts have one name");
    assert_eq!(sections, names, "a runbook without an alert is for nobody");
}

#[test]
fn prometheus_takes_the_rules_and_every_alert_fires_when_it_has_to() {
    let folder = path("deploy/prometheus");
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    if tool("promtool", &["check", "config", &file("prometheus.yml")]).is_none() {
        return;
    }
    tool("promtool", &["test", "rules", &file("alerts_test.yml")]);
    // The dashboard's expressions, as rules, so that promtool reads them. JSON is YAML too.
    let rules: Vec<serde_json::Value> = watched::dashboard()
        .iter()
        .filter(|watched| watched.place.starts_with("panel"))
        .zip(0..)
        .map(|(watched, n)| {
            let expression = watched.expression.replace("$__rate_interval", "1m").replace("$cluster", ".*");
            serde_json::json!({ "record": format!("panel:{n}"), "expr": expression })
        })
        .collect();
    assert!(rules.len() > 50, "the dashboard has expressions");
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = processes::folder();
    let file = folder.path().join("dashboard.json");
    std::fs::write(&file, rules.to_string()).expect("the temporary folder can be written");
    tool("promtool", &["check", "rules", processes::text(&file)]);
}

#[test]
fn every_command_in_deploy_is_one_that_the_binary_has() {
    let mut lines: Vec<commands::CommandLine> = commands::of_compose().into_values().flatten().collect();
    lines.extend(commands::of_kubernetes().into_values());
    lines.extend(commands::of_systemd());
    assert!(lines.len() >= 15, "{lines:#?}");
    let unknown = commands::unknown_to_the_binary(&lines);
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn every_file_in_deploy_can_be_read() {
    let (documents, maps) = (files("deploy", &[".yml", ".yaml"]), files("deploy", &[".toml"]));
    assert!(documents.len() > 20 && maps.len() == 3, "{documents:?} {maps:?}");
    for name in documents {
        assert!(
            yaml(&name).iter().all(|document| document.as_hash().is_some() || document.as_vec().is_some()),
            "{name}"
        );
    }
}

#[test]
fn the_manifests_for_kubernetes_fit_each_other() {
    let misfits = kubernetes::misfits();
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
    let nodes = kubernetes::object("StatefulSet", "crest-node");
    let replicas = nodes.spec()["replicas"].as_i64().expect("it has replicas");
    let map = read("deploy/kubernetes/cluster.toml");
    for pod in 0..replicas {
        let node = format!("[[node]]\nid = {}\naddress = \"crest-node-{pod}.crest-node:7101\"\n", pod + 1);
        assert!(map.contains(&node), "the map has no\n{node}");
        assert_eq!(number_of_the_node(&nodes, &format!("crest-node-{pod}")), (pod + 1).to_string());
    }
    assert_eq!(map.matches("[[node]]").count() as i64, replicas);
    assert_eq!(number_of_the_node(&nodes, "crest-node-41"), "42");
    assert_eq!(kubernetes::object("PodDisruptionBudget", "crest-node").spec()["maxUnavailable"].as_i64(), Some(1));
    assert_eq!(nodes.spec()["volumeClaimTemplates"][0]["metadata"]["name"].as_str(), Some("data"), "an alert knows it");
    tool("kubectl", &["kustomize", &path("deploy/kubernetes").to_string_lossy()]);
    tool("kubectl", &["kustomize", &path("deploy/kubernetes/monitoring").to_string_lossy()]);
}

/// What the container's own script makes of a pod's name: it is run, with an `echo` in the place of `crest`.
fn number_of_the_node(nodes: &kubernetes::Object, pod: &str) -> String {
    let script = nodes.containers()[0]["args"][0].as_str().expect("a script").replace("exec crest", "echo");
    let mut shell = std::process::Command::new("/bin/sh");
    let ran = shell.args(["-c", &script]).env("POD_NAME", pod).output().expect("there is a shell");
    let words = String::from_utf8(ran.stdout).expect("it is text");
    let mut words = words.split_whitespace().skip_while(|word| *word != "--node");
    words.nth(1).unwrap_or_default().to_owned()
}

#[test]
fn the_services_of_compose_are_where_the_map_and_prometheus_look_for_them() {
    let services = commands::of_compose();
    let map = read("deploy/compose/cluster.toml");
    let mut targets = (Vec::new(), Vec::new());
    for (name, lines) in &services {
        let Some((kind, number)) = name.split_once('-') else { continue };
        let [serves, asks] = lines.as_slice() else { panic!("{name} serves and is asked for its health: {lines:?}") };
        let port = |option: &str| serves.value(option).and_then(|address| address.rsplit_once(':')).expect("a port").1;
        assert_eq!(asks.value("--address"), Some(format!("127.0.0.1:{}", port("--listen")).as_str()), "{name}");
        if kind == "node" {
            assert_eq!(serves.value("--node"), Some(number), "{name}");
            let node = format!("[[node]]\nid = {number}\naddress = \"{name}:{}\"\n", port("--listen"));
            assert!(map.contains(&node), "the map has no\n{node}");
            targets.0.push(format!("{name}:{}", port("--metrics")));
        } else {
            targets.1.push(format!("{name}:{}", port("--metrics")));
        }
    }
    assert_eq!((targets.0.len(), targets.1.len()), (3, 2), "{services:?}");
    for (job, expected) in [("crest-node", targets.0), ("crest-router", targets.1)] {
        let file = yaml(&format!("deploy/compose/targets/{job}.yml")).remove(0);
        let listed = file[0]["targets"].as_vec().expect("targets").iter().filter_map(|target| target.as_str());
        assert_eq!(listed.collect::<Vec<_>>(), expected, "{job}");
    }
}

#[test]
fn systemd_takes_the_units() {
    let folder = processes::folder();
    let binary = processes::binary();
    let environment = read("deploy/systemd/crest.env");
    let mut units = Vec::new();
    for unit in files("deploy/systemd", &[".service"]) {
        let text = read(&unit);
        for variable in text.split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(environment.contains(&format!("\n{variable}=")), "crest.env has no {variable}, which {unit} needs");
        }
        let text = text.replace("/usr/local/bin/crest", &binary.to_string_lossy());
        let name = unit.rsplit('/').next().expect("a file has a name").replace('@', "@1");
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("the temporary folder can be written");
        units.push(processes::text(&file).to_owned());
    }
    assert_eq!(units.len(), 2);
    let arguments: Vec<&str> = ["verify", "--man=no"].into_iter().chain(units.iter().map(String::as_str)).collect();
    // What it does not understand in a unit, it tells and ignores. It looks at units of the system too.
    let said = tool("systemd-analyze", &arguments).unwrap_or_default();
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("crest-")).collect();
    assert!(of_ours.is_empty(), "{}", of_ours.join("\n"));
}
