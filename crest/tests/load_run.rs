//! `crest load run` with real processes: clusters of its own, events that break them, agents, and every exit code.

mod processes;

use std::path::Path;
use std::time::{Duration, Instant};

use processes::{ANY, Ended, Server, binary, folder, refused, run, text};

/// How long one rehearsal may take: some seconds by its plan, more where processes of other tests share the machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// What all scenarios here begin with: everything in the mix, and limits that a shared machine does not miss.
const HEAD: &str = r#"
name = "test"
description = "A few seconds of everything."
[population]
customers = 300
merchants = 20
hot_merchants = 1
hot_share = 0.3
[mix]
payment = 60
authorise = 20
chain = 10
read = 10
duplicates = 0.05
insufficient_funds = 0.02
[mix.capture]
after = "300ms"
[mix.refund]
share = 0.1
after = "500ms"
[requests]
retry_for = "60s"
[generator]
late_share_max = 1.0
"#;

/// A scenario file with a rate for some seconds, and whatever else.
fn scenario(folder: &Path, rate: u32, seconds: u32, more: &str) -> String {
    let phase = format!("[[phase]]\nname = \"all\"\nduration = \"{seconds}s\"\nrate = {rate}\n");
    let path = folder.join("scenario.toml");
    std::fs::write(&path, format!("{HEAD}{phase}{more}")).expect("the scenario can be written");
    text(&path).to_owned()
}

/// Runs a rehearsal that leaves a record in `out`.
#[track_caller]
fn rehearse(arguments: &[&str], out: &Path) -> (Ended, serde_json::Value) {
    let arguments = [&["load", "run"], arguments, &["--out", text(out)]].concat();
    let ended = run(&arguments, PATIENCE);
    let record = std::fs::read_to_string(out.join("record.json")).ok();
    let record = record.and_then(|text| serde_json::from_str(&text).ok());
    let record = record.unwrap_or_else(|| panic!("crest {} left no record: {ended:?}", arguments.join(" ")));
    (ended, record)
}

/// That the money is proven: something was acknowledged, all of it was found, nothing else, and all balances are right.
#[track_caller]
fn proven(record: &serde_json::Value) {
    let audit = &record["audit"];
    let of = |name: &str| audit[name].as_u64().unwrap_or_else(|| panic!("{name} in {record:#}"));
    assert!(of("acknowledged") > 0, "{audit:#}");
    assert_eq!(of("acknowledged_found"), of("acknowledged"), "{audit:#}");
    for none in ["refused_found", "accounts_wrong", "unknown_left", "foreign", "contradictions"] {
        assert_eq!(of(none), 0, "{none}: {audit:#}");
    }
    assert_eq!(audit["wrong"], serde_json::json!([]), "{audit:#}");
    assert_eq!(audit["ledger_audit_holds"], true, "{audit:#}");
}

#[test]
fn a_rehearsal_on_a_cluster_of_its_own_is_proven_and_leaves_a_report() {
    let folder = folder();
    let file = scenario(folder.path(), 300, 3, "");
    let out = folder.path().join("out");
    let (ended, record) = rehearse(&[&file, "--local", "3", "--scale", "0.5"], &out);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with("PASSED\n"), "{ended:?}");
    proven(&record);
    let totals = &record["totals"];
    assert!(totals["refused_as_planned"].as_u64() > Some(0) && totals["duplicates"].as_u64() > Some(0), "{totals:#}");
    for kind in ["payment", "authorise", "capture", "void", "refund", "chain", "read"] {
        assert!(record["kinds"][kind]["done"].as_u64() > Some(0), "{kind}: {:#}", record["kinds"]);
    }
    let page = std::fs::read_to_string(out.join("report.html")).expect("there is a report");
    assert!(
        page.contains("Passed") && !page.contains("src=") && !page.contains("<link"),
        "it needs nothing from elsewhere"
    );
    // The same figures make the same report, and compare with themselves.
    let json = out.join("record.json");
    let again = folder.path().join("again.html");
    assert_eq!(run(&["load", "report", text(&json), "--out", text(&again)], PATIENCE).code, Some(0));
    assert_eq!(std::fs::read_to_string(&again).expect("a second report"), page);
    let compared = run(&["load", "compare", text(&json), text(&json)], PATIENCE);
    assert_eq!(compared.code, Some(0), "{compared:?}");
}

