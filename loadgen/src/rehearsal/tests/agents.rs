//! Several processes that send as one.

use std::time::Duration;

use crest_proto::load;
use crest_proto::load::agent_client::AgentClient;
use crest_proto::load::run_request::Command;
use crest_proto::load::run_response::Event;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;

use super::*;
use crate::fake::faults::Seen;
use crate::fake::{About, Lie};

/// Agents that serve on the loopback until the test ends.
async fn agents(count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        names.push(listener.local_addr().unwrap().to_string());
        tokio::spawn(agent::serve_on(listener));
    }
    names
}

/// What a run planned, by everything that does not depend on the time that anything took.
fn plan_of(record: &RunRecord) -> Vec<(String, u64)> {
    let kinds = record.kinds.iter().map(|(kind, counts)| (kind.clone(), counts.planned));
    let seconds = record.timeline.iter().take(2).map(|second| (format!("second {}", second.at), second.planned));
    let phases = record.phases.iter().map(|phase| (phase.name.clone(), phase.totals.planned));
    kinds.chain(seconds).chain(phases).collect()
}

#[tokio::test]
async fn two_agents_do_what_one_process_with_as_many_lanes_does() {
    let (_alone, url) = Fake::serve().await;
    let alone = play_on(EVERYTHING, &url, &["--seed", "5"]).await;
    assert_proven(&alone);
    let (fake, url) = Fake::serve().await;
    let names = agents(2).await;
    let each = EVERYTHING.replace("connections = 2", "connections = 1");
    let options = ["--seed", "5", "--agent", &names[0], "--agent", &names[1]];
    let both = play_on(&each, &url, &options).await;
    assert_proven(&both);
    assert_eq!(plan_of(&both), plan_of(&alone));
    assert_eq!(both.verdict, Verdict::Passed, "{:?}", both.reasons);
    // The merged histogram holds every answered request of both, and nothing else.
    let requests: Vec<u64> = both.generator.agents.iter().map(|agent| agent.requests).collect();
    let all: u64 = requests.iter().sum();
    assert_eq!((requests.len(), both.latency.percentiles.count), (2, all));
    assert!(requests.iter().all(|&requests| requests > 50), "{requests:?}");
    assert_eq!(both.latency.buckets.iter().map(|bucket| bucket.1).sum::<u64>(), all);
    let state = fake.state();
    let writes = state.seen.iter().filter(|seen: &&Seen| seen.arrival.tag != tag(Kind::Opening)).count() as u64;
    let duplicates = both.totals.requests - all;
    assert_eq!(writes, all + duplicates - both.kinds["read"].planned);
}

#[tokio::test]
async fn a_lie_to_one_of_two_agents_is_found() {
    let (fake, url) = Fake::serve().await;
    fake.state().lie = Some(About { lie: Lie::NeverMade, which: |t| t.user_data_32 == tag(Kind::Payment), after: 40 });
    let names = agents(2).await;
    let record = play_on(EVERYTHING, &url, &["--agent", &names[0], "--agent", &names[1]]).await;
    assert_eq!(record.verdict, Verdict::MoneyWrong);
    assert!(record.reasons.iter().any(|reason| reason.contains("acknowledged")), "{:?}", record.reasons);
}

#[tokio::test]
async fn an_agent_takes_part_in_one_run_at_a_time_and_in_the_next_one_after_it() {
    let (_fake, url) = Fake::serve().await;
    let names = agents(1).await;
    let twice = ["--agent", &names[0], "--agent", &names[0]];
    let refused = play_until(EVERYTHING, &url, &twice, std::future::pending()).await.unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("takes part in another run"), "{refused}");
    // What was refused has let it go, as soon as it has noticed.
    let mut record = None;
    for _ in 0..50 {
        match play_until(EVERYTHING, &url, &["--agent", &names[0]], std::future::pending()).await {
            Ok(played) => {
                record = Some(played);
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    assert_eq!(record.unwrap().verdict, Verdict::Passed);
}

/// What an agent says to whoever prepares a run with it so.
async fn prepared(change: impl FnOnce(&mut load::Prepare)) -> Result<load::RunResponse, tonic::Status> {
    let (_fake, url) = Fake::serve().await;
    let name = agents(1).await.remove(0);
    let mut prepare = load::Prepare {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: EVERYTHING.to_owned(),
        scale: 1.0,
        ledger: crest_ledger::rehearsal::REHEARSAL_LEDGER_MIN + 7,
        run: 7,
        routers: vec![url],
        epoch: 1,
        shards: vec![load::ShardSlots { shard: 0, slots: vec![0, 16_383] }],
        agents: 1,
        ..load::Prepare::default()
    };
    change(&mut prepare);
    let mut client = AgentClient::connect(format!("http://{name}")).await.unwrap();
    let command = load::RunRequest { command: Some(Command::Prepare(prepare)) };
    // The stream stays open after it.
    let commands = tokio_stream::iter([command]).chain(tokio_stream::pending());
    let mut events = client.run(commands).await?.into_inner();
    Ok(events.message().await?.unwrap())
}

#[tokio::test]
async fn an_agent_refuses_numbers_that_no_run_has_and_lives_on() {
    let ready = prepared(|_| {}).await.unwrap();
    assert_eq!(ready.event, Some(Event::Ready(load::Ready {})));
    let scale = "prepare.scale: expected a number from 0.0001 to 10,000, got ";
    type Breaks = fn(&mut load::Prepare);
    let cases: [(Breaks, &str); 12] = [
        (|p| p.scale = 1e300, scale),
        (|p| p.scale = f64::MAX, scale),
        (|p| p.scale = f64::INFINITY, scale),
        (|p| p.scale = f64::NAN, scale),
        (|p| p.scale = -1.0, scale),
        (|p| p.scale = 1e-300, scale),
        (|p| p.batch = u32::MAX, "--batch 4294967295"),
        (|p| p.in_flight_max = u32::MAX, "--in-flight 4294967295"),
        (|p| p.agents = 0, "prepare.agent"),
        (|p| p.agents = u32::MAX, "prepare.agent"),
        (|p| p.routers = Vec::new(), "prepare.routers"),
        (|p| p.shards[0].shard = u32::MAX, "prepare.shards"),
    ];
    for (change, text) in cases {
        let error = prepared(change).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument, "{error:?}");
        assert!(error.message().starts_with(text), "expected '{text}', got '{}'", error.message());
    }
}
