//! The files of the repository.

use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

/// The path of something in the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace").join(name)
}

/// The text of a file.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents of a YAML file.
pub(crate) fn yaml(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below a folder whose name ends so, with its path in the repository.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let entry = entry.expect("the folder can be read");
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(&name, endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// A tool that may be installed: what it said, when it is there and content.
///
/// # Panics
/// When it is there and finds something wrong; with what it said.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> Option<String> {
    let ran = match std::process::Command::new(name).args(arguments).output() {
        Ok(ran) => ran,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{name} is not installed: not checked: {name} {}", arguments.join(" "));
            return None;
        }
        Err(error) => panic!("{name}: {error}"),
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (said(&ran.stdout), said(&ran.stderr));
    assert!(ran.status.success(), "{name} {} ended with {}:\n{out}{error}", arguments.join(" "), ran.status);
    Some(out + &error)
}
