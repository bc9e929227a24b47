//! The client in `clients/python` against a real server: stock gRPC from another language is enough.
//!
//! Its virtual environment is kept in the target folder, and made anew when the requirements change.

mod processes;

use std::path::{Path, PathBuf};
use std::process::Command;

use processes::{Server, folder};

/// What to do when Python is not as needed.
const INSTALL: &str =
    "install python3 with venv and pip (Debian: apt-get install python3-venv; or run tools/install.sh)";

/// Runs a command to its end and gives what it said.
fn succeed(command: &mut Command, advice: &str) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}; {advice}"));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?} ended with {}; {advice}\n{said}", output.status);
    said
}

/// The Python of a virtual environment with the client's requirements.
fn python(client: &Path) -> PathBuf {
    let requirements = client.join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).expect("clients/python/requirements.txt is there");
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-client");
    let (python, installed) = (environment.join("bin/python"), environment.join("installed.txt"));
    // Written last, so that an environment which was not finished is made anew.
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) && python.exists() {
        return python;
    }
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment), INSTALL);
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let advice = "it needs the network, or a package mirror in pip's configuration";
    succeed(Command::new(&python).args(pip).arg(&requirements), advice);
    std::fs::write(&installed, wanted).expect("the target folder can be written");
    python
}

#[test]
fn stock_grpc_from_python_pays() {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("clients/python");
    let python = python(&client);
    let data = folder();
    let server = Server::dev(4, data.path());
    let address = server.address.to_string();
    // Twice: new ids every time, on a ledger that has accounts already.
    for _ in 0..2 {
        let said = succeed(Command::new(&python).arg(client.join("pay.py")).args(["--router", &address]), "see above");
        assert!(said.contains("All as expected."), "{said}");
        assert!(said.contains("a retry: CREATE_TRANSFER_STATUS_EXISTS"), "{said}");
    }
    server.stop();
    let gone = Command::new(&python).arg(client.join("pay.py")).args(["--router", &address]).output();
    let gone = gone.expect("python runs");
    assert_eq!(gone.status.code(), Some(1), "a router that is gone is an error");
    assert!(String::from_utf8_lossy(&gone.stderr).contains(&format!("{address}: UNAVAILABLE")), "{gone:?}");
}