#[test]
fn killed_and_paused_parts_cost_no_money() {
    let folder = folder();
    let events = r#"
[[event]]
at = "1s"
kill_leader = { shard = 1, back_after = "1s" }
[[event]]
at = "2500ms"
pause_leader = { shard = 0, lasts = "1500ms" }
[[event]]
at = "5s"
kill_router = { router = 0, back_after = "1s" }
"#;
    let file = scenario(folder.path(), 300, 8, events);
    let (ended, record) = rehearse(&[&file, "--local", "2", "--local-routers", "2"], &folder.path().join("out"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    proven(&record);
    let events = record["events"].as_array().expect("events are a list");
    assert!(events.len() == 3 && events.iter().all(|event| event["done"] == true), "{events:#?}");
    assert!(record["totals"]["retries"].as_u64() > Some(0), "nobody noticed: {:#}", record["totals"]);
}

#[test]
fn agents_send_as_one() {
    let folder = folder();
    let file = scenario(folder.path(), 200, 3, "");
    let server = Server::dev(2, &folder.path().join("data"));
    let agents = [(); 2].map(|()| {
        let mut command = processes::command();
        command.args(["load", "agent", "--listen", ANY]);
        let mut agent = Server::launch_as(command);
        agent.ready().unwrap_or_else(|ended| panic!("the agent ended: {ended}"));
        agent
    });
    let [one, two] = agents.each_ref().map(|agent| agent.address.to_string());
    let router = server.address.to_string();
    let out = folder.path().join("out");
    let arguments = [file.as_str(), "--router", &router, "--agent", &one, "--agent", &two];
    let (ended, record) = rehearse(&arguments, &out);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    proven(&record);
    let agents_sent: Vec<u64> = record["generator"]["agents"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|agent| agent["requests"].as_u64().expect("a count"))
        .collect();
    assert!(agents_sent.len() == 2 && agents_sent.iter().all(|&sent| sent > 50), "{:#}", record["generator"]);
    // They take part in the next run, too.
    let (ended, record) = rehearse(&arguments, &out);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    proven(&record);
}

#[test]
fn a_missed_mark_and_a_late_generator_have_codes_of_their_own() {
    let folder = folder();
    let server = Server::dev(1, &folder.path().join("data"));
    let router = server.address.to_string();
    let out = folder.path().join("out");
    let slow = scenario(folder.path(), 100, 2, "[pass]\np50 = \"1ms\"\nmax = \"1ms\"\n");
    let (ended, record) = rehearse(&[&slow, "--router", &router], &out);
    assert_eq!((ended.code, &record["verdict"]), (Some(5), &"too_slow".into()), "{ended:?}");
    proven(&record);
    // Every request is later than a nanosecond.
    let file = std::fs::read_to_string(&slow).expect("it was written");
    let late = file.replace("late_share_max = 1.0", "late_share_max = 0.0\nlate_after = \"1ms\"");
    let busy = late.replace("rate = 100", "rate = 20000").replace("[requests]", "[requests]\nbatch = 50");
    std::fs::write(&slow, busy).expect("it can be written again");
    let (ended, record) = rehearse(&[&slow, "--router", &router], &out);
    assert_eq!((ended.code, &record["verdict"]), (Some(6), &"invalid".into()), "{ended:?}");
}

#[test]
fn what_can_not_be_done_is_refused_before_anything_is_sent() {
    let folder = folder();
    let plain = scenario(folder.path(), 100, 2, "");
    refused(&["load", "run", &plain, "--router", "127.0.0.1:1"], 3, &["no router answers at 127.0.0.1:1"]);
    refused(&["load", "run", &plain, "--ledger", "1"], 2, &["--ledger"]);
    refused(&["load", "run", &plain, "--local", "2", "--router", "127.0.0.1:1"], 2, &["--router"]);
    refused(&["load", "run", "no-such-scenario"], 2, &["no-such-scenario"]);
    refused(&["load", "run", &plain, "--file", "payments.csv"], 2, &["--file"]);
    refused(&["load", "run", &plain, "--batch", "8190"], 2, &["--batch"]);
    let kill = "[[event]]\nat = \"1s\"\nkill_leader = { shard = 7, back_after = \"500ms\" }\n";
    let file = scenario(folder.path(), 100, 2, kill);
    refused(&["load", "run", &file, "--router", "127.0.0.1:1"], 3, &["shard 7", "--local"]);
    refused(&["load", "run", &file, "--local", "2"], 3, &["there is no shard 7"]);
    let moved = "[[event]]\nat = \"1s\"\nrebalance = { slots = 10, from = 0, to = 1 }\n";
    let file = scenario(folder.path(), 100, 2, moved);
    refused(&["load", "run", &file, "--local", "2"], 3, &["can't move slots"]);
}

#[test]
fn a_report_that_can_not_be_written_is_no_pass_and_leaves_no_half_of_one() {
    let folder = folder();
    let file = scenario(folder.path(), 100, 2, "");
    let out = folder.path().join("out");
    // A folder is in the record's place.
    std::fs::create_dir_all(out.join("record.json").join("taken")).expect("folders can be made");
    let ended = run(&["load", "run", &file, "--local", "1", "--out", text(&out)], PATIENCE);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("the report is not there") && ended.stderr.contains("record.json"), "{ended:?}");
    let left: Vec<_> =
        std::fs::read_dir(&out).expect("it is there").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(left, ["record.json"], "nothing but what was there");
}

#[test]
fn a_run_that_is_stopped_by_hand_is_proven_nevertheless() {
    let folder = folder();
    let file = scenario(folder.path(), 200, 120, "");
    let out = folder.path().join("out");
    let mut child = processes::without_settings(std::process::Command::new(binary()))
        .args(["load", "run", &file, "--local", "2", "--out", text(&out)])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary was built with the test");
    let mut said = std::io::BufReader::new(child.stderr.take().expect("standard error is a pipe"));
    let mut line = String::new();
    // Once something was acknowledged, so that there is something to prove.
    while !line.contains("acknowledged") || line.contains("acknowledged 0/s") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut said, &mut line).expect("it can be read");
        assert!(read > 0, "it ended before it acknowledged anything");
    }
    let rest = std::thread::spawn(move || std::io::Read::read_to_string(&mut said, &mut String::new()));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill is there").success());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            break status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    let _ = rest.join();
    assert_eq!(code, Some(3));
    let record = std::fs::read_to_string(out.join("record.json")).expect("there is a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("it is JSON");
    proven(&record);
    assert_eq!(
        (&record["verdict"], &record["reasons"][0]),
        (&"could_not_run".into(), &"it was stopped by hand".into())
    );
}
