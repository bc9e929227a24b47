//! The manifests for Kubernetes, and whether they fit each other.

use yaml_rust2::Yaml;

use crate::repository::yaml;

const FOLDER: &str = "deploy/kubernetes";

/// An object of a manifest.
pub(crate) struct Object(Yaml);

/// Every object that the kustomization names, and the one that it leaves to choice.
pub(crate) fn objects() -> Vec<Object> {
    let kustomization = yaml(&format!("{FOLDER}/kustomization.yaml")).remove(0);
    let listed = kustomization["resources"].as_vec().expect("it names resources").iter();
    let names = listed.map(|name| name.as_str().expect("a file's name")).chain(["router-autoscaler.yaml"]);
    names.flat_map(|name| yaml(&format!("{FOLDER}/{name}"))).map(Object).collect()
}

/// The object of this kind and name.
pub(crate) fn object(kind: &str, name: &str) -> Object {
    let found = objects()
        .into_iter()
        .find(|object| object.kind() == kind && object.0["metadata"]["name"].as_str() == Some(name));
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

impl Object {
    pub(crate) fn kind(&self) -> &str {
        self.0["kind"].as_str().expect("an object has a kind")
    }

    /// Kind and name, for messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.kind(), self.0["metadata"]["name"].as_str().expect("an object has a name"))
    }

    pub(crate) fn spec(&self) -> &Yaml {
        &self.0["spec"]
    }

    /// The template of its pods, when it makes any.
    pub(crate) fn pods(&self) -> Option<&Yaml> {
        let template = match self.kind() {
            "CronJob" => &self.spec()["jobTemplate"]["spec"]["template"],
            _ => &self.spec()["template"],
        };
        template["spec"]["containers"].as_vec().map(|_| template)
    }

    pub(crate) fn containers(&self) -> Vec<Yaml> {
        self.pods().and_then(|pods| pods["spec"]["containers"].as_vec().cloned()).unwrap_or_default()
    }
}

/// What does not fit, in words; nothing when all does.
pub(crate) fn misfits() -> Vec<String> {
    let objects = objects();
    let mut misfits = Vec::new();
    for object in &objects {
        let mut told = Vec::new();
        told.extend(selects_nobody(object, &objects));
        if let Some(pods) = object.pods() {
            told.extend(has_rights(pods));
            told.extend(object.containers().iter().flat_map(probes_of_other_ports));
            told.extend(container_without_bounds(&object.containers()));
        }
        if object.kind() == "StatefulSet" {
            told.extend(has_no_names(object, &objects));
        }
        misfits.extend(told.iter().map(|what| format!("{}: {what}", object.name())));
    }
    misfits
}

/// Every selector of an object has to fit the labels of some pods, and ports that it names have to be theirs.
fn selects_nobody(object: &Object, objects: &[Object]) -> Vec<String> {
    let spec = object.spec();
    let selector = match object.kind() {
        "Service" => &spec["selector"],
        "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
        _ => &spec["selector"]["matchLabels"],
    };
    let mut misfits = Vec::new();
    let chosen: Vec<&Object> = objects.iter().filter(|other| is_chosen(selector, other)).collect();
    if selector.as_hash().is_some() && chosen.is_empty() {
        misfits.push("its selector chooses no pods".to_owned());
    }
    let rules = spec["ingress"].as_vec().into_iter().flatten();
    let of_rules =
        rules.clone().flat_map(|rule| rule["ports"].as_vec().into_iter().flatten()).map(|port| &port["port"]);
    let of_service = spec["ports"].as_vec().into_iter().flatten().map(|port| &port["port"]);
    for port in of_rules.chain(of_service) {
        if !chosen.iter().any(|other| other.containers().iter().any(|container| has_port(container, port))) {
            misfits.push(format!("no pod that it chooses has the port {port:?}"));
        }
    }
    let peers = rules.flat_map(|rule| rule["from"].as_vec().into_iter().flatten());
    for peer in peers.map(|peer| &peer["podSelector"]["matchLabels"]).filter(|labels| labels.as_hash().is_some()) {
        if !objects.iter().any(|other| is_chosen(peer, other)) {
            misfits.push(format!("nobody is {peer:?}"));
        }
    }
    misfits
}

/// Whether a selector chooses the pods of an object.
fn is_chosen(selector: &Yaml, object: &Object) -> bool {
    let (Some(selector), Some(pods)) = (selector.as_hash(), object.pods()) else { return false };
    let labels = pods["metadata"]["labels"].as_hash().expect("pods have labels");
    selector.iter().all(|(label, value)| labels.get(label) == Some(value))
}

/// Whether a container has a port, by its number or its name.
fn has_port(container: &Yaml, port: &Yaml) -> bool {
    let mut ports = container["ports"].as_vec().into_iter().flatten();
    ports.any(|of| of["containerPort"] == *port || of["name"] == *port)
}

/// Pods run as a user without rights, on a file system that they cannot write, and know nothing of the cluster they are in.
fn has_rights(pods: &Yaml) -> Vec<String> {
    let spec = &pods["spec"];
    let mut rights = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            rights.push(what.to_owned());
        }
    };
    check(spec["automountServiceAccountToken"].as_bool() == Some(false), "it gets a token");
    check(spec["securityContext"]["runAsNonRoot"].as_bool() == Some(true), "it may be root");
    check(spec["securityContext"]["runAsUser"].as_i64() == Some(10_001), "its user is not that of the image");
    check(spec["securityContext"]["seccompProfile"]["type"].as_str() == Some("RuntimeDefault"), "it may call anything");
    for container in spec["containers"].as_vec().into_iter().flatten() {
        let of = &container["securityContext"];
        check(of["allowPrivilegeEscalation"].as_bool() == Some(false), "it may become more");
        check(of["readOnlyRootFilesystem"].as_bool() == Some(true), "it may write anywhere");
        check(of["capabilities"]["drop"][0].as_str() == Some("ALL"), "it has capabilities");
    }
    rights
}

/// A probe has to ask at a port that is there.
fn probes_of_other_ports(container: &Yaml) -> Vec<String> {
    let mut misfits = Vec::new();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        for way in ["grpc", "httpGet"] {
            let port = &container[probe][way]["port"];
            if *port != Yaml::BadValue && !has_port(container, port) {
                misfits.push(format!("its {probe} asks at {port:?}"));
            }
        }
        let serves = container["ports"].as_vec().is_some();
        if serves && container[probe].as_hash().is_none() {
            misfits.push(format!("it has no {probe}"));
        }
    }
    misfits
}

fn container_without_bounds(containers: &[Yaml]) -> Option<String> {
    let bounded = |container: &Yaml| {
        let resources = &container["resources"];
        resources["requests"]["memory"].as_str().is_some() && resources["limits"]["memory"].as_str().is_some()
    };
    (!containers.iter().all(bounded)).then(|| "its memory has no bounds".to_owned())
}

/// A StatefulSet's pods have names by a service without an address, from before they are ready.
fn has_no_names(object: &Object, objects: &[Object]) -> Option<String> {
    let service = object.spec()["serviceName"].as_str().unwrap_or_default();
    let found = objects.iter().find(|other| other.name() == format!("Service {service}"));
    let names_all = |spec: &Yaml| {
        let headless = spec["clusterIP"].as_str() == Some("None");
        headless && spec["publishNotReadyAddresses"].as_bool() == Some(true)
    };
    (!found.is_some_and(|service| names_all(service.spec()))).then(|| format!("{service} does not name all its pods"))
}
