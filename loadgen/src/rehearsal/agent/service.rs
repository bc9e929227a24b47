//! `crest load agent`: sends what somebody else directs.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use crest_ledger::rehearsal::is_rehearsal;
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::load;
use crest_proto::load::agent_server::{Agent, AgentServer};
use crest_proto::load::run_request::Command;
use crest_proto::load::run_response::Event;
use crest_server::accept;
use crest_server::limits::Times;
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::messages::{end_to, samples_to, slots_from};
use crate::exit;
use crate::rehearsal::ids::RunId;
use crate::rehearsal::lanes::Running;
use crate::rehearsal::sample::Told;
use crate::rehearsal::setup::{Prepared, Script, Wish, course};
use crate::scenario::{SCALES, within};

/// Messages of lanes, and messages to whoever directs, that may wait.
const WAITING_MAX: usize = 1_024;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long whoever directs may take to say what is to be done.
const PREPARE: Duration = Duration::from_secs(30);

/// What `crest load agent` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  crest load agent --listen 10.0.0.7:7200         on each machine that sends
  crest load run double-11-2014 --router http://10.0.0.1:7000 --agent 10.0.0.7:7200 --agent 10.0.0.8:7200")]
pub struct AgentArgs {
    /// Where whoever directs connects. There is no authentication: a trusted network only.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7200")]
    pub listen: SocketAddr,
}

/// Serves until Ctrl-C; gives the exit code.
///
/// # Errors
/// When the address can't be bound.
pub(crate) async fn serve(args: &AgentArgs) -> anyhow::Result<u8> {
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("--listen {}", args.listen))?;
    println!("crest: agent of rehearsals, ready on {}", listener.local_addr()?);
    serve_on(listener).await?;
    Ok(exit::PASSED)
}

/// The same on a port that is open already.
///
/// # Errors
/// When it can't be listened on any more.
pub(crate) async fn serve_on(listener: TcpListener) -> anyhow::Result<()> {
    let service = AgentServer::new(Service { free: Arc::new(Semaphore::new(1)) });
    // One that directs, and the others that it refuses meanwhile.
    let incoming = accept::connections(listener, CONNECTIONS_MAX, Times::default());
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .add_service(service.max_decoding_message_size(MESSAGE_BYTES_MAX));
    // A run that is under way ends when this process does: whoever directs sees that.
    tokio::select! {
        served = server.serve_with_incoming(incoming) => served?,
        () = stop => {}
    }
    Ok(())
}

struct Service {
    /// One permit: an agent takes part in one run at a time.
    free: Arc<Semaphore>,
}

type Events = Pin<Box<dyn Stream<Item = Result<load::RunResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Agent for Service {
    type RunStream = Events;

    async fn run(&self, request: Request<Streaming<load::RunRequest>>) -> Result<Response<Events>, Status> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("this agent takes part in another run"))?;
        let (out, events) = mpsc::channel(WAITING_MAX);
        let mut director = Director { commands: request.into_inner(), out };
        tokio::spawn(async move {
            if let Err(error) = director.serve().await {
                // Whoever is no longer there needs no reason.
                let _ = director.out.send(Err(Status::invalid_argument(format!("{error:#}")))).await;
            }
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }
}

/// Whoever directs the run.
struct Director {
    commands: Streaming<load::RunRequest>,
    out: mpsc::Sender<Result<load::RunResponse, Status>>,
}

impl Director {
    async fn serve(&mut self) -> anyhow::Result<()> {
        let first = tokio::time::timeout(PREPARE, self.commands.message()).await.context("nothing was said")??;
        let Some(Command::Prepare(prepare)) = first.and_then(|first| first.command) else {
            bail!("the first message of a run prepares it");
        };
        let (course, agent) = prepared(&prepare)?;
        let connections = course.lanes.count / prepare.agents.max(1);
        let own = agent * connections..(agent + 1) * connections;
        let (told, mut hear) = mpsc::channel(WAITING_MAX);
        let running = Running::connect(&course.plan, &course.lanes, own, &course.sending, &told).await?;
        drop(told);
        self.tell(Event::Ready(load::Ready {})).await?;
        let before = crate::cpu::cpu_seconds();
        loop {
            tokio::select! {
                message = hear.recv() => match message {
                    None => break,
                    Some(Told::Note(note)) => self.tell(Event::Note(note)).await?,
                    Some(Told::Samples { lane, samples, in_flight }) => {
                        for message in samples_to(lane, in_flight, &samples) {
                            self.tell(Event::Samples(message)).await?;
                        }
                    }
                },
                command = self.commands.message() => match command.ok().flatten().and_then(|m| m.command) {
                    Some(Command::Begin(begin)) => {
                        running.begin(Instant::now() + Duration::from_millis(u64::from(begin.in_ms)));
                    }
                    Some(Command::Stop(_)) => running.stop(),
                    Some(Command::Prepare(_)) => {}
                    // Whoever directs is gone: nobody would ever look at what is sent from now on.
                    None => bail!("whoever directs is gone"),
                },
            }
        }
        let cpu_seconds = crate::cpu::cpu_seconds().zip(before).map(|(after, before)| after - before);
        for (lane, end) in running.end().await? {
            let (books, end) = end_to(lane, &end);
            for part in books {
                self.tell(Event::Books(part)).await?;
            }
            self.tell(Event::End(end)).await?;
        }
        self.tell(Event::Over(load::Over { cpu_seconds })).await
    }

    async fn tell(&self, event: Event) -> anyhow::Result<()> {
        let response = load::RunResponse { event: Some(event) };
        self.out.send(Ok(response)).await.context("whoever directs is gone")
    }
}

/// The agent's own share of the run, and its number.
fn prepared(prepare: &load::Prepare) -> anyhow::Result<(Prepared, u32)> {
    let version = env!("CARGO_PKG_VERSION");
    if prepare.version != version {
        bail!("this agent is version {version}, and whoever directs {}: run the same binary", prepare.version);
    }
    if prepare.agent >= prepare.agents || prepare.agents > super::remote::AGENTS_MAX {
        bail!("prepare.agent: {} of {} is not one", prepare.agent, prepare.agents);
    }
    if !is_rehearsal(prepare.ledger) {
        bail!("prepare.ledger: {} is no ledger number of rehearsals", prepare.ledger);
    }
    if prepare.routers.is_empty() {
        bail!("prepare.routers: expected at least one router, got none");
    }
    within(prepare.scale, &SCALES).map_err(|why| anyhow::anyhow!("prepare.scale: {why}"))?;
    let wish = Wish {
        batch: (prepare.batch > 0).then_some(prepare.batch),
        in_flight: (prepare.in_flight_max > 0).then_some(prepare.in_flight_max),
        scale: prepare.scale,
        seed: prepare.seed,
        ledger: prepare.ledger,
    };
    let script = Script::directed(prepare.scenario.clone(), &wish)?;
    let map = slots_from(prepare.epoch, &prepare.shards)?;
    let run = RunId::from(prepare.run);
    Ok((course(&wish, &script, &map, &prepare.routers, run, prepare.agents)?, prepare.agent))
}
