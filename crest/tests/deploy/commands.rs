//! The command lines of `crest` in `deploy/`, and whether the binary knows their words.

use std::collections::BTreeMap;
use std::time::Duration;

use yaml_rust2::Yaml;

use crate::kubernetes;
use crate::processes::run;
use crate::repository::{files, read, yaml};

/// Commands that have commands of their own.
const GROUPS: [&str; 1] = ["cluster"];

/// A command line of `crest`.
#[derive(Debug)]
pub(crate) struct CommandLine {
    /// For messages: which file, and what in it.
    pub(crate) place: String,
    /// What comes after `crest`.
    pub(crate) words: Vec<String>,
}

impl CommandLine {
    fn new(place: String, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { place, words: words.into_iter().map(Into::into).collect() }
    }

    /// The `crest …` in a line for a shell; none when it runs something else.
    fn in_shell(place: String, line: &str) -> Self {
        let words = line.replace("\\\n", " ");
        let words = words.split_whitespace().skip_while(|word| *word != "crest").skip(1);
        let words: Vec<&str> = words.take_while(|word| !["||", "&&", "|", ";"].contains(word)).collect();
        assert!(!words.is_empty(), "{place} runs no crest");
        Self::new(place, words)
    }

    /// The value of an option.
    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        let mut words = self.words.iter().skip_while(|word| word.split('=').next() != Some(option));
        let word = words.next()?;
        word.split_once('=').map(|(_, value)| value).or_else(|| words.next().map(String::as_str))
    }

    fn command(&self) -> String {
        let words = if GROUPS.contains(&self.words[0].as_str()) { 2 } else { 1 };
        self.words[..words].join(" ")
    }
}

/// Those of compose.yaml: of every service with the image of Crest, what it runs and what asks for its health.
pub(crate) fn of_compose() -> BTreeMap<String, Vec<CommandLine>> {
    let compose = yaml("deploy/compose/compose.yaml").remove(0);
    let services = compose["services"].as_hash().expect("there are services");
    let mut found = BTreeMap::new();
    for (name, service) in services {
        let name = name.as_str().expect("a service has a name");
        let service = with_merged(service);
        if !service["image"].as_str().is_some_and(|image| image.contains("crest:")) {
            continue;
        }
        let place = format!("compose.yaml, {name}");
        let command = words(&service["command"]);
        let runs = match service["entrypoint"].as_vec() {
            Some(_) => CommandLine::in_shell(place.clone(), &command[0]),
            None => CommandLine::new(place.clone(), command),
        };
        let mut lines = vec![runs];
        if let [_, crest, asks @ ..] = words(&service["healthcheck"]["test"]).as_slice() {
            assert_eq!(crest, "crest", "{place}");
            lines.push(CommandLine::new(format!("{place}, its health check"), asks));
        }
        found.insert(name.to_owned(), lines);
    }
    found
}

/// A service with what it takes over by `<<`, which YAML 1.2 leaves to whoever reads it.
pub(crate) fn with_merged(service: &Yaml) -> Yaml {
    let Some(own) = service.as_hash() else { return service.clone() };
    let mut merged = match &service["<<"] {
        Yaml::BadValue => yaml_rust2::yaml::Hash::new(),
        taken => with_merged(taken).into_hash().expect("what is taken over is a mapping"),
    };
    for (key, value) in own.iter().filter(|(key, _)| key.as_str() != Some("<<")) {
        merged.insert(key.clone(), value.clone());
    }
    Yaml::Hash(merged)
}

/// Those of the manifests for Kubernetes, by the name of their object.
pub(crate) fn of_kubernetes() -> BTreeMap<String, CommandLine> {
    let containers = kubernetes::objects().into_iter().flat_map(|object| {
        let name = object.name();
        object.containers().into_iter().map(move |container| (name.clone(), container)).collect::<Vec<_>>()
    });
    let of_crest = containers.filter(|(_, container)| container["image"].as_str() == Some("crest"));
    let lines = of_crest.map(|(name, container)| {
        let (place, args) = (format!("the container of {name}"), words(&container["args"]));
        let line = match container["command"].as_vec() {
            Some(_) => CommandLine::in_shell(place, &args[0]),
            None => CommandLine::new(place, args),
        };
        (name, line)
    });
    lines.collect()
}

/// Those of the units for systemd.
pub(crate) fn of_systemd() -> Vec<CommandLine> {
    let units = files("deploy/systemd", &[".service"]);
    let line = |unit: String| {
        let text = read(&unit);
        let starts = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/crest "));
        let starts = starts.unwrap_or_else(|| panic!("{unit} starts no crest")).to_owned();
        CommandLine::new(unit, starts.split_whitespace())
    };
    units.into_iter().map(line).collect()
}

/// The words of a list.
fn words(list: &Yaml) -> Vec<String> {
    list.as_vec().into_iter().flatten().filter_map(Yaml::as_str).map(str::to_owned).collect()
}

/// Asks the binary for the help of every command, and gives what it does not know, in words.
pub(crate) fn unknown_to_the_binary(lines: &[CommandLine]) -> Vec<String> {
    let mut helps: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for line in lines {
        let command = line.command();
        let help = helps.entry(command.clone()).or_insert_with(|| help(&command));
        match help {
            Some(help) => unknown.extend(line.unknown_options(&command, help)),
            None => unknown.push(format!("{}: there is no crest {command}", line.place)),
        }
    }
    unknown
}

impl CommandLine {
    fn unknown_options(&self, command: &str, help: &str) -> Vec<String> {
        let known: Vec<&str> = help.split(|c: char| c.is_whitespace() || ",=[]'`".contains(c)).collect();
        let mut unknown = Vec::new();
        for option in self.words.iter().filter(|word| word.starts_with("--")).filter_map(|word| word.split('=').next())
        {
            if !known.contains(&option) {
                unknown.push(format!("{}: crest {command} has no {option}", self.place));
            }
        }
        unknown
    }
}

fn help(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
    let ended = run(&words, Duration::from_secs(30));
    (ended.code == Some(0)).then_some(ended.stdout)
}
